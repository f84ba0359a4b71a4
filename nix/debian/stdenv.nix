# SPDX-License-Identifier: MIT OR Apache-2.0
# stdenv.mkDerivation over Debian roots: the subset of nixpkgs' interface that
# our package files use (listed in docs/hack/building.md). The builder bind-mounts a
# Debian root of exactly the requested tools around the build directory,
# chroots into it and runs the phases there with bash.
{ lib, system, inputs, mkRoot, basePackages }:

let
  # Attributes that steer mkDerivation itself and are not for the builder.
  own = [ "pname" "version" "name" "nativeBuildInputs" "buildInputs" "passthru" "meta" "src" "patches" "outputs" "env" "root" ];

  debianPackages = tool:
    tool.debianPackages or (throw
      "a build input of the Debian set must be one of nix/debian/tools.nix, not ${tool.name or (builtins.typeOf tool)}");
in
rec {
  mkDerivation = args:
    let
      name = args.name or "${args.pname}-${args.version}";
      tools = (args.nativeBuildInputs or [ ]) ++ (args.buildInputs or [ ]);
      root = args.root or (mkRoot {
        packages = lib.unique (basePackages ++ lib.concatMap debianPackages tools);
      });
      drv = derivation (
        builtins.removeAttrs args own
        // (args.env or { })
        // {
          inherit name system root;
          builder = "${inputs.seed}/busybox";
          args = [ "sh" ./enter.sh ];
          busybox = "${inputs.seed}/busybox";
          setup = ./setup.sh;
          src = args.src or "";
          patches = args.patches or [ ];
          outputs = args.outputs or [ "out" ];
        }
      );
    in
    drv // {
      meta = { } // args.meta or { };
      inherit root;
      version = args.version or "";
      pname = args.pname or name;
    } // args.passthru or { };

  # Small results made of text and symlinks, as nixpkgs' runCommand.
  runCommand = name: env: script: mkDerivation (env // {
    inherit name;
    dontUnpack = true;
    installPhase = script;
  });
}
