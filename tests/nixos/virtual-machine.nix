# SPDX-License-Identifier: MIT OR Apache-2.0
# The test in a virtual machine and the template's machine, as nix/nixos makes them.
{ nixpkgs }:

let
  inherit (import ./evaluate.nix { inherit nixpkgs; }) overlay;
  nixos = import ../../nix/nixos { inherit nixpkgs overlay; system = "x86_64-linux"; };
in
{
  test = nixos.cki-nixos-test.drvPath;
  host = nixos.cki-host-system.drvPath;
}
