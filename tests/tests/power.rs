// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a program in a container has synced to its disk survives: a cut of the power of the host, and the end of
//! the emulator in the middle.
//!
//! The emulator writes down what reaches the user's file (QEMU's `blklogwrites`: each write, each flush). The power
//! is cut at a hundred moments of that: what was written before the last flush is there, and of what came after it
//! any part. Some writes are large enough for the launcher to take them past the host's page cache.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use cki_machine::{HostImage, Io, Machine, TimeLimit};
use cki_session::{Container, Disk, Memory, Outcome, Run, disk_serial};
use cki_tests::journal::{DISK, Journal, PROGRAM, safe};
use cki_tests::{Output, cki, emulator_of, long, run_program, variable};
use fastrand::Rng;

/// Moments of a trial.
const CUTS: u64 = 100;
/// Rounds of the program.
const ROUNDS: &str = "40";

/// Bytes of what is on the medium as a whole or not at all.
const BLOCK: usize = 4096;
/// Bytes from which on a write goes past the host's page cache.
const LARGE: usize = 128 << 10;

/// Bytes of a sector of the log.
const SECTOR: usize = 512;
/// First bytes of the log (dm-log-writes, `WRITE_LOG_MAGIC`).
const MAGIC: u64 = 0x006a_7366_7773_6872;
/// Flags of an entry.
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// What reached the file.
struct Entry {
    at: usize,
    data: Vec<u8>,
    is_flush: bool,
}

/// The entries of a log (Linux, drivers/md/dm-log-writes.c): a sector that says what there is, and for each entry a
/// sector and its data.
fn parse(log: &[u8]) -> Vec<Entry> {
    let word = |at: usize| u64::from_le_bytes(log[at..at + 8].try_into().expect("8 bytes"));
    assert_eq!(word(0), MAGIC);
    let count = word(16);
    let mut at = SECTOR;
    let entries = (0..count).map(|_| {
        let (sector, sectors, flags) = (word(at), word(at + 8), word(at + 16));
        assert_eq!(flags & DISCARD, 0, "nothing is discarded here");
        let (start, length) = (at + SECTOR, sectors as usize * SECTOR);
        at = start + length;
        Entry {
            at: sector as usize * SECTOR,
            data: log[start..start + length].to_vec(),
            is_flush: flags & FLUSH != 0,
        }
    });
    entries.collect()
}

