# SPDX-License-Identifier: MIT OR Apache-2.0
# The kinds of work that the paper measured: static, so that a root file system needs nothing else for them.
{ lib, rustPlatform, rustSource }:

let workspace = rustSource [ "bench/workload" "bench/workload/names" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-workload";
  version = "0.1.0";
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../../Cargo.lock;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  buildAndTestSubdir = "bench/workload";
  RUSTFLAGS = "-C target-feature=+crt-static -C relocation-model=static";
  # Named although it is this machine's: only then are macros, which rustc loads, not made static.
  CARGO_BUILD_TARGET = "x86_64-unknown-linux-gnu";
  doCheck = true;

  installPhase = ''
    mkdir -p $out/bin
    for program in cki-workload cki-kv-load; do
      cp "$(find .. -path "*/$CARGO_BUILD_TARGET/release/$program" -type f)" $out/bin/
      strip --strip-all $out/bin/$program
    done
    (cd $buildAndTestSubdir && bash $copyright $out/share/doc/cki-workload/copyright --crates --static MIT Apache-2.0)
  '';

  meta = {
    description = "The kinds of work that the paper on CKI measured";
    license = with lib.licenses; [ mit asl20 ];
  };
}
