# SPDX-License-Identifier: MIT OR Apache-2.0
# The formatter of Nix files, for `nix fmt`.
{ lib, rustPlatform }:

rustPlatform.buildRustPackage {
  pname = "cki-nix-format";
  version = (lib.fromTOML (lib.readFile ./Cargo.toml)).package.version;
  src = ./.;
  cargoLock.lockFile = ./Cargo.lock;

  meta = {
    description = "Formats the Nix files of CKI";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "cki-nix-format";
  };
}
