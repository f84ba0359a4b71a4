# SPDX-License-Identifier: MIT OR Apache-2.0
# Arguments of package files that are the same in the Debian set (nix/debian) and over nixpkgs (nix/overlay.nix).
{
  rustSource = import ./rust-source.nix;

  # Of all that is ours: Cargo.toml's.
  cki-version = (builtins.fromTOML (builtins.readFile ../Cargo.toml)).workspace.package.version;

  # A program that needs no libc where it runs, at addresses that are linked in. The target is named although it is
  # this machine's: only then are macros, which rustc loads, not made static.
  staticRust = {
    RUSTFLAGS = "-C target-feature=+crt-static -C relocation-model=static";
    CARGO_BUILD_TARGET = "x86_64-unknown-linux-gnu";
  };
}
