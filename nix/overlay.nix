# SPDX-License-Identifier: MIT OR Apache-2.0
# overlays.default: what nix/packages.nix and nix/fixtures.nix list, made with
# the user's own nixpkgs instead of the pinned Debian toolchain, under
# `ckiPackages`; those that users ask for also at the top, and the module with
# every kernel.
final: prev:

let
  debianLock = builtins.fromJSON (builtins.readFile ./debian/lock.json);
  fetchSource = { store, path, sha256, ... }: final.fetchurl {
    name = store;
    url = "mirror://debian/${path}";
    inherit sha256;
  };

  callPackage = final.lib.callPackageWith (final // final.ckiPackages // import ./common.nix // {
    stdenv = import ./nixpkgs/stdenv.nix { inherit (final) stdenv; };
    rustPlatform = import ./nixpkgs/rust.nix { inherit (final) lib rustPlatform glibc; };
    # nixpkgs' programs run where their libraries are.
    static = false;
    staticLibc = final.glibc.static;
    # kernel.org's 6.12; the patch queue applies to it and to Debian's alike.
    linux-source = final.linuxKernel.kernels.linux_6_12.src;
    qemu-source = fetchSource debianLock.sources.qemu;
    libslirp-source = fetchSource debianLock.sources.libslirp;
    passt-source = fetchSource debianLock.sources.passt;
    # Its libraries are not in the program, and its firmware names its licence itself.
    qemuParts = null;
    # nixpkgs' seabios is one build for one machine; its QEMU brings them all.
    firmwareDir = "${final.qemu_kvm}/share/qemu";
    syslinuxDir = "${final.syslinux}/share/syslinux";
    # The source of rustc's own library, for targets that nobody has compiled it for.
    rust-src = null;
    rustLibrary = final.rustPlatform.rustLibSrc;
    busyboxStatic = "${final.pkgsStatic.busybox}/bin/busybox";
    # As a build input it would come before coreutils, whose options our scripts use.
    busybox = null;
  });
in
{
  ckiPackages = import ./packages.nix { inherit callPackage; } // import ./fixtures.nix { inherit callPackage; } // {
    cki-shell = callPackage ./nixpkgs/shell.nix { };
  };

  inherit (final.ckiPackages) cki-build cki-guest cki-ksm cki-qemu;
  # With its test in virtual machines, where nixpkgs has a package's: `nix build .#cki-launcher.tests.host`.
  cki-launcher = final.ckiPackages.cki-launcher // { tests.host = final.testers.runNixOSTest ./nixos/test.nix; };
  cki-guest-kernel = final.ckiPackages.cki-kernel;

  linux_cki = import ./nixpkgs/linux.nix { inherit (final) lib linux_6_12 runCommand diffutils; };
  linuxPackages_cki = final.linuxPackagesFor final.linux_cki;

  # linuxPackages_6_12.cki, ...; what it does not compile for is marked as broken.
  kernelPackagesExtensions = prev.kernelPackagesExtensions or [ ] ++ [
    (self: _: { cki = import ./nixpkgs/module.nix { inherit callPackage; inherit (self) kernel; inherit (final) lib; }; })
  ];
}
