# SPDX-License-Identifier: MIT OR Apache-2.0
# The system as a disk that a PC's BIOS boots: made as the host image's is, with the root file system as its second
# partition.
{ lib
, stdenv
, cki-qemu
, cki-system
, dosfstools
, mtools
, syslinux
, syslinuxDir
  # Memory for containers.
, pool ? "256M"
}:

stdenv.mkDerivation {
  pname = "cki-system-disk";
  version = "0.1.0";
  dontUnpack = true;
  nativeBuildInputs = [ dosfstools mtools syslinux ];

  system_ = cki-system;
  qemu = cki-qemu;
  makeDisk = ../host/make-disk.sh;
  inherit syslinuxDir;
  # - panic: what cannot go on starts anew;
  # - no5lvl: the module knows four levels of page tables;
  # - tsc, no_timer_check: the disk is for virtual machines, too. Beside other work, Linux takes the clocks of an
  #   emulator for broken: without a stable TSC there are no containers, and without a timer it stops.
  cmdline = lib.concatStringsSep " " [
    "console=tty0"
    "console=ttyS0,115200"
    "quiet"
    "panic=10"
    "no5lvl"
    "tsc=reliable"
    "no_timer_check"
    "cki.pool=${pool}"
  ];

  buildPhase = ''
    cat > syslinux.cfg <<END
    SERIAL 0 115200
    DEFAULT cki
    PROMPT 0
    TIMEOUT 0
    LABEL cki
      LINUX /bzImage
      INITRD /initrd
      APPEND $cmdline cki.system=$(cat $system_/system)
    END
    mbr=$(find "$syslinuxDir" -name mbr.bin)
    bash -eu -o pipefail $makeDisk $system_ $system_/root.verity syslinux.cfg "$mbr" disk.raw
    $qemu/bin/qemu-img convert -f raw -O qcow2 disk.raw cki-system.qcow2
  '';

  installPhase = ''
    mkdir $out
    cp cki-system.qcow2 $out/
  '';

  dontFixup = true;

  meta = {
    description = "Bootable disk of a host of CKI containers with systemd";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
