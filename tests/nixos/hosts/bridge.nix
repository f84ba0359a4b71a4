# SPDX-License-Identifier: MIT OR Apache-2.0
# Two containers on a bridge that networkd makes.
{ pkgs, ... }:

let
  server = address: {
    packages = [ pkgs.darkhttpd ];
    command = [ "darkhttpd" "/share" ];
    memory = "128M";
    network = {
      mode = "bridge";
      bridge = "br-cki";
      inherit address;
      allow = [ "10.1.0.0/24" ];
      nameservers = [ "10.1.0.1" ];
      hosts.gateway = "10.1.0.1";
      rates = { egressRate = "1M+16M"; egressPackets = "5000"; };
    };
  };
in
{
  networking.useNetworkd = true;
  systemd.network = {
    enable = true;
    netdevs."10-cki".netdevConfig = { Name = "br-cki"; Kind = "bridge"; };
    networks."10-cki" = {
      matchConfig.Name = "br-cki";
      address = [ "10.1.0.1/24" ];
      networkConfig.ConfigureWithoutCarrier = true;
    };
  };
  services.cki = {
    enable = true;
    memory.pool = "512M";
    kernelPackages = pkgs.linuxPackages_cki;
    containers.left = server "10.1.0.7/24";
    containers.right = server "10.1.0.8/24";
  };
}
