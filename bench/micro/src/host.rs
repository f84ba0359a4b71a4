// SPDX-License-Identifier: MIT OR Apache-2.0

//! PID 1 of the machine: measures natively, then has the launcher start containers.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cki_micro::{
    Counts, DRIVER, DRIVER_WORD, Line, PROGRAM, Place, Sample, VARIABLE, archive, mode,
};
use nix::mount::MsFlags;

use crate::counter::now;
use crate::guest::FAULTS_MAX;
use crate::{machine, work};

/// The only disk: launcher, module, monitor, guest kernel.
const DISK: &str = "/dev/vda";
const RUNTIME: &str = "/runtime";
/// Copies in memory: what is counted does not wait for a disk.
const COPIES: &str = "/run";

/// What is said about the container on the kernel's command line.
#[derive(Debug)]
pub struct Wanted {
    /// Its memory.
    pub memory_mib: u64,
    /// Words for its kernel.
    pub words: Vec<String>,
}

/// Does all of it.
pub fn run(first: u64, wanted: &Wanted) -> Result<()> {
    machine::leave_initial_root()?;
    machine::set_up()?;
    say(&Line::Boot {
        init: first,
        idle: machine::idle()?,
    })?;

    let mut child = work::command()
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a process")?;
    samples(Place::Native, &mut lines(&mut child)?)?;
    let status = child.wait()?;
    ensure!(status.success(), "{status}");

    prepare(wanted)?;
    gates()?;
    container(wanted, mode::GUEST, None)?;
    for faults in [0, FAULTS_MAX] {
        container(wanted, mode::FAULTS, Some(faults))?;
    }
    say(&Line::Done)
}

/// Prints a line.
pub fn say(line: &Line) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(line)?)?;
    Ok(())
}

/// Loads the module and copies what the launcher needs; the initial file system gets this program. The driver looks
/// in /sys for where the module is.
fn prepare(wanted: &Wanted) -> Result<()> {
    machine::mount_at("sysfs", "sysfs", "/sys", MsFlags::empty())?;
    machine::mount_at(DISK, "erofs", RUNTIME, MsFlags::MS_RDONLY)?;
    let at = |file: &str| format!("{RUNTIME}/lib/{file}");
    let parameters = format!(
        "pool={}M monitor={}",
        wanted.memory_mib,
        at("firmware/cki/ksm")
    );
    machine::load_module(Path::new(&at("cki.ko")), &parameters)?;
    fs::copy(format!("{RUNTIME}/bin/cki"), format!("{COPIES}/cki"))?;
    fs::copy(at("vmlinux"), format!("{COPIES}/vmlinux"))?;
    let mut initrd = fs::read(at("initrd"))?;
    archive::append_program(&mut initrd, PROGRAM, &fs::read("/proc/self/exe")?)?;
    fs::write(format!("{COPIES}/initrd"), initrd)?;
    Ok(())
}

/// Has the driver count calls of its guests: lines `count NAME VALUE`.
fn gates() -> Result<()> {
    let output = Command::new(format!("/{DRIVER}"))
        .arg(DRIVER_WORD)
        .output()
        .context("cannot start the driver")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the driver: {text}");
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some("count"), Some(name), Some(count)) = (words.next(), words.next(), words.next())
        {
            let (name, count) = (name.to_owned(), count.parse()?);
            say(&Line::Gate { name, count })?;
        }
    }
    Ok(())
}

/// Runs a container to its end.
fn container(wanted: &Wanted, work: &str, faults: Option<u32>) -> Result<()> {
    let mut cmdline = wanted.words.join(" ");
    let work = faults.map_or(work.to_owned(), |faults| format!("{work} {faults}"));
    cmdline.push_str(&format!(" quiet rdinit=/{PROGRAM} {VARIABLE}=\"{work}\""));
    let mut command = Command::new(format!("{COPIES}/cki"));
    command
        .args(["run", "--console", "--print-counts"])
        .args(["--kernel", &format!("{COPIES}/vmlinux")])
        .args(["--initrd", &format!("{COPIES}/initrd")])
        .args(["--memory", &format!("{}M", wanted.memory_mib)])
        .arg(format!("--cmdline={cmdline}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let idle = machine::idle()?;
    let exec = now();
    let mut child = command.spawn().context("cannot start the launcher")?;
    let mut output = lines(&mut child)?;
    // The kernel's first messages may come before.
    let init = output.find_map(|line| line.parse().ok());
    let idle = machine::idle()? - idle;
    if let Some(init) = init {
        say(&Line::Start { exec, init, idle })?;
    }
    samples(Place::Container, &mut output)?;

    let mut said = String::new();
    let errors = child.stderr.take().context("no standard error")?;
    BufReader::new(errors).read_to_string(&mut said)?;
    let launcher_bytes = wait(&child).with_context(|| said.clone())?;
    ensure!(init.is_some(), "the container's init said nothing: {said}");
    let counts: Counts = said
        .lines()
        .find_map(|line| serde_json::from_str(line).ok())
        .with_context(|| format!("the launcher counted nothing: {said}"))?;
    say(&Line::End {
        faults: faults.map(u64::from),
        launcher_bytes,
        counts,
    })
}

fn lines(child: &mut Child) -> Result<impl Iterator<Item = String> + use<>> {
    let output: ChildStdout = child.stdout.take().context("no standard output")?;
    // A terminal ends its lines with a carriage return, too.
    let lines = BufReader::new(output)
        .lines()
        .map_while(std::io::Result::ok);
    Ok(lines.map(|line| line.trim_end().to_owned()))
}

fn samples(place: Place, lines: &mut impl Iterator<Item = String>) -> Result<()> {
    for line in lines.filter(|line| line.starts_with('{')) {
        let sample: Sample = serde_json::from_str(&line)
            .with_context(|| format!("{place:?}: the program said {line:?}"))?;
        say(&Line::Sample { place, sample })?;
    }
    Ok(())
}

/// Waits for a child that has to succeed, and gives the largest resident memory that it had. The memory
/// of a container is not in it, as the module maps it without references.
fn wait(child: &Child) -> Result<u64> {
    let mut status = 0;
    // SAFETY: plain integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: a child of this process's own; room for what is written.
    let waited = unsafe { libc::wait4(child.id() as i32, &mut status, 0, &mut usage) };
    if waited < 0 || !libc::WIFEXITED(status) || libc::WEXITSTATUS(status) != 0 {
        bail!("the launcher ended with status {status:#x}");
    }
    Ok(usage.ru_maxrss as u64 * 1024)
}
