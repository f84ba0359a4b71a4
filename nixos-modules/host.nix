# SPDX-License-Identifier: MIT OR Apache-2.0
# What `services.cki.enable` makes of a machine: the kernel, the module with its pool, the device and who may use it.
{ config, lib, pkgs, ... }:

let
  inherit (lib) mkDefault mkIf mkOption types;
  cfg = config.services.cki;
  sizes = import ./sizes.nix { inherit lib; };
in
{
  options.services.cki = {
    enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether this machine runs CKI containers, each on a Linux kernel of its own. The module is loaded at boot.
        Where the processor lacks PKS or the CKI extension, no container runs, and `cki info` says what is missing.
      '';
    };

    package = mkOption {
      type = types.package;
      default = pkgs.cki-launcher;
      defaultText = lib.literalExpression "pkgs.cki-launcher";
      example = lib.literalExpression "pkgs.cki-launcher.overrideAttrs { patches = [ ./own.patch ]; }";
      description = "The launcher, `cki`.";
    };

    guest = mkOption {
      type = types.package;
      default = pkgs.cki-guest;
      defaultText = lib.literalExpression "pkgs.cki-guest";
      example = lib.literalExpression "pkgs.cki-guest";
      description = "What every container starts from: a package with the guest's kernel, `vmlinux`, and `initrd`.";
    };

    kernelPackages = mkOption {
      type = types.raw;
      default = pkgs.linuxPackages_6_12;
      defaultText = lib.literalExpression "pkgs.linuxPackages_6_12";
      example = lib.literalExpression "pkgs.linuxPackages_cki";
      description = ''
        The host's kernel and its modules, if `boot.kernelPackages` says nothing else: an unpatched kernel from 6.12
        to 6.14. `pkgs.linuxPackages_cki` is 6.12 without 5-level page tables.
      '';
    };

    memory.pool = mkOption {
      type = sizes.type;
      example = "4G";
      description = ''
        Memory for containers. The module reserves it when it is loaded and gives it to nobody else; a new size takes a
        reboot.
      '';
    };

    group = mkOption {
      type = types.strMatching "[a-z_][a-z0-9_-]{0,30}";
      default = "cki";
      example = "operators";
      description = ''
        Whoever is in this group may open `/dev/cki`, and with that run containers and use up the pool. Nobody else
        but root may.
      '';
    };
  };

  config = mkIf cfg.enable {
    boot.kernelPackages = mkDefault cfg.kernelPackages;
    boot.extraModulePackages = [ config.boot.kernelPackages.cki ];
    boot.kernelModules = [ "cki" ];
    boot.extraModprobeConfig = ''
      options cki pool=${toString (sizes.mib cfg.memory.pool)}M monitor=${pkgs.cki-ksm}/lib/firmware/cki/ksm
    '';
    # The module knows four levels of page tables, and shares no processor that is in VMX operation, which KVM would
    # have them all be in for as long as it is loaded.
    boot.kernelParams = [ "no5lvl" "kvm.enable_virt_at_load=0" ];

    users.groups.${cfg.group} = { };
    services.udev.extraRules = ''
      KERNEL=="cki", SUBSYSTEM=="misc", GROUP="${cfg.group}", MODE="0660", TAG+="systemd"
    '';
    # Below it is a directory for each container that runs.
    systemd.tmpfiles.settings."10-cki"."/run/cki".d = { user = "root"; group = "root"; mode = "0755"; };

    environment.systemPackages = [ cfg.package ];
  };
}
