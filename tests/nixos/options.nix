# SPDX-License-Identifier: MIT OR Apache-2.0
# Every option of the modules, for its reference in the documents.
{ nixpkgs }:

let
  inherit (import ./evaluate.nix { inherit nixpkgs; }) lib pkgs;
  inherit (lib.evalModules {
    modules = [ ../../nixos-modules/host.nix ../../nixos-modules/containers/options.nix { config._module.check = false; } ];
    specialArgs = { inherit pkgs; };
  }) options;
  text = value:
    if value == null then null
    else value.text or (lib.generators.toPretty { multiline = false; } value);
  one = option: {
    inherit (option) name type;
    description = option.description.text or option.description or "";
    default = text (option.default or null);
    example = text (option.example or null);
  };
in
map one (lib.filter (option: option.visible && !option.internal && lib.hasPrefix "services.cki" option.name)
  (lib.optionAttrSetToDocList options))
