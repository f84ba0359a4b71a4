# SPDX-License-Identifier: MIT OR Apache-2.0
# Pinned files as store paths.
#
# Every file is a fixed-output derivation whose builder never downloads: the
# file is either in the store already, put there by `cki-build fetch`, or the
# build stops with the sentence that says so. That keeps `nix build` offline.
{ lock, system }:

let
  remedy = "run `cki-build fetch` (or `cargo run --release -- fetch`) first: it downloads and verifies the pinned inputs";

  # A static busybox, extracted from its .deb by cki-build because nothing in
  # the store could do so yet. Its builder cannot exist, so that a missing seed
  # is named by Nix's own error message.
  seed = derivation {
    name = lock.seed.store;
    inherit system;
    builder = "/missing-input/cki-seed: ${remedy}";
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = lock.seed.sha256;
    preferLocalBuild = true;
  };

  fixed = { name, sha256, what }: derivation {
    inherit name system;
    builder = "${seed}/busybox";
    args = [ "sh" "-c" ''echo "error: missing input: ${what} is not in the Nix store; ${remedy}" >&2; exit 1'' ];
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = sha256;
    preferLocalBuild = true;
  };
in
{
  inherit seed;

  # entry: a value of lock.packages or lock.sources.
  pinned = entry: fixed {
    name = entry.store;
    inherit (entry) sha256;
    what = "${baseNameOf entry.path} (${entry.suite})";
  };

  # A crate of Cargo.lock: { name, version, checksum, ... }.
  crate = { name, version, checksum, ... }: fixed {
    name = "crate-${name}-${builtins.replaceStrings [ "+" ] [ "_" ] version}.tar.gz";
    sha256 = checksum;
    what = "crate ${name} ${version}";
  };
}
