# SPDX-License-Identifier: MIT OR Apache-2.0
# nixpkgs' rustPlatform as our package files expect it.
{ lib, rustPlatform, glibc }:

rustPlatform // {
  buildRustPackage = args: rustPlatform.buildRustPackage (args // {
    # Tests run where a package file asks for them; in nixpkgs they are the default.
    doCheck = args.doCheck or false;
    # What a static program is linked with is an output of its own there.
    buildInputs = args.buildInputs or [ ]
    ++ lib.optional (builtins.match ".*\\+crt-static.*" (args.RUSTFLAGS or "") != null) glibc.static;
    meta = { platforms = [ "x86_64-linux" ]; } // args.meta or { };
  });
}
