// SPDX-License-Identifier: MIT OR Apache-2.0

//! Machines without a guest kernel: `tests/driver` is PID 1 and runs bare-metal guests through /dev/cki.
//!
//! The parts come from the environment, which `cki-build check` sets: `CKI_QEMU`, `CKI_KERNEL`, `CKI_KSM`,
//! `CKI_KMOD` and `CKI_MONITOR_DRIVER` (outputs of those names).

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;

use cpio::newc::{Builder, trailer};

use crate::emulator;
pub use crate::emulator::PASSED;

/// No machine takes longer, on the slowest computer, unless its test says so.
const LIMIT: Duration = Duration::from_secs(300);
/// Options of QEMU for a machine as fast as can be.
pub const FAST: &[&str] = &["-accel", "tcg,thread=multi"];
/// And for one that counts instructions.
pub const COUNTING: &[&str] = &[
    "-accel",
    "tcg,thread=single",
    "-icount",
    "shift=0,sleep=off",
];

/// What is around the CPUs: QEMU's name, and what the kernel is told.
struct Board {
    machine: &'static str,
    words: &'static str,
}

const MICROVM: Board = Board {
    machine: "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=on",
    words: "acpi=off pci=off",
};
const PC: Board = Board {
    machine: "q35",
    words: "",
};
/// Memory of a node, in MiB.
const NODE_MIB: u32 = 256;

/// What every machine is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Our emulator's directory.
    pub qemu: PathBuf,
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The monitor's image.
    pub monitor: PathBuf,
    /// The module.
    pub module: PathBuf,
    /// PID 1.
    pub driver: PathBuf,
}

/// What `cki-build check` says of an output.
///
/// # Errors
/// When it says nothing.
pub fn output(name: &str) -> Result<PathBuf, String> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("{name} is not set: run the tests with `cki-build check`"))
}

/// A module in an output of the flake.
///
/// # Errors
/// When there is none.
pub fn module(directory: &Path) -> Result<PathBuf, String> {
    find(directory, "cki.ko")
}

fn find(directory: &Path, name: &str) -> Result<PathBuf, String> {
    let entries =
        fs::read_dir(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Ok(found) = find(&path, name) {
                return Ok(found);
            }
        } else if entry.file_name() == name {
            return Ok(path);
        }
    }
    Err(format!("no {name} in {}", directory.display()))
}

impl Parts {
    /// As the environment has them.
    ///
    /// # Errors
    /// When a variable is missing, or an output is not what it should be.
    pub fn from_environment() -> Result<Self, String> {
        Ok(Parts {
            qemu: output("CKI_QEMU")?,
            kernel: output("CKI_KERNEL")?.join("vmlinux"),
            monitor: output("CKI_KSM")?.join("lib/firmware/cki/ksm"),
            module: module(&output("CKI_KMOD")?)?,
            driver: output("CKI_MONITOR_DRIVER")?.join("bin/cki-monitor-driver"),
        })
    }
}

/// Gives the emulator a command of its monitor for people, through the one for programs, which echoes nothing.
fn give(socket: &Path, command: &str) -> std::io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket)?;
    let arguments = json!({ "command-line": command });
    for request in [
        json!({ "execute": "qmp_capabilities" }),
        json!({ "execute": "human-monitor-command", "arguments": arguments }),
    ] {
        writeln!(stream, "{request}")?;
    }
    Ok(stream)
}

/// Ends with whoever runs it, by an error and a panic, too.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended, which is no error.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What follows `words` on a line that has ended.
fn rest_of_line(console: &str, words: &str) -> Option<String> {
    let (_, rest) = console.split_once(words)?;
    let (line, _) = rest.split_once('\n')?;
    Some(line.trim_end().to_owned())
}

/// Adds a file or a directory to an initial file system.
fn add(archive: &mut Vec<u8>, name: &str, mode: u32, content: &[u8]) -> Result<(), String> {
    let size = u32::try_from(content.len()).map_err(|_| format!("{name} is too large"))?;
    let mut entry = Builder::new(name).mode(mode).write(archive, size);
    entry
        .write_all(content)
        .and_then(|()| entry.finish())
        .map_err(|error| format!("{name}: {error}"))?;
    Ok(())
}

/// What a machine left behind.
#[derive(Debug)]
pub struct Outcome {
    /// None if it had to be killed.
    pub status: Option<i32>,
    /// All that it said.
    pub console: String,
}

