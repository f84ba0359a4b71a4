# SPDX-License-Identifier: MIT OR Apache-2.0
# A container's file system with a web server for the units of an example host (tests/nixos/hosts/bridge.nix): a
# stand-in for nixpkgs' darkhttpd, under that name and with its /share.
{ lib, stdenv, busybox, erofs-utils, cki-version }:

stdenv.mkDerivation {
  pname = "cki-test-web";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ busybox erofs-utils ];
  installPhase = ''
    mkdir -p root/{bin,dev,etc,proc,root,run,share,sys,tmp,var}
    cp "$(command -v busybox)" root/bin/busybox
    ln -s busybox root/bin/sh
    cat > root/bin/darkhttpd <<'END'
    #!/bin/sh
    echo "serving $1"
    exec busybox httpd -f -p 80 -h "$1"
    END
    chmod 755 root/bin/*
    echo 'a page' > root/share/index.html
    mkfs.erofs --quiet -T 1 --all-root $out root
  '';
  dontFixup = true;
  meta = {
    description = "Container with a web server, for tests";
    license = lib.licenses.gpl2Only;
  };
}
