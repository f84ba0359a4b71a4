# SPDX-License-Identifier: MIT OR Apache-2.0
# Where a container's volumes are on the host, and how the launcher is told of them.
{ lib }:

rec {
  # Directories of a container's own, as StateDirectory= has them: below /var/lib.
  own = name: volumes: map (state name) (lib.filter (volume: volume.source == null) volumes);

  # One for each path in the container. `rules.nix` refuses two paths that differ in `/` and `-` only.
  directory = path: lib.replaceStrings [ "/" ] [ "-" ] (lib.removePrefix "/" path);
  state = name: volume: "cki/${name}/${directory volume.path}";

  # The word of `cki run --volume`.
  word = name: volume:
    "${if volume.source == null then "/var/lib/${state name volume}" else volume.source}:${volume.path}"
    + lib.optionalString volume.readOnly ":ro";
}