impl Outcome {
    /// The end of what it said.
    #[must_use]
    pub fn tail(&self) -> &str {
        let from = self.console.len().saturating_sub(4096);
        self.console.get(from..).unwrap_or(&self.console)
    }

    /// `case NAME ok` and `case NAME FAILED: why` by name.
    #[must_use]
    pub fn cases(&self) -> BTreeMap<String, Result<(), String>> {
        self.console
            .lines()
            .filter_map(|line| line.trim_end().strip_prefix("case ")?.split_once(' '))
            .map(|(name, rest)| {
                let outcome = if rest == "ok" {
                    Ok(())
                } else {
                    Err(rest.to_owned())
                };
                (name.to_owned(), outcome)
            })
            .collect()
    }
}

/// A machine that is to run.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    parts: &'a Parts,
    cpu: &'a str,
    cpus: u32,
    memory: &'a str,
    speed: &'a [&'a str],
    module: &'a Path,
    monitor: Option<&'a Path>,
    arguments: String,
    limit: Duration,
    silence: Option<(&'a str, Duration)>,
    command: Option<(&'a str, &'a str)>,
    devices: Vec<&'a str>,
    nodes: u32,
    files: Vec<(&'a str, &'a Path)>,
}

impl<'a> Machine<'a> {
    /// With the extension, one CPU, and `arguments` on the kernel's command line.
    #[must_use]
    pub fn new(parts: &'a Parts, arguments: &str) -> Self {
        Machine {
            parts,
            cpu: emulator::CPU,
            cpus: 1,
            memory: "256M",
            speed: FAST,
            module: &parts.module,
            monitor: Some(&parts.monitor),
            arguments: arguments.to_owned(),
            limit: LIMIT,
            silence: None,
            command: None,
            devices: Vec::new(),
            nodes: 0,
            files: Vec::new(),
        }
    }

    /// With another CPU.
    #[must_use]
    pub fn cpu(mut self, cpu: &'a str) -> Self {
        self.cpu = cpu;
        self
    }

    /// With more of them.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// With another size of memory, as QEMU takes it.
    #[must_use]
    pub fn memory(mut self, memory: &'a str) -> Self {
        self.memory = memory;
        self
    }

