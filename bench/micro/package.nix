# SPDX-License-Identifier: MIT OR Apache-2.0
# What `cki-build bench micro` runs, natively and in a container: static, because it is PID 1 of both.
{ lib, rustPlatform, rustSource }:

let workspace = rustSource [ "bench/micro" "abi/session" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-micro";
  version = "0.1.0";
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../../Cargo.lock;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  buildAndTestSubdir = "bench/micro";
  RUSTFLAGS = "-C target-feature=+crt-static -C relocation-model=static";
  # Named although it is this machine's: only then are macros, which rustc loads, not made static.
  CARGO_BUILD_TARGET = "x86_64-unknown-linux-gnu";
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
