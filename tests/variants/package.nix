# SPDX-License-Identifier: GPL-2.0-only
# Monitor and module with each patch of this directory: $out/<name of the patch>/{ksm,cki.ko}, and without any:
# $out/whole. For the tests that show that they notice what the patch changes (tests/tests/variants.rs).
{ lib
, stdenv
, cki-kernel
, cki-version
, elfutils
, kmod
, perl
, rustc
, rust-src
, rustLibrary
, rustSource
}:

stdenv.mkDerivation {
  pname = "cki-variants";
  version = cki-version;
  inherit (rustSource [ "ksm" "abi" "kmod" "tests/variants" ]) src;
  nativeBuildInputs = [ elfutils kmod perl rustc rust-src ];

  kernel = cki-kernel.dev;
  ARCH = "x86_64";
  KBUILD_BUILD_TIMESTAMP = "Thu Jan  1 00:00:01 UTC 1970";
  KBUILD_BUILD_USER = "cki";
  KBUILD_BUILD_HOST = "cki";

  buildPhase = ''
    sh tests/variants/build.sh /build/variants ${rustLibrary} $kernel tests/variants/*.patch
  '';

  installPhase = ''
    rm -r /build/variants/objects /build/variants/log
    mkdir -p $out
    cp -r /build/variants/* $out/
  '';

  # nixpkgs only: nothing here is for the machine that builds it.
  dontFixup = true;

  meta = {
    description = "Monitors and modules of CKI with known mistakes, for its tests";
    license = lib.licenses.gpl2Only;
  };
}
