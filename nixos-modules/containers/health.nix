# SPDX-License-Identifier: MIT OR Apache-2.0
# The unit that checks a container, cki-health@NAME.service: it comes and goes with the container, has started when
# the container is healthy, and has failed when it is not any more.
{ config, lib, utils, ... }:

let
  cfg = config.services.cki;
  sandbox = import ./sandbox.nix { inherit lib; inherit (cfg) group containers; };

  service = name: container:
    let
      check = container.healthCheck;
      words = [ "${cfg.package}/bin/cki" "health" ]
        ++ [ "--interval" check.interval "--timeout" check.timeout "--retries" (toString check.retries) ]
        ++ lib.optionals (check.startPeriod != null) [ "--start-period" check.startPeriod ]
        ++ lib.optional (check.action == "kill") "--kill"
        ++ [ "--" name ] ++ check.command;
      unit = "cki@${name}.service";
      # Nothing of what the container has on the host is the check's.
      alone = container // { disks = [ ]; volumes = [ ]; secrets = { }; network = container.network // { mode = "none"; }; };
    in
    {
      description = "Health of the CKI container ${name}";
      bindsTo = [ unit ];
      after = [ unit ];
      wantedBy = [ unit ];
      enableDefaultPath = false;
      # The launcher's user, whose directory below /run has the socket by which the container is found.
      serviceConfig = sandbox name alone // {
        # It says when the container is healthy, which takes as long as it takes.
        Type = "notify";
        NotifyAccess = "main";
        TimeoutStartSec = "infinity";
        ExecStart = utils.escapeSystemdExecArgs words;
        SyslogIdentifier = name;
        # Stopped, as with the container.
        SuccessExitStatus = map toString [ 129 130 143 ];
      };
    };
in
{
  config.systemd.services = lib.mkIf cfg.enable (lib.mapAttrs'
    (name: container: lib.nameValuePair "cki-health@${name}" (service name container))
    (lib.filterAttrs (_: container: container.healthCheck != null) cfg.containers));
}
