# SPDX-License-Identifier: MIT OR Apache-2.0
# Configurations that are refused, with what each is told: parts of the one message that there has to be. Those
# below `types` are refused by the type of an option.
{ nixpkgs }:

let
  inherit (import ./evaluate.nix { inherit nixpkgs; }) lib machine pkgs pkgsFor;

  base = { services.cki = { enable = true; memory.pool = "1G"; }; };
  # A host with a container of these settings beside the least that one needs.
  container = name: settings: {
    imports = [ base ];
    services.cki.containers.${name} = { image = lib.mkDefault "/var/lib/images/x.raw"; command = lib.mkDefault [ "true" ]; } // settings;
  };
  one = container "one";
  both = first: second: { imports = [ (container "one" first) (container "two" second) ]; };
  user = { network.mode = "user"; };
  bridged = address: { network = { mode = "bridge"; bridge = "br0"; inherit address; }; };
  br0 = { networking.bridges.br0.interfaces = [ ]; };
  publish = host: { network.mode = "user"; network.publish = [{ inherit host; container = 80; }]; };

  good = {
    nothing = { };
    no-container = base;
    least = one { };
    all-of-the-pool = both { memory = "512M"; } { memory = "512M"; };
    by-hand = both { memory = "1G"; } { memory = "1G"; autoStart = false; };
    a-port-of-tcp-and-of-udp = one { network = { mode = "user"; publish = [{ host = 5300; container = 53; } { host = 5300; container = 53; protocol = "udp"; }]; }; };
    a-port-on-two-addresses = one { network = { mode = "user"; publish = [{ host = 8080; container = 80; address = "127.0.0.1"; } { host = 8080; container = 80; address = "::1"; }]; }; };
    a-low-port = { imports = [ (one (publish 80)) ]; boot.kernel.sysctl."net.ipv4.ip_unprivileged_port_start" = 80; };
    a-bridge = { imports = [ (both (bridged "10.1.0.7/24") (bridged "10.1.0.8/24")) br0 ]; };
    a-bridge-of-networkd = { imports = [ (one (bridged "10.1.0.7/24")) ]; systemd.network.netdevs."10-br0".netdevConfig = { Kind = "bridge"; Name = "br0"; }; };
    readers-of-a-disk = both { disks = [{ path = "/var/lib/d"; readOnly = true; }]; } { disks = [{ path = "/var/lib/d"; readOnly = true; }]; };
    a-label-that-is-read = one { disks = [{ path = "/dev/disk/by-label/data"; readOnly = true; }]; };
    rates = one { disks = [{ path = "/var/lib/d"; rates.readBps = "10M+64M"; }]; network = { mode = "user"; rates.ingressPackets = "5000"; }; };
    our-kernel = { imports = [ base ]; boot.kernelPackages = pkgs.linuxPackages_cki; };
    health-check = one { healthCheck = { command = [ "true" ]; interval = "5s"; startPeriod = "1min"; action = "none"; }; };
    volumes = one { volumes = [{ path = "/var/lib/a"; } { path = "/srv"; source = "/srv/www"; readOnly = true; }]; };
    of-packages = one { image = null; packages = [ pkgs.hello ]; };
    of-another-engine = one { image = null; command = [ ]; oci = ./configurations.nix; ociDigest = "sha256:${lib.fixedWidthString 64 "0" ""}"; };
    of-a-package = one { image = null; oci = pkgs.hello; };
    secrets = one { secrets = { "tls.key" = "/run/keys/tls"; token = "/run/keys/token"; }; tmpfs = [ "/run/other" ]; };
    all-kinds-of-names = one {
      network = {
        mode = "user";
        address = "fd00::7/64";
        publish = [{ host = 8080; container = 80; address = "::1"; }];
        allow = [ "192.0.2.0/24" "2001:db8::/32" "198.51.100.1" ];
        nameservers = [ "192.0.2.53" "2001:db8::53" ];
        hosts = { database = "10.1.0.8"; "a.b-c.example" = "::ffff:192.0.2.1"; };
      };
      capabilities = { drop = [ "ALL" ]; add = [ "NET_BIND_SERVICE" "CAP_KILL" ]; };
      after = [ "cki@two.service" "network-online.target" ];
      environmentFiles = [ "/run/keys/one.env" ];
    };
    resources = one { resources = { CPUQuota = "10%"; MemoryMax = "64M"; }; };
  };

  bad = {
    containers-without-a-host = {
      module = { services.cki.containers.one = { image = "/x"; command = [ "true" ]; }; };
      says = [ "services.cki.enable:" "(one)" "Set it to true" ];
    };
    pool-too-small = {
      module = both { memory = "512M"; } { memory = "513M"; };
      says = [ "services.cki.memory.pool: 1G" "1026M together (one and two)" "at least 1026M" ];
    };
    more-than-the-pool-by-hand = {
      module = one { memory = "2G"; autoStart = false; };
      says = [ "services.cki.containers.one.memory: 2G for one" "Enlarge services.cki.memory.pool" ];
    };
    a-volume-that-is-hidden = {
      module = one { volumes = [{ path = "/srv"; source = "/home/me/www"; }]; };
      says = [ "services.cki.containers.one.volumes: /home/me/www is hidden" "below /var/lib" ];
    };
    two-volumes-at-one-place = {
      module = one { volumes = [{ path = "/a/b"; } { path = "/a-b"; }]; };
      says = [ "services.cki.containers.one.volumes: /a/b and /a-b of one" "a path of its own" ];
    };
    too-many-volumes = {
      module = one { volumes = map (number: { path = "/v${toString number}"; }) (lib.range 1 17); };
      says = [ "services.cki.containers.one.volumes: 17 volumes" "at most 16" ];
    };
    too-little-memory = {
      module = one { memory = "32M"; };
      says = [ "services.cki.containers.one.memory: 32M" "at least 64M" ];
    };
    too-much-memory = {
      module = { imports = [ (one { memory = "257G"; }) ]; services.cki.memory.pool = lib.mkForce "512G"; };
      says = [ "services.cki.containers.one.memory: 257G" "at most 256G" ];
    };
    no-image = {
      module = one { image = null; };
      says = [ "services.cki.containers.one.image:" "Set `image`" "`packages`" ];
    };
    two-images = {
      module = one { packages = [ pkgs.hello ]; };
      says = [ "services.cki.containers.one.packages:" "Set one of the two" ];
    };
    two-roots = {
      module = one { oci = ./configurations.nix; };
      says = [ "services.cki.containers.one.oci:" "by `image`" "Set one of the two" ];
    };
    archive-by-name = {
      module = one { image = null; oci = "/var/lib/images/redis.tar"; };
      says = [ "services.cki.containers.one.oci: /var/lib/images/redis.tar" "without quotation marks" "pullImage" ];
    };
    digest-of-nothing = {
      module = one { ociDigest = "sha256:${lib.fixedWidthString 64 "0" ""}"; };
      says = [ "services.cki.containers.one.ociDigest:" "Set `oci`" ];
    };
    no-command = {
      module = one { command = [ ]; };
      says = [ "services.cki.containers.one.command:" "Name the program" ];
    };
    no-command-at-all = {
      module = { imports = [ base ]; services.cki.containers.one.image = "/x"; };
      says = [ "services.cki.containers.one.command:" "Name the program" ];
    };
    empty-program = {
      module = one { command = [ "" "x" ]; };
      says = [ "services.cki.containers.one.command:" "Put it first" ];
    };
    checked-by-nothing = {
      module = one { healthCheck.command = [ ]; };
      says = [ "services.cki.containers.one.healthCheck.command:" "one is checked by no program" ];
    };
    name-of-a-container = {
      module = container "-one" { };
      says = [ "\"-one\" is no name" "a letter or digit first" ];
    };
    port-taken = {
      module = both (publish 8080) (publish 8080);
      says = [ "network.publish: the host's tcp port 8080" "one and two" "a port of its own" ];
    };
    port-twice = {
      module = one { network.mode = "user"; network.publish = [{ host = 8080; container = 80; } { host = 8080; container = 81; }]; };
      says = [ "port 8080" "published by one, 2 times" ];
    };
    port-twice-on-an-address = {
      module = one { network.mode = "user"; network.publish = [{ host = 8080; container = 80; address = "127.0.0.1"; } { host = 8080; container = 81; address = "127.0.0.1"; } { host = 8080; container = 82; address = "::1"; }]; };
      says = [ "port 8080" "published by one, 2 times" "an address of its own" ];
    };
    port-on-all-and-one = {
      module = one { network.mode = "user"; network.publish = [{ host = 8080; container = 80; } { host = 8080; container = 81; address = "127.0.0.1"; }]; };
      says = [ "port 8080" "published by one, 2 times" ];
    };
    low-port = {
      module = one (publish 80);
      says = [ "services.cki.containers.one.network.publish:" "port 80" "from 1024 on" "ip_unprivileged_port_start" ];
    };
    unknown-bridge = {
      module = one (bridged "10.1.0.7/24");
      says = [ "services.cki.containers.one.network.bridge:" "br0" "(there is none)" "networking.bridges.br0" ];
    };
    another-bridge = {
      module = { imports = [ (one (bridged "10.1.0.7/24")) ]; networking.bridges.br1.interfaces = [ ]; };
      says = [ "br0, which is no bridge" "(there are br1)" ];
    };
    bridge-without-name = {
      module = one { network = { mode = "bridge"; address = "10.1.0.7/24"; }; };
      says = [ "services.cki.containers.one.network.bridge:" "none is named" ];
    };
    bridge-without-address = {
      module = { imports = [ (one { network = { mode = "bridge"; bridge = "br0"; }; }) br0 ]; };
      says = [ "services.cki.containers.one.network.address:" "10.1.0.7/24" ];
    };
    bridge-with-ports = {
      module = { imports = [ (one { network = { mode = "bridge"; bridge = "br0"; address = "10.1.0.7/24"; publish = [{ host = 8080; container = 80; }]; }; }) br0 ]; };
      says = [ "services.cki.containers.one.network.publish:" "every port" "mode = \"user\"" ];
    };
    bridge-that-is-not-used = {
      module = { imports = [ (one { network = { mode = "user"; bridge = "br0"; }; }) br0 ]; };
      says = [ "services.cki.containers.one.network.bridge:" "mode = \"bridge\"" ];
    };
    address-taken = {
      module = { imports = [ (both (bridged "10.1.0.7/24") (bridged "10.1.0.7/16")) br0 ]; };
      says = [ "network.address: one and two" "on br0, 10.1.0.7" "Give each its own" ];
    };
    no-network-with-ports = {
      module = one { network.publish = [{ host = 8080; container = 80; }]; };
      says = [ "services.cki.containers.one.network.mode:" "has no network" ];
    };
    no-network-with-allow = {
      module = one { network.allow = [ "10.0.0.0/8" ]; };
      says = [ "services.cki.containers.one.network.mode:" "leave publish, allow" ];
    };
    no-network-with-rates = {
      module = one { network.rates.egressRate = "1M"; };
      says = [ "services.cki.containers.one.network.mode:" "and rates out" ];
    };
    firewall-without-ports = {
      module = one { network = { mode = "user"; openFirewall = true; }; };
      says = [ "services.cki.containers.one.network.openFirewall:" "Set network.publish" ];
    };
    disk-of-two = {
      module = both { disks = [{ path = "/var/lib/d"; }]; } { disks = [{ path = "/var/lib/d"; readOnly = true; }]; };
      says = [ "/var/lib/d is written by one and used by one and two" "readOnly = true" ];
    };
    disk-by-what-is-on-it = {
      module = one { disks = [{ path = "/dev/disk/by-label/data"; }]; };
      says = [ "services.cki.containers.one.disks: /dev/disk/by-label/data" "one writes it" "/dev/disk/by-id" ];
    };
    array-by-its-name = {
      module = one { disks = [{ path = "/dev/md/data"; }]; };
      says = [ "services.cki.containers.one.disks: /dev/md/data" "mdadm" "/dev/md127" ];
    };
    array-by-id = {
      module = one { disks = [{ path = "/dev/disk/by-id/md-uuid-0"; }]; };
      says = [ "services.cki.containers.one.disks: /dev/disk/by-id/md-uuid-0" "mdadm" "/dev/md127" ];
    };
    disk-that-is-a-pattern = {
      module = one { disks = [{ path = "/dev/sd[a-z]"; }]; };
      says = [ "services.cki.containers.one.disks: /dev/sd[a-z]" "a pattern" "/dev/disk/by-path" ];
    };
    hidden-disk = {
      module = one { disks = [{ path = "/home/u/disk.raw"; }]; };
      says = [ "services.cki.containers.one.disks: /home/u/disk.raw" "/var/lib" ];
    };
    hidden-image = {
      module = one { image = "/root/x.raw"; };
      says = [ "services.cki.containers.one.image: /root/x.raw" "/var/lib" ];
    };
    name-of-a-variable = {
      module = one { environment."A B" = "1"; };
      says = [ "services.cki.containers.one.environment:" "\"A B\"" "without blanks" ];
    };
    secret-in-the-store = {
      module = one { environmentFiles = [ "${pkgs.hello}/env" ]; };
      says = [ "services.cki.containers.one.environmentFiles:" "everybody reads it" "as a string" ];
    };
    variables-of-the-configuration = {
      module = one { environmentFiles = [ ./configurations.nix ]; };
      says = [ "services.cki.containers.one.environmentFiles:" "or comes there" "as a string" ];
    };
    secret-of-the-configuration = {
      module = one { secrets.key = ./configurations.nix; };
      says = [ "services.cki.containers.one.secrets:" "or comes there" "as a string" ];
    };
    a-secret-in-the-store = {
      module = one { secrets.key = "${pkgs.hello}/key"; };
      says = [ "services.cki.containers.one.secrets:" "everybody reads it" ];
    };
    name-of-a-secret = {
      module = one { secrets."a/b" = "/run/keys/a"; };
      says = [ "services.cki.containers.one.secrets:" "\"a/b\" cannot be" ];
    };
    secret-called-as-variables = {
      module = one { secrets.environment0 = "/run/keys/a"; };
      says = [ "services.cki.containers.one.secrets: environment0 of one" "Take another name" ];
    };
    volume-over-secrets = {
      module = one { secrets.key = "/run/keys/a"; volumes = [{ path = "/run/secrets"; }]; };
      says = [ "services.cki.containers.one.secrets: /run/secrets of one" "Move that volume" ];
    };
    memory-over-secrets = {
      module = one { secrets.key = "/run/keys/a"; tmpfs = [ "/run:size=1M" ]; };
      says = [ "services.cki.containers.one.secrets: /run of one" "file system" ];
    };
    too-many-volumes-with-secrets = {
      module = one { secrets.key = "/run/keys/a"; volumes = map (number: { path = "/v${toString number}"; }) (lib.range 1 16); };
      says = [ "services.cki.containers.one.volumes: 16 volumes" "one with its secrets" "at most 15" ];
    };
    not-a-resource = {
      module = one { resources.ExecStart = "/bin/sh"; };
      says = [ "services.cki.containers.one.resources: ExecStart" "systemd.services.\"cki@one\"" ];
    };
    not-a-limit = {
      module = one { ulimits.files = 7; };
      says = [ "services.cki.containers.one.ulimits:" "no files" "setrlimit(2)" ];
    };
    kernel-too-old = {
      module = { imports = [ base ]; boot.kernelPackages = pkgs.linuxPackages_6_6; };
      says = [ "boot.kernelPackages:" "from 6.12 to 6.14, and this is 6.6." "linuxPackages_6_12" ];
    };
    kernel-too-new = {
      module = { imports = [ base ]; boot.kernelPackages = pkgs.linuxPackages_latest; };
      says = [ "boot.kernelPackages:" "from 6.12 to 6.14, and this is 7." "linuxPackages_6_12" ];
    };
    another-architecture = {
      module = { imports = [ base ]; nixpkgs.pkgs = pkgsFor "aarch64-linux"; };
      says = [ "services.cki.enable:" "x86_64-linux" "aarch64-linux" ];
    };
  };

  types = {
    no-pool = { services.cki.enable = true; };
    size-with-another-unit = one { memory = "1T"; };
    no-time-to-stop = one { stopTimeout = "0s"; };
    size-that-is-no-whole = one { memory = "1.333G"; };
    unknown-option = one { vcpus = 2; };
    network-of-another-kind = one { network.mode = "host"; };
    port-that-is-none = one (publish 70000);
    address-without-prefix = one { network.address = "10.1.0.7"; };
    rate-in-bits = one { network = { mode = "user"; rates.egressRate = "10Mbit"; }; };
    user-with-a-blank = one { user = "a b"; };
    relative-image = one { image = "x.raw"; };
    group-with-a-blank = { imports = [ base ]; services.cki.group = "a b"; };
    command-that-is-text = one { command = "true"; };
    port-zero = one (publish 0);
    port-of-another-protocol = one { network = { mode = "user"; publish = [{ host = 8080; container = 80; protocol = "sctp"; }]; }; };
    listening-at-a-name = one { network = { mode = "user"; publish = [{ host = 8080; container = 80; address = "localhost"; }]; }; };
    bridge-that-no-kernel-has = one { network = { mode = "bridge"; bridge = "a-name-of-16-chr"; address = "10.1.0.7/24"; }; };
    bridge-with-a-blank = one { network = { mode = "bridge"; bridge = "br 0"; address = "10.1.0.7/24"; }; };
    address-that-is-none = one { network = { mode = "user"; address = "10.1/24"; }; };
    allowed-by-name = one { network = { mode = "user"; allow = [ "example.org" ]; }; };
    name-server-by-name = one { network = { mode = "user"; nameservers = [ "dns.example" ]; }; };
    host-by-name = one { network = { mode = "user"; hosts.a = "b"; }; };
    host-with-a-blank = one { network = { mode = "user"; hosts."a b" = "192.0.2.1"; }; };
    capability-in-small = one { capabilities.drop = [ "net_raw" ]; };
    unit-without-suffix = one { after = [ "network" ]; };
    unit-with-a-blank = one { requires = [ "a b.service" ]; };
    digest-that-is-short = one { ociDigest = "sha256:0123"; };
    secret-that-is-relative = one { secrets.key = "key"; };
    secret-with-a-colon = one { secrets.key = "/run/keys/a:b"; };
    variables-with-a-percent = one { environmentFiles = [ "/run/keys/%i" ]; };
    signal-that-is-none = one { stopSignal = "SIGNOPE"; };
    health-never = one { healthCheck = { command = [ "true" ]; retries = 0; }; };
    volume-that-is-relative = one { volumes = [{ path = "srv"; }]; };
    limit-that-is-negative = one { ulimits.nofile = -1; };
    image-by-number = one { oci = 7; };
  };

  # By the names that options had.
  before = one {
    limits = { nofile = 64; };
    disks = [{ path = "/var/lib/d"; limits = { readBytes = "1M"; writeBytes = "2M"; readOperations = "3"; writeOperations = "4"; }; }];
    network = { mode = "user"; limits = { ingressBytes = "5M"; egressBytes = "6M"; ingressPackets = "7"; egressPackets = "8"; }; };
  };
  warned = module: lib.filter (lib.hasPrefix "services.cki.") (machine module).warnings;

  broken = assertions: map (one: one.message) (lib.filter (one: !one.assertion) assertions);
  # By our rules alone, which is ten times as fast; that they are among the assertions of a machine is `refusal`.
  refused = module:
    let config = machine module; in
    broken (import ../../nixos-modules/rules.nix { inherit config lib; inherit (config.nixpkgs) pkgs; });
  # All that the types of the options say; any other value ends the evaluation.
  taken = module:
    let
      config = machine module;
      all = builtins.deepSeq [ config.services.cki.memory config.services.cki.group (lib.mapAttrs (_: c: removeAttrs c [ "packages" ]) config.services.cki.containers) ] true;
    in
    (builtins.tryEval all).success;
in
{
  good = lib.mapAttrs (_: refused) good;
  bad = lib.mapAttrs (_: one: { told = refused one.module; inherit (one) says; }) bad;
  types = lib.mapAttrs (_: taken) types;
  refusal = broken (machine bad.no-image.module).assertions;
  renamed =
    let container = (machine before).services.cki.containers.one; in
    {
      warned = warned before;
      silent = warned (one { ulimits.nofile = 64; network = { mode = "user"; rates.egressRate = "6M"; }; });
      refused = refused before;
      ulimits = container.ulimits;
      disk = (lib.head container.disks).rates;
      network = container.network.rates;
    };
  # What `types` does is possible.
  takes = taken (one user);
}
