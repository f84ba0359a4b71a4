# SPDX-License-Identifier: MIT OR Apache-2.0
# nixpkgs' stdenv as our package files expect it.
{ stdenv }:

stdenv // {
  mkDerivation = args: stdenv.mkDerivation (args // {
    # What nixpkgs' own kernels and firmware go without: these choose their own code model, stack protector and
    # sections, and what the compiler would add contradicts them.
    hardeningDisable = args.hardeningDisable or [ "bindnow" "format" "fortify" "pic" "stackprotector" "zerocallusedregs" ];
    # There is no /usr/bin/env in nixpkgs' sandbox.
    postPatch = ''
      ${args.postPatch or ""}
      patchShebangs .
    '';
    # All of it is about one architecture.
    meta = { platforms = [ "x86_64-linux" ]; } // args.meta or { };
  });
}
