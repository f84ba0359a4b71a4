// SPDX-License-Identifier: MIT OR Apache-2.0

//! The unit files that the NixOS module makes of example hosts (`tests/nixos/golden`), under the systemd of the system
//! (`images/system`): they start, say that they run, log, are restarted, stop and leave nothing.
//!
//! Only store paths in them are replaced. Redis is Debian's; the web server is a stand-in (`tests/web`).

use std::fmt::Write as _;
use std::path::Path;

use cki_session::cmdline::{POOL, SYSTEM};
use cki_tests::system::{Machine, disk, key};
use cki_tests::{cki, variable};

/// Each unit of a container with a network, and the host that has it.
const CONTAINERS: [(&str, &str); 3] = [("cache", "cache"), ("bridge", "left"), ("bridge", "right")];

/// Where a file of a unit is on the system, in place of where it would be in the store.
const PLACES: [(&str, &str); 6] = [
    ("/nix/store/HASH-cki-launcher/bin/", "/usr/bin/"),
    ("/nix/store/HASH-cki-guest/", "/usr/lib/cki/"),
    ("/nix/store/HASH-cki-passt/bin", "/usr/libexec"),
    ("/nix/store/HASH-cki-cache.erofs", "/var/lib/images/redis"),
    ("/nix/store/HASH-cki-left.erofs", "/var/lib/images/web"),
    ("/nix/store/HASH-cki-right.erofs", "/var/lib/images/web"),
];

fn golden(host: &str, file: &str) -> String {
    let directory = variable("CKI_FLAKE").join("tests/nixos/golden").join(host);
    std::fs::read_to_string(directory.join(file)).expect("read")
}

/// A script that puts the images, units and networks in their places.
fn installation() -> String {
    let mut script = "set -e; mkdir -p /run/systemd/network /var/lib/images /var/lib/data\n\
        echo of the host > /var/lib/data/page\n\
        mkdir -m 700 /run/keys; echo first > /run/keys/token; chmod 400 /run/keys/token\n\
        for name in redis web; do cp /dev/disk/by-id/virtio-$name /var/lib/images/$name; done\n\
        chmod 644 /var/lib/images/*\n"
        .to_owned();
    let mut put = |path: &str, text: &str| {
        write!(script, "cat > /run/systemd/{path} <<'END'\n{text}END\n").expect("a string");
    };
    for (host, name) in CONTAINERS {
        let file = format!("cki@{name}.service");
        let places = PLACES.iter();
        let text = places.fold(golden(host, &file), |text, (from, to)| {
            text.replace(from, to)
        });
        put(&format!("system/{file}"), &text);
    }
    // With the container, as [Install] has it.
    let file = "cki-health@cache.service";
    let text = golden("cache", file);
    put(
        &format!("system/{file}"),
        &PLACES
            .iter()
            .fold(text, |text, (from, to)| text.replace(from, to)),
    );
    for file in ["10-cki.netdev", "10-cki.network"] {
        put(&format!("network/{file}"), &golden("bridge", file));
    }
    script
        + "wants=/run/systemd/system/cki@cache.service.wants; mkdir $wants; \
           ln -s ../cki-health@cache.service $wants/; systemctl daemon-reload; systemctl restart systemd-networkd\n"
}

