// SPDX-License-Identifier: MIT OR Apache-2.0

//! Machines that run the system (`images/system`), reached by SSH.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Output, emulator, long, run_program, variable};

/// What the machine may take for each step, beside whatever else this machine does; alone it is up in half a minute.
const LIMIT: Duration = Duration::from_secs(560);

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Runs a program of SSH's, which does not have to be installed here.
///
/// # Panics
/// When it cannot be started.
pub fn ssh<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> Output {
    ssh_with(program, args, b"")
}

fn ssh_with<A: AsRef<OsStr>>(
    program: &str,
    args: impl IntoIterator<Item = A>,
    input: &[u8],
) -> Output {
    let tools = variable("CKI_TEST_SSH");
    let args: Vec<A> = args.into_iter().collect();
    let (library, program) = (tools.join("lib"), tools.join("bin").join(program));
    let start = [
        OsStr::new("--library-path"),
        library.as_os_str(),
        program.as_os_str(),
    ];
    let words = start.into_iter().chain(args.iter().map(AsRef::as_ref));
    run_program(tools.join("lib/ld-linux-x86-64.so.2"), words, input)
}

/// Makes a pair of keys, and gives the public one.
///
/// # Panics
/// When that does not work.
#[must_use]
pub fn key(file: &Path) -> String {
    let words = ["-q", "-t", "ed25519", "-N", "", "-f"].map(OsStr::new);
    let output = ssh("ssh-keygen", words.into_iter().chain([file.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    std::fs::read_to_string(file.with_extension("pub")).expect("read")
}

/// The words that give the emulator a disk: its file, whether that is `raw` or `qcow2`, and what else is said of it.
#[must_use]
pub fn disk(path: &Path, format: &str, of_the_file: &str, of_the_disk: &str) -> [String; 4] {
    // Devices of one machine have different names; that is all that this one is for.
    let id = path.file_name().expect("a file").to_string_lossy();
    let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
    [
        "-drive".to_owned(),
        format!(
            "file={},format={format},if=none,id=disk{id}{of_the_file}",
            path.display()
        ),
        "-device".to_owned(),
        format!("virtio-blk-pci,drive=disk{id}{of_the_disk}"),
    ]
}

/// Copies the system disk to `to`, for a machine that may change it, and tells its kernels how fast the counter is by
/// which they measure time.
///
/// They measure that themselves otherwise, at the start, which goes wrong by any factor on a computer with other work:
/// their timers then strike too early or too late. The emulator passes our own counter through.
///
/// # Panics
/// When the disk is none.
pub fn own_disk(to: &Path) {
    const LONGEST: usize = 512;
    let mut disk =
        std::fs::read(variable("CKI_SYSTEM_DISK").join("cki-system.qcow2")).expect("the disk");
    let find = |disk: &[u8], what: &[u8], from: usize| {
        let found = disk[from..]
            .windows(what.len())
            .position(|here| here == what);
        found.map(|at| from + at)
    };
    // A file in a single sector of a FAT file system, and what its directory says of it: name, and size behind that.
    let at = find(&disk, b"LABEL a\n", 0).expect("the commands of its loader");
    let length = disk[at..].iter().position(|byte| *byte == 0);
    let length = length.expect("their end");
    let line = std::str::from_utf8(&disk[at..at + length]).expect("text");
    let khz = cki_machine::tsc::Measurement::start().khz();
    let line = format!("{} tsc_early_khz={khz}\n", line.trim_end());
    assert!(line.len() <= LONGEST, "{line}");
    let mut entries = Vec::new();
    let mut from = 0;
    while let Some(entry) = find(&disk[..at], b"SLOT    CFG", from) {
        if disk[entry + 28..][..4] == (length as u32).to_le_bytes() {
            entries.push(entry);
        }
        from = entry + 1;
    }
    assert_eq!(entries.len(), 1, "it has one such file");
    disk[entries[0] + 28..][..4].copy_from_slice(&(line.len() as u32).to_le_bytes());
    disk[at..at + line.len()].copy_from_slice(line.as_bytes());
    std::fs::write(to, disk).expect("written");
}

/// A machine with the system; it ends with this value.
#[derive(Debug)]
pub struct Machine {
    emulator: Child,
    console: PathBuf,
    /// Of this machine, where it is reached by SSH.
    pub port: u16,
}

impl Machine {
    /// Starts one with these further words for the emulator. Whoever has the other half of the key `public` is root.
    ///
    /// # Panics
    /// When the emulator cannot be started.
    pub fn start<W: AsRef<OsStr>>(
        console: PathBuf,
        public: &str,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        Self::start_at(Some(free_port()), console, public, words)
    }

    /// The same at this port of this machine; without one, it has no network.
    ///
    /// # Panics
    /// When the emulator cannot be started.
    pub fn start_at<W: AsRef<OsStr>>(
        port: Option<u16>,
        console: PathBuf,
        public: &str,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        let qemu = variable("CKI_QEMU");
        let mut command = Command::new("timeout");
        let seconds = if long() { "3600" } else { "900" };
        command.arg(seconds).arg(emulator::program(&qemu));
        command
            .arg("-L")
            .arg(qemu.join("share/qemu"))
            .args(["-M", "q35", "-cpu", emulator::CPU, "-nodefaults"])
            .args(["-no-user-config", "-display", "none", "-serial"])
            .arg(format!("file:{}", console.display()));
        if let Some(port) = port {
            command
                .arg("-netdev")
                .arg(format!("user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22"))
                .args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        }
        command
            .arg("-fw_cfg")
            // systemd.system-credentials(7)
            .arg(format!(
                "name=opt/io.systemd.credentials/ssh.authorized_keys.root,string={}",
                public.trim()
            ))
            .args(words);
        let emulator = command.stdin(Stdio::null()).spawn();
        Self {
            emulator: emulator.expect("the emulator is started"),
            console,
            port: port.unwrap_or_default(),
        }
    }

    /// Runs what `nix run .#vm` does, with these further words for the emulator. Whoever has the other half of the key
    /// in the file `public` is root.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn of_the_flake<W: AsRef<OsStr>>(
        console: PathBuf,
        public: &Path,
        words: impl IntoIterator<Item = W>,
    ) -> Self {
        let port = free_port();
        let mut command = Command::new("timeout");
        command
            .arg("900")
            .arg(variable("CKI_VM").join("bin/cki-vm"));
        command.arg("--key").arg(public);
        command
            .args(["--port", &port.to_string(), "--"])
            .args(words);
        // What is its terminal otherwise.
        let output = File::create(&console).expect("created");
        command.stdin(Stdio::null()).stdout(output);
        Self {
            emulator: command.spawn().expect("it is started"),
            console,
            port,
        }
    }

    /// What it has written to its console.
    #[must_use]
    pub fn console(&self) -> String {
        let bytes = std::fs::read(&self.console).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Whether it is switched off, or has restarted where that ends it.
    ///
    /// # Panics
    /// Never: it is ours.
    pub fn has_ended(&mut self) -> bool {
        self.emulator.try_wait().expect("it is ours").is_some()
    }

    /// Waits until `found` gives something.
    ///
    /// # Panics
    /// When the machine ends, or that takes too long.
    pub fn wait_for<T>(&mut self, what: &str, mut found: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            let ended = self.emulator.try_wait().expect("it is ours");
            let late = Instant::now() > deadline;
            assert!(!late && ended.is_none(), "no {what}:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until it is switched off, or restarts, which ends it where it was started with `-no-reboot`.
    ///
    /// # Panics
    /// When that takes too long.
    pub fn wait_for_end(mut self) {
        let deadline = Instant::now() + LIMIT;
        while self.emulator.try_wait().expect("it is ours").is_none() {
            assert!(Instant::now() < deadline, "it runs on:\n{}", self.console());
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Runs a script of its shell as root, who has this key.
    #[must_use]
    pub fn ask(&self, key: &Path, script: &str) -> Output {
        self.ask_with(key, script, b"")
    }

    /// The same with an input.
    #[must_use]
    pub fn ask_with(&self, key: &Path, script: &str, input: &[u8]) -> Output {
        let options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "ConnectTimeout=100",
            "LogLevel=ERROR",
        ];
        let (key, port) = (key.to_str().expect("a plain name"), self.port.to_string());
        let options = options.iter().flat_map(|option| ["-o", option]);
        let words = ["-F", "none", "-i", key, "-p", &port].into_iter();
        let words = words.chain(options).chain(["root@127.0.0.1", script]);
        ssh_with("ssh", words, input)
    }

    /// The same as soon as it answers.
    ///
    /// # Panics
    /// When it never does.
    pub fn ask_when_up(&mut self, key: &Path, script: &str) -> Output {
        self.wait_for("connection", |machine| {
            let output = machine.ask(key, script);
            // ssh's own status when there was no connection.
            (output.status != 255).then_some(output)
        })
    }
}

/// Ends the machine whatever becomes of the test.
impl Drop for Machine {
    fn drop(&mut self) {
        // `timeout` tells the emulator of this signal, as it could not of SIGKILL.
        if let Ok(None) = self.emulator.try_wait() {
            let _ = kill_process(Pid::from_child(&self.emulator), Signal::TERM);
        }
        let _ = self.emulator.wait();
    }
}
