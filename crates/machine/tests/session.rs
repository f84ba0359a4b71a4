// SPDX-License-Identifier: MIT OR Apache-2.0

//! The session driver against a machine played by a shell script that inherits QEMU's descriptors.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use cki_machine::{Board, Ended, HostImage, Interrupt, Io, Machine, Outcome, SessionError, driver};
use cki_process::exit::Status;
use cki_process::units::MemoryMib;
use cki_session::Run;

/// Says hello and waits for the request, as init does.
const HELLO: &str = r#"
echo '{"type":"hello","version":2,"kernel":"6.12-test"}' >&3
read -r request <&3
echo '{"type":"started","pid":2,"isolation":"none"}' >&3
"#;

/// Ends the machine as init does.
const END: &str = "\nexit 67\n";

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Fake {
    dir: tempfile::TempDir,
    stdin: Vec<u8>,
    stdout: Sink,
    stderr: Sink,
    console: Sink,
    timeout: Option<Duration>,
    unread: bool,
}

impl Fake {
    /// A machine that runs `script` in bash.
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("set");
        };
        write("qemu", &format!("#!/bin/bash\n{script}"));
        write("app.img", "");
        Self {
            dir,
            stdin: Vec::new(),
            stdout: Sink::default(),
            stderr: Sink::default(),
            console: Sink::default(),
            timeout: None,
            unread: false,
        }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self) -> Result<Ended, SessionError> {
        self.run_with(|_| {})
    }

    fn run_with(&self, interruptible: impl FnOnce(Interrupt)) -> Result<Ended, SessionError> {
        let host = HostImage {
            kernel: "vmlinux".into(),
            initrd: "initrd".into(),
            cmdline: String::new(),
            container_cmdline: String::new(),
            board: Board::Microvm,
            host_mib: 192,
        };
        let memory = MemoryMib::new(256).expect("allowed");
        let mut machine = Machine::new(Path::new("/"), host, self.path("app.img"), memory, 1);
        machine.qemu = self.path("qemu");
        let io = Io {
            stdin: Box::new(io::Cursor::new(self.stdin.clone())),
            stdout: if self.unread {
                Box::new(Closed)
            } else {
                Box::new(self.stdout.clone())
            },
            stderr: Box::new(self.stderr.clone()),
            console: Some(Box::new(self.console.clone())),
        };
        let run = Run {
            argv: vec!["prog".into(), "arg".into()],
            env: vec![("K".into(), "V".into())],
            cwd: "/root".into(),
            hostname: "cki".into(),
            container: None,
            pool_mib: None,
        };
        driver::run(&machine, run, self.timeout, io, interruptible, || {})
    }

    fn outcome(&self) -> Outcome {
        self.run().expect("the session ends well").outcome
    }

    fn stdout(&self) -> Vec<u8> {
        self.stdout.0.lock().expect("lock").clone()
    }
}

#[test]
fn the_programs_status_is_the_sessions() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"exited","status":7}}' >&3 {END}"#
    ));
    let ended = fake.run().expect("the session ends well");
    assert_eq!(ended.outcome, Outcome::Exited(7));
    assert_eq!(ended.kernel.as_deref(), Some("6.12-test"));
    assert!(ended.times.hello <= ended.times.started);
}

#[test]
fn death_by_signal_is_reported_as_such() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"signaled","signal":9,"oom":true}}' >&3 {END}"#
    ));
    let outcome = fake.outcome();
    assert_eq!(
        outcome,
        Outcome::Signaled {
            signal: 9,
            oom: true
        }
    );
    assert_eq!(outcome.status(), Status(137));
}

#[test]
fn the_request_carries_arguments_and_environment() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo "$request" >&5; echo '{{"type":"exited","status":0}}' >&3 {END}"#
    ));
    fake.outcome();
    let request: serde_json::Value = serde_json::from_slice(&fake.stdout()).expect("JSON");
    assert_eq!(request["type"], "run");
    assert_eq!(request["argv"], serde_json::json!(["prog", "arg"]));
    assert_eq!(request["env"], serde_json::json!([["K", "V"]]));
}

#[test]
fn the_streams_are_kept_apart_and_input_ends() {
    let mut fake = Fake::new(&format!(
        r#"{HELLO} echo console >&7; echo oops >&6; cat <&4 >&5
        echo '{{"type":"exited","status":0}}' >&3 {END}"#
    ));
    fake.stdin = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fake.outcome();
    assert!(
        fake.stdout() == fake.stdin,
        "12 MB come back as they were sent"
    );
    assert_eq!(*fake.stderr.0.lock().expect("lock"), b"oops\n");
    assert_eq!(*fake.console.0.lock().expect("lock"), b"console\n");
}

