# SPDX-License-Identifier: MIT OR Apache-2.0
# nixpkgs' tool names to Debian packages. A value here is what package files
# receive as an argument in the Debian set: not a derivation but a wish, which
# mkDerivation turns into a part of the build root.
let
  tool = name: debianPackages: { inherit name debianPackages; };
in
builtins.mapAttrs tool
  {
    bc = [ "bc" ];
    bison = [ "bison" ];
    busybox = [ "busybox-static" ];
    cargo = [ "cargo-web" ];
    clippy = [ "rust-web-clippy" ];
    cpio = [ "cpio" ];
    cryptsetup = [ "cryptsetup-bin" ];
    # Headers, and the kernel that they belong to.
    debianKernel = [ "linux-headers-amd64" ];
    dosfstools = [ "dosfstools" ];
    dpkg = [ "dpkg" ];
    dtc = [ "libfdt-dev" ];
    e2fsprogs = [ "e2fsprogs" ];
    elfutils = [ "libelf-dev" ];
    erofs-utils = [ "erofs-utils" ];
    fakeroot = [ "fakeroot" ];
    flex = [ "flex" ];
    git = [ "git" ];
    glib = [ "libglib2.0-dev" "libffi-dev" "libmount-dev" ];
    gnumake = [ "make" ];
    kmod = [ "kmod" ];
    lvm2 = [ "dmsetup" ];
    lz4 = [ "lz4" ];
    meson = [ "meson" ];
    mtools = [ "mtools" ];
    ninja = [ "ninja-build" ];
    openssh = [ "openssh-client" ];
    openssl = [ "libssl-dev" ];
    pcre2 = [ "libpcre2-dev" ];
    perl = [ "perl" ];
    pkg-config = [ "pkgconf" ];
    python3 = [ "python3" "python3-distutils" "python3-venv" ];
    rsync = [ "rsync" ];
    rust-src = [ "rust-web-src" ];
    rustc = [ "rustc-web" "libstd-rust-web-dev" ];
    rustfmt = [ "rustfmt-web" ];
    seabios = [ "seabios" ];
    syslinux = [ "syslinux" "syslinux-common" ];
    util-linux = [ "util-linux" "mount" ];
    zlib = [ "zlib1g-dev" ];
    zstd = [ "zstd" ];
  } // {
  python3Packages = builtins.mapAttrs tool {
    distlib = [ "python3-distlib" ];
    pycotap = [ "python3-pycotap" ];
    setuptools = [ "python3-setuptools" ];
  };
}
