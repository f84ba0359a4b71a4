# SPDX-License-Identifier: MIT OR Apache-2.0
# What `nix run .#vm` runs: a script, read by the bash of whoever runs it.
{ lib
, stdenv
, cki-qemu
, cki-system-disk
, cki-version
}:

stdenv.mkDerivation {
  pname = "cki-vm";
  version = cki-version;
  dontUnpack = true;
  dontConfigure = true;

  script = ./vm.sh;
  qemu = cki-qemu;
  disk = cki-system-disk;

  buildPhase = ''
    sed -e "s,@qemu@,$qemu," -e "s,@disk@,$disk/cki-system.qcow2," $script > cki-vm
  '';

  installPhase = ''
    mkdir -p $out/bin
    install -m 755 cki-vm $out/bin/cki-vm
  '';

  # Its first line is not for the builder's machine.
  dontFixup = true;

  meta = {
    description = "Runs a host of CKI containers in the emulator";
    license = with lib.licenses; [ mit asl20 ];
    mainProgram = "cki-vm";
  };
}
