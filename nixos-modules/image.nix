# SPDX-License-Identifier: MIT OR Apache-2.0
# A container's root file system from packages: what they need in /nix/store, their programs in /bin.
{ buildEnv, closureInfo, erofs-utils, runCommand }:

{ name, packages }:

let
  programs = buildEnv {
    name = "cki-${name}-programs";
    paths = packages;
    pathsToLink = [ "/bin" "/share" ];
  };
in
runCommand "cki-${name}.erofs"
{
  nativeBuildInputs = [ erofs-utils ];
  closure = closureInfo { rootPaths = [ programs ]; };
  inherit programs;
} ''
  bash -eu -o pipefail ${../images/closure/make-image.sh} $out $programs $closure/store-paths
''