/// What is on the medium when the power is cut after `entries`.
fn on_medium(entries: &[Entry], random: &mut Rng) -> Vec<u8> {
    let flushed = entries
        .iter()
        .rposition(|entry| entry.is_flush)
        .unwrap_or(0);
    let mut medium = vec![0; DISK];
    for (number, entry) in entries.iter().enumerate() {
        for (block, bytes) in entry.data.chunks(BLOCK).enumerate() {
            if number < flushed || random.u64(..2) == 0 {
                let at = entry.at + block * BLOCK;
                medium[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
    medium
}

/// Runs the program in a container, after `first`; what it said, and what reached its disk.
fn run(dir: &Path, app: &Path, first: &str) -> (Journal, Vec<Entry>) {
    let (disk, log) = (dir.join("disk"), dir.join("log"));
    std::fs::write(&disk, vec![0; DISK]).unwrap();
    std::fs::write(&log, b"").unwrap();
    let host = HostImage::load(&variable("CKI_HOST")).expect("a host image");
    let (memory, container) = (Memory::constant(512), Memory::constant(256));
    let mut machine = Machine::new(&variable("CKI_QEMU"), host, app.to_owned(), memory, 1);
    machine.runtime_disk = Some(variable("CKI_RUNTIME").join("runtime.erofs"));
    machine.tsc_khz = Some(cki_machine::tsc::Measurement::start().khz());
    let node = format!(
        "driver=blklogwrites,node-name=logged,file.driver=file,file.filename={},log.driver=file,log.filename={}",
        disk.display(),
        log.display()
    );
    let device = format!(
        "virtio-blk-device,bus=virtio-mmio-bus.4,drive=logged,serial={}",
        disk_serial(0)
    );
    machine.extra = ["-blockdev", &node, "-device", &device]
        .map(str::to_owned)
        .into();
    let script = format!("{first} perl -e \"$0\" /dev/vdb {ROUNDS}");
    let mut request = Run::new(["sh", "-c", &script, PROGRAM]);
    let mut container = Container::new(container);
    container
        .cmdline
        .clone_from(&machine.host.container_cmdline);
    container.disks.push(Disk::new(disk_serial(0), false));
    request.container = Some(container);
    let said = dir.join("said");
    let stdout = std::fs::File::create(&said).unwrap();
    let io = Io::new(std::io::empty(), stdout, std::io::stderr());
    let ended = cki_machine::run(&machine, request, TimeLimit::NONE, io, |_| {}, || {});
    let ended = ended.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(ended.outcome, Outcome::Exited(0));
    let mut journal = Journal::default();
    for line in std::fs::read_to_string(&said).unwrap().lines() {
        journal.hear(line);
    }
    // Whatever was synced when: the session has ended, and all is there.
    assert!(journal.is_complete(&std::fs::read(&disk).unwrap()));
    (journal, parse(&std::fs::read(&log).unwrap()))
}

/// Whether something is lost when the power is cut after so many entries.
fn loses(journal: &Journal, entries: &[Entry], moment: usize, random: &mut Rng) -> bool {
    let medium = on_medium(&entries[..moment], random);
    let promised = safe(&medium).expect("the first block is whole");
    journal.lost(&medium, promised).is_some()
}

#[test]
fn what_was_synced_survives_a_cut_of_the_hosts_power() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app.img");
    let output = cki(["image", "app", "--deb", "perl-base", "-o"]
        .map(OsStr::new)
        .into_iter()
        .chain([app.as_os_str()]));
    assert_eq!(output.status, 0, "{}", output.stderr);
    let mut random = Rng::with_seed(0x5eed);
    for _ in 0..if long() { 10 } else { 1 } {
        let (journal, entries) = run(dir.path(), &app, "");
        let flushes = entries.iter().filter(|entry| entry.is_flush).count();
        assert!(flushes >= 40, "{flushes} flushes of 40");
        let large = entries.iter().filter(|entry| entry.data.len() >= LARGE);
        assert!(large.count() >= 20, "large writes reach the file as such");
        for _ in 0..CUTS {
            let moment = random.u64(..entries.len() as u64 + 1) as usize;
            assert!(
                !loses(&journal, &entries, moment, &mut random),
                "at {moment}"
            );
        }
    }
    // Where a flush does nothing, this test sees it. The container's kernel is told that it need not send them.
    let none = "echo write through > /sys/block/vdb/queue/write_cache &&";
    let (journal, entries) = run(dir.path(), &app, none);
    // Nothing is flushed before the machine's init does that at the end.
    let end = entries.iter().position(|entry| entry.is_flush);
    let end = end.expect("a flush at the end");
    assert!((0..CUTS).any(|_| loses(&journal, &entries, end, &mut random)));
}

/// Starts the program on `disk`, kills `cki-build` after `lines` lines, and with it the emulator; what the program
/// had said.
fn killed(disk: &Path, lines: usize) -> Journal {
    let mut child = Command::new(variable("CKI_BUILD"))
        .args(["--quiet", "run", "--network", "none", "--disk"])
        .arg(disk)
        .args(["--", "perl", "-e", PROGRAM, "/dev/vdb", "1000000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut journal = Journal::default();
    let mut line = String::new();
    for _ in 0..lines {
        line.clear();
        assert_ne!(output.read_line(&mut line).unwrap(), 0, "it goes on");
        journal.hear(&line);
    }
    // Somebody else does not get it meanwhile.
    let second = refused(disk.to_str().unwrap());
    assert!(second.stderr.contains("in use"), "{}", second.stderr);
    let emulator = emulator_of(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(emulator.ends_within(std::time::Duration::from_secs(20)));
    // What it said in the meantime is promised, too. What comes after the last line's end is a part of one.
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    for line in rest
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        journal.hear(line);
    }
    journal
}

fn refused(disk: &str) -> Output {
    let output = run_program(
        variable("CKI_BUILD"),
        ["--quiet", "run", "--disk", disk, "--", "true"],
        b"",
    );
    assert_eq!(
        (output.status, output.text()),
        (125, ""),
        "{}",
        output.stderr
    );
    output
}

#[test]
fn what_was_synced_survives_when_the_emulator_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    let mut random = Rng::with_seed(0xfeed);
    for _ in 0..if long() { 20 } else { 1 } {
        std::fs::write(&disk, vec![0; DISK]).unwrap();
        let journal = killed(&disk, 20 + random.u64(..400) as usize);
        let found = std::fs::read(&disk).unwrap();
        assert_eq!(journal.lost(&found, journal.synced), None);
        assert_ne!(journal.synced, 0);
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}
