// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests of the built machine have in common.
//!
//! They are told where the outputs of the flake are by variables that `cki-build check` sets; a test
//! whose variable is missing fails and says so.
//!
//! Used by: the tests beside it. May use: `cki-abi`, `cki-machine`, `cki-nix`, `cki-process`, `cki-session`.

pub mod bare;
pub mod elf;
pub mod emulator;
pub mod journal;
pub mod reports;
pub mod resident;
pub mod screen;
pub mod sink;
pub mod system;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, pidfd_send_signal,
    waitid,
};

/// Seconds after which a command that should have ended long ago is ended; more in the long forms, some of which are on
/// a kernel that looks at all it does.
const LIMIT: &str = "300";
const LONG_LIMIT: &str = "1200";

/// The value of a variable that `cki-build check` sets.
///
/// # Panics
/// When it is not set.
#[must_use]
pub fn variable(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) if !value.is_empty() => value.into(),
        _ => panic!("{name} is not set: run these tests with `cargo run --release -- check`"),
    }
}

/// Whether the long forms of tests are wanted (`cki-build check --all`).
#[must_use]
pub fn long() -> bool {
    std::env::var_os("CKI_LONG").is_some()
}

/// Our address that is not the loopback interface's.
///
/// # Panics
/// When this machine has no route out.
#[must_use]
pub fn our_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Nothing is sent: the kernel chooses the address by its routes.
    socket
        .connect("198.51.100.1:9")
        .expect("this machine has a route out, which these tests take");
    socket.local_addr().expect("an address").ip()
}

/// What a command gave.
#[derive(Debug)]
pub struct Output {
    /// Its status, 124 when it had to be ended.
    pub status: i32,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Its standard output as text.
    ///
    /// # Panics
    /// When it is no UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("the output is text")
    }
}

/// Runs a program with `stdin` as its input.
///
/// # Panics
/// When it cannot be started or is ended by a signal.
#[must_use]
pub fn run_program<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
    stdin: &[u8],
) -> Output {
    let mut child = Command::new("timeout")
        .args(["--kill-after=5", if long() { LONG_LIMIT } else { LIMIT }])
        .arg(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("timeout is started");
    let mut input = child.stdin.take().expect("piped");
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that does not read all of it is no mistake of ours.
            let _ = input.write_all(stdin);
        });
        child.wait_with_output().expect("it is waited for")
    });
    Output {
        status: output.status.code().expect("it ends by itself"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs `cki-build` with `args` and no input.
#[must_use]
pub fn cki<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    run_program(variable("CKI_BUILD"), args, b"")
}

/// Runs `command` in a machine with `options`, with `stdin` as its input.
#[must_use]
pub fn machine(options: &[&str], command: &[&str], stdin: &[u8]) -> Output {
    let words = ["run"].iter().chain(options).chain(&["--"]).chain(command);
    run_program(variable("CKI_BUILD"), words, stdin)
}

/// What a program can run on.
pub const RUNTIMES: [&str; 2] = ["native", "cki"];

/// Runs `command` on `runtime` with `options` and no input; without the line on standard error that says
/// of a native program that it is not isolated.
#[must_use]
pub fn run_on(runtime: &str, options: &[&str], command: &[&str], stdin: &[u8]) -> Output {
    let options: Vec<_> = ["--quiet", "--runtime", runtime]
        .iter()
        .chain(options)
        .copied()
        .collect();
    machine(&options, command, stdin)
}

/// A `cki-build run` that is under way, with its emulator.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    temporary: tempfile::TempDir,
}

impl Running {
    /// Starts `script` in a machine or in a container on one. Temporary files go to a directory of its own.
    ///
    /// # Panics
    /// When that does not work.
    #[must_use]
    pub fn start(runtime: &str, script: &str) -> Self {
        Self::start_with(runtime, &[], script)
    }

