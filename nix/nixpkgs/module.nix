# SPDX-License-Identifier: MIT OR Apache-2.0
# linuxPackages_6_12.cki: the host module for one of nixpkgs' kernels.
{ callPackage, kernel, lib }:

(callPackage ../../kmod/package.nix {
  kernelBuild = "${kernel.dev}/lib/modules/${kernel.modDirVersion}/build";
  kernelPackages = kernel.moduleBuildDependencies;
}).overrideAttrs (previous: {
  pname = "cki-kmod-${kernel.version}";
  # It is tested with 6.12; from 6.15 on there is no hrtimer_init(), which it calls.
  meta = previous.meta // { broken = lib.versionOlder kernel.version "6.12" || lib.versionAtLeast kernel.version "6.15"; };
})
