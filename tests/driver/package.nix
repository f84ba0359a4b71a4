# SPDX-License-Identifier: MIT OR Apache-2.0
# PID 1 of the machine that tests monitor and module; static, as nothing else is in it.
{ lib, rustPlatform, rustSource, cki-version, staticRust }:

let workspace = rustSource [ "tests/driver" "abi" "crates/module" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-monitor-driver";
  version = cki-version;
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../../Cargo.lock;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  buildAndTestSubdir = "tests/driver";
  inherit (staticRust) RUSTFLAGS CARGO_BUILD_TARGET;

  installPhase = ''
    mkdir -p $out/bin
    cp "$(find .. -path "*/$CARGO_BUILD_TARGET/release/cki-monitor-driver" -type f)" $out/bin/
    strip --strip-all $out/bin/cki-monitor-driver
    (cd $buildAndTestSubdir && bash $copyright $out/share/doc/cki-monitor-driver/copyright --crates --static MIT Apache-2.0)
  '';

  meta = {
    description = "Bare-metal guests and the program that runs them through /dev/cki";
    license = with lib.licenses; [ mit asl20 ];
  };
}
