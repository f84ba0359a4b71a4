# SPDX-License-Identifier: MIT OR Apache-2.0
# The host image: the kernel, its modules, and two initial file systems with our init: `initrd` with commands for
# people and for tests, `session.initrd` with no more than a machine for one program needs, which waits for it.
# boot.json tells cki-build how to start it: the machine is a microvm unless the kernel needs a PC.
{ lib
, stdenv
, cki-init
, cki-kernel
, cki-version
, busybox
, busyboxStatic
, cpio
  # Of the kernel's files, the one to boot; the board that it knows its way about; words for its command
  # line because of the board, and others; MiB of memory for the host itself beside those of its container.
, image ? "vmlinux"
, board ? "microvm"
, boardCmdline ? [ "lapic_timer_hz=1000000000" "acpi=off" "pci=off" ]
, moreCmdline ? [ ]
, hostMib ? 192
}:

let
  # For an emulated machine:
  # - quiet: the console is for errors, until --verbose asks for more;
  # - panic, reboot: a panic ends the emulator at once, by a triple fault;
  # - tsc, no_timer_check, lapic_timer_hz: the timers are what QEMU says they are, and measuring them
  #   fails when the real machine is busy (the APIC timer counts nanoseconds);
  # - mitigations: no emulated processor speculates;
  # - acpi, pci: a microvm has neither, so nobody need look;
  # - loop: /dev/loop-control makes loop devices when somebody wants one, instead of eight at every start.
  cmdline = [
    "console=ttyS0"
    "quiet"
    "panic=-1"
    "reboot=t"
    "tsc=reliable"
    "no_timer_check"
    "mitigations=off"
    "loop.max_loop=0"
  ] ++ boardCmdline ++ moreCmdline ++ [ "cki.mode=session" ];
  # The same holds for a container on that machine: the launcher adds what any container needs.
  containerCmdline = [ "tsc=reliable" "mitigations=off" "loop.max_loop=0" ];
in
stdenv.mkDerivation {
  pname = "cki-host";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ busybox cpio ];

  kernel = cki-kernel;
  init = cki-init;
  inherit busyboxStatic;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  makeInitrd = ./make-initrd.sh;
  etc = ./etc;
  boot = builtins.toJSON {
    version = 4;
    kernel = image;
    initrd = "initrd";
    sessionInitrd = "session.initrd";
    inherit board hostMib;
    cmdline = lib.concatStringsSep " " cmdline;
    containerCmdline = lib.concatStringsSep " " containerCmdline;
  };

  buildPhase = ''
    modules=$kernel/lib/modules
    bash -eu -o pipefail $makeInitrd initrd "$init/bin/cki-init" "$etc" "$modules" "$busyboxStatic"
    # Of modules, a session has those that the kernel cannot reach its disks without.
    [ -n "$(find "$modules"/ -name modules.boot)" ] || modules=
    bash -eu -o pipefail $makeInitrd session.initrd "$init/bin/cki-init" "$etc" "$modules"
  '';

  installPhase = ''
    mkdir -p $out/lib
    # Without symbols, which the emulator would read and sort at every start. Those are in cki-kernel.
    [ ! -e $kernel/vmlinux ] || objcopy --strip-all $kernel/vmlinux $out/vmlinux
    [ ! -e $kernel/bzImage ] || cp $kernel/bzImage $out/
    cp initrd session.initrd $out/
    cp -r $kernel/lib/modules $out/lib/
    printf '%s\n' "$boot" > $out/boot.json
    mkdir -p $out/share
    cp -r --no-preserve=mode $init/share/doc $out/share/
    bash $copyright $out/share/doc/linux/copyright --by 'Linux, by its authors; of CKI, Debian or another, as the image was built' GPL-2.0-only
    bash $copyright $out/share/doc/busybox/copyright --by 'BusyBox, by its authors' GPL-2.0-only
  '';

  dontFixup = true;

  meta = {
    description = "Kernel and initial file system of the machine that CKI containers run on";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
