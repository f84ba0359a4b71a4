# SPDX-License-Identifier: MIT OR Apache-2.0
# What every container starts from, for a host that keeps it as files: the guest's kernel, and an initial file
# system with our init.
{ lib
, stdenv
, cki-init
, cki-kernel
, cki-version
, cpio
}:

stdenv.mkDerivation {
  pname = "cki-guest";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ cpio ];

  init = cki-init;
  kernel = cki-kernel;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  makeInitrd = ../host/make-initrd.sh;

  # Symbols are for gdb on the outside; a container's kernel looks nothing up in them.
  buildPhase = ''
    objcopy --strip-all $kernel/vmlinux vmlinux
    bash -eu -o pipefail $makeInitrd initrd $init/bin/cki-init
  '';

  installPhase = ''
    mkdir -p $out/share/doc
    cp vmlinux initrd $out/
    cp -r --no-preserve=mode $init/share/doc/. $out/share/doc/
    bash $copyright $out/share/doc/linux/copyright --by 'Linux, by its authors, with the changes of CKI' GPL-2.0-only
  '';

  dontFixup = true;

  meta = {
    description = "Kernel and initial file system that CKI containers start from";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
