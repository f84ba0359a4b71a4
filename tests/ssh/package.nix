# SPDX-License-Identifier: MIT OR Apache-2.0
# ssh and ssh-keygen with their libraries, for tests on a machine that may have neither. They are run by their own
# dynamic linker, lib/ld-linux-x86-64.so.2.
{ lib, stdenv, openssh, cki-version }:

stdenv.mkDerivation {
  pname = "cki-test-ssh";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ openssh ];
  installPhase = ''
    mkdir -p $out/bin $out/lib
    for program in ssh ssh-keygen; do
      path=$(command -v $program)
      cp -L "$path" $out/bin/
      for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        cp -Lf "$library" $out/lib/
      done
    done
  '';
  dontFixup = true;
  meta = {
    description = "SSH client for tests";
    license = with lib.licenses; [ bsd3 ];
  };
}
