# SPDX-License-Identifier: MIT OR Apache-2.0
# Monitors that each lack one check: a patch of this directory each, $out/<name of the patch> the image. For
# the tests that show what such a check is worth (docs/understand/kmod.md, Tests); nothing else has any use for them.
{ lib
, stdenv
, cki-version
, rustc
, rust-src
, rustLibrary
, rustSource
}:

stdenv.mkDerivation {
  pname = "cki-ksm-mutants";
  version = cki-version;
  inherit (rustSource [ "ksm" "abi" "tests/mutants" ]) src;
  nativeBuildInputs = [ rustc rust-src ];

  # The monitor itself first: what no patch touches is compiled once, and no mutant may equal it.
  buildPhase = ''
    make -C ksm O=/build/ksm RUST_SRC=${rustLibrary}
    printf '%s\n' tests/mutants/*.patch |
      xargs -P $NIX_BUILD_CORES -I{} sh tests/mutants/build.sh {} /build/ksm /build/mutants ${rustLibrary}
  '';

  installPhase = ''
    mkdir -p $out
    cp /build/mutants/images/* $out/
  '';

  # nixpkgs only: nothing here is for the machine that builds it.
  dontFixup = true;

  meta = {
    description = "Monitors of CKI containers that each lack one check, for its tests";
    license = with lib.licenses; [ mit asl20 ];
  };
}
