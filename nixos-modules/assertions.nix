# SPDX-License-Identifier: MIT OR Apache-2.0
# What cannot be is refused before anything is built.
{ config, lib, pkgs, ... }:

{
  assertions = import ./rules.nix { inherit config lib pkgs; };
}
