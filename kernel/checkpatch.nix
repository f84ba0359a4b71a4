# SPDX-License-Identifier: GPL-2.0-only
# A test: Linux' checkpatch has nothing to say of the series, of our files in the kernel, and of the module.
# The result is how much it looked at.
{ lib
, stdenv
, linux-source
, perl
}:

let
  tree = import ./tree.nix { inherit lib; };
in
stdenv.mkDerivation {
  pname = "cki-checkpatch";
  inherit (tree) version ourSource abi uapi queue mails series;
  src = linux-source;

  nativeBuildInputs = [ perl ];

  module = ../kmod;
  look = ./checkpatch.sh;
  known = ./checkpatch.txt;

  # Below arch/x86, where headers of the architecture may be used.
  postPatch = tree.addOurs + tree.makeSeries + tree.patchScripts + ''
    cp -r --no-preserve=mode $module arch/x86/kmod
    cp $TMPDIR/series/*.patch .
  '';

  dontConfigure = true;

  buildPhase = ''
    bash $look $known *.patch \
      $(find arch/x86/cki arch/x86/include/asm/cki* arch/x86/kmod -name '*.[chS]' | sort) | tee result
  '';

  installPhase = ''
    tail -n 1 result > $out
  '';

  dontFixup = true;

  meta = {
    description = "Check that checkpatch has nothing to say of CKI's kernel code";
    license = lib.licenses.gpl2Only;
  };
}
