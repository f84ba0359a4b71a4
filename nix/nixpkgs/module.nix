# SPDX-License-Identifier: MIT OR Apache-2.0
# linuxPackages.cki: the host module for one of nixpkgs' kernels.
{ callPackage, kernel, lib }:

(callPackage ../../kmod/package.nix {
  kernelBuild = "${kernel.dev}/lib/modules/${kernel.modDirVersion}/build";
  kernelPackages = kernel.moduleBuildDependencies;
}).overrideAttrs (previous: {
  pname = "cki-kmod-${kernel.version}";
  # What it uses of the kernel is there from 6.12 on, which is what it is tested with.
  meta = previous.meta // { broken = lib.versionOlder kernel.version "6.12"; };
})
