# SPDX-License-Identifier: MIT OR Apache-2.0
# The disk of an image of podman, docker, buildah or skopeo, and what that says of its program: disk.raw, config.json.
# Each layer is checked against its digest, by `cki-build image oci`; so is the image, if `digest` is not null.
{ cki-build, lib, runCommand, gzip }:

{ name, archive, digest, stopSignal }:

runCommand "cki-${name}"
{
  nativeBuildInputs = [ cki-build gzip ];
  words = lib.optionals (digest != null) [ "--digest" digest ]
    ++ lib.optionals (stopSignal != null) [ "--stopped-by" stopSignal ];
  inherit archive;
} ''
  image=$archive
  # nixpkgs' dockerTools compress an archive as a whole.
  if [ -f "$image" ] && gzip --test "$image" 2> /dev/null; then
    gzip --decompress --stdout "$image" > image.tar
    image=image.tar
  fi
  mkdir $out
  cki-build --quiet --cache "$PWD/cache" image oci "$image" \
    --output $out/disk.raw --config $out/config.json $words
''
