// SPDX-License-Identifier: MIT OR Apache-2.0

//! The session of `cki-build run` with a real machine and a real container: what a program inherits,
//! which signals reach it, how mistakes are told, and one message all the way.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use cki_tests::{RUNTIMES, Running, machine, run_on, run_program, variable};
use rustix::process::Signal;

/// Prints all that a program inherits, a line each, in Python: a shell would change some of it.
const INHERITED: &str = r#"
import os, re, resource, signal
status = dict(line.split(":\t", 1) for line in open("/proc/self/status").read().splitlines())
for name in "SigBlk", "SigPnd", "ShdPnd", "Umask", "Groups", "Uid", "Gid", "NoNewPrivs", "Seccomp":
    print(name, status[name].strip())
# Python itself ignores SIGPIPE and SIGXFSZ, and handles SIGINT.
ignored = int(status["SigIgn"], 16) & ~(1 << signal.SIGPIPE - 1) & ~(1 << signal.SIGXFSZ - 1)
print("SigIgn", ignored)
for name in sorted(name for name in dir(resource) if re.match("RLIMIT_[A-Z]+$", name)):
    print(name, *resource.getrlimit(getattr(resource, name)))
print("oom_score_adj", open("/proc/self/oom_score_adj").read().strip())
print("nice", os.nice(0), "policy", os.sched_getscheduler(0))
me = os.getpid()
print("leads", os.getpgid(0) == me, os.getsid(0) == me)
print("tty", open("/proc/self/stat").read().rsplit(")", 1)[1].split()[4])
# The listing's own descriptor is closed by now, and leads nowhere.
fds = sorted(int(name) for name in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + name))
print("fds", *fds, *(re.sub(r"\d+", "N", os.readlink(f"/proc/self/fd/{fd}")) for fd in fds if fd < 3))
for name, value in sorted(os.environ.items()):
    print("env", name, value)
print("cwd", os.getcwd(), "umask", oct(os.umask(0)))
"#;

