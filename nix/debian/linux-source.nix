# SPDX-License-Identifier: MIT OR Apache-2.0
# Debian ships the kernel's source as a .deb around a tarball.
{ stdenv, tools, deb }:

stdenv.mkDerivation {
  name = "linux-source.tar.xz";
  dontUnpack = true;
  inherit deb;
  nativeBuildInputs = [ tools.dpkg ];
  installPhase = ''
    dpkg-deb --fsys-tarfile $deb | tar -xO --wildcards './usr/src/linux-source-*.tar.xz' > $out
  '';
}
