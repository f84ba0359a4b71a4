# SPDX-License-Identifier: MIT OR Apache-2.0
# What has to hold of a configuration, as assertions. Each message names the option, the container and the remedy.
{ config, lib, pkgs }:

let
  inherit (lib) concatMap concatStringsSep filter length mapAttrsToList optional;
  cfg = config.services.cki;
  sizes = import ./sizes.nix { inherit lib; };
  # Of `cki` itself.
  limits = lib.importJSON ./limits.json;
  volumes = import ./containers/volumes.nix { inherit lib; };
  containers = mapAttrsToList (name: container: container // { inherit name; }) cfg.containers;
  option = name: rest: "services.cki.containers.${name}.${rest}";
  pool = sizes.mib cfg.memory.pool;
  taken = lib.foldl' (sum: container: sum + sizes.chunks container.memory) 0;
  started = filter (container: container.autoStart) containers;

  bridges = lib.attrNames config.networking.bridges
    ++ mapAttrsToList (_: netdev: netdev.netdevConfig.Name or "")
    (lib.filterAttrs (_: netdev: netdev.netdevConfig.Kind or "" == "bridge") config.systemd.network.netdevs);

  # Of `things`, those with a key that another one has: { <key> = [ thing … ]; … }.
  twice = key: things: lib.filterAttrs (_: found: length found > 1) (lib.groupBy key things);
  names = things: concatStringsSep " and " (lib.unique (map (thing: thing.name) things));

  published = concatMap
    (container: map (port: port // { inherit (container) name; }) container.network.publish)
    containers;
  addressed = filter (container: container.network.mode == "bridge" && container.network.address != null) containers;
  bare = address: lib.head (lib.splitString "/" address);
  writable = concatMap
    (container: map (disk: disk // { inherit (container) name; }) (filter (disk: !disk.readOnly) container.disks))
    containers;
  read = concatMap (container: map (disk: disk // { inherit (container) name; }) container.disks) containers;

  # What the unit's sandbox hides (ProtectHome, PrivateTmp).
  hidden = path: lib.any (directory: lib.hasPrefix "${directory}/" path) [ "/home" "/root" "/run/user" "/tmp" "/var/tmp" ];

  # The first port that any user may listen at.
  unprivileged = config.boot.kernel.sysctl."net.ipv4.ip_unprivileged_port_start" or 1024;

  # systemd.resource-control(5): what `resources` is for. All else in the unit is the module's.
  isResource = key:
    lib.any (prefix: lib.hasPrefix prefix key) [ "CPU" "IO" "Memory" "Tasks" "AllowedCPUs" "AllowedMemoryNodes" "Slice" "StartupCPU" "StartupIO" "StartupMemory" "ManagedOOM" ]
    && !lib.elem key [ "IOSchedulingClass" "IOSchedulingPriority" "CPUSchedulingPolicy" "CPUSchedulingPriority" "MemoryDenyWriteExecute" ];

  host = [
    {
      assertion = pkgs.stdenv.hostPlatform.system == "x86_64-linux";
      message = "services.cki.enable: CKI containers run on x86_64-linux, and this is ${pkgs.stdenv.hostPlatform.system}. Leave the option off on this machine.";
    }
    {
      assertion = !config.boot.kernelPackages.cki.meta.broken;
      message = "boot.kernelPackages: the CKI module takes kernels from 6.12 to 6.14, and this is ${config.boot.kernelPackages.kernel.version}. Set boot.kernelPackages to pkgs.linuxPackages_6_12, or leave it to services.cki.kernelPackages.";
    }
    {
      assertion = taken started <= pool;
      message = "services.cki.memory.pool: ${cfg.memory.pool} is too small for the containers that start at boot, which have ${toString (taken started)}M together (${names started}). Give the pool at least ${toString (taken started)}M, or a container less memory or autoStart = false.";
    }
  ];

  ofContainer = container:
    let
      inherit (container) name network;
      # The volume that they are.
      secrets = optional (container.secrets != { }) "/run/secrets";
      cannot = condition: path: problem: { assertion = !condition; message = "${option name path}: ${problem}"; };
    in
    [
      (cannot (builtins.match limits.containerName name == null) "command"
        "\"${name}\" is no name of a container. Take 1 to 64 letters, digits, `.`, `_` or `-`, a letter or digit first.")
      (cannot (container.image == null && container.packages == [ ] && container.oci == null) "image"
        "the container ${name} has no root file system. Set `image` to a file, `packages` to what is to be in it, or `oci` to another engine's image.")
      (cannot (container.image != null && container.packages != [ ]) "packages"
        "the container ${name} has an `image` already, to which nothing is added. Set one of the two.")
      (cannot (container.oci != null && (container.image != null || container.packages != [ ])) "oci"
        "the container ${name} has a root file system already, by `${if container.image != null then "image" else "packages"}`. Set one of the two.")
      (cannot (builtins.isString container.oci && !lib.hasPrefix builtins.storeDir container.oci) "oci"
        "${toString container.oci} of ${name} is a name, and no file that a build can read. Write it without quotation marks, as a path of the configuration (./image.tar), or take a package such as pkgs.dockerTools.pullImage gives.")
      (cannot (container.ociDigest != null && container.oci == null) "ociDigest"
        "the container ${name} has no image of another engine. Set `oci`, or leave `ociDigest` out.")
      (cannot (container.command == [ ] && container.oci == null) "command"
        "the container ${name} has nothing to run. Name the program and its arguments.")
      (cannot (container.healthCheck != null && lib.head (container.healthCheck.command ++ [ "" ]) == "") "healthCheck.command"
        "the container ${name} is checked by no program. Name one and its arguments, or leave healthCheck out.")
      (cannot (container.command != [ ] && lib.head container.command == "") "command"
        "the program of the container ${name} has no name. Put it first.")
      (cannot (sizes.mib container.memory < limits.leastMib) "memory"
        "${container.memory} is too little for the kernel of ${name}. Give it at least ${toString limits.leastMib}M.")
      (cannot (sizes.mib container.memory > limits.mostMib) "memory"
        "${container.memory} for ${name} is more than a container takes. Give it at most ${toString (limits.mostMib / 1024)}G.")
      (cannot (!container.autoStart && sizes.chunks container.memory > pool) "memory"
        "${container.memory} for ${name} is more than the whole pool of ${cfg.memory.pool}. Enlarge services.cki.memory.pool, or give it less.")
      (cannot (length container.volumes + length secrets > limits.mostVolumes) "volumes"
        "${toString (length container.volumes)} volumes of ${name}${lib.optionalString (secrets != [ ]) ", and one with its secrets,"} are more than a container takes. Give it at most ${toString (limits.mostVolumes - length secrets)}.")
      (cannot (network.mode == "bridge" && network.bridge == null) "network.bridge"
        "the container ${name} is to be on a bridge, and none is named. Name it, or take mode = \"user\".")
      (cannot (network.mode == "bridge" && network.address == null) "network.address"
        "nobody gives the container ${name} an address on its bridge. Set one, such as \"10.1.0.7/24\".")
      (cannot (network.mode == "bridge" && network.bridge != null && !lib.elem network.bridge bridges) "network.bridge"
        "the container ${name} is to be on ${network.bridge}, which is no bridge of this configuration (there ${if bridges == [ ] then "is none" else "are ${concatStringsSep ", " bridges}"}). Add networking.bridges.${network.bridge}, or a netdev of that kind to systemd.network.netdevs.")
      (cannot (network.mode != "bridge" && network.bridge != null) "network.bridge"
        "the container ${name} is on no bridge with mode = \"${network.mode}\". Set mode = \"bridge\", or leave out `bridge`.")
      (cannot (network.mode == "bridge" && network.publish != [ ]) "network.publish"
        "on a bridge every port of ${name} is reached, and none is published. Leave `publish` out, or take mode = \"user\".")
      (cannot (network.mode == "none" && (network.publish != [ ] || network.allow != [ ] || network.address != null || network.nameservers != [ ] || network.hosts != { } || lib.any (limit: limit != null) (lib.attrValues network.rates))) "network.mode"
        "the container ${name} has no network, and something is said of it. Set mode = \"user\" or \"bridge\", or leave publish, allow, address, nameservers, hosts and rates out.")
      (cannot (network.openFirewall && network.publish == [ ]) "network.openFirewall"
        "the container ${name} publishes no port that could be opened. Set network.publish, or leave openFirewall out.")
    ]
    ++ map
      (port: cannot (port.host < unprivileged) "network.publish"
        "the launcher of ${name} is no administrator and cannot listen at the host's port ${toString port.host}. Publish a port from ${toString unprivileged} on, or lower boot.kernel.sysctl.\"net.ipv4.ip_unprivileged_port_start\".")
      network.publish
    ++ map
      (variable: cannot (builtins.match "[^=[:space:]]+" variable == null) "environment"
        "\"${variable}\" cannot be the name of a variable of ${name}. Take one without blanks and `=`.")
      (lib.attrNames container.environment)
    ++ map
      (key: cannot (!isResource key) "resources"
        "${key} for ${name} is none of systemd.resource-control(5). Set it by systemd.services.\"cki@${name}\".serviceConfig.")
      (lib.attrNames container.resources)
    ++ map
      (resource: cannot (!lib.elem resource limits.resources) "ulimits"
        "the kernel of ${name} limits no ${resource}. setrlimit(2) has the names, in lower case and without RLIMIT_.")
      (lib.attrNames container.ulimits)
    ++ mapAttrsToList
      (_: found: cannot true "volumes"
        "${lib.concatMapStringsSep " and " (volume: volume.path) found} of ${name} are one place, or two with one directory below /var/lib/cki/${name}. Give each a path of its own, which differs in more than `/` and `-`.")
      (twice (volume: volumes.directory volume.path) container.volumes)
    ++ map
      (file: cannot (hidden file.path) file.option
        "${file.path} is hidden from services, and ${name} is one. Keep it below /var/lib or another directory that is not of users or temporary.")
      (map (disk: { inherit (disk) path; option = "disks"; }) container.disks
      ++ map (volume: { path = volume.source; option = "volumes"; }) (filter (volume: volume.source != null) container.volumes)
      ++ optional (container.image != null) { path = toString container.image; option = "image"; })
    ++ concatMap
      (disk: [
        (cannot (builtins.match "/dev/disk/by-(label|uuid)/.*" disk.path != null) "disks"
          "${disk.path} is whichever device has that written on it, and ${name} writes it. Take its name below /dev/disk/by-id.")
        (cannot (builtins.match "/dev/(md/|disk/by-id/md-).*" disk.path != null) "disks"
          "${disk.path} is a name that mdadm gives, after the rule that keeps what ${name} writes from being one of the host's. Take the device's own, such as /dev/md127.")
        (cannot (builtins.match "[A-Za-z0-9/:.,+=@_#-]+" disk.path == null) "disks"
          "${disk.path} of ${name} would be a pattern in a rule of udev's. Take a name of letters, digits and `/:.,+=@_#-`, for instance one below /dev/disk/by-path.")
      ])
      (filter (disk: !disk.readOnly && lib.hasPrefix "/dev/" disk.path) container.disks)
    ++ map
      (file: cannot (lib.hasPrefix builtins.storeDir (toString file) || builtins.isPath file) "environmentFiles"
        "${toString file} of ${name} is in the store, or comes there, where everybody reads it. Take a path outside of it as a string, or `environment` if it is no secret.")
      container.environmentFiles
    ++ concatMap
      (secret:
        let file = container.secrets.${secret}; in
        [
          (cannot (lib.hasPrefix builtins.storeDir (toString file) || builtins.isPath file) "secrets"
            "${toString file} of ${name} is in the store, or comes there, where everybody reads it. Take a path outside of it as a string.")
          (cannot (builtins.match "[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}" secret == null) "secrets"
            "\"${secret}\" cannot be a file's name in /run/secrets of ${name}. Take letters, digits, `.`, `_` and `-`, no `.` first.")
          (cannot (builtins.match "environment[0-9]+" secret != null) "secrets"
            "${secret} of ${name} is what a file of `environmentFiles` is called there. Take another name.")
        ])
      (lib.attrNames container.secrets)
    ++ map
      (place: cannot true "secrets"
        "${place} of ${name} is where its secrets are. Move that volume or file system, or leave `secrets` out.")
      (filter (place: secrets != [ ] && (place == "/run" || place == "/run/secrets" || lib.hasPrefix "/run/secrets/" place))
        (map (volume: volume.path) container.volumes
        ++ map (tmpfs: lib.head (lib.splitString ":" tmpfs)) container.tmpfs));

  # Those of `ports`, all of one number, that cannot be beside another: on several addresses there are several ports of
  # one number.
  clashing = ports:
    let anywhere = lib.any (port: port.address == null) ports; in
    if anywhere then ports
    else lib.concatLists (lib.attrValues (twice (port: port.address) ports));

  among =
    concatMap
      (ports: optional (ports != [ ]) {
        assertion = false;
        message = "services.cki.containers.*.network.publish: the host's ${(lib.head ports).protocol} port ${toString (lib.head ports).host} is published by ${names ports}, ${toString (length ports)} times. Give each a port of its own, or an address of its own.";
      })
      (map clashing (lib.attrValues (twice (port: "${toString port.host}/${port.protocol}") published)))
    ++ mapAttrsToList
      (_: found: {
        assertion = false;
        message = "services.cki.containers.*.network.address: ${names found} have one address on ${toString (lib.head found).network.bridge}, ${bare (lib.head found).network.address}. Give each its own.";
      })
      (twice (container: "${toString container.network.bridge} ${bare container.network.address}") addressed)
    ++ concatMap
      (disk: optional (length (filter (other: other.path == disk.path) read) > 1) {
        assertion = false;
        message = "services.cki.containers.*.disks: ${disk.path} is written by ${disk.name} and used by ${names (filter (other: other.path == disk.path) read)} in all. A disk has one writer or any number of readers: set readOnly = true for each, or give each its own.";
      })
      writable;
in
if cfg.enable
then host ++ concatMap ofContainer containers ++ among
else
  optional (cfg.containers != { }) {
    assertion = false;
    message = "services.cki.enable: there are containers (${names containers}) and no host for them. Set it to true, or remove services.cki.containers.";
  }
