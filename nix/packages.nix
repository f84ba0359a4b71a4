# Every package of ours, made by one set's callPackage: the Debian set's
# (nix/debian) or nixpkgs' (overlays.default).
{ callPackage }:

rec {
  cki-qemu = callPackage ../emulator/package.nix { };
  # The same QEMU without our patches: what the extension's tests and
  # measurements are compared with.
  qemu-stock = callPackage ../emulator/package.nix { patches = [ ]; };
  cki-isa-tests = callPackage ../emulator/tests/package.nix { };
  cki-kernel = callPackage ../kernel/package.nix { };
  cki-ksm = callPackage ../ksm/package.nix { };
  cki-kmod = callPackage ../kmod/package.nix { };
  cki-monitor-driver = callPackage ../tests/driver/package.nix { };
  cki-ksm-mutants = callPackage ../tests/mutants/package.nix { };
  cki-kmod-tests = callPackage ../kmod/package.nix { testMonitors = cki-ksm-mutants; };
  cki-launcher = callPackage ../launcher/package.nix { };
  cki-micro = callPackage ../bench/micro/package.nix { };
  cki-init = callPackage ../init/package.nix { };
  cki-runtime = callPackage ../images/runtime/package.nix { };
  cki-host = callPackage ../images/host/package.nix { };
  cki-host-disk = callPackage ../images/host/disk.nix { };
  cki-build = callPackage ../cki-build/package.nix { };
}
