# SPDX-License-Identifier: MIT OR Apache-2.0
# Options that had another name, for the modules that a container and a disk of its are made of: the old name is taken,
# with a warning that has the new one. A submodule has no warnings of its own in NixOS, so each has a list here, which
# ../assertions.nix hands to the machine.
{ lib }:

let
  warnings.options.warnings = lib.mkOption {
    type = lib.types.listOf lib.types.str;
    default = [ ];
    internal = true;
    description = "Warnings for whoever configures the machine.";
  };
  renamed = lib.mapAttrsToList
    (from: to: lib.mkRenamedOptionModule (lib.splitString "." from) (lib.splitString "." to));
in
{
  container = [ warnings ] ++ renamed {
    "limits" = "ulimits";
    "network.limits.ingressBytes" = "network.rates.ingressRate";
    "network.limits.egressBytes" = "network.rates.egressRate";
    "network.limits.ingressPackets" = "network.rates.ingressPackets";
    "network.limits.egressPackets" = "network.rates.egressPackets";
  };
  disk = [ warnings ] ++ renamed {
    "limits.readBytes" = "rates.readBps";
    "limits.writeBytes" = "rates.writeBps";
    "limits.readOperations" = "rates.readIops";
    "limits.writeOperations" = "rates.writeIops";
  };
}
