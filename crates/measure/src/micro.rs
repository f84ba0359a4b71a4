// SPDX-License-Identifier: MIT OR Apache-2.0

//! What containers cost, in instructions that the emulator counts.
//!
//! One machine does all of it. Its PID 1 is `cki-micro`, which runs the measurements on the machine's own
//! kernel and then in containers, so both sides have the same processor, clock and binary.

use std::fs;
use std::path::{Path, PathBuf};

use cki_micro::{DRIVER, Line, PROGRAM, VARIABLE, archive, mode};

use cki_machine::{HostImage, Machine};
use cki_process::exec::{Command, describe};
use cki_session::Memory;

use crate::error::Error;
use crate::lab::Lab;
use crate::limits::Report;

/// The container's memory.
const CONTAINER_MIB: u32 = 256;
/// The machine's: with room for copies of what is on the runtime disk.
const MACHINE: Memory = Memory::constant(512);
/// Status of the emulator when a bare-metal image has passed.
const IMAGE_PASSED: i32 = 33;
/// What the image `kernel-entry` prints before its number.
const FIRMWARE: &str = "instructions before the kernel: 0x";

/// Has the machine measure, and judges.
///
/// # Errors
/// When it does not.
pub fn micro(lab: &dyn Lab) -> Result<Report, Error> {
    let outputs = lab.outputs(&[
        "cki-host",
        "cki-isa-tests",
        "cki-micro",
        "cki-monitor-driver",
        "cki-qemu",
        "cki-runtime",
    ])?;
    let out = |name: &str| outputs[name].as_path();
    let scratch = lab.scratch()?;
    let mut host = HostImage::load(out("cki-host"))?;
    host.initrd = initrd(
        scratch.path(),
        &host.initrd,
        &[
            (PROGRAM, &out("cki-micro").join("bin").join(PROGRAM)),
            (DRIVER, &out("cki-monitor-driver").join("bin").join(DRIVER)),
        ],
    )?;
    let machine = machine(
        out("cki-qemu"),
        host,
        &out("cki-runtime").join("runtime.erofs"),
    )?;

    let step = lab.step("counting instructions");
    let firmware = firmware(
        &machine,
        &out("cki-isa-tests").join("bench/kernel-entry.elf"),
    )?;
    let output = run(&command(&machine), cki_session::exit::STATUS_ENDED)?;
    step.finish();
    let lines: Vec<Line> = output
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    Report::new(&lines, firmware)
        .map_err(|message| Error::Failed(format!("{message}; the console:\n{}", tail(&output))))
}

/// The initial file system with more programs, as a new file.
fn initrd(dir: &Path, initrd: &Path, programs: &[(&str, &Path)]) -> Result<PathBuf, Error> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| Error::Io {
            path: path.to_owned(),
            source,
        })
    };
    let mut bytes = read(initrd)?;
    for (name, path) in programs {
        archive::append_program(&mut bytes, name, &read(path)?).map_err(|source| Error::Io {
            path: path.to_path_buf(),
            source,
        })?;
    }
    let path = dir.join("initrd");
    fs::write(&path, bytes).map_err(|source| Error::Io {
        path: path.clone(),
        source,
    })?;
    Ok(path)
}

/// The machine that is measured.
fn machine(qemu: &Path, mut host: HostImage, runtime_disk: &Path) -> Result<Machine, Error> {
    let work = format!("{} {CONTAINER_MIB} {}", mode::HOST, host.container_cmdline);
    host.cmdline
        .push_str(&format!(" rdinit=/{PROGRAM} {VARIABLE}=\"{work}\""));
    // There is no program but the one in the initial file system, hence no image.
    let mut machine = Machine::new(qemu, host, PathBuf::new(), MACHINE, 1);
    machine.runtime_disk = Some(runtime_disk.to_owned());
    machine.icount = true;
    Ok(machine)
}

/// QEMU's command line: the runtime disk is the only one, and the console is standard output.
fn command(machine: &Machine) -> Command {
    machine
        .board(&machine.host.initrd)
        .args(machine.runtime_disk_options())
        .args(["-serial", "stdio"])
        // It counts flushes of the TLB, and raises nothing unless it is told to.
        .args(["-device", "cki-probe"])
        .args(Machine::exit_device())
}

/// Instructions of the machine before it enters a kernel.
fn firmware(machine: &Machine, image: &Path) -> Result<u64, Error> {
    let mut machine = machine.clone();
    machine.host.kernel = image.to_owned();
    let output = run(&command(&machine), IMAGE_PASSED)?;
    let number = output
        .lines()
        .find_map(|line| line.trim_end().strip_prefix(FIRMWARE));
    number
        .and_then(|number| u64::from_str_radix(number, 16).ok())
        .ok_or_else(|| Error::Failed(format!("the image {} counts nothing", image.display())))
}

/// Runs a machine to its end, which has to be one that it wanted; its console.
fn run(command: &Command, wanted: i32) -> Result<String, Error> {
    let output = command.output()?;
    let console = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.code() == Some(wanted) {
        return Ok(console);
    }
    Err(Error::Failed(format!(
        "the machine {}; the end of its console:\n{}{}",
        describe(output.status),
        tail(&console),
        String::from_utf8_lossy(&output.stderr)
    )))
}

/// The last lines.
fn tail(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use cki_machine::Board;

    #[test]
    fn the_machine_counts_and_runs_our_program_first() {
        let host = HostImage {
            kernel: "/h/vmlinux".into(),
            initrd: "/s/initrd".into(),
            session_initrd: "/s/session".into(),
            cmdline: "console=ttyS0 quiet".into(),
            container_cmdline: "tsc=reliable mitigations=off".into(),
            board: Board::Microvm,
            host_mib: 192,
            hypervisor: None,
        };
        let machine =
            machine(Path::new("/q"), host, Path::new("/r/runtime.erofs")).expect("a machine");
        let words = command(&machine).argv();
        for pair in [
            ["-accel", "tcg,thread=single"],
            ["-icount", "shift=0,sleep=off"],
            ["-cpu", "max,cki=on"],
            ["-initrd", "/s/initrd"],
            [
                "-append",
                "console=ttyS0 quiet rdinit=/cki-micro cki_micro=\"host 256 tsc=reliable mitigations=off\"",
            ],
            ["-serial", "stdio"],
        ] {
            assert!(words.windows(2).any(|words| words == pair), "{pair:?}");
        }
        assert_eq!(words.iter().filter(|word| *word == "-drive").count(), 1);
    }

    #[test]
    fn programs_follow_the_initial_file_system() {
        let dir = tempfile::tempdir().expect("a directory");
        let (old, program) = (dir.path().join("old"), dir.path().join("program"));
        fs::write(&old, "old!").expect("written");
        fs::write(&program, "\x7fELF").expect("written");
        let new = initrd(dir.path(), &old, &[("a", &program), ("b", &program)]).expect("made");
        let bytes = fs::read(new).expect("there");
        assert!(bytes.starts_with(b"old!070701"));
        assert_eq!(bytes.windows(4).filter(|at| *at == b"\x7fELF").count(), 2);
    }
}
