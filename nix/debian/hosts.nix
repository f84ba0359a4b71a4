# SPDX-License-Identifier: MIT OR Apache-2.0
# The host of containers on Debian's own kernel, which nothing of ours has changed: only the module is
# built for it. The kernel inside of the containers is ours.
{ callPackage, debianKernel, xenPackage }:

let
  debian-kernel = callPackage ../../kernel/debian.nix { inherit debianKernel; };
  forDebian = {
    kernelBuild = "/usr/src/linux-headers-*-amd64";
    kernelPackages = [ debianKernel ];
  };
  cki-kmod-debian = callPackage ../../kmod/package.nix forDebian;
in
{
  inherit debian-kernel cki-kmod-debian;
  cki-kmod-tests-debian = callPackage
    ({ cki-ksm-mutants }: callPackage ../../kmod/package.nix
      (forDebian // { testMonitors = cki-ksm-mutants; }))
    { };
  cki-host-debian = callPackage ../../images/host/package.nix {
    cki-kernel = debian-kernel;
    image = "bzImage";
    # Its virtio drivers find their devices by PCI.
    board = "q35";
    # The module knows four levels of page tables (docs/understand/kmod.md), the emulator's CPU has five.
    boardCmdline = [ "no5lvl" ];
    hostMib = 320;
  };
  cki-host-xen = callPackage ../../images/xen/package.nix { inherit xenPackage; };
  cki-system = callPackage ../../images/system/package.nix {
    cki-system-tree = callPackage ../../images/system/tree.nix { };
  };
  cki-system-disk = callPackage ../../images/system/disk.nix { };
  cki-vm = callPackage ../../images/vm/package.nix { };
  cki-runtime-debian = callPackage ../../images/runtime/package.nix { cki-kmod = cki-kmod-debian; };
}
