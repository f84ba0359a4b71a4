# SPDX-License-Identifier: MIT OR Apache-2.0
# The Debian packages of the system disk, installed with their maintainer scripts as those of application images are:
# a tree in an archive, and what images/app/base.sh says of it.
{ stdenv, pinnedClosure, dpkg, fakeroot, erofs-utils, util-linux, zstd }:

stdenv.mkDerivation {
  name = "cki-system-tree";
  dontUnpack = true;
  nativeBuildInputs = [ dpkg fakeroot erofs-utils util-linux zstd ];
  common = ./tree.sh;
  installer_common = ../app/install.sh;
  installer = ../app/base.sh;
  FAKEROOTDONTTRYCHOWN = 1;
  debs = pinnedClosure [
    # Essential: yes.
    "base-files"
    "base-passwd"
    "bash"
    "bsdutils"
    "coreutils"
    "dash"
    "debianutils"
    "diffutils"
    "dpkg"
    "findutils"
    "grep"
    "gzip"
    "hostname"
    "init-system-helpers"
    "libc-bin"
    "login"
    "ncurses-base"
    "ncurses-bin"
    "perl-base"
    "sed"
    "sysvinit-utils"
    "tar"
    "util-linux"
    # The system.
    "systemd"
    "systemd-sysv"
    "udev"
    "mount"
    "kmod"
    "e2fsprogs"
    "openssh-server"
    "nftables"
    "iproute2"
  ];
  installPhase = "fakeroot -- bash -eu -o pipefail $installer $debs";
}
