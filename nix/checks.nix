# SPDX-License-Identifier: MIT OR Apache-2.0
# What `nix flake check` builds beyond evaluating every output.
{ fixtures }:

{
  inherit (fixtures) cki-isa-tests;
}
