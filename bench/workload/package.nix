# SPDX-License-Identifier: MIT OR Apache-2.0
# The kinds of work that the paper measured: static, so that a root file system needs nothing else for them.
{ lib, rustPlatform, rustSource, cki-version, staticRust }:

let workspace = rustSource [ "bench/workload" "bench/workload/names" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-workload";
  version = cki-version;
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../../Cargo.lock;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  buildAndTestSubdir = "bench/workload";
  inherit (staticRust) RUSTFLAGS CARGO_BUILD_TARGET;
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
