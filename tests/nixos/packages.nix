# SPDX-License-Identifier: MIT OR Apache-2.0
# The overlay on a complete nixpkgs, as facts that a test can look at (tests/tests/nixpkgs/packages.rs).
{ nixpkgs }:

let
  pkgs = import nixpkgs { system = "x86_64-linux"; config = { }; overlays = [ (import ../../nix/overlay.nix) ]; };
  inherit (pkgs) lib;
  top = {
    inherit (pkgs) cki-build cki-guest cki-guest-kernel cki-ksm cki-launcher cki-qemu linux_cki;
  };
  set = lib.filterAttrs (_: lib.isDerivation) pkgs.ckiPackages;
  missing = package: lib.filter (name: !(package.meta ? ${name})) [ "description" "license" "platforms" ]
    ++ lib.optional (!(package ? version)) "version";
in
{
  derivations = lib.mapAttrs (_: package: package.drvPath) (set // top);
  modules = lib.genAttrs [ "linuxPackages_6_12" "linuxPackages_cki" ]
    (name: pkgs.${name}.cki.drvPath);
  # By the version of the kernel; nothing in between is in nixpkgs.
  broken = lib.listToAttrs (map (set: lib.nameValuePair (lib.versions.majorMinor set.kernel.version) set.cki.meta.broken)
    [ pkgs.linuxPackages_6_6 pkgs.linuxPackages_6_12 pkgs.linuxPackages_cki pkgs.linuxPackages_latest ]);
  # By name, what of its meta a package lacks; what is no program of anybody's may lack a description, and a shell
  # is no package.
  missing = lib.filterAttrs (_: names: names != [ ])
    (lib.mapAttrs (_: missing) (removeAttrs set [ "cki-shell" ] // top));
  programs = lib.mapAttrs (_: package: package.meta.mainProgram or null) { inherit (pkgs) cki-build cki-launcher; };
  kernel = {
    ours = pkgs.linux_cki.version;
    theirs = pkgs.linux_6_12.version;
    kept = lib.all (patch: lib.elem patch pkgs.linux_cki.kernelPatches) pkgs.linux_6_12.kernelPatches;
    patches = map (patch: patch.name) pkgs.linux_cki.kernelPatches;
    fiveLevels = pkgs.linux_cki.configfile.structuredConfig.X86_5LEVEL.tristate;
    drivers = lib.length (lib.attrNames pkgs.linux_cki.configfile.structuredConfig)
      >= lib.length (lib.attrNames pkgs.linux_6_12.configfile.structuredConfig);
  };
  # What `nix develop .#cki-shell` puts into PATH.
  shell = map lib.getName (with set.cki-shell; nativeBuildInputs ++ buildInputs);
  elsewhere = (import nixpkgs { system = "aarch64-linux"; config = { }; overlays = [ (import ../../nix/overlay.nix) ]; }).cki-launcher.meta.unsupported;
}
