# SPDX-License-Identifier: MIT OR Apache-2.0
# The part of the Cargo workspace that one package is built from: the manifests
# at the top and the directories of some members. What is left out cannot cause
# a rebuild.
#
#   let workspace = rustSource [ "init" "abi/session" ]; in
#   { inherit (workspace) src postPatch; … }   # a workspace of these members only
let
  root = ../.;
  inherit (builtins) any concatStringsSep elem stringLength substring;
  prefixed = prefix: text: substring 0 (stringLength prefix) text == prefix;
in
members:
let
  src = builtins.path {
    name = "source";
    path = root;
    filter = path: type:
      let relative = substring (stringLength (toString root) + 1) (-1) path; in
      elem relative [ "Cargo.toml" "Cargo.lock" ]
      || any (member: relative == member || prefixed "${member}/" relative || prefixed "${relative}/" member) members;
  };
in
{
  inherit src;
  postPatch = ''
    sed -z -i -E \
      -e 's|\ndefault-members = \[[^]]*\]||' \
      -e 's|\nmembers = \[[^]]*\]|\nmembers = [${concatStringsSep ", " (map (m: ''"${m}"'') members)}]|' Cargo.toml
  '';
}
