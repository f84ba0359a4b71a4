# SPDX-License-Identifier: MIT OR Apache-2.0
# Machines for tests: nixosModules.default on a complete nixpkgs, with the little that every machine has to say.
{ nixpkgs }:

let
  # ShellCheck is written in Haskell, which a nixpkgs for evaluation may lack; nothing is built here.
  withoutHaskell = final: _: {
    shellcheck = final.hello;
    shellcheck-minimal = final.hello // { compiler.bootstrapAvailable = false; };
  };
  overlay = lib.composeExtensions (import ../../nix/overlay.nix) withoutHaskell;
  lib = import "${nixpkgs}/lib";
  pkgsFor = system: import nixpkgs { inherit system; config = { }; overlays = [ overlay ]; };
  pkgs = pkgsFor "x86_64-linux";
in
{
  inherit lib overlay pkgs pkgsFor;

  # The configuration of a machine.
  machine = module: (import "${nixpkgs}/nixos/lib/eval-config.nix" {
    system = null;
    modules = [
      ../../nixos-modules
      module
      ({ lib, ... }: {
        nixpkgs.pkgs = lib.mkDefault pkgs;
        fileSystems."/" = { device = lib.mkDefault "/dev/vda"; fsType = lib.mkDefault "ext4"; };
        boot.loader.grub.device = lib.mkDefault "/dev/vda";
        system.stateVersion = lib.mkDefault "26.11";
      })
    ];
  }).config;

}
