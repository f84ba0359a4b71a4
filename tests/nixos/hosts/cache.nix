# SPDX-License-Identifier: MIT OR Apache-2.0
# One container with a port and a secret, made of packages.
{ pkgs, ... }:

{
  services.cki = {
    enable = true;
    memory.pool = "1G";
    containers.cache = {
      packages = [ pkgs.redis ];
      command = [ "redis-server" "--protected-mode" "no" "--dir" "/var/lib/redis" ];
      volumes = [{ path = "/var/lib/redis"; } { path = "/srv/data"; source = "/var/lib/data"; readOnly = true; }];
      secrets."api.token" = "/run/keys/token";
      network.mode = "user";
      network.publish = [{ host = 6379; container = 6379; }];
      network.openFirewall = true;
      healthCheck = { command = [ "redis-cli" "ping" ]; interval = "1s"; timeout = "10s"; retries = 2; startPeriod = "30s"; };
    };
  };
}
