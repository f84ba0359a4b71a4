# SPDX-License-Identifier: MIT OR Apache-2.0
# What Debian says on the copyright of packages whose parts are in one of our outputs, linked or copied: one folder a
# package, as below share/doc. Build roots (root.sh) have left these files out.
{ stdenv, tools, inputs, lock }:

names:
stdenv.mkDerivation {
  name = "copyrights";
  dontUnpack = true;
  packages = names;
  debs = map (name: inputs.pinned lock.packages.${name}) names;
  nativeBuildInputs = [ tools.dpkg ];
  installPhase = ''
    set -- $debs
    for package in $packages; do
      mkdir -p $out/$package
      dpkg-deb --fsys-tarfile $1 | tar -xO ./usr/share/doc/$package/copyright > $out/$package/copyright
      [ -s $out/$package/copyright ]
      shift
    done
  '';
}
