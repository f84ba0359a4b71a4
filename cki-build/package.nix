# SPDX-License-Identifier: MIT OR Apache-2.0
# The tool itself, with its manual pages and completions.
{ lib, rustPlatform, rustSource, cki-version }:

let
  workspace = rustSource [
    "abi/session"
    "bench/micro"
    "bench/workload/names"
    "cki-build"
    "crates/debian"
    "crates/deploy"
    "crates/disk"
    "crates/doctor"
    "crates/erofs"
    "crates/figures"
    "crates/frontend"
    "crates/inputs"
    "crates/layers"
    "crates/machine"
    "crates/measure"
    "crates/nix"
    "crates/oci"
    "crates/process"
    "crates/release"
    "crates/verify"
    "crates/volume"
    "crates/wording"
  ];
in
rustPlatform.buildRustPackage {
  pname = "cki-build";
  version = cki-version;
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../Cargo.lock;
  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;
  buildAndTestSubdir = "cki-build";
  # The tests drive git and make namespaces; `cki-build check` runs them outside.
  doCheck = false;

  postInstall = ''
    cki=$out/bin/cki-build
    mkdir -p $out/share/man/man1 $out/share/bash-completion/completions \
      $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
    $cki man --out $out/share/man/man1
    $cki completions bash > $out/share/bash-completion/completions/cki-build
    $cki completions zsh > $out/share/zsh/site-functions/_cki-build
    $cki completions fish > $out/share/fish/vendor_completions.d/cki-build.fish
    (cd $buildAndTestSubdir && bash $copyright $out/share/doc/cki-build/copyright --crates MIT Apache-2.0)
  '';

  meta = {
    description = "Builds CKI from pinned sources and runs programs in the machine that comes out";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "cki-build";
  };
}
