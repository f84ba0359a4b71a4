# SPDX-License-Identifier: MIT OR Apache-2.0
# Every package of ours, made by one set's callPackage: the Debian set's
# (nix/debian) or nixpkgs' (overlays.default). What only tests need is in
# fixtures.nix.
{ callPackage }:

{
  cki-libslirp = callPackage ../emulator/libslirp/package.nix { };
  cki-qemu = callPackage ../emulator/package.nix { };
  cki-kernel = callPackage ../kernel/package.nix { };
  cki-ksm = callPackage ../ksm/package.nix { };
  cki-kmod = callPackage ../kmod/package.nix { };
  cki-launcher = callPackage ../launcher/package.nix { };
  cki-micro = callPackage ../bench/micro/package.nix { };
  cki-workload = callPackage ../bench/workload/package.nix { };
  cki-init = callPackage ../init/package.nix { };
  cki-passt = callPackage ../images/passt/package.nix { };
  cki-guest = callPackage ../images/guest/package.nix { };
  cki-runtime = callPackage ../images/runtime/package.nix { };
  cki-host = callPackage ../images/host/package.nix { };
  cki-host-disk = callPackage ../images/host/disk.nix { };
  cki-book = callPackage ../crates/book/package.nix { };
  cki-docs = callPackage ../docs/package.nix { };
  cki-build = callPackage ../cki-build/package.nix { };
}
