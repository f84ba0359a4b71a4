# SPDX-License-Identifier: MIT OR Apache-2.0
# What the example hosts are made of, as far as it is ours: unit files, rules, the module's options.
{ nixpkgs }:

let
  inherit (import ./evaluate.nix { inherit nixpkgs; }) lib machine;

  files = config:
    let
      units = lib.filterAttrs (name: _: lib.hasPrefix "cki@" name || lib.hasPrefix "cki-health@" name) config.systemd.units;
      network = lib.filterAttrs (name: _: lib.hasInfix "cki" name) config.systemd.network.units;
      firewall = config.networking.firewall;
      # What udev is told of disks, if anything; in the initial file system as later.
      rules = lib.filter (package: package.name or "" == "cki-disks-rules");
      disks = rules config.services.udev.packages;
      lines = pattern: text: lib.concatStringsSep "\n" (lib.filter (lib.hasInfix pattern) (lib.splitString "\n" text)) + "\n";
    in
    lib.mapAttrs (_: unit: unit.text) (units // network) // {
      "modprobe.conf" = lines "cki" config.boot.extraModprobeConfig;
      "udev.rules" = lines "cki" config.services.udev.extraRules;
    } // lib.optionalAttrs (disks != [ ]) {
      "61-cki-disks.rules" = assert disks == rules config.boot.initrd.services.udev.packages; (lib.head disks).text;
    } // {
      "kernel" = lib.concatMapStrings (word: word + "\n")
        ([ config.boot.kernelPackages.kernel.pname ] ++ lib.filter (lib.hasInfix "cki") config.boot.kernelModules ++ lib.filter (word: lib.elem word [ "no5lvl" "kvm.enable_virt_at_load=0" ]) config.boot.kernelParams);
      "firewall" = builtins.toJSON { tcp = firewall.allowedTCPPorts; udp = firewall.allowedUDPPorts; } + "\n";
    };
  host = name:
    let config = machine (./hosts + "/${name}.nix"); in
    {
      files = files config;
      refused = map (one: one.message) (lib.filter (one: !one.assertion) config.assertions);
      toplevel = config.system.build.toplevel.drvPath;
    };
in
lib.genAttrs [ "cache" "database" "bridge" ] host
