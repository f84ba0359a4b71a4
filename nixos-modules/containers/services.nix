# SPDX-License-Identifier: MIT OR Apache-2.0
# The unit of a container, cki@NAME.service.
{ config, lib, pkgs, utils, ... }:

let
  cfg = config.services.cki;
  makeImage = pkgs.callPackage ../image.nix { };
  volumes = import ./volumes.nix { inherit lib; };
  sandbox = import ./sandbox.nix { inherit lib; inherit (cfg) group containers; };

  makeDisk = pkgs.callPackage ../oci.nix { };

  # The root file system, and what it says of its program, if it does.
  root = name: container:
    if container.oci != null then
      let
        disk = makeDisk {
          inherit name;
          archive = container.oci;
          digest = container.ociDigest;
          # Whoever sets one knows of another.
          stopSignal = if container.stopSignal == null then killSignal container else null;
        };
      in
      { image = "${disk}/disk.raw"; config = "${disk}/config.json"; }
    else {
      image = if container.image != null then container.image else makeImage { inherit name; inherit (container) packages; };
      config = null;
    };
  killSignal = container: if container.stopSignal == null then "SIGTERM" else container.stopSignal;
  commandLine = name: container:
    let
      arguments = import ./arguments.nix {
        inherit lib;
        inherit (cfg) package guest;
        inherit (root name container) image config;
      };
      word = argument: argument.systemd or (utils.escapeSystemdExecArg argument);
    in
    lib.concatMapStringsSep " " word (arguments name container);

  service = name: container: {
    description = "CKI container ${name}";
    after = [ "dev-cki.device" "systemd-modules-load.service" ]
      ++ lib.optional (container.network.mode != "none") "network.target"
      ++ container.after;
    # There as soon as the module is, whether or not a container can run on this machine: that the launcher says.
    requires = [ "dev-cki.device" ] ++ container.requires;
    wantedBy = lib.optional container.autoStart "multi-user.target";
    # Where the launcher finds it.
    enableDefaultPath = false;
    path = lib.optional (container.network.mode == "user") pkgs.ckiPackages.cki-passt;

    serviceConfig = sandbox name container // container.resources // {
      # The launcher says when the program runs.
      Type = "notify";
      NotifyAccess = "main";
      ExecStart = commandLine name container;
      LoadCredential = lib.imap0 (number: file: "environment${toString number}:${toString file}") container.environmentFiles
        ++ lib.mapAttrsToList (secret: file: "${secret}:${toString file}") container.secrets;
      StateDirectory = volumes.own name container.volumes;
      RuntimeDirectory = "cki/${name}";
      RuntimeDirectoryMode = "0700";
      SyslogIdentifier = name;
      Restart = container.restart;
      # Longer than the launcher waits for a guest to come up.
      TimeoutStartSec = "150s";
      # The launcher passes the signal on to the program.
      KillMode = "mixed";
      KillSignal = killSignal container;
      TimeoutStopSec = container.stopTimeout;
      # A program that the signal ended has stopped as it was told to.
      SuccessExitStatus = map toString [ 129 130 131 143 ];
    };
  };
in
{
  config = lib.mkIf cfg.enable {
    systemd.services = lib.mapAttrs' (name: container: lib.nameValuePair "cki@${name}" (service name container)) cfg.containers;

    networking.firewall =
      let
        ports = protocol: lib.concatMap
          (container: map (port: port.host)
            (lib.filter (port: port.protocol == protocol)
              (lib.optionals container.network.openFirewall container.network.publish)))
          (lib.attrValues cfg.containers);
      in
      { allowedTCPPorts = ports "tcp"; allowedUDPPorts = ports "udp"; };
  };
}
