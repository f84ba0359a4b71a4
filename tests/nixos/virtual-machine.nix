# SPDX-License-Identifier: MIT OR Apache-2.0
# The test in a virtual machine and the template's machine, as nix/nixos makes them, and images of that machine.
{ nixpkgs }:

let
  inherit (import ./evaluate.nix { inherit nixpkgs; }) lib machine overlay pkgs;
  nixos = import ../../nix/nixos { inherit nixpkgs overlay; system = "x86_64-linux"; };
in
{
  test = nixos.cki-nixos-test.drvPath;
  host = nixos.cki-host-system.drvPath;
  # Where nixpkgs has tests of a package.
  ofThePackage = pkgs.cki-launcher.tests.host.drvPath;
  # What `nixos-rebuild build-image` makes of a host, and one kind with settings of its own.
  images =
    let
      config = machine {
        services.cki = { enable = true; memory.pool = "1G"; };
        image.modules.qemu.services.cki.memory.pool = lib.mkForce "256M";
      };
      facts = image: {
        drv = image.drvPath;
        pool = image.passthru.config.services.cki.memory.pool;
      };
    in
    lib.genAttrs [ "qemu" "qemu-efi" "iso" ] (kind: facts config.system.build.images.${kind});
}
