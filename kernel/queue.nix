# SPDX-License-Identifier: GPL-2.0-only
# A test: after each mail of the series, what the series touches compiles, without the option that the last one
# adds and with it. The result is the list of mails.
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
  inherit (tree) version ourSource abi uapi queue mails series;
  src = linux-source;

  nativeBuildInputs = [ bc bison elfutils flex perl ];

  buildQueue = ./build-queue.sh;
  # The product's, but as a guest of Xen until the series offers to be one of CKI: what it changes is then
  # compiled, natively, from the first patch on. And with what distributions have, so that all is compiled that
  # the series decides at boot.
  before = tree.fragments.host;
  last = tree.fragments.product;
  inherit (tree.fragments) distribution;

  ARCH = "x86_64";

  postPatch = tree.makeSeries + tree.patchScripts;

  configurePhase = ''
    cat $before $distribution > before.config
    printf 'CONFIG_XEN=y\nCONFIG_XEN_PV=y\n' >> before.config
    cat $last $distribution > last.config
    # A kernel can be a guest of both, though no product of ours is.
    { cat $last $distribution; printf 'CONFIG_XEN=y\nCONFIG_XEN_PV=y\n'; } > both.config
  '';

  buildPhase = ''
    DISTRIBUTION=$distribution bash $buildQueue before.config last.config both.config $TMPDIR/series/*.patch
  '';

  installPhase = ''
    ls $TMPDIR/series > $out
  '';

  dontFixup = true;

  meta = {
    description = "Check that each patch of CKI's kernel series builds";
    license = lib.licenses.gpl2Only;
  };
}
