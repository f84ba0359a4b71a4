# SPDX-License-Identifier: MIT OR Apache-2.0
{ pkgs, ... }:

{
  services.cki.enable = true;
  services.cki.memory.pool = "2G";

  services.cki.containers.cache = {
    packages = [ pkgs.redis ];
    command = [ "redis-server" "--save" "" "--protected-mode" "no" ];
    network.mode = "user";
    network.publish = [{ host = 6379; container = 6379; }];
  };

  # The rest is this machine's: `nixos-generate-config` writes it.
  nixpkgs.hostPlatform = "x86_64-linux";
  networking.hostName = "cki-host";
  fileSystems."/" = { device = "/dev/disk/by-label/nixos"; fsType = "ext4"; };
  boot.loader.systemd-boot.enable = true;
  system.stateVersion = "26.11";
}
