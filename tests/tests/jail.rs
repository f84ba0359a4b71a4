// SPDX-License-Identifier: MIT OR Apache-2.0

//! A launcher on a host of containers, as the host sees it while a guest runs.

use cki_tests::machine;

/// Runs a shell script on the host.
fn host(script: &str) -> cki_tests::Output {
    machine(
        &["--quiet", "--runtime", "host", "--memory", "640M"],
        &["sh", "-c", script],
        b"",
    )
}

/// Starts a container as root, called box, and waits until its program runs.
const START: &str = r#"
files='--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda'
start() { cki run $files --memory 192M --cmdline mitigations=off --name box "$@" > out 2> err & pid=$!; }
await() { until grep -q up out; do kill -0 $pid || { cat err >&2; exit 1; }; sleep 0.1; done; }
start -- sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.1; done'
await
"#;

#[test]
fn a_launcher_that_root_starts_has_nothing_of_the_hosts() {
    let output = host(&format!(
        "{START}
        names='Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp'
        sort -u /proc/$pid/task/*/status | grep -E \"^($names):\" | tr -s '\\t ' ' ' | sort
        ls /proc/$pid/task | wc -l
        echo root: $(ls -A /proc/$pid/root)
        cut -d ' ' -f 5,6 /proc/$pid/mountinfo
        touch /proc/$pid/root/new 2> /dev/null || echo read-only
        echo $((0x70000000 + pid))
        cki kill box TERM; wait $pid; echo $?",
    ));
    let lines: Vec<_> = output.text().lines().collect();
    let text = || format!("{}{}", output.text(), output.stderr);
    assert_eq!(lines.len(), 16, "{}", text());
    let user = lines[14];
    let none = "0000000000000000";
    // One line each: all threads are alike.
    assert_eq!(
        lines[..10],
        [
            &format!("CapAmb: {none}"),
            &format!("CapBnd: {none}"),
            &format!("CapEff: {none}"),
            &format!("CapInh: {none}"),
            &format!("CapPrm: {none}"),
            &format!("Gid: {user} {user} {user} {user}"),
            "Groups: ",
            "NoNewPrivs: 1",
            "Seccomp: 2",
            &format!("Uid: {user} {user} {user} {user}"),
        ],
        "{}",
        text()
    );
    let threads: u32 = lines[10].parse().expect("a number of threads");
    assert!(threads > 3, "{}", text());
    assert_eq!(lines[11], "root:", "{}", text());
    assert!(
        lines[12].starts_with("/ ro,nosuid,nodev,noexec"),
        "{}",
        text()
    );
    assert_eq!((lines[13], lines[15]), ("read-only", "3"), "{}", text());
}

#[test]
fn whoever_started_it_reaches_its_container_as_before() {
    let output = host(&format!(
        "{START}
        cki list | grep -c ' sh -c '; cki exec box sh -c 'echo inside; exit 7'; echo $?
        cki kill box TERM; wait $pid; echo $?; tail -n 1 out
        cki list | wc -l; ls -A /run/cki
        # Its disk and its streams are root's, and no one else's.
        head -c 1M /dev/zero > disk; chmod 600 disk
        start --disk disk -- sh -c 'echo up; echo of the container > /dev/vdb; sync'
        wait $pid; echo $?; head -n 1 disk",
    ));
    assert_eq!(
        output.text(),
        "1\ninside\n7\n3\nbye\n1\n0\nof the container\n",
        "{}",
        output.stderr
    );
}

#[test]
fn a_container_of_roots_connects_to_the_sockets_beside_its_own() {
    let listen = "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"d/s_5000\")) or die;
        listen(S, 1); open(F, \">ready\"); close(F); accept(C, S); print C \"from the host\\n\"; close(C)";
    // Family, port and context of struct sockaddr_vm; the second time nobody listens.
    let connect = "for $port (5000, 5001) {
            socket(S, 40, 1, 0) or die;
            if (connect(S, pack(\"SSLLL\", 40, 0, $port, 2, 0))) { print <S> } else { print \"nobody\\n\" }
        }";
    let output = host(&format!(
        "{START}
        cki kill box KILL; wait $pid
        mkdir d; perl -e '{listen}' & until [ -e ready ]; do sleep 0.1; done
        cki run $files --memory 192M --cmdline mitigations=off --vsock d/s --jail-user 0 -- perl -e '{connect}'
        cki run $files --memory 192M --vsock d/other -- true 2>&1 | grep -o 'say whose with --jail-user'",
    ));
    assert_eq!(
        output.text(),
        "from the host\nnobody\nsay whose with --jail-user\n",
        "{}",
        output.stderr
    );
}

#[test]
fn a_launcher_is_whom_root_names_and_has_nothing_open_that_its_starter_left() {
    let output = host(&format!(
        "{START}
        cki kill box KILL; wait $pid; rm out
        mkdir left; exec 7< left 8> left/log 9< /
        start --jail-user 991:77 -- sh -c 'echo up; while :; do sleep 0.1; done'; await
        sort -u /proc/$pid/task/*/status | grep -E '^(Uid|Gid|Groups):' | tr -s '\\t ' ' ' | sort
        ls -l /proc/self/fd | grep -c -E '/left(/log)?$'
        ls -l /proc/$pid/fd | grep -c -E '/left(/log)?$| /$'
        cki kill box KILL; wait $pid",
    ));
    assert_eq!(
        output.text(),
        "Gid: 77 77 77 77\nGroups: \nUid: 991 991 991 991\n2\n0\n",
        "{}",
        output.stderr
    );
}

#[test]
fn a_launcher_of_roots_that_cannot_give_up_its_rights_runs_no_guest_and_says_why() {
    let output = host(&format!(
        "{START}
        cki kill box KILL; wait $pid
        refused() {{ \"$@\" $options -- true > out 2>&1; echo $? $(grep -o -m 1 -E \"$words\" out | head -n 1); }}
        options=\"$files --memory 128M\"
        # What the box has left is gone by then.
        for missing in sys_admin setpcap setuid; do
            words='cannot (make namespaces|lock what|become the user)'
            refused setpriv --bounding-set -$missing cki run
        done
        words='cannot leave its groups'
        refused setpriv --groups 5 setpriv --bounding-set -setgid cki run
        # Root's directory is no mount there.
        mount() {{ perl -e 'syscall(165, $ARGV[0], $ARGV[1], $ARGV[2], $ARGV[3] + 0, 0) == 0 or die \"mount: $!\"' \
        \"$@\"; }}
        mkdir root; mount none root tmpfs 0; mkdir root/r
        for each in /*; do
            [ -L $each ] && cp -a $each root/r/ && continue
            [ $each = $PWD ] || [ ! -d $each ] && continue
            mkdir root/r$each; mount $each root/r$each none 20480
        done
        words='no mount of its own'
        refused chroot root/r cki run
        # A user namespace in which no group can be left: not with one, and without.
        options=\"$files --memory 128M --jail-user 0\"
        words='user namespace lets nobody do that'
        refused setpriv --groups 5 unshare -r cki run
        words=
        refused setpriv --clear-groups unshare -r cki run",
    ));
    assert_eq!(
        output.text(),
        "125 cannot make namespaces\n125 cannot lock what\n125 cannot become the user\n125 cannot leave its groups\n\
         125 no mount of its own\n125 user namespace lets nobody do that\n0\n",
        "{}",
        output.stderr
    );
}
