# SPDX-License-Identifier: MIT OR Apache-2.0
# A shell with what the packages are built with, from nixpkgs: `nix develop .#cki-shell`. The one to work in is
# `nix develop`, of the pinned tools; this one is evaluated by tests (tests/tests/nixpkgs/packages.rs) and no more.
{ mkShell
, cargo
, cki-kernel
, cki-kmod
, cki-qemu
, clippy
, git
, rustc
, rustfmt
}:

mkShell {
  name = "cki-shell";
  inputsFrom = [ cki-kernel cki-kmod cki-qemu ];
  packages = [ cargo clippy git rustc rustfmt ];
}
