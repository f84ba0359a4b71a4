# SPDX-License-Identifier: MIT OR Apache-2.0
# A stand-in for nixpkgs: enough to evaluate overlays.default without network, and nothing to build
# anything with. It is as strict as nixpkgs where that costs nothing: a name that is not in names.nix, an
# attribute that no environment variable can hold or an input that is no package is an error.
{ overlay ? import ../../nix/overlay.nix }:

let
  names = import ./names.nix;
  lib = import ../../nix/debian/lib.nix // { inherit callPackageWith; };
  system = "x86_64-linux";

  dummy = name: derivation { inherit name system; builder = "/nothing-is-built-with-the-stub"; };
  dummies = list: lib.genAttrs list dummy;

  # As nix/debian/lib.nix has it, with what to do in this set.
  callPackageWith = scope: file: extra:
    let
      wanted = builtins.functionArgs (import file);
      missing = lib.filter (name: !wanted.${name} && !(scope ? ${name}) && !(extra ? ${name})) (lib.attrNames wanted);
    in
    if missing == [ ]
    then lib.makeOverridable (import file) (builtins.intersectAttrs wanted scope // extra)
    else throw "${toString file} asks for ${lib.concatStringsSep ", " missing}: see whether nixpkgs has it, then add it to tests/nixpkgs-stub/names.nix or to nix/overlay.nix";

  inputs = name: list: map
    (input:
      if input == null || input ? drvPath || builtins.isPath input
      then input
      else throw "an input of ${name} is no package of nixpkgs: ${builtins.toJSON input}")
    list;

  mkDerivation = args:
    let
      name = args.name or "${args.pname}-${args.version}";
      drv = derivation (removeAttrs args [ "meta" "passthru" "env" ] // args.env or { } // {
        inherit name system;
        builder = "/nothing-is-built-with-the-stub";
        nativeBuildInputs = inputs name (args.nativeBuildInputs or [ ]);
        buildInputs = inputs name (args.buildInputs or [ ]);
      });
      # nixpkgs looks at the licence and the platforms of whatever is built.
      checked = builtins.deepSeq (args.meta or { }) drv;
    in
    checked // { meta = args.meta or { }; } // args.passthru or { };

  # Crates that do not come from a registry would need their hashes here.
  importCargoLock = { lockFile }:
    let
      foreign = lib.filter (crate: crate ? source && !(lib.hasPrefix "registry+" crate.source))
        (lib.fromTOML (lib.readFile lockFile)).package;
    in
    if foreign == [ ]
    then "${lockFile}"
    else throw "nixpkgs wants outputHashes for ${lib.concatMapStringsSep ", " (crate: crate.name) foreign}";

  final = dummies names.packages // {
    inherit lib;
    stdenv = { inherit mkDerivation; };
    mkShell = { name, inputsFrom, packages }: mkDerivation {
      inherit name;
      nativeBuildInputs = packages;
      buildInputs = inputsFrom;
    };
    rustPlatform = {
      buildRustPackage = args: mkDerivation (removeAttrs args [ "cargoLock" ] // {
        cargoDeps = importCargoLock args.cargoLock;
      });
      rustLibSrc = dummy "rust-lib-src";
    };
    python3Packages = dummies names.python3Packages;
    fetchurl = { name, url, sha256 }: dummy name // { inherit url sha256; };
    glibc = dummy "glibc" // { static = dummy "glibc-static"; };
    linuxKernel.kernels.linux_6_12 = dummy "linux" // { src = dummy "linux.tar.xz"; };
    pkgsStatic.busybox = dummy "busybox";
  } // overlay final final;
in
{
  inherit (final) ckiPackages;

  # What nix/packages.nix and nix/fixtures.nix list, whichever set calls: { <name> = <file>; … }.
  listed =
    let callPackage = file: _: toString file; in
    import ../../nix/packages.nix { inherit callPackage; } // import ../../nix/fixtures.nix { inherit callPackage; };
}
