# overlays.default: the packages of nix/packages.nix made with the user's own
# nixpkgs instead of the pinned Debian toolchain, under `ckiPackages`.
final: prev:

let
  debianLock = builtins.fromJSON (builtins.readFile ./debian/lock.json);
  qemu = debianLock.sources.qemu;

  callPackage = final.lib.callPackageWith (final // final.ckiPackages // {
    rustSource = import ./rust-source.nix;
    # nixpkgs' programs run where their libraries are.
    static = false;
    # kernel.org's 6.12; the patch queue applies to it and to Debian's alike.
    linux-source = final.linux_6_12.src;
    qemu-source = final.fetchurl {
      name = qemu.store;
      url = "mirror://debian/${qemu.path}";
      inherit (qemu) sha256;
    };
    firmwareDir = "${final.seabios-qemu or final.seabios}/share/seabios";
    syslinuxDir = "${final.syslinux}/share/syslinux";
    busyboxStatic = "${final.pkgsStatic.busybox}/bin/busybox";
  });
in
{
  ckiPackages = import ./packages.nix { inherit callPackage; };
}
