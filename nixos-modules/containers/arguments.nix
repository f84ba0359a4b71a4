# SPDX-License-Identifier: MIT OR Apache-2.0
# A container as the command line of `cki run`: words, those of systemd's own in { systemd = "%..."; }.
#
# `config` is null, or a file with what the image says of its program.
{ lib, package, guest, image, config }:

name: container:

let
  inherit (lib) concatLists concatMap mapAttrsToList optional optionals;
  inherit (container) network;
  volumes = import ./volumes.nix { inherit lib; };
  option = flag: value: [ flag value ];
  unless = default: flag: value: optionals (value != default) (option flag value);
  each = flag: concatMap (option flag);

  bracketed = address: if lib.hasInfix ":" address then "[${address}]" else address;
  published = port:
    lib.optionalString (port.address != null) "${bracketed port.address}:"
    + "${toString port.host}:${toString port.container}/${port.protocol}";

  rates = { readBps, writeBps, readIops, writeIops }:
    let word = name: rate: lib.optionalString (rate != null) ":${name}=${rate}";
    in word "read-bps" readBps + word "write-bps" writeBps
      + word "read-iops" readIops + word "write-iops" writeIops;
in
[ "${package}/bin/cki" "run" ]
++ option "--kernel" "${guest}/vmlinux"
++ option "--initrd" "${guest}/initrd"
++ option "--image" "${image}"
++ unless null "--image-config" config
++ option "--name" name
++ option "--memory" container.memory
++ option "--hostname" container.hostName
++ unless null "--user" container.user
++ unless null "--workdir" container.workingDirectory
++ optional container.readOnly "--read-only"
++ each "--tmpfs" container.tmpfs
# A disk that a container wrote may begin as an image of another format does.
++ each "--disk" (map (disk: "${disk.path}:${if disk.readOnly then "ro" else "rw"}:format=raw${rates disk.rates}") container.disks)
++ concatMap (volume: option "--volume" (volumes.word name volume)) container.volumes
# The directory with all credentials, which are read-only to everybody.
++ optionals (container.secrets != { }) (option "--volume" { systemd = "%d:/run/secrets:ro"; })
++ each "--ulimit" (mapAttrsToList (resource: limit: "${resource}=${toString limit}") container.ulimits)
++ each "--cap-drop" container.capabilities.drop
++ each "--cap-add" container.capabilities.add
++ option "--network" (if network.mode == "bridge" then "bridge=${network.bridge}" else network.mode)
++ unless null "--ip" network.address
++ each "--publish" (map published network.publish)
++ each "--allow" network.allow
++ unless null "--ingress-rate" network.rates.ingressRate
++ unless null "--egress-rate" network.rates.egressRate
++ unless null "--ingress-packets" network.rates.ingressPackets
++ unless null "--egress-packets" network.rates.egressPackets
++ each "--dns" network.nameservers
++ each "--add-host" (mapAttrsToList (host: address: "${host}:${address}") network.hosts)
++ concatLists (lib.imap0 (number: _: option "--env-file" { systemd = "%d/environment${toString number}"; }) container.environmentFiles)
++ each "--env" (mapAttrsToList (variable: value: "${variable}=${value}") container.environment)
# Both words and an entry point, as the image may have one of its own.
++ optionals (config != null && container.command != [ ]) (option "--entrypoint" (lib.head container.command))
++ optionals (config == null || container.command != [ ]) [ "--" ]
++ (if config == null then container.command else lib.drop 1 container.command)
