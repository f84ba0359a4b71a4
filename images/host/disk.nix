# SPDX-License-Identifier: MIT OR Apache-2.0
# The host image as a disk that a PC boots: an MBR, a FAT partition with syslinux, the kernel and
# the initial file system, and the runtime disk as a second one. It comes up with a shell on the screen and on the first serial port.
{ lib
, stdenv
, cki-host
, cki-qemu
, cki-runtime
, cki-version
, dosfstools
, mtools
, syslinux
, syslinuxDir
}:

stdenv.mkDerivation {
  pname = "cki-host-disk";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ dosfstools mtools syslinux ];

  host = cki-host;
  qemu = cki-qemu;
  runtime = cki-runtime;
  inherit syslinuxDir;
  makeDisk = ./make-disk.sh;
  bootMenu = ./syslinux.cfg;

  buildPhase = ''
    # By this init tells the runtime disk from one that only says that it is.
    content=$(sha256sum $runtime/runtime.erofs) length=$(stat -c %s $runtime/runtime.erofs)
    sed "s/^  APPEND .*/& cki.runtime=''${content%% *}:$length/" $bootMenu > syslinux.cfg
    grep -q cki.runtime= syslinux.cfg
    mbr=$(find "$syslinuxDir" -name mbr.bin)
    bash -eu -o pipefail $makeDisk "$host" "$runtime/runtime.erofs" syslinux.cfg "$mbr" disk.raw
    $qemu/bin/qemu-img convert -f raw -O qcow2 disk.raw cki-host.qcow2
  '';

  installPhase = ''
    mkdir -p $out
    cp cki-host.qcow2 $out/
  '';

  dontFixup = true;

  meta = {
    description = "Bootable disk image of the CKI host";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
