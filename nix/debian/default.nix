# SPDX-License-Identifier: MIT OR Apache-2.0
# The Debian set: our packages built with a hermetic toolchain of pinned Debian
# packages, without nixpkgs.
{ system
, lockFile ? ./lock.json
}:

let
  lib = import ./lib.nix;
  lock = lib.fromJSON (lib.readFile lockFile);
  inputs = import ./inputs.nix { inherit lock system; };
  closure = import ./closure.nix { inherit lock; };
  mkRoot = import ./root.nix { inherit lib system inputs closure; };
  stdenv = import ./stdenv.nix { inherit lib system inputs mkRoot; basePackages = lock.base; };
  tools = import ./tools.nix;
  callPackage = lib.callPackageWith scope;

  scope = tools // packages // fixtures // import ../common.nix // {
    inherit lib stdenv;
    rustPlatform = import ./rust.nix { inherit lib stdenv inputs tools; };
    linux-source = import ./linux-source.nix { inherit stdenv tools; deb = inputs.pinned lock.sources.linux; };
    # Packages and what they need, as .deb files.
    pinnedClosure = names: map inputs.pinned (closure names);
    qemu-source = inputs.pinned lock.sources.qemu;
    libslirp-source = inputs.pinned lock.sources.libslirp;
    passt-source = inputs.pinned lock.sources.passt;
    # Of what is in QEMU's package, linked statically or copied.
    qemuParts = import ./copyrights.nix { inherit stdenv tools inputs lock; }
      [ "libglib2.0-0" "libpcre2-8-0" "zlib1g" "libfdt1" "libc6" "seabios" ];
    # Where a Debian root has these files; nixpkgs names store paths.
    firmwareDir = "/usr/share/seabios";
    syslinuxDir = "/usr/lib/syslinux";
    busyboxStatic = "/usr/bin/busybox";
    rustLibrary = "/usr/src/rustc-1.85.0/library";
  };

  packages = import ../packages.nix { inherit callPackage; }
    // import ./hosts.nix {
    inherit callPackage;
    inherit (tools) debianKernel;
    xenPackage = inputs.pinned lock.sources.xen;
  };
  fixtures = import ../fixtures.nix { inherit callPackage; };
in
{
  inherit packages fixtures;
  checks = import ../checks.nix { inherit fixtures; };
  appImage = callPackage ../../images/app/package.nix { pinned = inputs.pinned; };
  formatter = callPackage ../formatter/package.nix { };
  shell = import ./shell.nix { inherit lib system inputs closure mkRoot tools; basePackages = lock.base; };
  # A build root of some locked Debian packages, to look into when a build fails.
  roots = names: mkRoot { packages = lock.base ++ names; };
}
