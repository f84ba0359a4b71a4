# SPDX-License-Identifier: MIT OR Apache-2.0
# The program that makes the site of the documents.
{ lib, rustPlatform, rustSource, cki-version }:

let workspace = rustSource [ "crates/book" ]; in
rustPlatform.buildRustPackage {
  pname = "cki-book";
  version = cki-version;
  inherit (workspace) src postPatch;
  cargoLock.lockFile = ../../Cargo.lock;
  buildAndTestSubdir = "crates/book";
  # Its tests read the documents; cki-docs, which is made of them, checks the same.
  doCheck = false;

  meta = {
    description = "Makes the site of CKI's documents and checks what they name";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "cki-book";
  };
}
