# SPDX-License-Identifier: MIT OR Apache-2.0
# The system as a disk that a PC's BIOS boots: made as the host image's is, with two slots for systems, of which the
# second is empty: kernel and initial file system in /a and /b, root file systems on the partitions behind (root/usr/lib/cki/slot).
{ lib
, stdenv
, cki-qemu
, cki-system
, cki-version
, dosfstools
, mtools
, syslinux
, syslinuxDir
  # Memory for containers.
, pool ? "256M"
}:

stdenv.mkDerivation {
  pname = "cki-system-disk";
  version = cki-version;
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
    printf '%s\n' 'SERIAL 0 115200' 'PROMPT 0' 'TIMEOUT 0' \
      'INCLUDE /default.cfg' 'INCLUDE /a/slot.cfg' 'INCLUDE /b/slot.cfg' > syslinux.cfg
    mkdir -p slots/a slots/b
    echo 'DEFAULT a' > slots/default.cfg
    cp $system_/system slots/a/system
    : > slots/b/slot.cfg
    cat > slots/a/slot.cfg <<END
    LABEL a
      LINUX /a/bzImage
      INITRD /a/initrd
      APPEND $cmdline cki-system.slot=a cki.system=$(cat $system_/system)
    END
    mbr=$(find "$syslinuxDir" -name mbr.bin)
    bash -eu -o pipefail $makeDisk $system_ $system_/root.verity syslinux.cfg "$mbr" disk.raw slots
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
