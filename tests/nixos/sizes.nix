# SPDX-License-Identifier: MIT OR Apache-2.0
# What the modules take each text of sizes.json for: MiB, or null when it is no size.
{ nixpkgs ? null }:

let
  # What the grammar needs of nixpkgs' lib, where there is no nixpkgs.
  standIn = {
    inherit (builtins) elem elemAt head substring;
    importJSON = file: builtins.fromJSON (builtins.readFile file);
    mod = a: b: a - a / b * b;
    toIntBase10 = text: builtins.fromJSON (builtins.head (builtins.match "0*([0-9]+)" text));
    types = {
      strMatching = pattern: { check = text: builtins.isString text && builtins.match pattern text != null; };
      addCheck = type: check: type // { check = text: type.check text && check text; };
    };
  };
  lib = if nixpkgs == null then standIn else import "${nixpkgs}/lib";
  sizes = import ../../nixos-modules/sizes.nix { inherit lib; };
in
map ({ text, ... }: if sizes.type.check text then sizes.mib text else null) (lib.importJSON ./sizes.json)
