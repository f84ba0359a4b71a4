# SPDX-License-Identifier: MIT OR Apache-2.0
# A module with one container, for the `modules` of a machine that has services.cki.enable = true.
{ pkgs, ... }:

{
  services.cki.containers.web = {
    packages = [ pkgs.darkhttpd ];
    command = [ "darkhttpd" "/var/www" "--port" "80" ];
    tmpfs = [ "/var/www:size=16M" ];
    memory = "256M";
    network.mode = "user";
    network.publish = [{ host = 8080; container = 80; }];
    network.openFirewall = true;
  };
}
