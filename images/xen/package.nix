# SPDX-License-Identifier: MIT OR Apache-2.0
# The host image on Debian's kernel with Debian's Xen beneath it: the kernel is the first guest (PV, dom0). What it is
# for is a comparison: work in a paravirtualized guest (docs/reference/bench.md). No container of ours runs on it.
{ lib, stdenv, cki-host-debian, cki-version, xenPackage, dpkg }:

let
  host = builtins.fromJSON cki-host-debian.boot;
  # For an emulated processor, which does not speculate, as the kernel's mitigations=off. What is left to dom0 is what
  # the machine has but for this much (docs/misc/xen-command-line of Xen: dom0_mem).
  hypervisorMib = 192;
  hypervisor = {
    file = "xen";
    mib = hypervisorMib;
    cmdline = lib.concatStringsSep " " [
      "console=com1"
      "com1=115200"
      "spec-ctrl=no"
      "xpti=no"
      "dom0_mem=-${toString hypervisorMib}M,max:-${toString hypervisorMib}M"
    ];
  };
  # The serial port is Xen's.
  cmdline = builtins.replaceStrings [ "console=ttyS0" ] [ "console=hvc0" ] host.cmdline;
in
stdenv.mkDerivation {
  pname = "cki-host-xen";
  version = cki-version;
  dontUnpack = true;
  nativeBuildInputs = [ dpkg ];
  host = cki-host-debian;
  inherit xenPackage;
  boot = builtins.toJSON (host // { inherit cmdline hypervisor; });

  # Debian compresses it, which the emulator does not know.
  buildPhase = ''
    dpkg-deb -x "$xenPackage" package
    images=(package/boot/xen-*-amd64.gz)
    [ ''${#images[@]} -eq 1 ] || { echo "not one hypervisor: ''${images[*]}" >&2; exit 1; }
    gzip -dc "''${images[0]}" > xen
  '';

  installPhase = ''
    mkdir -p $out/share/doc/xen
    cp xen $host/bzImage $host/initrd $host/session.initrd $out/
    printf '%s\n' "$boot" > $out/boot.json
    cp -r --no-preserve=mode $host/share/doc $out/share/
    cp package/usr/share/doc/xen-hypervisor-*/copyright $out/share/doc/xen/copyright
  '';

  dontFixup = true;

  meta = {
    description = "Debian's kernel as the first guest of Debian's Xen, to compare with";
    license = with lib.licenses; [ gpl2Only mit asl20 ];
  };
}
