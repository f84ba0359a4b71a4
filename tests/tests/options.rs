// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build run`: who the program is, what it may do, and what it finds around it.

use cki_tests::{RUNTIMES, run_on, run_program, variable};

/// What a script says with these options, on both runtimes.
fn says(options: &[&str], script: &str) -> String {
    let [native, contained] = RUNTIMES.map(|runtime| {
        let output = run_on(runtime, options, &["sh", "-c", script], b"");
        assert_eq!(output.status, 0, "{}", output.stderr);
        output.text().to_owned()
    });
    assert_eq!(native, contained);
    contained
}

#[test]
fn a_program_runs_as_the_user_and_with_the_groups_of_the_image() {
    let script = "id -u; id -g; id -G; echo $HOME; pwd; grep CapEff /proc/self/status";
    assert_eq!(
        says(&["--user", "daemon"], script),
        "1\n1\n1\n/usr/sbin\n/\nCapEff:\t0000000000000000\n"
    );
    assert_eq!(
        says(&["--user", "4242:tty"], "id -u; id -g; id -G; echo $HOME"),
        "4242\n5\n5\n/\n"
    );
    let user = ["--user", "daemon", "-t"];
    assert_eq!(says(&user, "stat -c %U:%G:%a $(tty)"), "daemon:tty:620\r\n");
}

#[test]
fn a_program_has_the_limits_and_capabilities_that_it_was_left() {
    let limits = ["--ulimit", "nofile=77:99", "--ulimit", "core=unlimited"];
    assert_eq!(
        says(&limits, "ulimit -n; ulimit -Hn; ulimit -c"),
        "77\n99\nunlimited\n"
    );
    // CHOWN is 0 and KILL 5. A program that is set-user-ID root gets no more.
    let caps = [
        "--cap-drop",
        "ALL",
        "--cap-add",
        "chown",
        "--cap-add",
        "CAP_KILL",
    ];
    let script = "grep -E 'Cap(Eff|Bnd)' /proc/self/status; perl -e 'my $d = qq(/); exit !!syscall(161, $d)' || echo no
        touch /tmp/a; chown daemon /tmp/a; stat -c %U /tmp/a; perl -e 'my ($d, $t) = (qq(/mnt), qq(tmpfs)); exit \
        !!syscall(165, $t, $d, $t, 0, 0)' || echo no";
    assert_eq!(
        says(&caps, script),
        "CapEff:\t0000000000000021\nCapBnd:\t0000000000000021\nno\ndaemon\nno\n"
    );
}

#[test]
fn the_root_file_system_is_what_was_asked_for() {
    let options = [
        "--read-only",
        "--tmpfs",
        "/data:size=1M,mode=711",
        "--hostname",
        "box",
    ];
    let script = "touch /file 2>/dev/null || echo no; touch /tmp/a /run/a /data/a && echo yes
        stat -c %a /data; df -k /data | tail -1 | awk '{print $2}'; uname -n
        head -c 2M /dev/zero 2>/dev/null >/data/b || echo full";
    let said = says(&options, script);
    assert!(
        said.starts_with("no\nyes\n711\n1024\nbox\nfull\n"),
        "{said}"
    );
}

#[test]
fn variables_come_from_files_and_a_program_from_the_entry_point() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("env");
    std::fs::write(&file, "# ours\nA=file\nB=b c\nCKI_UNSET\n").expect("written");
    let file = file.display().to_string();
    let options = [
        "--env-file",
        &file,
        "--env",
        "A=option",
        "--env",
        "PATH",
        "--env",
        "CKI_UNSET",
        "--entrypoint",
        "sh",
        "--init",
        "--rm",
        "-i",
    ];
    let path = std::env::var("PATH").expect("a path");
    for runtime in RUNTIMES {
        let output = run_on(
            runtime,
            &options,
            &["-c", "echo $A $B ${CKI_UNSET-none} $PATH; cat"],
            b"in",
        );
        let expected = format!("option b c none {path}\nin");
        assert_eq!(output.text(), expected, "{}", output.stderr);
    }
}

/// What docs/try/from-podman.md says instead of options that other engines have.
#[test]
fn what_stands_for_options_of_other_engines_does_what_they_do() {
    let script = "\
        stat -fc '%s*%b' /dev/shm; stat -c %a /dev/shm; \
        echo 17 > /proc/sys/vm/swappiness; cat /proc/sys/vm/swappiness; \
        setpriv --reuid 1 --clear-groups sh -c '(:); echo forked' 2>/dev/null || echo refused";
    let options = [
        "--tmpfs",
        "/dev/shm:size=1M,mode=1777",
        "--ulimit",
        "nproc=1",
    ];
    let output = run_on("cki", &options, &["sh", "-c", script], b"");
    let expected = "4096*256\n1777\n17\nrefused\n";
    assert_eq!(output.text(), expected, "{}", output.stderr);
}

#[test]
fn mistakes_have_a_sentence_and_the_status_of_failures() {
    for (options, sentence) in [
        (
            &["--user", "nosuch"][..],
            "there is no user \"nosuch\" in the image",
        ),
        (
            &["--user", "root:nosuch"],
            "there is no group \"nosuch\" in the image",
        ),
        (
            &["--ulimit", "nofile=99999999999"],
            "the kernel takes no such limits",
        ),
        (&["--env-file", "/nonexistent"], "cannot read /nonexistent"),
        (&["--tmpfs", "/etc/passwd/x"], "/etc/passwd/x"),
    ] {
        let output = run_on("cki", options, &["true"], b"");
        assert_eq!(output.status, 125, "{options:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
        assert!(output.stderr.contains(sentence), "{}", output.stderr);
    }
    // These never get as far as a machine.
    for (option, value, part) in [
        ("--user", "a:b:c", "UID[:GID]"),
        ("--tmpfs", "/", "root itself"),
        ("--ulimit", "x=1", "no resource"),
        ("--cap-add", "x", "no capability"),
        ("--stop-signal", "x", "no signal"),
    ] {
        let words = ["run", option, value, "--", "true"];
        let output = run_program(variable("CKI_BUILD"), words, b"");
        assert_eq!(output.status, 125);
        assert!(output.stderr.contains(part), "{}", output.stderr);
    }
}

#[test]
fn a_program_whose_time_is_over_is_asked_to_stop_as_it_likes() {
    let options = [
        "--timeout",
        "6s",
        "--stop-signal",
        "USR1",
        "--stop-timeout",
        "30s",
    ];
    let script = "trap 'echo asked; exit 3' USR1; while :; do sleep 0.1; done";
    for runtime in RUNTIMES {
        let output = run_on(runtime, &options, &["sh", "-c", script], b"");
        assert_eq!((output.text(), output.status), ("asked\n", 124));
    }
}
