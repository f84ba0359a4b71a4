# SPDX-License-Identifier: MIT OR Apache-2.0
# services.cki: a host of CKI containers, and containers as services of it.
#
# | file | what |
# |---|---|
# | host.nix | kernel, module, device: what `services.cki.enable` makes of a machine |
# | containers/options.nix | what can be said of a container |
# | containers/renamed.nix | names that options had |
# | containers/arguments.nix | that, as the command line of `cki run` |
# | containers/volumes.nix | where the volumes of a container are on the host |
# | containers/sandbox.nix | what the launcher's process may do on the host |
# | containers/services.nix | the unit of a container |
# | containers/health.nix | the unit that checks a container |
# | containers/disks.nix | block devices that containers write, as udev treats them |
# | rules.nix, assertions.nix | what cannot be, with option and remedy, and warnings |
# | limits.json | what `cki` takes at least and at most; made from its sources |
# | sizes.nix, image.nix, oci.nix | sizes of memory; an image from packages, and from another engine's |
#
# Packages come from `pkgs`, which has to have overlays.default; nixosModules.default of the flake brings it.
{
  imports = [
    ./host.nix
    ./containers/options.nix
    ./containers/services.nix
    ./containers/health.nix
    ./containers/disks.nix
    ./assertions.nix
  ];
}