    /// As [`Running::start`], with options of `run`.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub fn start_with(runtime: &str, options: &[&str], script: &str) -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(variable("CKI_BUILD"))
            .args(["--quiet", "run", "--runtime", runtime])
            .args(options)
            .args(["--", "sh", "-c", script])
            .env("TMPDIR", temporary.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cki-build is started");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            child,
            stdout: Some(stdout),
            temporary,
        }
    }

    /// The next line of the program's output.
    ///
    /// # Panics
    /// When there is none.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().expect("not closed");
        let n = stdout.read_line(&mut line).expect("a line");
        assert!(n > 0, "the output has ended");
        line
    }

    /// Closes our end of the program's output; gives how `cki-build` ended and what it wrote to its
    /// standard error.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn close_output(mut self) -> (ExitStatus, String) {
        drop(self.stdout.take());
        let status = self.child.wait().expect("it is waited for");
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().expect("piped");
        stderr.read_to_string(&mut text).expect("text");
        (status, text)
    }

    /// The emulator's process.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn emulator(&self) -> Process {
        emulator_of(self.child.id())
    }

    /// Sends the signal with this number to `cki-build`.
    ///
    /// # Panics
    /// When that does not work.
    pub fn signal(&self, number: i32) {
        let status = Command::new("kill")
            .args([format!("-{number}"), self.child.id().to_string()])
            .status()
            .expect("kill is started");
        assert!(status.success(), "signal {number} is sent");
    }

    /// Whether `cki-build` stops before it ends; waits for one of them.
    ///
    /// # Panics
    /// When it cannot be waited for.
    #[must_use]
    pub fn stops(&self) -> bool {
        let which = WaitId::Pid(Pid::from_child(&self.child));
        let options = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(which, options).expect("it is waited for");
        status.is_some_and(|status| status.stopped())
    }

    /// How `cki-build` ended.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("it is waited for")
    }

    /// Sends `signal` to `cki-build` and gives how it ended.
    ///
    /// # Panics
    /// When that does not work.
    pub fn end_by(&mut self, signal: Signal) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the signal is sent");
        self.child.wait().expect("it is waited for")
    }

    /// What is left in its directory for temporary files.
    ///
    /// # Panics
    /// When the directory cannot be read.
    #[must_use]
    pub fn left_over(&self) -> Vec<OsString> {
        std::fs::read_dir(self.temporary.path())
            .expect("the directory is there")
            .map(|entry| entry.expect("an entry").file_name())
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The emulator that a process has started.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn emulator_of(parent: u32) -> Process {
    let qemu = children(&parent.to_string())
        .into_iter()
        .find(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|words| words.windows(4).any(|part| part == b"qemu"))
        })
        .expect("cki-build has an emulator");
    Process::open(qemu)
}

/// A process that can be waited for although it is not our child.
#[derive(Debug)]
pub struct Process {
    number: i32,
    fd: std::os::fd::OwnedFd,
}

impl Process {
    fn open(number: i32) -> Self {
        let pid = Pid::from_raw(number).expect("a process id");
        let fd = pidfd_open(pid, PidfdFlags::empty()).expect("the process is there");
        Self { number, fd }
    }

    /// The most memory that it has had until now, in MiB (`VmHWM` of proc(5)).
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn peak_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.number));
        let status = status.expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") / 1024
    }

    /// Kills it.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn kill(&self) {
        pidfd_send_signal(&self.fd, Signal::KILL).expect("it is killed");
    }

    /// Whether it ends within `limit`.
    ///
    /// # Panics
    /// When the kernel cannot say.
    #[must_use]
    pub fn ends_within(&self, limit: Duration) -> bool {
        let timeout = Timespec::try_from(limit).expect("a short time");
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).expect("poll works") > 0
    }
}

fn children(parent: &str) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).expect("the process is there");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// The checkout that is tested.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn checkout() -> cki_nix::checkout::Checkout {
    cki_nix::checkout::Checkout::find(Some(&variable("CKI_FLAKE"))).expect("a checkout")
}

/// `checkout` as Nix is told of it, with a cache that nobody else uses.
///
/// # Panics
/// When it has to be copied and cannot be.
#[must_use]
pub fn flake(checkout: &cki_nix::checkout::Checkout) -> cki_nix::Flake {
    let cache = std::env::temp_dir().join(format!("cki-flake-{}", std::process::id()));
    let cache = cki_nix::cache::Cache::open(Some(&cache)).expect("a cache");
    cki_nix::Flake::of(checkout, &cache).expect("a flake")
}

/// Runs `git` in `dir`.
///
/// # Panics
/// When it fails.
pub fn git(dir: &Path, args: &[&str]) {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "-C",
        ])
        .arg(dir)
        .args(args)
        .output()
        .expect("git is started");
    assert!(
        output.status.success(),
        "git {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
