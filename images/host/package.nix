# The host image: the kernel, its modules, and an initial file system with our init and busybox.
# boot.json tells cki-build how to start it.
{ lib
, stdenv
, cki-init
, cki-kernel
, busybox
, busyboxStatic
, cpio
}:

let
  # For an emulated microvm:
  # - quiet: the console is for errors, until --verbose asks for more;
  # - panic, reboot: a panic ends the emulator at once, by a triple fault;
  # - tsc, no_timer_check, lapic_timer_hz: the timers are what QEMU says they are, and measuring them
  #   fails when the real machine is busy (the APIC timer counts nanoseconds);
  # - mitigations: no emulated processor speculates;
  # - acpi, pci: there is neither, so nobody need look.
  cmdline = [
    "console=ttyS0"
    "quiet"
    "panic=-1"
    "reboot=t"
    "tsc=reliable"
    "no_timer_check"
    "lapic_timer_hz=1000000000"
    "mitigations=off"
    "acpi=off"
    "pci=off"
    "cki.mode=session"
  ];
  # The same holds for a container on that machine: the launcher adds what any container needs.
  containerCmdline = [ "tsc=reliable" "mitigations=off" ];
in
stdenv.mkDerivation {
  pname = "cki-host";
  version = "0.1.0";
  dontUnpack = true;
  nativeBuildInputs = [ busybox cpio ];

  kernel = cki-kernel;
  init = cki-init;
  inherit busyboxStatic;
  makeInitrd = ./make-initrd.sh;
  etc = ./etc;
  boot = builtins.toJSON {
    version = 2;
    kernel = "vmlinux";
    initrd = "initrd";
    cmdline = lib.concatStringsSep " " cmdline;
    containerCmdline = lib.concatStringsSep " " containerCmdline;
  };

  buildPhase = ''
    bash -eu -o pipefail $makeInitrd initrd "$init/bin/cki-init" "$busyboxStatic" "$etc" "$kernel/lib/modules"
  '';

  installPhase = ''
    mkdir -p $out/lib
    cp $kernel/vmlinux $kernel/bzImage initrd $out/
    cp -r $kernel/lib/modules $out/lib/
    printf '%s\n' "$boot" > $out/boot.json
  '';

  dontFixup = true;

  meta = {
    description = "Kernel and initial file system of the machine that CKI containers run on";
    license = lib.licenses.gpl2Only;
  };
}
