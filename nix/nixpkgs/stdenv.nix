# SPDX-License-Identifier: MIT OR Apache-2.0
# nixpkgs' stdenv as our package files expect it.
{ stdenv }:

stdenv // {
  mkDerivation = args: stdenv.mkDerivation (args // {
    # Kernels, option ROMs and bare-metal tests choose their own flags, and some of those that
    # nixpkgs' compiler adds contradict them (-fPIC with the kernel's code model).
    hardeningDisable = [ "all" ];
    # There is no /usr/bin/env in nixpkgs' sandbox.
    postPatch = ''
      ${args.postPatch or ""}
      patchShebangs .
    '';
  });
}
