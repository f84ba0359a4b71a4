# SPDX-License-Identifier: MIT OR Apache-2.0
# An application image: an erofs file system holding an installation of some
# Debian packages, installed by dpkg with their maintainer scripts, so that it
# is what `apt-get install` would have made (alternatives, users, caches).
#
# `plan` is the resolved list of packages that `cki-build` writes:
# { packages = [ { package, version, suite, path, sha256, store, … } … ]; … }.
{ lib, stdenv, pinned, dpkg, fakeroot, erofs-utils, util-linux }:

plan:

stdenv.mkDerivation {
  name = "cki-app.erofs";
  dontUnpack = true;
  nativeBuildInputs = [ dpkg fakeroot erofs-utils util-linux ];
  debs = map pinned plan.packages;
  installer = ./install.sh;
  buildPhase = ''
    export FAKEROOTDONTTRYCHOWN=1
    fakeroot -- bash -eu -o pipefail $installer /build/rootfs /build/image.erofs $debs
  '';
  installPhase = "cp image.erofs $out";
}
