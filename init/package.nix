# SPDX-License-Identifier: MIT OR Apache-2.0
# PID 1 of the machine: static, because it runs before there is a libc.
{ lib, rustPlatform, rustSource }:

let workspace = rustSource { members = [ "init" "abi/session" "crates/erofs" ]; tested = [ "init" ]; }; in
rustPlatform.buildRustPackage {
  pname = "cki-init";
  version = "0.1.0";
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../Cargo.lock;
  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;
  buildAndTestSubdir = "init";
  RUSTFLAGS = "-C target-feature=+crt-static -C relocation-model=static";
  # Named although it is this machine's: only then are macros, which rustc loads, not made static.
  CARGO_BUILD_TARGET = "x86_64-unknown-linux-gnu";
  doCheck = true;

  installPhase = ''
    mkdir -p $out/bin
    cp "$(find .. -path "*/$CARGO_BUILD_TARGET/release/cki-init" -type f)" $out/bin/
    strip --strip-all $out/bin/cki-init
    (cd $buildAndTestSubdir && bash $copyright $out/share/doc/cki-init/copyright --crates --static MIT Apache-2.0)
  '';

  meta = {
    description = "Init of a CKI machine";
    license = with lib.licenses; [ mit asl20 ];
  };
}
