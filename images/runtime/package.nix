# SPDX-License-Identifier: MIT OR Apache-2.0
# What a host needs to run containers, as one read-only disk: launcher, module, monitor, and the kernel
# and initial file system that every container starts from.
{ lib
, stdenv
, cki-init
, cki-kernel
, cki-kmod
, cki-ksm
, cki-launcher
, cki-passt
, cki-version
, cpio
, erofs-utils
}:

stdenv.mkDerivation {
  pname = "cki-runtime";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ cpio erofs-utils ];

  init = cki-init;
  kernel = cki-kernel;
  kmod = cki-kmod;
  ksm = cki-ksm;
  launcher = cki-launcher;
  passt = cki-passt;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  makeInitrd = ../host/make-initrd.sh;
  # By this number init finds the disk; init/src/system/runtime.rs has it too.
  uuid = "434b4900-0000-4000-8000-000000000001";

  buildPhase = ''
    mkdir -p disk/bin disk/lib/firmware disk/share
    mkdir -p disk/libexec
    cp $launcher/bin/cki disk/bin/
    cp $passt/bin/passt disk/libexec/
    cp -r $launcher/share/man $launcher/share/bash-completion disk/share/
    cp $kmod/lib/modules/*/extra/cki.ko disk/lib/
    cp -r $ksm/lib/firmware/cki disk/lib/firmware/
    # Symbols are for gdb on the outside; a container's kernel looks nothing up in them.
    objcopy --strip-all $kernel/vmlinux disk/lib/vmlinux
    bash -eu -o pipefail $makeInitrd disk/lib/initrd $init/bin/cki-init
    for part in $launcher $passt $kmod $ksm $init; do
      cp -r --no-preserve=mode $part/share/doc disk/share/
    done
    bash $copyright disk/share/doc/linux/copyright --by 'Linux, by its authors, with the changes of CKI' GPL-2.0-only
    chmod -R u=rwX,go=rX disk
    find disk -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    mkfs.erofs --quiet --all-root -U $uuid runtime.erofs disk
  '';

  installPhase = ''
    mkdir $out
    cp runtime.erofs $out/
  '';

  dontFixup = true;

  meta = {
    description = "Disk with everything that a CKI host runs containers with";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
