# SPDX-License-Identifier: MIT OR Apache-2.0
# libslirp, the TCP/IP stack behind QEMU's `-netdev user`, as a static library: Debian packages only a shared one.
{ lib
, stdenv
, libslirp-source
, glib
, meson
, ninja
, pkg-config
, python3
}:

stdenv.mkDerivation {
  pname = "libslirp";
  version = "4.7.0";
  src = libslirp-source;
  patches = [
    ./0001-loopback-by-its-own-address.patch
    ./0002-answers-to-clients-on-loopback.patch
    ./0003-room-for-clients.patch
    ./0004-window-of-large-segments.patch
    ./0005-one-owner-of-a-udp-port.patch
  ];

  nativeBuildInputs = [ meson ninja pkg-config python3 ];
  buildInputs = [ glib ];

  # The phases below run meson and ninja themselves.
  dontUseMesonConfigure = true;
  dontUseNinjaBuild = true;
  dontUseNinjaInstall = true;

  configurePhase = ''
    meson setup build --prefix=$out --libdir=lib --buildtype=release --default-library=static \
      -Dc_args="-ffile-prefix-map=$PWD=."
  '';
  buildPhase = "ninja -C build -j$NIX_BUILD_CORES libslirp.a";
  installPhase = ''
    mkdir -p $out/lib/pkgconfig $out/include/slirp $out/share/doc/libslirp
    cp build/libslirp.a $out/lib/
    cp build/meson-private/slirp.pc $out/lib/pkgconfig/
    cp src/libslirp.h build/libslirp-version.h $out/include/slirp/
    cp COPYRIGHT $out/share/doc/libslirp/copyright
  '';

  meta = {
    description = "User-space TCP/IP stack of QEMU's user network";
    license = lib.licenses.bsd3;
  };
}
