# SPDX-License-Identifier: MIT OR Apache-2.0
# What a container's launcher may do on the host, as settings of its unit. The container itself is held by the
# monitor; this is for a launcher that a hostile guest has taken over by way of its devices.
{ lib, group, containers }:

name: container:

let
  inherit (lib) hasPrefix optional optionals;
  inherit (container.network) mode;
  blockDevices = lib.filter (disk: hasPrefix "/dev/" disk.path) container.disks;
  isFile = disk: !hasPrefix "/dev/" disk.path;
  files = lib.filter (disk: isFile disk && !disk.readOnly) container.disks;
  own = map (disk: disk.path) container.disks;
  shared = lib.filter (volume: volume.source != null) container.volumes;
  # Secrets are one, of the launcher's credentials.
  hasVolumes = container.volumes != [ ] || container.secrets != { };
  # The group of all launchers may write each container's.
  others = lib.unique (lib.filter (path: !lib.elem path own)
    (map (disk: disk.path) (lib.filter isFile (lib.concatMap (other: other.disks) (lib.attrValues containers)))));
in
{
  # A user of its own for as long as it runs. Without a name, systemd takes what stands before the `@` of the unit's:
  # one user for all containers, and none where there is a group of that name. A user's name is shorter than a
  # container's may be, and has no dot.
  DynamicUser = true;
  User =
    if builtins.match "[A-Za-z0-9_-]{1,27}" name != null then "cki-${name}"
    else "cki-${builtins.substring 0 27 (builtins.hashString "sha256" name)}";
  SupplementaryGroups = [ group ] ++ optional (blockDevices != [ ]) "disk";
  UMask = "0077";
  NoNewPrivileges = true;
  # TAP interfaces are made by whoever administers the network.
  AmbientCapabilities = optional (mode == "bridge") "CAP_NET_ADMIN";
  CapabilityBoundingSet = if mode == "bridge" then [ "CAP_NET_ADMIN" ] else [ "" ];

  DevicePolicy = "closed";
  DeviceAllow = [ "/dev/cki rw" ]
    ++ optional (mode == "bridge") "/dev/net/tun rw"
    ++ map (disk: "${disk.path} ${if disk.readOnly then "r" else "rw"}") blockDevices;
  ProtectSystem = "strict";
  ReadWritePaths = map (disk: disk.path) files ++ map (volume: volume.source) (lib.filter (volume: !volume.readOnly) shared);
  InaccessiblePaths = map (path: "-${path}") others;
  ProtectHome = true;
  PrivateTmp = true;
  ProtectProc = "invisible";
  # Without a card, nothing of the host's network is to be seen either.
  PrivateNetwork = mode == "none";
  # The kernel says by netlink which addresses the host has, and makes TAP interfaces parts of a bridge.
  RestrictAddressFamilies = [ "AF_UNIX" ]
    ++ optionals (mode == "user") [ "AF_INET" "AF_INET6" ]
    ++ optional (mode != "none") "AF_NETLINK";
  IPAddressDeny = optional (mode != "user") "any";

  # passt and the processes of volumes shut themselves in: namespaces, and a root of their own for them.
  RestrictNamespaces =
    if hasVolumes then [ "user" "ipc" "mnt" "net" "pid" "uts" ]
    else if mode == "user" then [ "user" "ipc" "mnt" "pid" "uts" ]
    else true;
  # The launcher's threads give up further calls by seccomp themselves, which @system-service of Debian 12's systemd lacks.
  SystemCallFilter = [ "@system-service" ] ++ (if mode == "user" || hasVolumes then [ "@mount" ] else [ "~@resources" ]) ++ [ "seccomp" ];
  SystemCallArchitectures = "native";
  SystemCallErrorNumber = "EPERM";

  KeyringMode = "private";
  LockPersonality = true;
  MemoryDenyWriteExecute = true;
  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  ProtectKernelLogs = true;
  ProtectKernelModules = true;
  ProtectKernelTunables = true;
  RemoveIPC = true;
  RestrictRealtime = true;
  RestrictSUIDSGID = true;
}
