# SPDX-License-Identifier: GPL-2.0-only
# A test: after each patch of the queue, what the queue touches compiles. The result is the list of patches.
{ lib
, stdenv
, linux-source
, bc
, bison
, elfutils
, flex
, perl
}:

let
  tree = import ./tree.nix { inherit lib; };
in
stdenv.mkDerivation {
  pname = "cki-kernel-queue";
  inherit (tree) version ourSource abi queue;
  src = linux-source;

  nativeBuildInputs = [ bc bison elfutils flex perl ];

  buildQueue = ./build-queue.sh;
  # The product's, but as a guest of Xen until the queue offers to be one of CKI: what it changes is then
  # compiled, natively, from the first patch on.
  before = tree.fragments.host;
  last = tree.fragments.product;

  ARCH = "x86_64";

  postPatch = tree.addOurs + tree.patchScripts;

  configurePhase = ''
    cat $before > before.config
    printf 'CONFIG_XEN=y\nCONFIG_XEN_PV=y\n' >> before.config
    cat $last > last.config
  '';

  buildPhase = ''
    bash $buildQueue before.config last.config $queue
  '';

  installPhase = ''
    for patch in $queue; do basename $patch; done > $out
  '';

  dontFixup = true;

  meta = {
    description = "Check that each patch of CKI's kernel queue builds";
    license = lib.licenses.gpl2Only;
  };
}
