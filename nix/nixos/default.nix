# SPDX-License-Identifier: MIT OR Apache-2.0
# What is made with NixOS: the template's machine, and tests in virtual machines. They are for a machine that has
# nixpkgs and a cache; `nix flake check` does not ask for them, as it would fetch both.
{ nixpkgs, system, overlay }:

let
  pkgs = import nixpkgs { inherit system; overlays = [ overlay ]; };
in
{
  # `nix build .#cki-host-system`
  cki-host-system = (import "${nixpkgs}/nixos/lib/eval-config.nix" {
    system = null;
    modules = [ ../../nixos-modules ../templates/host/configuration.nix { nixpkgs.overlays = [ overlay ]; } ];
  }).config.system.build.toplevel;

  # `nix build .#cki-nixos-test`
  cki-nixos-test = pkgs.cki-launcher.tests.host;
}
