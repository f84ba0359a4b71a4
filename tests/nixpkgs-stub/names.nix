# SPDX-License-Identifier: MIT OR Apache-2.0
# What nixpkgs has of all that our package files and overlays.default ask it for, by its names there. A
# name goes in here after a look at whether nixpkgs has it, and not as an alias, which users can turn off.
{
  packages = [
    "bc"
    "bison"
    "cargo"
    "clippy"
    "cpio"
    "dosfstools"
    "dtc"
    "elfutils"
    "erofs-utils"
    "flex"
    "git"
    "glib"
    "kmod"
    "lz4"
    "meson"
    "mtools"
    "ninja"
    "openssh"
    "pcre2"
    "perl"
    "pkg-config"
    "python3"
    "qemu_kvm"
    "rsync"
    "rustc"
    "rustfmt"
    "seabios"
    "syslinux"
    "zlib"
  ];
  python3Packages = [
    "distlib"
    "pycotap"
    "setuptools"
  ];
}
