# SPDX-License-Identifier: MIT OR Apache-2.0
# The monitor: one static image for x86_64-unknown-none, with core compiled from rustc's own source.
{ lib
, stdenv
, cki-version
, rustc
, rust-src
, rustLibrary
, rustSource
}:

stdenv.mkDerivation {
  pname = "cki-ksm";
  version = cki-version;
  inherit (rustSource [ "ksm" "abi" ]) src;
  nativeBuildInputs = [ rustc rust-src ];
  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;

  buildPhase = ''
    make -C ksm O=/build/ksm RUST_SRC=${rustLibrary}
  '';

  installPhase = ''
    mkdir -p $out/lib/firmware/cki
    cp /build/ksm/ksm $out/lib/firmware/cki/ksm
    bash $copyright $out/share/doc/cki-ksm/copyright MIT Apache-2.0
  '';

  # nixpkgs only: nothing here is for the machine that builds it.
  dontFixup = true;

  meta = {
    description = "Kernel security monitor of CKI containers";
    license = with lib.licenses; [ mit asl20 ];
  };
}
