# SPDX-License-Identifier: GPL-2.0-only
# Debian's kernel as it is, in the form in which images/host takes a kernel: its bzImage and the few
# modules that init needs, uncompressed, with the order in which to load them.
{ lib
, stdenv
, debianKernel
, kmod
  # What is built into our own kernel and a module in Debian's. The cipher comes before what looks for
  # it by the name of its algorithm.
, modules ? [ "crc32c_generic" "virtio_blk" "erofs" "overlay" ]
}:

stdenv.mkDerivation {
  pname = "debian-kernel";
  version = "6.12";
  dontUnpack = true;
  nativeBuildInputs = [ kmod debianKernel ];
  inherit modules;

  # $root is where the packages are unpacked.
  buildPhase = ''
    images=($root/boot/vmlinuz-*)
    [ ''${#images[@]} -eq 1 ] || { echo "not one kernel: ''${images[*]}" >&2; exit 1; }
    release=''${images[0]##*/vmlinuz-}
    mkdir -p modules/$release
    add() { # NAME: after those that it depends on
      [ ! -e modules/$release/$1.ko ] || return 0
      local compressed needed
      compressed=$(find /usr/lib/modules/$release/kernel -name "''${1//_/[-_]}.ko.xz")
      [ -n "$compressed" ] || { echo "Debian's kernel has no module $1" >&2; exit 1; }
      for needed in $(modinfo -F depends "$compressed" | tr , ' '); do
        add "$needed"
      done
      xz -dc "$compressed" > modules/$release/$1.ko
      echo "$1.ko" >> modules/$release/modules.boot
    }
    for module in $modules; do
      add "$module"
    done
  '';

  installPhase = ''
    mkdir -p $out/lib
    cp "''${images[0]}" $out/bzImage
    cp -r modules $out/lib/
    cp $root/boot/config-* $out/config
  '';

  dontFixup = true;

  meta = {
    description = "Debian's own kernel, for a host of CKI containers";
    license = lib.licenses.gpl2Only;
  };
}
