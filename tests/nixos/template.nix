# SPDX-License-Identifier: MIT OR Apache-2.0
# The template of a container, on the least of a host.
{ nixpkgs }:

let
  inherit (import ./evaluate.nix { inherit nixpkgs; }) lib machine;
  config = machine {
    imports = [ ../../nix/templates/container/container.nix ];
    services.cki = { enable = true; memory.pool = "1G"; };
  };
in
{
  refused = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
  units = lib.filter (lib.hasPrefix "cki@") (lib.attrNames config.systemd.units);
}
