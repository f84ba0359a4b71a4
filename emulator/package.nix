# SPDX-License-Identifier: MIT OR Apache-2.0
# QEMU for x86_64 system emulation by TCG, with the CKI extension.
#
# The program is static, finds share/qemu beside itself and contains no store
# path, so that cki-build can start it on any machine.  `patches = [ ]` gives
# stock QEMU, which the tests compare with.
{ lib
, stdenv
, qemu-source
, dtc
, glib
, cki-libslirp
, meson
, ninja
, pcre2
, pkg-config
, python3
, python3Packages
, seabios
, zlib
  # What is to be passed on of the libraries and the firmware in it, one folder a package; null: they bring it.
, qemuParts
, static ? true
, firmwareDir ? "${seabios}/share/seabios"
, patches ? map (name: ./patches + "/${name}")
    (builtins.sort builtins.lessThan
      (builtins.filter (name: builtins.match ".*\\.patch" name != null)
        (builtins.attrNames (builtins.readDir ./patches))))
}:

let
  # Most of a short run is QEMU translating code. As one unit, and without two of QEMU's own hardenings (registers
  # cleared at every return, variables that start as zero), it does that with a twelfth less work. No isolation
  # rests on these: this program takes the place of a processor.
  fast = patches != [ ];
  fastFlags = " -ftrivial-auto-var-init=uninitialized -fzero-call-used-regs=skip";
in
stdenv.mkDerivation {
  pname = if patches == [ ] then "qemu-stock" else "cki-qemu";
  version = "10.0.2";
  src = qemu-source;
  inherit patches;

  nativeBuildInputs = [
    meson
    ninja
    pkg-config
    python3
    python3Packages.distlib
    python3Packages.pycotap
    python3Packages.setuptools
  ];
  buildInputs = [ dtc glib pcre2 seabios zlib ];

  # All but passt's, which no part of QEMU is under: the emulator takes long to build.
  licences = builtins.path {
    name = "LICENSES";
    path = ../LICENSES;
    filter = path: _: baseNameOf path != "AGPL-3.0-or-later.txt";
  };
  copyright = ../nix/copyright.sh;
  authors = "QEMU, by its authors" + lib.optionalString (patches != [ ]) ", with the changes of CKI";
  # Stock QEMU has a list of its own, so that a device of ours does not build it again; what is ours is dropped below.
  devices = if patches == [ ] then ./devices/stock/cki.mak else ./devices/cki.mak;
  inherit firmwareDir;
  libslirp = cki-libslirp;
  pkgversion = if patches == [ ] then "stock" else "cki";
  staticFlag = if static then "--static" else "";

  # The phases below run configure and ninja themselves, and strip.
  dontUseMesonConfigure = true;
  dontUseNinjaBuild = true;
  dontUseNinjaInstall = true;
  dontFixup = true;

  # Firmware for other architectures, which this tarball does not have, is
  # unpacked whenever there is a bzip2.
  postPatch = ''
    sed -i 's/unpack_edk2_blobs = bzip2.found()/unpack_edk2_blobs = false/' meson.build
    cp "$devices" configs/devices/i386-softmmu/cki.mak
    echo 'include ../i386-softmmu/cki.mak' > configs/devices/x86_64-softmmu/cki.mak
  '' + lib.optionalString (patches == [ ]) ''
    sed -i '/CONFIG_CKI_/d' configs/devices/i386-softmmu/cki.mak
  '';

  # --prefix only has to be one: QEMU looks for ../share/qemu from its bin.
  configurePhase = ''
    export PKG_CONFIG_PATH=$libslirp/lib/pkgconfig''${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
    mkdir build
    cd build
    ../configure \
      --prefix=/usr \
      --python="$(command -v python3)" \
      --target-list=x86_64-softmmu \
      $staticFlag \
      --with-pkgversion="$pkgversion" \
      --without-default-features \
      --without-default-devices \
      --with-devices-x86_64=cki \
      --enable-system --disable-user \
      --enable-tcg --disable-kvm \
      --enable-fdt=system \
      --enable-tools \
      --enable-membarrier \
      --enable-slirp \
      --enable-attr --enable-virtfs \
      --enable-vmdk \
      --audio-drv-list= \
      --disable-docs \
      --disable-install-blobs \
      --disable-debug-info \
      ${lib.optionalString fast "--enable-lto \\\n  "}--disable-download \
      --extra-cflags="-ffile-prefix-map=$(dirname "$PWD")=.${lib.optionalString fast fastFlags}"
  '';

  # The option ROMs that load a kernel, from QEMU's own source.
  buildPhase = ''
    ninja -j$NIX_BUILD_CORES qemu-system-x86_64 qemu-img
    mkdir roms
    {
      echo "TOPSRC_DIR=$(dirname "$PWD")"
      echo "CC=gcc"
      echo "OBJCOPY=objcopy"
      echo "PYTHON=python3"
    } > roms/config.mak
    make -C roms -f "$(dirname "$PWD")/pc-bios/optionrom/Makefile" -j$NIX_BUILD_CORES
  '';

  # microvm without ACPI asks for qboot.rom, which Debian does not have by
  # itself: SeaBIOS' build for microvm does its work.
  installPhase = ''
    mkdir -p $out/bin $out/share/qemu
    for program in qemu-system-x86_64 qemu-img; do
      cp $program $out/bin/
      strip --strip-all $out/bin/$program
    done
    for rom in pvh linuxboot linuxboot_dma multiboot multiboot_dma kvmvapic; do
      cp roms/$rom.bin $out/share/qemu/
    done
    for firmware in bios bios-256k bios-microvm vgabios-stdvga; do
      cp "$firmwareDir/$firmware.bin" $out/share/qemu/
    done
    ln -s bios-microvm.bin $out/share/qemu/qboot.rom
    bash $copyright $out/share/doc/qemu/copyright --by "$authors" ${lib.optionalString static "--static"} GPL-2.0-only
    cp ../LICENSE ../COPYING.LIB $out/share/doc/qemu/
    cp -r --no-preserve=mode $libslirp/share/doc/libslirp $out/share/doc/
  '' + lib.optionalString (qemuParts != null) ''
    cp -r --no-preserve=mode ${qemuParts}/. $out/share/doc/
  '';

  meta = {
    description = "QEMU with the CKI extension of the x86-64 architecture";
    license = lib.licenses.gpl2Only or { };
    platforms = [ "x86_64-linux" ];
    mainProgram = "qemu-system-x86_64";
  };
}
