# SPDX-License-Identifier: MIT OR Apache-2.0
# Containers without a network: one with disks, secrets and limits, and one of another engine's image that is started by
# hand.
{ pkgs, ... }:

{
  services.cki = {
    enable = true;
    memory.pool = "6G";
    group = "operators";
    containers.database = {
      image = "/var/lib/images/postgres.raw";
      command = [ "/usr/local/bin/start" "--rate=100%" "$HOME is not expanded" ];
      environment = { LANG = "C.UTF-8"; GREETING = "two words"; };
      environmentFiles = [ "/run/secrets/database.env" ];
      user = "postgres:postgres";
      workingDirectory = "/var/lib/postgresql";
      memory = "2.5G";
      readOnly = true;
      tmpfs = [ "/run/postgresql:size=16M" ];
      disks = [{ path = "/var/lib/disks/database.raw"; rates = { writeBps = "10M+64M"; readIops = "200"; }; } { path = "/dev/disk/by-id/virtio-cki-disk0"; } { path = "/dev/vdc"; } { path = "/dev/disk/by-label/archive"; readOnly = true; }];
      ulimits = { nofile = "1024:4096"; core = 0; };
      capabilities = { drop = [ "ALL" ]; add = [ "SETUID" "SETGID" ]; };
      stopSignal = "SIGINT";
      stopTimeout = "2min";
      restart = "always";
      resources = { CPUQuota = "50%"; IOWeight = 50; };
    };
    containers.backup = {
      oci = pkgs.dockerTools.pullImage {
        imageName = "example.org/tools";
        imageDigest = "sha256:e9b1a2d2e3a0c7c4c0f4a0a4f6e8c1f8b5b9a3d7c6f5e4d3c2b1a09f8e7d6c5b";
        hash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
      };
      ociDigest = "sha256:e9b1a2d2e3a0c7c4c0f4a0a4f6e8c1f8b5b9a3d7c6f5e4d3c2b1a09f8e7d6c5b";
      command = [ "backup" "--all" ];
      autoStart = false;
      restart = "no";
      after = [ "cki@database.service" ];
      requires = [ "cki@database.service" ];
    };
  };
}
