# SPDX-License-Identifier: MIT OR Apache-2.0
# The bare-metal tests of the CKI extension: $out/tests/<name>.elf, and
# $out/bench/<name>.elf for what is measured.
{ lib, stdenv, cki-version }:

stdenv.mkDerivation {
  pname = "cki-isa-tests";
  version = cki-version;
  src = ./.;

  dontFixup = true;

  buildPhase = ''
    make -j$NIX_BUILD_CORES O=out
  '';

  installPhase = ''
    mkdir -p $out/tests $out/bench
    cp out/tests/*.elf $out/tests/
    cp out/bench/*.elf $out/bench/
    strip --strip-debug $out/tests/*.elf $out/bench/*.elf
  '';

  meta = {
    description = "Bare-metal tests of the CKI extension";
    license = with lib.licenses; [ mit asl20 ];
    platforms = [ "x86_64-linux" ];
  };
}