#[test]
fn a_program_that_is_not_there_has_the_shells_status() {
    for (kind, status) in [("not-found", 127), ("not-executable", 126)] {
        let fake = Fake::new(&format!(
            r#"{HELLO} echo '{{"type":"failed","message":"no","kind":"{kind}"}}' >&3 {END}"#
        ));
        assert_eq!(fake.outcome().status(), Status(status));
    }
}

#[test]
fn a_bad_image_is_our_failure() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"failed","message":"vda is no erofs","kind":"image"}}' >&3 {END}"#
    ));
    let message = fake.run().expect_err("no status").to_string();
    assert_eq!(message, "vda is no erofs");
}

#[test]
fn a_machine_that_crashes_is_reported_with_its_console() {
    let fake = Fake::new(&format!(
        "{HELLO} echo 'Kernel panic - not syncing' >&7; echo 'qemu: bad' >&2; exit 0"
    ));
    let message = fake.run().expect_err("a crash").to_string();
    assert!(
        message.starts_with("the machine ended with status 0 while the program was running"),
        "{message}"
    );
    assert!(message.contains("Kernel panic - not syncing"), "{message}");
    assert!(message.contains("qemu: bad"), "{message}");
}

#[test]
fn a_status_without_the_machines_orderly_end_is_not_believed() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"exited","status":0}}' >&3; exit 1"#
    ));
    let message = fake.run().expect_err("a crash").to_string();
    assert!(message.contains("after the program had ended"), "{message}");
}

#[test]
fn another_protocol_version_is_refused() {
    let fake = Fake::new(r#"echo '{"type":"hello","version":99,"kernel":"x"}' >&3; sleep 1000"#);
    assert!(matches!(fake.run(), Err(SessionError::Protocol(_))));
}

#[test]
fn time_over_asks_the_program_to_end_and_gives_124() {
    let mut fake = Fake::new(&format!(
        r#"{HELLO} read -r signal <&3; echo "$signal" >&5
        echo '{{"type":"signaled","signal":15,"oom":false}}' >&3 {END}"#
    ));
    fake.timeout = Some(Duration::from_millis(50));
    assert_eq!(fake.outcome().status(), Status::TIMEOUT);
    assert_eq!(fake.stdout(), b"{\"type\":\"signal\",\"signal\":15}\n");
}

#[test]
fn a_program_that_does_not_listen_is_ended_all_the_same() {
    let mut fake = Fake::new(&format!("{HELLO} exec sleep 1000"));
    fake.timeout = Some(Duration::from_millis(50));
    let start = Instant::now();
    assert_eq!(fake.outcome(), Outcome::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_signal_ends_the_machine() {
    let fake = Fake::new(&format!("{HELLO} echo $$ >&5; exec sleep 1000"));
    let (sender, handle) = mpsc::channel();
    let stdout = fake.stdout.clone();
    // Interrupts once the machine has said its process id.
    let watcher = std::thread::spawn(move || {
        let interrupt: Interrupt = handle.recv().expect("a handle");
        while !stdout.0.lock().expect("lock").ends_with(b"\n") {
            std::thread::yield_now();
        }
        interrupt.signal(2);
    });
    let ended = fake
        .run_with(|interrupt| sender.send(interrupt).expect("sent"))
        .expect("the session ends well");
    watcher.join().expect("joined");
    assert_eq!(ended.outcome, Outcome::Interrupted(2));
    assert_eq!(ended.outcome.status(), Status(130));
    let pid = String::from_utf8(fake.stdout()).expect("a number");
    assert!(
        !Path::new("/proc").join(pid.trim()).exists(),
        "the machine is gone"
    );
}

#[test]
fn output_that_nobody_reads_ends_the_machine() {
    let mut fake = Fake::new(&format!("{HELLO} echo x >&5; exec sleep 1000"));
    fake.unread = true;
    assert_eq!(fake.outcome().status(), Status(141));
}

#[test]
fn a_missing_image_or_emulator_is_named() {
    let fake = Fake::new("");
    std::fs::remove_file(fake.path("app.img")).expect("removed");
    let message = fake.run().expect_err("no image").to_string();
    assert!(message.contains("app.img"), "{message}");

    let fake = Fake::new("");
    std::fs::remove_file(fake.path("qemu")).expect("removed");
    let message = fake.run().expect_err("no emulator").to_string();
    assert!(message.contains("cannot start the emulator"), "{message}");
}