    /// `FAST` or `COUNTING`.
    #[must_use]
    pub fn speed(mut self, speed: &'a [&'a str]) -> Self {
        self.speed = speed;
        self
    }

    /// With another module.
    #[must_use]
    pub fn module(mut self, module: &'a Path) -> Self {
        self.module = module;
        self
    }

    /// With another monitor, or none.
    #[must_use]
    pub fn monitor(mut self, monitor: Option<&'a Path>) -> Self {
        self.monitor = monitor;
        self
    }

    /// Ends it after that time, if it has not by itself.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// With one more device.
    #[must_use]
    pub fn device(mut self, device: &'a str) -> Self {
        self.devices.push(device);
        self
    }

    /// With so many NUMA nodes of 256 MiB and a CPU each: a PC, whose firmware tells of them by ACPI.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes;
        self
    }

    /// With one more file at the top of its initial file system.
    #[must_use]
    pub fn file(mut self, name: &'a str, path: &'a Path) -> Self {
        self.files.push((name, path));
        self
    }

    /// Ends it so long after it has said `words`, if it has not by itself.
    #[must_use]
    pub fn silent_after(mut self, words: &'a str, time: Duration) -> Self {
        self.silence = Some((words, time));
        self
    }

    /// Gives the emulator's monitor a command when the machine has said `words` and the rest of a line, which
    /// takes the place of `{}`.
    #[must_use]
    pub fn command_at(mut self, words: &'a str, command: &'a str) -> Self {
        self.command = Some((words, command));
        self
    }

    fn initial_file_system(&self) -> Result<Vec<u8>, String> {
        let mut archive = Vec::new();
        for directory in [
            "dev",
            "proc",
            "sys",
            "lib",
            "lib/firmware",
            "lib/firmware/cki",
        ] {
            add(&mut archive, directory, 0o040_755, &[])?;
        }
        let monitor = self.monitor.map(|path| ("lib/firmware/cki/ksm", path));
        let own = [("init", &*self.parts.driver), ("cki.ko", self.module)];
        for (name, path) in own
            .into_iter()
            .chain(monitor)
            .chain(self.files.iter().copied())
        {
            let content = fs::read(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            add(&mut archive, name, 0o100_755, &content)?;
        }
        trailer(archive).map_err(|error| error.to_string())
    }

    fn memory_and_cpus(&self) -> Vec<String> {
        let (cpus, memory) = match self.nodes {
            0 => (self.cpus, self.memory.to_owned()),
            nodes => (nodes, format!("{}M", nodes * NODE_MIB)),
        };
        // Firmware lists one CPU a package for kernels that do not ask ACPI.
        let smp = format!("{cpus},sockets={cpus}");
        let mut words = vec!["-m".to_owned(), memory, "-smp".to_owned(), smp];
        for node in 0..self.nodes {
            words.extend([
                "-object".to_owned(),
                format!("memory-backend-ram,id=node{node},size={NODE_MIB}M"),
                "-numa".to_owned(),
                format!("node,nodeid={node},cpus={node},memdev=node{node}"),
            ]);
        }
        words
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self) -> Result<Outcome, String> {
        let words = |error: std::io::Error| error.to_string();
        let directory = tempfile::tempdir().map_err(words)?;
        let initrd = directory.path().join("initrd");
        fs::write(&initrd, self.initial_file_system()?).map_err(words)?;
        let board = if self.nodes == 0 { MICROVM } else { PC };
        let command_line = format!(
            "console=ttyS0 loglevel=6 panic=-1 reboot=t tsc=reliable no_timer_check \
             lapic_timer_hz=1000000000 mitigations=off {} {}",
            board.words, self.arguments
        );
        let mut command = Command::new(emulator::program(&self.parts.qemu));
        emulator::plain(&mut command, &self.parts.qemu)
            .args(["-M", board.machine, "-cpu", self.cpu])
            .args(self.memory_and_cpus())
            .args(self.speed)
            .arg("-kernel")
            .arg(&self.parts.kernel)
            .arg("-initrd")
            .arg(&initrd)
            .args(["-append", &command_line, "-serial", "stdio"])
            .args(cki_machine::Machine::exit_device())
            .args(self.devices.iter().flat_map(|device| ["-device", *device]))
            .args(["-qmp", "unix:monitor,server=on,wait=off"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let child = command
            .spawn()
            .map_err(|error| format!("cannot start the emulator: {error}"))?;
        let mut emulator = Emulator(child);

        let mut output = emulator.0.stdout.take().ok_or("no standard output")?;
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut bytes) {
                let _ = sender.send(bytes[..length].to_vec());
            }
        });
        let mut deadline = Instant::now() + self.limit;
        let mut console = String::new();
        let mut command = self.command;
        let mut connection = None;
        let in_time = loop {
            match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(bytes) => console.push_str(&String::from_utf8_lossy(&bytes)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break true,
                Err(mpsc::RecvTimeoutError::Timeout) => break false,
            }
            if let Some((_, time)) = self.silence.filter(|(words, _)| console.contains(*words)) {
                deadline = deadline.min(Instant::now() + time);
            }
            let said =
                command.and_then(|(words, text)| Some((rest_of_line(&console, words)?, text)));
            if let Some((rest, text)) = said {
                command = None;
                let socket = directory.path().join("monitor");
                // Held open: a command of a closed connection may be dropped.
                connection = Some(give(&socket, &text.replace("{}", &rest)).map_err(words)?);
            }
        };
        drop(connection);
        if !in_time {
            let _ = emulator.0.kill();
        }
        let status = emulator.0.wait().map_err(words)?;
        Ok(Outcome {
            status: status.code().filter(|_| in_time),
            console,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_whose_monitor_cannot_be_reached_does_not_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        // It says what it is told something for, and makes no socket.
        let script = "#!/bin/sh\necho $$ > \"${0%/*}/pid\"\necho wanted now\nexec sleep 100\n";
        fs::create_dir(path("bin")).expect("a directory");
        let program = path("bin/qemu-system-x86_64");
        cki_process::files::write_program(&program, script).expect("a program");
        fs::write(path("part"), "").expect("a file");
        let parts = Parts {
            qemu: directory.path().to_owned(),
            kernel: path("part"),
            monitor: path("part"),
            module: path("part"),
            driver: path("part"),
        };
        let machine = Machine::new(&parts, "").command_at("wanted ", "stop");
        machine.run().expect_err("there is no monitor");
        let pid = fs::read_to_string(path("bin/pid")).expect("it ran");
        let entry = Path::new("/proc").join(pid.trim());
        assert!(!entry.exists(), "{pid} is still there");
    }
}
