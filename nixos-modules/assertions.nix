# SPDX-License-Identifier: MIT OR Apache-2.0
# What cannot be is refused before anything is built, and what has another name by now is said.
{ config, lib, pkgs, ... }:

let
  of = option: map (warning: "${option}: ${warning}");
in
{
  assertions = import ./rules.nix { inherit config lib pkgs; };
  warnings = lib.concatLists (lib.mapAttrsToList
    (name: container:
      let option = "services.cki.containers.${name}"; in
      of option container.warnings ++ lib.concatMap (disk: of "${option}.disks" disk.warnings) container.disks)
    config.services.cki.containers);
}
