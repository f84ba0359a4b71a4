# SPDX-License-Identifier: MIT OR Apache-2.0
# The launcher: static, so that it runs in the host image and on any Linux.
{ lib, rustPlatform, rustSource, cki-version, staticRust }:

let workspace = rustSource [ "launcher" "abi" "abi/session" "crates/disk" "crates/erofs" "crates/frontend" "crates/module" "crates/volume" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-launcher";
  version = cki-version;
  inherit (workspace) src;
  # The rules of the monitor are for the tests, which are not built here: who changes a rule does not wait for the launcher.
  postPatch = workspace.postPatch + ''
    sed -i '/^cki-ksm-core = /d' launcher/Cargo.toml
  '';
  cargoLock.lockFile = ../Cargo.lock;
  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;
  buildAndTestSubdir = "launcher";
  inherit (staticRust) RUSTFLAGS CARGO_BUILD_TARGET;
  # A request to a device goes through five crates: compiled as one, there are fewer instructions on the way.
  CARGO_PROFILE_RELEASE_LTO = "fat";
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS = 1;
  # The tests want a C compiler and set seccomp filters; `cki-build check` runs them outside.
  doCheck = false;

  installPhase = ''
    cki=$out/bin/cki
    mkdir -p $out/bin $out/share/man/man1 $out/share/bash-completion/completions \
      $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
    cp "$(find .. -path "*/$CARGO_BUILD_TARGET/release/cki" -type f)" $cki
    strip --strip-all $cki
    $cki man --out $out/share/man/man1
    $cki completions bash > $out/share/bash-completion/completions/cki
    $cki completions zsh > $out/share/zsh/site-functions/_cki
    $cki completions fish > $out/share/fish/vendor_completions.d/cki.fish
    (cd $buildAndTestSubdir && bash $copyright $out/share/doc/cki-launcher/copyright --crates --static MIT Apache-2.0)
  '';

  meta = {
    description = "Runs programs in CKI containers";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "cki";
  };
}