/// A machine with a pool that all of them fit in.
fn start(directory: &Path, public: &str) -> Machine {
    let redis = directory.join("redis.raw");
    let words = ["image", "app", "--deb", "redis-server", "-o"];
    let output = cki(words.iter().chain([&redis.to_str().expect("a plain name")]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let system = variable("CKI_SYSTEM");
    let read = |name: &str| std::fs::read_to_string(system.join(name)).expect("read");
    let cmdline = format!(
        "console=ttyS0,115200 quiet panic=10 no5lvl tsc=reliable no_timer_check {POOL}=1024M {SYSTEM}={}",
        read("system").trim()
    );
    let file = |name: &str| system.join(name).to_str().expect("a plain name").to_owned();
    let words = [
        "-m",
        "2304M",
        "-no-reboot",
        "-kernel",
        &file("bzImage"),
        "-initrd",
        &file("initrd"),
        "-append",
        &cmdline,
    ]
    .map(str::to_owned);
    let disks = [
        disk(&system.join("root.verity"), "raw", ",readonly=on", ""),
        disk(&redis, "raw", ",readonly=on", ",serial=redis"),
        disk(
            &variable("CKI_TEST_WEB"),
            "raw",
            ",readonly=on",
            ",serial=web",
        ),
    ];
    let words = words.into_iter().chain(disks.into_iter().flatten());
    Machine::start(directory.join("console"), public, words)
}

/// What is done on the machine in this order, and what has to be said then.
const STEPS: [(&str, &str, &str); 15] = [
    (
        "they start, and have started when their programs run",
        "systemctl start cki@cache cki@left cki@right && systemctl is-active cki@cache cki@left cki@right",
        "active\nactive\nactive\n",
    ),
    (
        "each launcher has a user of its own",
        "for name in cache left right; do stat -c %u /proc/$(systemctl show -P MainPID cki@$name); done \
         | sort -u | awk '$1 >= 61184 && $1 <= 65519' | wc -l",
        "3\n",
    ),
    (
        "what a program writes is in the journal under its container's name",
        "until journalctl -q -t cache | grep -o 'Ready to accept connections'; do sleep 0.2; done; \
         for name in left right; do until journalctl -q -o cat -t $name | grep serving; do sleep 0.2; done; done",
        "Ready to accept connections\nserving /share\nserving /share\n",
    ),
    (
        "a client reaches the published port, the host a container on the bridge, and that one another",
        "exec 3<>/dev/tcp/127.0.0.1/6379; printf 'PING\\r\\n' >&3; head -n 1 <&3 | tr -d '\\r'; \
         exec 4<>/dev/tcp/10.1.0.7/80; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&4; tail -n 1 <&4; \
         cki exec left -- busybox wget -qO- http://10.1.0.8/",
        "+PONG\na page\na page\n",
    ),
    (
        "a directory of the host is read, and written only where it may be",
        "cki exec cache -- sh -c 'cat /srv/data/page; ! touch /srv/data/page /srv/data/new 2> /dev/null && echo \
         refused; touch /var/lib/redis/new && echo written'; ls /var/lib/data; \
         [ $(stat -c %u /var/lib/cki/cache/var-lib-redis/new) = $(stat -c %u \
         /proc/$(systemctl show -P MainPID cki@cache)) ] && echo of the launcher",
        "of the host\nrefused\nwritten\npage\nof the launcher\n",
    ),
    (
        "a secret of root's is a file of the container's, which nobody can write, and nobody else on the host can read",
        "cki exec cache -- sh -c 'cat /run/secrets/api.token; ls /run/secrets; \
         ! echo x 2> /dev/null > /run/secrets/api.token && echo refused'; \
         file=/run/credentials/cki@cache.service/api.token; \
         setpriv --reuid 65534 --regid 65534 --clear-groups cat $file /run/keys/token 2>&1 | grep -c 'denied'",
        "first\napi.token\nrefused\n2\n",
    ),
    (
        "a new secret is what the container has from its next start on",
        "echo second > /run/keys/token; cki exec cache -- cat /run/secrets/api.token; systemctl restart cki@cache; \
         cki exec cache -- cat /run/secrets/api.token",
        "first\nsecond\n",
    ),
    (
        "what a container keeps in a volume of its own is there after a restart",
        "ask() { exec 3<>/dev/tcp/127.0.0.1/6379; printf \"$1\\r\\n\" >&3; \
         head -n 2 <&3 2> /dev/null | tr -d '\\r'; }; ask 'SET word kept\\r\\nSAVE'; systemctl restart cki@cache; \
         until reply=$(ask 'GET word') && [ \"$reply\" ]; do sleep 0.2; done; echo \"$reply\"",
        "+OK\n+OK\n$4\nkept\n",
    ),
    (
        "the check of a container has started when that is healthy, of itself",
        "until systemctl -q is-active cki-health@cache; do sleep 0.2; done; \
         journalctl -q -o cat -t cache | grep -o 'container cache: healthy' | head -n 1",
        "container cache: healthy\n",
    ),
    (
        "a container that does not answer its check any more is ended, and starts anew with its check",
        "before=$(systemctl show -P NRestarts cki@cache); cki exec cache -- redis-cli config set port 0; \
         until [ $(systemctl show -P NRestarts cki@cache) -gt $before ] && systemctl -q is-active cki-health@cache; do \
         sleep 0.2; done; journalctl -q -o cat -t cache | grep -o 'unhealthy after 2 of 2 checks: status 1'; \
         cki exec cache -- redis-cli ping",
        "OK\nunhealthy after 2 of 2 checks: status 1\nPONG\n",
    ),
    (
        "no sandbox is weaker than was meant",
        "for unit in cki@cache cki@left cki@right cki-health@cache; do \
         systemd-analyze security --no-pager --threshold=30 $unit > /dev/null || echo $unit; done",
        "",
    ),
    (
        "a launcher that was killed is started again",
        "kill -KILL $(systemctl show -P MainPID cki@right); \
         until [ $(systemctl show -P NRestarts cki@right) = 1 ] && systemctl -q is-active cki@right; do sleep 0.2; \
         done; until cki exec left -- busybox wget -qO- http://10.1.0.8/ 2> /dev/null; do sleep 0.2; done",
        "a page\n",
    ),
    (
        "they stop in their time, and leave nothing",
        "systemctl stop cki@cache cki@left cki@right; for name in cache left right; do \
         systemctl show -P Result cki@$name; done; ls -A /run/cki; ls /sys/class/net | grep '^cki'; cki list | tail -n \
         +2",
        "success\nsuccess\nsuccess\n",
    ),
    (
        "a launcher outside of the group does not get the device",
        "mkdir /run/systemd/system/cki@cache.service.d; \
         printf '[Service]\\nSupplementaryGroups=\\nRestart=no\\n' > \
         /run/systemd/system/cki@cache.service.d/group.conf; systemctl daemon-reload; systemctl start cki@cache 2> \
         /dev/null && echo started; systemctl show -P Result cki@cache; journalctl -q -o cat -t cache | grep -o \
         '/dev/cki may not be opened'",
        "exit-code\n/dev/cki may not be opened\n",
    ),
    (
        "removed ones are unknown",
        "systemctl reset-failed; rm -r /run/systemd/system/cki@* /run/systemd/system/cki-health@*; systemctl \
         daemon-reload; systemctl list-units --all --no-legend 'cki*@*'; systemctl is-system-running",
        "running\n",
    ),
];

#[test]
fn the_units_of_example_hosts_start_log_restart_and_stop_under_systemd() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    let public = key(&root);
    let mut machine = start(directory.path(), &public);
    let output = machine.ask_when_up(&root, &installation());
    assert_eq!(output.status, 0, "{}", output.stderr);
    for (name, script, expected) in STEPS {
        let output = machine.ask(&root, script);
        let journal = || machine.ask(&root, "journalctl -b --no-pager | tail -n 60");
        assert!(
            output.text() == expected,
            "{name}: {:?}, {}{}",
            output.text(),
            output.stderr,
            journal().text()
        );
    }
}
