# SPDX-License-Identifier: MIT OR Apache-2.0
# The layers of an application image: erofs file systems holding an installation
# of some Debian packages, made by dpkg with their maintainer scripts, so that it
# is what `apt-get install` would have made (alternatives, users, caches).
#
# `plan` is the resolved list of packages that `cki-build` writes:
# { packages = [ { package, version, suite, path, sha256, store, … } … ]; base = [ NAME … ];
#   steps = [ { unpack = [ NAME … ]; configure = [ NAME … ]; } … ]; … }.
#
# `base` has what every Debian system has, and is the same for most images. `packages`
# has what is different with the others installed on it; null when there are none.
{ lib, stdenv, pinned, dpkg, fakeroot, erofs-utils, util-linux, zstd }:

plan:

let
  deb = lib.listToAttrs (map (p: lib.nameValuePair p.package (pinned p)) plan.packages);
  tools = [ dpkg fakeroot erofs-utils util-linux zstd ];
  run = "fakeroot -- bash -eu -o pipefail";
  line = verb: words: lib.optionalString (words != [ ]) "${verb} ${lib.concatStringsSep " " words}\n";

  base = stdenv.mkDerivation {
    name = "cki-app-base";
    dontUnpack = true;
    nativeBuildInputs = tools;
    common = ./install.sh;
    installer = ./base.sh;
    debs = map (name: deb.${name}) plan.base;
    FAKEROOTDONTTRYCHOWN = 1;
    installPhase = "${run} $installer $debs";
  };

  packages = stdenv.mkDerivation {
    name = "cki-app-packages.erofs";
    dontUnpack = true;
    nativeBuildInputs = tools;
    common = ./install.sh;
    installer = ./packages.sh;
    inherit base;
    # Too long for a variable of the environment, which may have 128 KiB.
    passAsFile = [ "steps" ];
    steps = lib.concatMapStrings
      (step: line "unpack" (map (name: deb.${name}) step.unpack) + line "configure" step.configure)
      plan.steps;
    FAKEROOTDONTTRYCHOWN = 1;
    buildPhase = ''
      mkdir /build/root
      zstd -dcq "$base/tree.tar.zst" | tar -C /build/root -xpf -
    '';
    installPhase = "${run} $installer $base $stepsPath";
  };
in
{ inherit base; } // (if plan.steps == [ ] then { } else { inherit packages; })
