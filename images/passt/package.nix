# SPDX-License-Identifier: MIT OR Apache-2.0
# passt, which gives a container's network card the host's sockets: TCP and UDP in user space, without privileges.
# Static, so that it runs in a host image that has no libraries.
{ lib
, stdenv
, passt-source
  # Where the C library is a package of its own, that which can be linked into a program.
, staticLibc ? null
}:

stdenv.mkDerivation {
  pname = "cki-passt";
  version = "2023_03_09.7c7625d";
  src = passt-source;
  buildInputs = lib.optional (staticLibc != null) staticLibc;

  # In the order of their names, each for one reason, which it states.
  patches = map (name: ./patches + "/${name}") (builtins.attrNames (builtins.readDir ./patches));

  # The makefile asks git for the version, and the shell for a limit that differs from builder to builder. "static"
  # would build all programs twice; these are its flags.
  buildPhase = ''
    make passt CFLAGS=-static CPPFLAGS=-DGLIBC_NO_STATIC_NSS VERSION=2023_03_09.7c7625d RLIMIT_STACK_VAL=8192
  '';
  installPhase = ''
    mkdir -p $out/bin $out/share/doc/passt
    cp passt $out/bin/
    strip --strip-all $out/bin/passt
    cp README.md $out/share/doc/passt/
    {
      echo 'passt: by its authors, its version 2023_03_09.7c7625d with changes of CKI; the GNU C Library is linked into it.'
      echo 'Licence: AGPL-3.0-or-later, and checksum.c BSD-3-Clause'
      cat LICENSES/AGPL-3.0-or-later.txt LICENSES/BSD-3-Clause.txt
    } > $out/share/doc/passt/copyright
  '';
  dontFixup = true;

  meta = {
    description = "User-space network of a container on the host's sockets";
    license = with lib.licenses; [ agpl3Plus bsd3 ];
    mainProgram = "passt";
  };
}
