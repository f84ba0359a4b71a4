# SPDX-License-Identifier: MIT OR Apache-2.0
# The documents as a site: open share/doc/cki/index.html in any browser. The build fails when a document has a link,
# an anchor or a path that leads nowhere, which is why the whole tree is its source.
{ lib, stdenv, cki-book, cki-version }:

stdenv.mkDerivation {
  pname = "cki-docs";
  version = cki-version;
  dontUnpack = true;

  book = cki-book;
  tree = builtins.path {
    name = "source";
    path = ../.;
    filter = path: _type: !builtins.elem (baseNameOf path) [ "target" ".git" "result" ];
  };

  installPhase = ''
    mkdir -p $out/share/doc/cki
    $book/bin/cki-book $tree $out/share/doc/cki
  '';

  dontFixup = true;

  meta = {
    description = "The CKI book";
    license = with lib.licenses; [ mit asl20 ];
  };
}
