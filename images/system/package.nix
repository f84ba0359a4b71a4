# SPDX-License-Identifier: MIT OR Apache-2.0
# What a machine needs to be a host of containers, with systemd, udev, networkd, sshd and nftables on Debian's kernel:
# the kernel, an initial file system, and the root file system, read-only, with the hashes of its blocks behind it.
# `system` has what the kernel's command line says of that: number of blocks, and hash over all of them;
# `contents` has what it consists of (contents.sh).
{ lib
, stdenv
, cki-guest
, cki-kmod-debian
, cki-ksm
, cki-launcher
, cki-passt
, cki-system-tree
, cki-version
, debian-kernel
, busybox
, cpio
, cryptsetup
, erofs-utils
, fakeroot
, kmod
, lvm2
, zstd
}:

let
  # What the initial file system finds the system with.
  bootModules = [ "crc32c_generic" "virtio_blk" "virtio_scsi" "sd_mod" "ahci" "nvme" "erofs" "dm_verity" "ext4" ];
  # What a host of containers may need later, as far as there is hardware for it.
  modules = bootModules ++ [
    "autofs4"
    "binfmt_misc"
    "bridge"
    "configfs"
    "e1000e"
    "igb"
    "ixgbe"
    "loop"
    "nf_tables"
    "nft_ct"
    "nft_log"
    "nft_limit"
    "nft_masq"
    "nft_nat"
    "nft_reject_inet"
    "nls_ascii"
    "nls_cp437"
    "overlay"
    "qemu_fw_cfg"
    "r8169"
    "tun"
    "veth"
    "vfat"
    "vhost_net"
    "virtio_net"
    "virtio_rng"
  ];
in
stdenv.mkDerivation {
  pname = "cki-system";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ busybox cpio cryptsetup erofs-utils fakeroot kmod lvm2 zstd ];

  guest = cki-guest;
  kmod = cki-kmod-debian;
  ksm = cki-ksm;
  launcher = cki-launcher;
  passt = cki-passt;
  tree = cki-system-tree;
  kernel = debian-kernel.override { inherit modules; };
  bootKernel = debian-kernel.override { modules = bootModules; };
  files = ./root;
  init = ./init.sh;
  install = ./install.sh;
  contents = ./contents.sh;
  makeInitrd = ./make-initrd.sh;
  licences = ../../LICENSES;
  copyright = ../../nix/copyright.sh;
  FAKEROOTDONTTRYCHOWN = 1;
  # By this number the initial file system finds it; init.sh has it too.
  uuid = "434b4900-0000-4000-8000-000000000003";

  buildPhase = ''
    mkdir root
    zstd -dcq "$tree/tree.tar.zst" | tar -C root -xpf -
    fakeroot -- bash -eu -o pipefail $install root.verity
    chmod -R u+w root
    # The file system, and behind it the hashes of its blocks.
    blocks=$(($(stat -c %s root.verity) / 4096))
    veritysetup format root.verity root.verity --no-superblock --hash-offset=$((blocks * 4096)) \
      --data-blocks=$blocks --salt=- > verity
    hash=$(awk '/^Root hash:/ { print $3 }' verity)
    [ ''${#hash} -eq 64 ]
    bash -eu -o pipefail $makeInitrd initrd $init $bootKernel/lib/modules $kmod/lib/modules/*/extra/cki.ko
  '';

  installPhase = ''
    mkdir -p $out/share
    cp root.verity initrd contents $kernel/bzImage $out/
    echo $blocks:$hash > $out/system
    cp -r --no-preserve=mode $ksm/share/doc $out/share/
    bash $copyright $out/share/doc/linux/copyright --by 'Linux, by its authors' GPL-2.0-only
    bash $copyright $out/share/doc/busybox/copyright --by 'BusyBox, by its authors' GPL-2.0-only
  '';

  dontFixup = true;

  meta = {
    description = "Host of CKI containers with systemd: kernel, initial and root file system";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
