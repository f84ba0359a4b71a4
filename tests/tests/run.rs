// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build run`: programs in the real machine.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use cki_machine::{Ended, HostImage, Io, Machine, TimeLimit};
use cki_session::{Memory, Outcome, Run};
use cki_tests::{RUNTIMES, Running, cki, machine, run_on, run_program, variable};
use rustix::process::Signal;

#[test]
fn a_program_of_a_debian_package_runs_on_our_kernel() {
    for runtime in RUNTIMES {
        let output = run_on(
            runtime,
            &["--deb", "lua5.4"],
            &["lua5.4", "-e", "print(6*7)"],
            b"",
        );
        assert_eq!(
            (output.text(), output.status),
            ("42\n", 0),
            "{}",
            output.stderr
        );
        let output = run_on(runtime, &[], &["uname", "-r"], b"");
        assert!(output.text().contains("cki"), "{}", output.text());
    }
}

#[test]
fn maintainer_scripts_can_call_set_user_id_programs_which_keep_that_bit() {
    // postgresql-common's makes its user with adduser, which calls chfn.
    let script = "id -un postgres; stat -c %a /usr/bin/chfn";
    let output = machine(&["--deb", "postgresql-common"], &["sh", "-c", script], b"");
    assert_eq!(output.text(), "postgres\n4755\n", "{}", output.stderr);
}

#[test]
fn a_native_program_is_said_to_be_without_isolation() {
    let output = machine(&["--runtime", "native"], &["true"], b"");
    assert_eq!(output.status, 0);
    assert!(
        output.stderr.contains("isolation: none (native)"),
        "{}",
        output.stderr
    );
}

