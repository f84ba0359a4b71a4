# SPDX-License-Identifier: MIT OR Apache-2.0
# What can be said of a container: what `cki run` takes, and what systemd adds.
{ lib, pkgs, ... }:

let
  inherit (lib) literalExpression mkOption types;
  sizes = import ../sizes.nix { inherit lib; };
  renamed = import ./renamed.nix { inherit lib; };
  port = types.ints.between 1 65535;
  rate = types.strMatching "[1-9][0-9]{0,14}[KMGT]?([+][1-9][0-9]{0,14}[KMGT]?)?" // {
    description = "number a second, such as 200, 10M, or 10M+64M with a burst";
  };
  limit = what: example: mkOption {
    type = types.nullOr rate;
    default = null;
    inherit example;
    description = "${what} at most, and behind `+` how much at once after a pause; no limit if null.";
  };
  # None at all is no end at all to systemd.
  duration = types.strMatching "0*[1-9][0-9]*(ms|s|min|h)" // { description = "time above 0, such as 500ms, 10s or 2min"; };

  # By their letters; `cki run` says what else is wrong with one.
  ip = "[0-9]{1,3}([.][0-9]{1,3}){3}|[0-9a-fA-F]*:[0-9a-fA-F:]*:[0-9a-fA-F.:]*";
  address = types.strMatching ip // { description = "IPv4 or IPv6 address"; };
  networkOrAddress = types.strMatching "(${ip})(/[0-9]{1,3})?" // { description = "IPv4 or IPv6 address, or network such as 192.0.2.0/24"; };
  hostLabel = "[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?";
  hostNames = types.addCheck (types.attrsOf address) (hosts: lib.all (host: builtins.match "${hostLabel}([.]${hostLabel})*" host != null) (lib.attrNames hosts)) // {
    description = "attribute set of IPv4 or IPv6 addresses, by the names of hosts";
  };
  capability = types.strMatching "(CAP_)?[A-Z][A-Z0-9_]*" // { description = "capability such as NET_RAW, or ALL"; };
  unit = types.strMatching "[^[:space:]/]+[.](service|socket|device|mount|automount|swap|target|path|timer|slice|scope)" // {
    description = "name of a unit, with its suffix";
  };
  # Credentials are `NAME:PATH` to systemd, and `%` is its own.
  hostFile = types.addCheck types.path (file: builtins.match ".*[:%[:space:]\"\\\\].*" (toString file) == null) // {
    description = "absolute path without blanks, `:`, `%`, quotation marks and backslashes";
  };

  publish = types.submodule {
    options = {
      host = mkOption {
        type = port;
        example = 8080;
        description = "Port of the host.";
      };
      container = mkOption {
        type = port;
        example = 80;
        description = "Port of the container.";
      };
      protocol = mkOption {
        type = types.enum [ "tcp" "udp" ];
        default = "tcp";
        example = "udp";
        description = "TCP or UDP.";
      };
      address = mkOption {
        type = types.nullOr address;
        default = null;
        example = "192.0.2.1";
        description = "The host's address to listen at; all of them if null.";
      };
    };
  };

  disk = types.submodule {
    imports = renamed.disk;
    options = {
      path = mkOption {
        type = types.path;
        example = "/var/lib/disks/database.raw";
        description = ''
          A file or block device, raw. The launcher is no administrator: a file has to be open to the group
          `services.cki.group`, a block device to the group `disk`. Prefer a file: udev takes no names and file systems
          from a block device that the container writes, but what else looks at all devices may.
        '';
      };
      readOnly = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether the container cannot write to it.";
      };
      rates = {
        readBps = limit "Bytes a second that are read" "10M+64M";
        writeBps = limit "Bytes a second that are written" "10M+64M";
        readIops = limit "Requests to read a second" "200";
        writeIops = limit "Requests to write a second" "200";
      };
    };
  };

  volume = types.submodule {
    options = {
      path = mkOption {
        type = types.strMatching ''/[^:[:space:]%"\\]+'';
        example = "/var/lib/redis";
        description = "Where the container has it.";
      };
      source = mkOption {
        type = types.nullOr (types.strMatching ''/[^:[:space:]%"\\]*'');
        default = null;
        example = "/srv/www";
        description = ''
          A directory of the host, which has to be there. The launcher is no administrator: what the container is to
          read there has to be open to everybody or to the group `services.cki.group`, and what it is to write, to
          that group. If null, a directory of the container's own, which systemd makes below `/var/lib/cki` and keeps
          from one start to the next.
        '';
      };
      readOnly = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = "Whether the container cannot write to it.";
      };
    };
  };

  healthCheck = types.submodule {
    options = {
      command = mkOption {
        type = types.listOf types.str;
        example = [ "redis-cli" "ping" ];
        description = ''
          A command of the container's and its arguments, which runs as the program does. Status 0 says that all is well.
        '';
      };
      interval = mkOption {
        type = duration;
        default = "30s";
        example = "5s";
        description = "Time from the end of a check to the next.";
      };
      timeout = mkOption {
        type = duration;
        default = "30s";
        example = "2s";
        description = "A check that takes longer has failed.";
      };
      retries = mkOption {
        type = types.ints.between 1 1000;
        default = 3;
        example = 5;
        description = "So many checks that fail one after the other make the container unhealthy.";
      };
      startPeriod = mkOption {
        type = types.nullOr duration;
        default = null;
        example = "1min";
        description = "Time in which what fails does not count, until a check has succeeded; none if null.";
      };
      action = mkOption {
        type = types.enum [ "kill" "none" ];
        default = "kill";
        example = "none";
        description = ''
          What becomes of an unhealthy container. `kill`: it is ended, and `restart` says whether it starts anew. `none`:
          it goes on; the unit of the check has failed in any case.
        '';
      };
    };
  };

  network = {
    mode = mkOption {
      type = types.enum [ "none" "user" "bridge" ];
      default = "none";
      example = "user";
      description = ''
        What the container's network card is connected to. `none`: there is no card. `user`: what the host reaches, by
        sockets of an unprivileged process; neither the host itself nor other containers. `bridge`: a bridge of the
        host, with everything else that is on it.
      '';
    };
    bridge = mkOption {
      # What the kernel takes as the name of an interface.
      type = types.nullOr (types.strMatching "[A-Za-z0-9_.-]{1,15}");
      default = null;
      example = "br0";
      description = "The bridge, with `mode = \"bridge\"`.";
    };
    address = mkOption {
      type = types.nullOr (types.strMatching "(${ip})/[0-9]{1,3}" // { description = "IPv4 or IPv6 address with the length of its network's prefix"; });
      default = null;
      example = "10.1.0.7/24";
      description = "The container's address, with the length of its network's prefix. On a bridge there has to be one.";
    };
    publish = mkOption {
      type = types.listOf publish;
      default = [ ];
      example = [{ host = 8080; container = 80; }];
      description = "Ports of the host that lead into the container, with `mode = \"user\"`.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = "Whether the published ports are opened in the host's firewall.";
    };
    allow = mkOption {
      type = types.listOf networkOrAddress;
      default = [ ];
      example = [ "192.0.2.0/24" ];
      description = ''
        If not empty, the only addresses and networks that the container may send to, besides its name servers.
      '';
    };
    nameservers = mkOption {
      type = types.listOf address;
      default = [ ];
      example = [ "192.0.2.53" ];
      description = "Whom programs ask for names; the host's name servers if empty.";
    };
    hosts = mkOption {
      type = hostNames;
      default = { };
      example = { database = "10.1.0.8"; };
      description = "Names for `/etc/hosts`, with their addresses.";
    };
    rates = {
      ingressRate = limit "Bytes a second that the container receives" "1M+16M";
      egressRate = limit "Bytes a second that the container sends" "1M+16M";
      ingressPackets = limit "Packets (Ethernet frames) a second that the container receives" "5000";
      egressPackets = limit "Packets (Ethernet frames) a second that the container sends" "5000";
    };
  };

  container = { name, ... }: {
    imports = renamed.container;
    options = {
      image = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/var/lib/images/redis.raw";
        description = ''
          The root file system: a file that `cki-build image app` wrote, or any EROFS image, which everybody may read.
          One of this, `packages` and `oci`.
        '';
      };
      oci = mkOption {
        type = types.nullOr (types.either types.package types.path);
        default = null;
        example = literalExpression "./redis.tar";
        description = ''
          An image of another container engine, made into a root file system when the system is built: an archive or
          directory that podman, docker, skopeo or buildah wrote, as a path of the configuration, or a package such as
          `pkgs.dockerTools.pullImage` gives. What it says of its program is the default of `command`, `environment`,
          `user`, `workingDirectory` and `tmpfs`. Each of its layers is checked against its digest. One of this,
          `image` and `packages`.
        '';
      };
      ociDigest = mkOption {
        type = types.nullOr (types.strMatching "sha256:[0-9a-f]{64}");
        default = null;
        example = "sha256:2da4d0ef1d1ef0ad4fe9bf2a3d6f6d3ee4cd0a4ab2a4c4d1b3b8f5c9f4b7f1a2";
        description = ''
          The image that `oci` has to be, by the digest of its manifest, as registries name it, or of its configuration,
          which engines call the image's ID; another one ends the build. Any if null.
        '';
      };
      packages = mkOption {
        type = types.listOf types.package;
        default = [ ];
        example = literalExpression "[ pkgs.redis ]";
        description = ''
          Packages to make the root file system from: their programs are in `/bin`, and they and what they need in
          `/nix/store`. One of this, `image` and `oci`.
        '';
      };
      command = mkOption {
        type = types.listOf types.str;
        example = [ "redis-server" "--save" "" ];
        description = ''
          The program and its arguments, as the container knows them. No shell reads them. With `oci`, they take the
          place of the image's entry point and arguments, which run if this is empty.
        '';
      };
      environment = mkOption {
        type = types.attrsOf types.str;
        default = { };
        example = { LANG = "C.UTF-8"; };
        description = ''
          Variables of the program. They stand in the unit, where everybody reads them: `environmentFiles` and `secrets`
          are for what nobody else is to know.
        '';
      };
      environmentFiles = mkOption {
        type = types.listOf hostFile;
        default = [ ];
        example = [ "/run/secrets/database.env" ];
        description = ''
          Files with a variable `NAME=VALUE` a line, for what nobody else is to read: systemd reads them as root and
          gives them to the launcher as credentials, each time the container starts.
        '';
      };
      secrets = mkOption {
        type = types.attrsOf hostFile;
        default = { };
        example = { "tls.key" = "/run/secrets/tls.key"; };
        description = ''
          Files that the container has in `/run/secrets`, by their names there: systemd reads them as root each time the
          container starts, and keeps copies in memory for the launcher alone (`LoadCredential=`). In the container,
          root reads them. A path is a string, such as `sops-nix` and `agenix` give, and no file of the configuration,
          which would be in the store.
        '';
      };
      user = mkOption {
        type = types.nullOr (types.strMatching "[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?");
        default = null;
        example = "daemon:daemon";
        description = "Whom the program runs as, looked up in the image; root of the container if null.";
      };
      workingDirectory = mkOption {
        type = types.nullOr types.path;
        default = null;
        example = "/srv";
        description = "Directory in the container in which the program starts; `/root` if null, and `/` with `user`.";
      };
      hostName = mkOption {
        type = types.strMatching "[A-Za-z0-9._-]{1,64}";
        default = name;
        defaultText = literalExpression "name";
        example = "web";
        description = "Host name that the program sees.";
      };
      memory = mkOption {
        type = sizes.type;
        default = "512M";
        example = "1.5G";
        description = "Memory of the container, from the pool (`services.cki.memory.pool`).";
      };
      readOnly = mkOption {
        type = types.bool;
        default = false;
        example = true;
        description = ''
          Whether nobody can write to the root file system. What is written to it otherwise is gone when the container
          ends.
        '';
      };
      tmpfs = mkOption {
        type = types.listOf (types.strMatching "/[^:]+(:.+)?");
        default = [ ];
        example = [ "/var/cache:size=64M,mode=1777" ];
        description = "File systems in memory, with the options of `cki run --tmpfs`.";
      };
      disks = mkOption {
        type = types.listOf disk;
        default = [ ];
        example = [{ path = "/var/lib/disks/database.raw"; }];
        description = "Disks of the container: `/dev/vdb`, `/dev/vdc`, ... in this order.";
      };
      volumes = mkOption {
        type = types.listOf volume;
        default = [ ];
        example = [{ path = "/srv"; source = "/srv/www"; readOnly = true; }];
        description = ''
          Directories that the container shares with the host. All that it makes there belongs to its launcher's user,
          and in the container what is that user's is root's: a program that works as another user needs a disk.
        '';
      };
      ulimits = mkOption {
        type = types.attrsOf (types.either types.ints.unsigned (types.strMatching "([0-9]+|unlimited)(:([0-9]+|unlimited))?"));
        default = { };
        example = { nofile = "1024:4096"; core = 0; };
        description = "Limits of the program's resources (setrlimit(2)), soft and hard.";
      };
      capabilities = {
        drop = mkOption {
          type = types.listOf capability;
          default = [ ];
          example = [ "ALL" ];
          description = "Capabilities that the program has not, in its own kernel.";
        };
        add = mkOption {
          type = types.listOf capability;
          default = [ ];
          example = [ "NET_BIND_SERVICE" ];
          description = "Capabilities that it keeps where `drop` says `ALL`.";
        };
      };
      inherit network;
      healthCheck = mkOption {
        type = types.nullOr healthCheck;
        default = null;
        example = { command = [ "redis-cli" "ping" ]; interval = "10s"; };
        description = ''
          A command that says whether the container is well, asked again and again by `cki-health@NAME.service`: a unit
          that comes and goes with the container, has started when the container is healthy, and fails when it is not.
        '';
      };
      stopSignal = mkOption {
        type = types.nullOr (types.enum [ "SIGTERM" "SIGINT" "SIGQUIT" "SIGHUP" "SIGUSR1" "SIGUSR2" "SIGWINCH" ]);
        default = null;
        example = "SIGINT";
        description = ''
          What the program gets to end it. If null, SIGTERM; an image that `oci` names and that asks for another signal
          then ends the build, which says which one to set.
        '';
      };
      stopTimeout = mkOption {
        type = duration;
        default = "10s";
        example = "2min";
        description = "Time that it then has. After it, the container ends.";
      };
      autoStart = mkOption {
        type = types.bool;
        default = true;
        example = false;
        description = "Whether it starts at boot.";
      };
      restart = mkOption {
        type = types.enum [ "no" "on-failure" "always" ];
        default = "on-failure";
        example = "always";
        description = "When systemd starts it anew (`Restart=`).";
      };
      after = mkOption {
        type = types.listOf unit;
        default = [ ];
        example = [ "cki@database.service" ];
        description = "Units that it starts after.";
      };
      requires = mkOption {
        type = types.listOf unit;
        default = [ ];
        example = [ "cki@database.service" ];
        description = "Units that it starts with, and stops with.";
      };
      resources = mkOption {
        type = types.attrsOf (types.oneOf [ types.str types.int ]);
        default = { };
        example = { CPUQuota = "50%"; IOWeight = 50; };
        description = ''
          What the launcher may use, in the words of systemd.resource-control(5). The container's memory is not in it:
          the pool is no cgroup's.
        '';
      };
    };
  };
in
{
  options.services.cki.containers = mkOption {
    type = types.attrsOf (types.submodule container);
    default = { };
    example = literalExpression ''
      {
        cache = {
          packages = [ pkgs.redis ];
          command = [ "redis-server" "--save" "" "--protected-mode" "no" ];
          network = { mode = "user"; publish = [ { host = 6379; container = 6379; } ]; };
        };
      }
    '';
    description = ''
      Containers, each a service `cki@NAME.service`. A container that is no longer here is stopped when the system is
      switched; one that has changed is restarted.
    '';
  };
}
