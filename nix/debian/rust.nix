# SPDX-License-Identifier: MIT OR Apache-2.0
# rustPlatform.buildRustPackage over the Debian set, with nixpkgs' interface:
# crates come from Cargo.lock alone, each a pinned input of its own, and cargo
# never reaches for the network.
{ lib, stdenv, inputs, tools }:

let
  # A directory source as cargo's source replacement reads it.
  vendor = lockFile:
    let
      lock = lib.fromTOML (lib.readFile lockFile);
      crates = lib.filter (p: p ? source) lock.package;
    in
    stdenv.mkDerivation {
      name = "cargo-vendor";
      dontUnpack = true;
      crateFiles = map inputs.crate crates;
      crateNames = map (c: "${c.name}-${c.version}") crates;
      crateSums = map (c: c.checksum) crates;
      installPhase = ''
        names=($crateNames) sums=($crateSums) i=0
        mkdir $out
        for file in $crateFiles; do
          tar -C $out -xzf $file
          printf '{"files":{},"package":"%s"}' "''${sums[i]}" > $out/''${names[i]}/.cargo-checksum.json
          i=$((i + 1))
        done
      '';
    };
in
{
  buildRustPackage =
    { pname
    , version
    , src
    , cargoLock
    , nativeBuildInputs ? [ ]
    , buildAndTestSubdir ? "."
    , cargoBuildFlags ? [ ]
    , cargoTestFlags ? [ ]
    , RUSTFLAGS ? ""
    , ...
    }@args:
    stdenv.mkDerivation (builtins.removeAttrs args [ "cargoLock" ] // {
      nativeBuildInputs = nativeBuildInputs ++ [ tools.rustc tools.cargo ];
      vendored = vendor cargoLock.lockFile;
      inherit buildAndTestSubdir cargoBuildFlags cargoTestFlags;

      configurePhase = args.configurePhase or ''
        export CARGO_HOME=/build/cargo-home CARGO_NET_OFFLINE=true CARGO_INCREMENTAL=0
        mkdir -p $CARGO_HOME
        printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' "$vendored" > $CARGO_HOME/config.toml
        export RUSTFLAGS="${RUSTFLAGS} --remap-path-prefix=/build/source=/cki --remap-path-prefix=$vendored=/crates"
      '';
      buildPhase = args.buildPhase or ''
        (cd $buildAndTestSubdir && cargo build --release --offline -j $NIX_BUILD_CORES --target-dir /build/target $cargoBuildFlags)
      '';
      checkPhase = args.checkPhase or ''
        (cd $buildAndTestSubdir && cargo test --release --offline -j $NIX_BUILD_CORES --target-dir /build/target $cargoTestFlags)
      '';
      installPhase = args.installPhase or ''
        mkdir -p $out/bin
        find /build/target/release -maxdepth 1 -type f -executable ! -name '*.so' -exec cp -t $out/bin {} +
      '';
    });
}
