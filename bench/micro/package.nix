# SPDX-License-Identifier: MIT OR Apache-2.0
# What `cki-build bench micro` runs, natively and in a container: static, because it is PID 1 of both.
{ lib, rustPlatform, rustSource, cki-version, staticRust }:

let workspace = rustSource [ "bench/micro" "abi/session" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-micro";
  version = cki-version;
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../../Cargo.lock;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  buildAndTestSubdir = "bench/micro";
  inherit (staticRust) RUSTFLAGS CARGO_BUILD_TARGET;
  doCheck = true;

  installPhase = ''
    mkdir -p $out/bin
    cp "$(find .. -path "*/$CARGO_BUILD_TARGET/release/cki-micro" -type f)" $out/bin/
    strip --strip-all $out/bin/cki-micro
    (cd $buildAndTestSubdir && bash $copyright $out/share/doc/cki-micro/copyright --crates --static MIT Apache-2.0)
  '';

  meta = {
    description = "Counts instructions, natively and in a CKI container";
    license = with lib.licenses; [ mit asl20 ];
  };
}
