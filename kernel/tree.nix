# SPDX-License-Identifier: GPL-2.0-only
# What makes CKI's tree of Linux' 6.12: for the kernels (package.nix), from files and patches as they are, and for
# the tests of what a maintainer would be sent (queue.nix, checkpatch.nix), by the series.
{ lib }:

let
  product = [
    ./config/base.config
    ./config/programs.config
    ./config/virtio.config
    ./config/filesystems.config
    ./config/network.config
    ./config/netfilter.config
    ./config/security.config
    ./config/host.config
    ./config/guest.config
    ./config/lean.config
    ./config/product.config
  ];
in
{
  version = "6.12";

  # Our files, which lie in the tree as in src/.
  ourSource = ./src;
  # The interface between guest kernel and monitor, included as <cki/abi.h>, and <linux/cki_guest.h>, which that
  # includes.
  abi = ../abi/include/cki;
  uapi = ../abi/include/linux/cki_guest.h;
  # The patches, in the order of their numbers.
  queue = map (name: ./patches + "/${name}")
    (builtins.filter (lib.hasSuffix ".patch") (builtins.attrNames (builtins.readDir ./patches)));

  # Configuration fragments, all of them to be met by the final .config.
  fragments = {
    inherit product;
    # The product's without the option that the last patch adds.
    host = builtins.filter (fragment: fragment != ./config/guest.config) product;
    # What distributions have beyond it. Behind the others, which leave some of it out.
    distribution = ./config/distribution.config;
    # The kernel that looks for mistakes of the module.
    debug = [
      ./config/base.config
      ./config/virtio.config
      ./config/debug.config
      ./config/lean.config
    ];
  };

  # Shell: our files into the tree, from $ourSource, $abi and $uapi.
  addOurs = ''
    find $ourSource -mindepth 1 -maxdepth 1 -type d -exec cp -r --no-preserve=mode -t . {} +
    cp -r --no-preserve=mode $abi arch/x86/include/cki
    cp --no-preserve=mode $uapi include/uapi/linux/cki_guest.h
  '';
  # What only the series has, and what makes it of this and of the above.
  mails = ./series;
  series = ./series.sh;
  # Shell: the mails of the series, into $TMPDIR/series.
  makeSeries = ''
    mkdir -p $TMPDIR/ours/kernel/patches $TMPDIR/ours/abi/include/linux
    cp -r $ourSource $TMPDIR/ours/kernel/src
    cp -r $mails $TMPDIR/ours/kernel/series
    cp -r $abi $TMPDIR/ours/abi/include/cki
    cp $uapi $TMPDIR/ours/abi/include/linux/cki_guest.h
    for patch in $queue; do cp $patch $TMPDIR/ours/kernel/patches/''${patch#*-}; done
    bash $series $TMPDIR/ours $TMPDIR/series "CKI <nobody@example.org>"
  '';
  # Shell: nixpkgs has no /bin/sh for scripts of the tree.
  patchScripts = ''
    if command -v patchShebangs > /dev/null; then patchShebangs scripts tools; fi
  '';
}
