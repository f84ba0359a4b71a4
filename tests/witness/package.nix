# SPDX-License-Identifier: GPL-2.0-only
# A module of the host's kernel that only tests load: what they have to see and do there
# (tests/driver/src/witness.rs).
{ lib, stdenv, cki-kernel, elfutils, perl, rustSource, cki-version }:

stdenv.mkDerivation {
  pname = "cki-witness";
  version = cki-version;
  inherit (rustSource [ "tests/witness" ]) src;
  nativeBuildInputs = [ elfutils perl ];

  kernel = cki-kernel.dev;
  ARCH = "x86_64";
  KBUILD_BUILD_TIMESTAMP = "Thu Jan  1 00:00:01 UTC 1970";
  KBUILD_BUILD_USER = "cki";
  KBUILD_BUILD_HOST = "cki";

  buildPhase = ''
    make -C $kernel M=$PWD/tests/witness -j$NIX_BUILD_CORES modules
  '';

  installPhase = ''
    mkdir -p $out
    strip --strip-debug -o $out/cki_witness.ko tests/witness/cki_witness.ko
  '';

  # nixpkgs only: a module is no program to patch or strip further.
  dontFixup = true;

  meta = {
    description = "Host kernel module for the tests of CKI's";
    license = lib.licenses.gpl2Only;
  };
}
