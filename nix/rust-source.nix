# SPDX-License-Identifier: MIT OR Apache-2.0
# The part of the Cargo workspace that one package is built from: the manifests
# at the top and the directories of some members. What is left out cannot cause
# a rebuild.
#
#   let workspace = rustSource [ "init" "abi/session" ]; in
#   { inherit (workspace) src postPatch; … }   # a workspace of these members only
#
# Tests are left out: what cargo builds for `tests/` of a crate, and the directories of the monitor's
# unit tests. A package whose build runs those of a member says so:
#
#   rustSource { members = [ "init" "abi/session" ]; tested = [ "init" ]; }
let
  root = ../.;
  inherit (builtins) any concatStringsSep elem isList stringLength substring;
  prefixed = prefix: text: substring 0 (stringLength prefix) text == prefix;
  unitTests = [ "ksm/shell/src/testing" "ksm/shell/src/tests" ];
in
asked:
let
  members = if isList asked then asked else asked.members;
  tested = if isList asked then [ ] else asked.tested;
  inside = relative: any (member: prefixed "${member}/" relative) members;
  isTests = path: relative:
    let directory = dirOf path; in
    baseNameOf path == "tests" && inside relative && builtins.pathExists (directory + "/Cargo.toml")
    && !any (member: relative == "${member}/tests") tested;
  # What is written about a folder is not compiled: a word more must not rebuild the module.
  isProse = relative: builtins.match ".*[.]md" relative != null;
  src = builtins.path {
    name = "source";
    path = root;
    filter = path: type:
      let relative = substring (stringLength (toString root) + 1) (-1) path; in
      !isTests path relative
      && !elem relative unitTests
      && !isProse relative
      && (elem relative [ "Cargo.toml" "Cargo.lock" ]
      || any (member: relative == member || prefixed "${relative}/" member) members
      || inside relative);
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