/// What a program on `runtime` inherits, by name.
fn inherited(runtime: &str) -> BTreeMap<String, String> {
    let output = run_on(
        runtime,
        &["--deb", "python3"],
        &["python3", "-c", INHERITED],
        b"",
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    let pairs = output.text().lines().map(|line| {
        let (name, value) = line.split_once(' ').expect("a name and a value");
        match name {
            "env" => value
                .split_once(' ')
                .map_or((line, ""), |(name, rest)| (name, rest)),
            _ => (name, value),
        }
    });
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn a_program_inherits_what_a_fresh_login_has_natively_and_in_a_container() {
    let (mut native, mut contained) = (inherited("native"), inherited("cki"));
    // The kernel makes these two of the memory, of which a container has less than its machine.
    for limit in ["RLIMIT_NPROC", "RLIMIT_SIGPENDING"] {
        for side in [&mut native, &mut contained] {
            let value = side.remove(limit).unwrap_or_default();
            // Python has a name for the first only.
            assert!(limit != "RLIMIT_NPROC" || !value.is_empty(), "{limit}");
        }
    }
    assert_eq!(native, contained);
    for (name, value) in [
        ("SigBlk", "0000000000000000"),
        ("SigPnd", "0000000000000000"),
        ("ShdPnd", "0000000000000000"),
        ("SigIgn", "0"),
        ("Umask", "0022"),
        ("Uid", "0\t0\t0\t0"),
        ("Gid", "0\t0\t0\t0"),
        ("NoNewPrivs", "0"),
        ("Seccomp", "0"),
        ("RLIMIT_CORE", "0 -1"),
        ("RLIMIT_STACK", "8388608 -1"),
        ("RLIMIT_CPU", "-1 -1"),
        ("RLIMIT_FSIZE", "-1 -1"),
        ("oom_score_adj", "0"),
        ("nice", "0 policy 0"),
        ("leads", "True True"),
        ("tty", "0"),
        ("fds", "0 1 2 pipe:[N] pipe:[N] pipe:[N]"),
        ("HOME", "/root"),
        ("LANG", "C.UTF-8"),
        ("cwd", "/root umask 0o22"),
    ] {
        assert_eq!(native.get(name).map(String::as_str), Some(value), "{name}");
    }
}

/// A script that names each signal that it gets, on a line of its own, and ends by SIGALRM.
const LISTENER: &str = "
    for name in HUP INT QUIT USR1 USR2 TERM CONT WINCH VTALRM PROF IO PWR RTMIN RTMAX; do
        trap \"echo $name\" $name
    done
    trap 'exit 6' ALRM
    echo ready
    while :; do sleep 0.1; done";

/// Their numbers, in the same order; SIGRTMIN is 34 (signal(7)).
const HEARD: [(&str, i32); 14] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("USR1", 10),
    ("USR2", 12),
    ("TERM", 15),
    ("CONT", 18),
    ("WINCH", 28),
    ("VTALRM", 26),
    ("PROF", 27),
    ("IO", 29),
    ("PWR", 30),
    ("RTMIN", 34),
    ("RTMAX", 64),
];

#[test]
fn signals_reach_the_program_and_its_status_is_what_it_makes_of_them() {
    for runtime in RUNTIMES {
        let script = format!("exec bash -c '{}'", LISTENER.replace('\'', "'\\''"));
        let mut running = Running::start(runtime, &script);
        assert_eq!(running.line(), "ready\n");
        for (name, number) in HEARD {
            running.signal(number);
            assert_eq!(running.line(), format!("{name}\n"), "{runtime}");
        }
        running.signal(14);
        assert_eq!(running.wait().code(), Some(6), "{runtime}");
    }
}

#[test]
fn a_program_that_ignores_an_interrupt_lives_on_and_a_quick_second_one_ends_it() {
    for runtime in RUNTIMES {
        let script = "trap 'echo heard' INT; echo ready; while :; do sleep 0.1; done";
        let mut running = Running::start(runtime, script);
        assert_eq!(running.line(), "ready\n");
        let emulator = running.emulator();
        running.signal(2);
        assert_eq!(running.line(), "heard\n");
        std::thread::sleep(Duration::from_millis(2200));
        running.signal(2);
        assert_eq!(running.line(), "heard\n");
        let start = Instant::now();
        assert_eq!(running.end_by(Signal::INT).code(), Some(130), "{runtime}");
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(emulator.ends_within(Duration::ZERO));
    }
}

/// What Ctrl-Z sends, where the program has no terminal of its own to make that of it.
#[test]
fn sigtstp_reaches_a_program_without_a_terminal_and_stops_cki_build_until_it_is_continued() {
    let directory = tempfile::tempdir().expect("a directory");
    let volume = format!("{}:/seen", directory.path().display());
    let script = "trap 'echo > /seen/stopped' TSTP; trap 'echo continued; exit 4' CONT
        echo ready; while :; do sleep 0.1; done";
    let mut running = Running::start_with("cki", &["--volume", &volume], script);
    assert_eq!(running.line(), "ready\n");
    running.signal(20);
    assert!(running.stops(), "it has ended");
    // The program runs on, and has heard of it while nobody relays its output.
    let start = Instant::now();
    while !directory.path().join("stopped").exists() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "nothing is heard"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(running.stops(), "it is still stopped");
    running.signal(18);
    assert_eq!(running.line(), "continued\n");
    assert_eq!(running.wait().code(), Some(4));
}

#[test]
fn a_signal_that_is_ignored_where_cki_build_was_started_is_nobodys() {
    let program = variable("CKI_BUILD").display().to_string();
    // What nohup does; the process substitution is the program itself.
    let script = "trap '' HUP
        exec 3< <(exec \"$0\" --quiet run --runtime native -- sh -c 'echo ready; sleep 3; echo alive')
        read -r line <&3; kill -HUP $!; echo \"$line\"; cat <&3";
    let output = run_program("bash", ["-c", script, &program], b"");
    assert_eq!(output.text(), "ready\nalive\n", "{}", output.stderr);
}

#[test]
fn a_small_container_starts_and_a_smaller_one_is_refused_at_once() {
    let output = run_on("cki", &["--memory", "64M"], &["echo", "fits"], b"");
    assert_eq!(output.text(), "fits\n", "{}", output.stderr);
    for (runtime, memory, least) in [("cki", "63M", "64M"), ("native", "127M", "128M")] {
        let start = Instant::now();
        let output = run_on(runtime, &["--memory", memory], &["true"], b"");
        assert_eq!(output.status, 125);
        let expected = format!("at least {least}, not {memory}");
        assert!(output.stderr.contains(&expected), "{}", output.stderr);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_container_has_the_memory_that_was_asked_for_be_it_little_or_much() {
    // What the kernel and the page tables take is missing, of a small one the most.
    for (memory, least_mib) in [("96M", 48), ("1G", 900), ("3G", 2700), ("8G", 7500)] {
        let script = "awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo";
        let output = run_on("cki", &["--memory", memory], &["sh", "-c", script], b"");
        let has: u32 = output.text().trim().parse().expect(&output.stderr);
        assert!(has >= least_mib, "{memory}: {has} MiB");
    }
}

#[test]
fn a_working_directory_that_is_not_there_is_told_in_one_line() {
    for runtime in RUNTIMES {
        for workdir in ["/nonexistent", "/etc/passwd"] {
            let output = run_on(runtime, &["-w", workdir], &["true"], b"");
            assert_eq!(output.status, 125);
            assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
            assert!(output.stderr.contains(workdir), "{}", output.stderr);
        }
    }
}

#[test]
fn mistakes_of_usage_have_one_status_in_both_programs() {
    let output = machine(&["--memory", "0.3G"], &["true"], b"");
    assert_eq!(output.status, 125);
    assert!(output.stderr.contains("307M or 308M"), "{}", output.stderr);
    // The same options in the machine, for the launcher.
    let files = "--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda";
    let script = format!(
        "cki run {files} --memory 0.3G -- true; echo $?; cki run {files} --workdir x -- true; echo $?
         cki frob; echo $?; cki --help > /dev/full; echo $?"
    );
    let output = machine(&["--runtime", "host"], &["sh", "-c", &script], b"");
    assert_eq!(output.text(), "125\n125\n125\n125\n", "{}", output.stderr);
    assert!(output.stderr.contains("307M or 308M"), "{}", output.stderr);
}

#[test]
fn containers_have_one_default_of_memory_whoever_starts_them() {
    let told = ["grep", "MemTotal", "/proc/meminfo"];
    let tool = machine(&[], &told, b"");
    let files = "--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda";
    let script = format!(
        "cki run {files} --cmdline mitigations=off -- {}",
        told.join(" ")
    );
    let launcher = machine(&["--runtime", "host"], &["sh", "-c", &script], b"");
    assert_eq!(launcher.text(), tool.text(), "{}", launcher.stderr);
    let kib: u64 = tool
        .text()
        .split_whitespace()
        .nth(1)
        .expect("a number")
        .parse()
        .expect("KiB");
    assert!((900 << 10..1 << 20).contains(&kib), "{kib}");
    // What is said of the machine does not contradict what containers there have.
    assert!(
        launcher
            .stderr
            .contains("isolation: none (native); containers that it starts"),
        "{}",
        launcher.stderr
    );
}

#[test]
fn json_of_a_run_is_the_last_line_of_standard_error_and_never_among_the_programs_output() {
    let program = variable("CKI_BUILD");
    let run = |args: &[&str]| {
        let output = run_program(
            &program,
            [&["--json", "--quiet", "run"], args].concat(),
            b"",
        );
        let last = output.stderr.lines().last().expect("a line").to_owned();
        let json: serde_json::Value = serde_json::from_str(&last).expect("JSON");
        (output, json)
    };
    let (output, json) = run(&["--", "sh", "-c", "echo out; echo err >&2; kill -TERM $$"]);
    assert_eq!(output.text(), "out\n");
    assert!(output.stderr.starts_with("err\n{"), "{}", output.stderr);
    assert_eq!(output.status, 143);
    assert_eq!(json["status"], 143);
    assert_eq!(json["outcome"], "signaled");
    assert_eq!(json["signal"], 15);
    assert_eq!(json["isolation"], "full (cki)");
    // A failure of ours, before there is a program.
    let (output, json) = run(&["--memory", "63M", "--", "true"]);
    assert_eq!((output.status, output.text()), (125, ""));
    assert_eq!(
        (&json["status"], &json["outcome"]),
        (&125.into(), &"failed".into())
    );
    let words = json["error"].as_str().expect("a sentence");
    assert!(words.contains("at least 64M"), "{words}");
}

#[test]
fn a_package_with_a_version_or_an_architecture_is_refused_with_the_syntax() {
    for package in ["hello=2.10-3", "hello:amd64"] {
        let output = machine(&["--deb", package], &["hello"], b"");
        assert_eq!(output.status, 125);
        assert!(
            output.stderr.contains("say hello, without"),
            "{}",
            output.stderr
        );
    }
}

#[test]
fn help_that_cannot_be_written_is_a_failure() {
    let program = variable("CKI_BUILD").display().to_string();
    let script = "\"$0\" --help > /dev/full; echo $?; \"$0\" --help | head -1 > /dev/null; echo $?";
    let output = run_program("bash", ["-o", "pipefail", "-c", script, &program], b"");
    assert_eq!(output.text(), "125\n0\n", "{}", output.stderr);
}

#[test]
fn a_client_of_the_launcher_speaks_the_same_messages() {
    // A client in a few lines: a process that holds the other end of the launcher's socket.
    let client = r#"
import json, socket, subprocess, sys
ours, its = socket.socketpair()
files = "--kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda".split()
launcher = subprocess.Popen(["cki", "run", "--session-fd", str(its.fileno()), *files],
                            pass_fds=[its.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
its.close()
lines = ours.makefile("r")
def say(message): ours.sendall(json.dumps(message).encode() + b"\n")
def hear():
    message = json.loads(lines.readline())
    print(message["type"], message.get("outcome", message.get("message", "")), flush=True)
run = {"type": "run", "id": 5, "hostname": "box", "container": {"memory": "128M"},
       "process": {"argv": ["sh", "-c", "trap 'exit 9' USR1; uname -n; while :; do sleep 0.1; done"],
                   "env": [], "workdir": "/usr"}}
if sys.argv[1] == "later":
    run["process"]["namespaces"] = []
say(run)
hear()
hear()
if sys.argv[1] == "now":
    # Once it has said something, it listens to signals.
    print(launcher.stdout.readline().decode(), end="", flush=True)
    say({"type": "pause", "id": 5})
    hear()
    say({"type": "signal", "id": 5, "signal": 10})
    hear()
    hear()
print(launcher.wait())
"#;
    let run = |what: &str| {
        machine(
            &["--runtime", "host", "--deb", "python3"],
            &["python3", "-c", client, what],
            b"",
        )
    };
    let output = run("now");
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(
        lines[..3],
        ["hello ", "started ", "box"],
        "{}",
        output.stderr
    );
    assert!(
        lines[3].starts_with("refused") && lines[3].contains("`pause`"),
        "{lines:?}"
    );
    assert_eq!(lines[4..], ["output ", "ended {'exited': 9}", "9"]);
    let output = run("later");
    let lines: Vec<_> = output.text().lines().collect();
    assert!(lines[1].contains("`namespaces`"), "{lines:?}");
    assert_eq!((lines.len(), lines[2]), (3, "125"));
}

#[test]
fn what_no_machine_that_stays_up_can_do_is_refused_before_anything_is_built() {
    // An empty cache: nothing is known to be built, nor is any machine up.
    let cache = tempfile::tempdir().expect("a directory");
    for (words, said) in [
        (
            &["run", "--machine", "own", "--name", "x", "--", "ls"][..],
            "one of its own",
        ),
        (
            &["run", "--name", "x", "--", "ls"],
            "and none is: start one",
        ),
        (&["run", "--machine", "nobody", "--", "ls"], "nobody"),
        (
            &[
                "run",
                "--machine",
                "nobody",
                "--host-kernel",
                "debian",
                "--",
                "ls",
            ],
            "has the kernel cki",
        ),
        (
            &["machine", "start", "nobody", "--memory", "10M"],
            "at least 64M",
        ),
    ] {
        let output = Command::new(variable("CKI_BUILD"))
            .args(words)
            .env("CKI_CACHE", cache.path())
            .env("CKI_MACHINE", "")
            .output()
            .expect("it is started");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{words:?}: {stderr}");
        assert!(stderr.contains(said), "{words:?}: {stderr}");
        let left = cache.path().read_dir().expect("it is there");
        let left: Vec<_> = left.map(|entry| entry.expect("read").file_name()).collect();
        assert!(
            left.iter().all(|name| name == "machines"),
            "{words:?}: {left:?}"
        );
    }
}
