# SPDX-License-Identifier: MIT OR Apache-2.0
# PID 1 of the machine: static, because it runs before there is a libc.
{ lib, rustPlatform, rustSource, cki-version, staticRust }:

let workspace = rustSource { members = [ "init" "abi/session" "crates/erofs" ]; tested = [ "init" ]; }; in
rustPlatform.buildRustPackage {
  pname = "cki-init";
  version = cki-version;
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../Cargo.lock;
  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;
  buildAndTestSubdir = "init";
  inherit (staticRust) RUSTFLAGS CARGO_BUILD_TARGET;
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