#[test]
fn the_demonstration_works_in_a_container_and_says_how_isolated_it_was() {
    let output = cki(["--quiet", "demo", "--rows", "20000"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let lines: Vec<_> = output.text().lines().collect();
    assert!(lines[0].starts_with("Linux cki 6.12"), "{}", lines[0]);
    assert_eq!(lines[1], "rows | 20000 | cents | 1000090000");
    assert_eq!(
        lines[lines.len() - 2..],
        ["integrity_check: ok", "isolation: full (cki)"]
    );
}

#[test]
fn a_container_with_two_processors_is_refused() {
    let output = run_on("cki", &["--cpus", "2"], &["true"], b"");
    assert_eq!(output.status, 125);
    assert!(output.stderr.contains("one virtual processor"));
}

#[test]
fn the_exit_status_is_the_programs_own() {
    for runtime in RUNTIMES {
        for status in [0, 7, 255] {
            let output = run_on(runtime, &[], &["sh", "-c", &format!("exit {status}")], b"");
            assert_eq!(output.status, status, "{}", output.stderr);
            assert_eq!(output.stderr, "", "a program that ends is no news");
        }
    }
}

#[test]
fn death_by_signal_n_gives_128_plus_n() {
    for runtime in RUNTIMES {
        for signal in [9, 15] {
            let output = run_on(
                runtime,
                &[],
                &["sh", "-c", &format!("kill -{signal} $$")],
                b"",
            );
            assert_eq!(output.status, 128 + signal, "{}", output.stderr);
        }
    }
}

#[test]
fn a_program_that_is_not_there_gives_127_and_one_that_cannot_be_executed_126() {
    for runtime in RUNTIMES {
        let output = run_on(runtime, &[], &["no-such-program"], b"");
        assert_eq!(output.status, 127);
        assert!(
            output.stderr.contains("no-such-program"),
            "{}",
            output.stderr
        );
        let output = run_on(runtime, &[], &["/etc/passwd"], b"");
        assert_eq!(output.status, 126);
    }
}

#[test]
fn ten_megabytes_go_through_unchanged_both_ways() {
    for runtime in RUNTIMES {
        // Every byte value, and no period that a buffer's size could hide a mistake in.
        let input: Vec<u8> = (0_u64..1_250_000)
            .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
            .collect();
        let output = run_on(runtime, &[], &["cat"], &input);
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert_eq!(output.stdout.len(), input.len());
        assert!(output.stdout == input, "the bytes differ");
    }
}

#[test]
fn a_reader_that_is_slow_gets_all_of_the_output_too() {
    for runtime in RUNTIMES {
        // The program has ended long before its output is read.
        let script = r#"{ "$0" --quiet run --network none --runtime "$1" -- head -c 4000000 /dev/zero; echo $? >&2; } |
            { sleep 4; wc -c; }"#;
        let build = variable("CKI_BUILD");
        let words = [
            "-c".as_ref(),
            script.as_ref(),
            build.as_os_str(),
            runtime.as_ref(),
        ];
        let output = run_program("bash", words, b"");
        assert_eq!(output.text(), "4000000\n", "{runtime}: {}", output.stderr);
        assert!(output.stderr.ends_with("0\n"), "{}", output.stderr);
    }
}

#[test]
fn the_end_of_input_reaches_the_program() {
    for runtime in RUNTIMES {
        let output = run_on(runtime, &[], &["wc", "-c"], b"");
        assert_eq!(output.text().trim(), "0");
        let output = run_on(
            runtime,
            &[],
            &["sh", "-c", "read a; read b; echo $b $a"],
            b"x\ny\n",
        );
        assert_eq!(output.text(), "y x\n");
    }
}

#[test]
fn standard_output_and_error_are_kept_apart() {
    for runtime in RUNTIMES {
        let output = run_on(
            runtime,
            &[],
            &["sh", "-c", "echo out; echo err >&2; echo out"],
            b"",
        );
        assert_eq!(
            (output.text(), output.stderr.as_str()),
            ("out\nout\n", "err\n")
        );
    }
}

#[test]
fn environment_and_directory_are_what_was_asked_for() {
    for runtime in RUNTIMES {
        let output = run_on(
            runtime,
            &["--env", "A=1 2", "--env", "B=", "--workdir", "/usr"],
            &["sh", "-c", "echo \"$A|${B-unset}|$PWD\""],
            b"",
        );
        assert_eq!(output.text(), "1 2||/usr\n", "{}", output.stderr);
    }
}

#[test]
fn when_the_time_is_over_the_program_is_ended_with_124() {
    for runtime in RUNTIMES {
        let start = Instant::now();
        let output = run_on(runtime, &["--timeout", "1"], &["sleep", "1000"], b"");
        assert_eq!(output.status, 124, "{}", output.stderr);
        assert!(
            output.stderr.contains("reached its time limit"),
            "{}",
            output.stderr
        );
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

#[test]
fn a_program_that_ignores_the_end_of_its_time_is_ended_too() {
    for runtime in RUNTIMES {
        let script = "trap '' TERM; while :; do sleep 1; done";
        let output = run_on(runtime, &["--timeout", "1"], &["sh", "-c", script], b"");
        assert_eq!(output.status, 124, "{}", output.stderr);
    }
}

#[test]
fn the_memory_is_what_was_asked_for() {
    for mib in [256, 1024] {
        let output = machine(
            &["--memory", &format!("{mib}M")],
            &["grep", "MemTotal", "/proc/meminfo"],
            b"",
        );
        let kib: u64 = output
            .text()
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse().ok())
            .expect("a number");
        // The kernel keeps some for itself, and page tables have a pool of their own.
        let least = mib - 96 - mib / 16;
        assert!(
            (least..=mib).contains(&(kib >> 10)),
            "{kib} KiB of {mib} MiB"
        );
    }
}

#[test]
fn the_processors_are_as_many_as_were_asked_for() {
    for cpus in ["1", "3"] {
        let output = run_on("native", &["--cpus", cpus], &["nproc"], b"");
        assert_eq!(output.text().trim(), cpus, "{}", output.stderr);
    }
}

/// Waits to be interrupted. A shell would not do: dash handles SIGINT itself between two commands, and then goes on.
const WAITS: &str = r#"exec perl -e '$| = 1; print "ready\n"; sleep 1000'"#;

#[test]
fn ctrl_c_ends_the_emulator_and_leaves_nothing() {
    for runtime in RUNTIMES {
        let mut running = Running::start(runtime, WAITS);
        assert_eq!(running.line(), "ready\n");
        let emulator = running.emulator();
        assert_eq!(running.end_by(Signal::INT).code(), Some(130));
        assert!(
            emulator.ends_within(Duration::ZERO),
            "the emulator outlives cki-build"
        );
        assert_eq!(running.left_over(), [""; 0]);
    }
}

#[test]
fn sigkill_leaves_nothing_either() {
    for runtime in RUNTIMES {
        let mut running = Running::start(runtime, "echo ready; sleep 1000");
        assert_eq!(running.line(), "ready\n");
        let emulator = running.emulator();
        assert_eq!(running.end_by(Signal::KILL).code(), None);
        assert!(
            emulator.ends_within(Duration::from_secs(20)),
            "the emulator outlives cki-build"
        );
        assert_eq!(running.left_over(), [""; 0]);
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    for runtime in RUNTIMES {
        let mut running = Running::start(runtime, "while :; do echo y; done");
        assert_eq!(running.line(), "y\n");
        let emulator = running.emulator();
        let (status, stderr) = running.close_output();
        assert_eq!((status.code(), stderr.as_str()), (Some(141), ""));
        assert!(emulator.ends_within(Duration::ZERO));
    }
}

#[test]
fn two_machines_run_at_once() {
    let mut first = Running::start("cki", "echo first; sleep 1000");
    assert_eq!(first.line(), "first\n");
    let second = run_on("cki", &[], &["echo", "second"], b"");
    assert_eq!(second.text(), "second\n", "{}", second.stderr);
    assert_eq!(first.end_by(Signal::TERM).code(), Some(143));
}

#[test]
fn neither_a_home_that_can_be_written_nor_room_for_temporary_files_is_needed() {
    let run = ["--quiet", "run", "--", "echo", "as ever"];
    // What has to be built and remembered is.
    assert_eq!(cki(run).text(), "as ever\n");
    let script = r#"mount -t tmpfs -o size=4k full "$1" || exit 99
        head -c 9999 /dev/zero > "$1/file" 2> /dev/null
        mount -t tmpfs -o ro home "$2" || exit 98
        export TMPDIR="$1" HOME="$2"; shift 2; exec "$@""#;
    let (full, home) = (tempfile::tempdir(), tempfile::tempdir());
    let (full, home) = (full.expect("a directory"), home.expect("a directory"));
    let build = variable("CKI_BUILD");
    let namespaces = ["--user", "--map-root-user", "--mount"].map(OsStr::new);
    let shell = ["sh", "-c", script, "sh"].map(OsStr::new);
    let paths = [full.path(), home.path(), &build].map(Path::as_os_str);
    let words = namespaces.into_iter().chain(shell).chain(paths);
    let output = run_program("unshare", words.chain(run.map(OsStr::new)), b"");
    assert_eq!(output.text(), "as ever\n", "{}", output.stderr);
    assert_eq!((output.status, &*output.stderr), (0, ""));
}

#[test]
fn memory_that_a_container_does_not_use_is_not_taken_from_us() {
    let mut running = Running::start("cki", "echo ready; sleep 1000");
    assert_eq!(running.line(), "ready\n");
    let emulator = running.emulator();
    // The container has 1024 MiB, all of which is zero when it starts.
    let peak = emulator.peak_mib();
    assert!(peak < 700, "the emulator takes {peak} MiB");
    assert_eq!(running.end_by(Signal::TERM).code(), Some(143));
}

#[test]
fn the_kernel_console_is_shown_on_request_and_on_standard_error_only() {
    for runtime in RUNTIMES {
        let script = "echo '<1>shown' > /dev/kmsg; echo out";
        let output = machine(
            &["--runtime", runtime, "--verbose"],
            &["sh", "-c", script],
            b"",
        );
        assert_eq!(output.text(), "out\n");
        assert!(output.stderr.contains("shown"), "{}", output.stderr);
    }
}

#[test]
fn an_unknown_package_is_answered_with_the_nearest_names() {
    let output = machine(&["--deb", "lua5.44"], &["true"], b"");
    assert_eq!(output.status, 125);
    assert!(output.stderr.contains("lua5.4"), "{}", output.stderr);
    assert_eq!(output.stdout, b"");
}

#[test]
fn an_unknown_attribute_is_answered_with_the_nearest_name() {
    let output = cki(["build", "cki-kernl"]);
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("did you mean cki-kernel?"),
        "{}",
        output.stderr
    );
}

#[test]
fn the_console_of_a_healthy_machine_has_nothing_that_a_failure_would_show() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = dir.path().join("app.img");
    let args = ["image", "app", "--deb", "lua5.4", "-o"].map(OsStr::new);
    let output = cki(args.into_iter().chain([app.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let host = HostImage::load(&variable("CKI_HOST")).expect("a host image");
    let machine = Machine::new(&variable("CKI_QEMU"), host, app, Memory::constant(256), 1);
    // What a machine says that is told to be quiet fits into a socket.
    let (mut reader, console) = UnixStream::pair().expect("a socket pair");
    let io = Io {
        console: Some(Box::new(console)),
        ..cki_tests::sink::nothing()
    };
    let ended = cki_machine::run(
        &machine,
        Run::new(["true"]),
        TimeLimit::NONE,
        io,
        |_| {},
        || {},
    );
    assert_eq!(ended.expect("it runs").outcome, Outcome::Exited(0));
    let mut said = Vec::new();
    reader.read_to_end(&mut said).expect("the writer is gone");
    assert_eq!(cki_session::console::report(&said), "");
}

/// Runs `true` from `image`, which is not what it should be, and gives what was said.
fn failure_of(image: &[u8]) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let app = dir.path().join("app.img");
    std::fs::write(&app, image).expect("written");
    let host = HostImage::load(&variable("CKI_HOST")).expect("a host image");
    let memory = Memory::constant(256);
    let machine = Machine::new(&variable("CKI_QEMU"), host, app, memory, 1);
    let io = cki_tests::sink::nothing();
    let run = Run::new(["true"]);
    match cki_machine::run(&machine, run, TimeLimit::NONE, io, |_| {}, || {}) {
        Ok(Ended {
            outcome: Outcome::Failed(failure),
            ..
        }) => failure.message,
        Ok(ended) => panic!("no status can come from this: {ended:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_foreign_or_truncated_image_is_a_failure_of_ours() {
    for image in [vec![0; 1 << 20], b"no file system".repeat(100_000)] {
        let message = failure_of(&image);
        assert!(message.to_lowercase().contains("image"), "{message}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let whole = dir.path().join("app.img");
    let output = cki(["image", "app", "--deb", "lua5.4", "-o"]
        .iter()
        .map(std::ffi::OsStr::new)
        .chain([whole.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let bytes = std::fs::read(&whole).expect("read");
    let message = failure_of(&bytes[..bytes.len() / 64]);
    assert!(!message.is_empty());
}
