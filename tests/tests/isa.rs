// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bare-metal tests of the CKI extension (`emulator/tests`), one trial an image and machine.
//!
//! Every image has to pass on `cki-qemu`. On `qemu-stock` it has to start and then not pass, which
//! shows that it tests the extension and not something that any processor does. One more image
//! measures what a pair of PKRS writes costs on both, one what `-icount` counts, and one what `-device
//! cki-events` does.
//!
//! The machines and images come from the environment, which `cki-build check` sets: `CKI_QEMU` and
//! `CKI_QEMU_STOCK` (outputs of those names) and `CKI_ISA_TESTS`.

// What the harness does not run as a test: what is printed is for the reader of its log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::ffi::OsString;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use cki_tests::emulator::{self, PASSED};
use libtest_mimic::{Arguments, Failed, Trial};

#[path = "isa/counted.rs"]
mod counted;

/// An image takes a few seconds at most on an idle machine; one that hangs fails after this time.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What an image prints first: a machine that did not get that far did not test anything.
const BANNER: &str = "cki-isa-test: ";

/// The machine of an image: a chipset with SMM for those whose name begins like this.
const SMM_PREFIX: &str = "smi-";

/// Images whose name begins like this have a second CPU.
const SECOND_CPU_PREFIX: &str = "init-";

/// Images whose name begins like this are migrated to another QEMU before they get their machine check.
const MIGRATION_PREFIX: &str = "migration-";

/// Printed by an image that wants a machine check, which it then waits for in a loop.
const READY: &str = "READY\n";

/// How QEMU's monitor shows that it does.
const SPINNING: &str = "R15=5350494e4e494e47";

/// A pair of WRPKRS has to be this many times cheaper than a pair of WRMSR on stock QEMU.
const COST_RATIO: u64 = 20;

/// The three directories that the trials work with.
#[derive(Clone)]
struct Setup {
    qemu: PathBuf,
    stock: PathBuf,
    images: PathBuf,
}

impl Setup {
    fn from_environment() -> Result<Self, String> {
        let get = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{name} is not set: run the tests with `cki-build check`"))
        };
        Ok(Self {
            qemu: get("CKI_QEMU")?,
            stock: get("CKI_QEMU_STOCK")?,
            images: get("CKI_ISA_TESTS")?,
        })
    }

    /// The images in one directory of `cki-isa-tests`, sorted; none is an error.
    fn images_in(&self, directory: &str) -> Result<Vec<PathBuf>, String> {
        let path = self.images.join(directory);
        let describe = |error| format!("cannot read {}: {error}", path.display());
        let mut images = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(describe)? {
            let image = entry.map_err(describe)?.path();
            if image
                .extension()
                .is_some_and(|extension| extension == "elf")
            {
                images.push(image);
            }
        }
        images.sort();
        if images.is_empty() {
            return Err(format!("no image in {}", path.display()));
        }
        Ok(images)
    }
}

/// How a run of one image ended.
struct Outcome {
    /// Exit status of QEMU; `None` when it was killed by the timeout or died of a signal.
    status: Option<i32>,
    /// Everything that came over the serial port and from QEMU itself.
    output: String,
}

impl Outcome {
    fn describe(&self) -> String {
        let end = match self.status {
            Some(status) => format!("exit status {status}"),
            None => "no exit status (hung or killed)".to_owned(),
        };
        format!("{end}, output:\n{}", self.output)
    }
}

/// The QEMU command that runs `image`: no devices but a serial port and the exit port, and a
/// monitor that connects to `monitor`.
fn command(qemu: &Path, cpu: &str, image: &Path, monitor: &Path) -> Command {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let machine = if name.starts_with(SMM_PREFIX) {
        "q35"
    } else {
        "microvm,acpi=off,pit=off,pic=off,rtc=on,isa-serial=on"
    };
    let mut command = Command::new(emulator::program(qemu));
    emulator::plain(&mut command, qemu)
        .args(["-M", machine, "-accel", "tcg", "-m", "64M", "-cpu", cpu])
        .args(["-serial", "stdio"])
        .args(cki_machine::Machine::exit_device());
    if name.starts_with(SECOND_CPU_PREFIX) {
        command.args(["-smp", "2"]);
    }
    let mut channel = OsString::from("unix:");
    channel.push(monitor);
    command
        .arg("-kernel")
        .arg(image)
        .arg("-monitor")
        .arg(channel);
    command
}

/// Runs `image` to its end, or to [`TIMEOUT`], with some more arguments, and with the machine check
/// that it asks for.
fn run(qemu: &Path, cpu: &str, image: &Path, more: &[&str]) -> Result<Outcome, Failed> {
    run_until(qemu, cpu, image, more, READY, &inject_machine_check)
}

/// Runs `image` until it asks for a machine check, goes on in another QEMU and injects it there. The
/// outcome is the second one's.
fn run_migrated(qemu: &Path, cpu: &str, image: &Path) -> Result<Outcome, Failed> {
    let directory = tempfile::tempdir()?;
    let state = format!("file:{}", directory.path().join("state").display());
    let first = run_until(qemu, cpu, image, &[], READY, &|monitor, deadline| {
        migrate(monitor, &state, deadline)
    })?;
    if first.status != Some(0) {
        return Err(format!("not migrated: {}", first.describe()).into());
    }
    let more = ["-incoming", &state];
    run_until(qemu, cpu, image, &more, "", &inject_machine_check)
}

/// What is done by QEMU's monitor, until some time.
type Action<'a> = &'a dyn Fn(&mut UnixStream, Instant) -> Result<(), Failed>;

/// Runs `image` to its end, or to [`TIMEOUT`]; once its output contains `cue`, does `action`.
fn run_until(
    qemu: &Path,
    cpu: &str,
    image: &Path,
    more: &[&str],
    cue: &str,
    action: Action,
) -> Result<Outcome, Failed> {
    let directory = tempfile::tempdir()?;
    let monitor = directory.path().join("monitor");
    let connection = accept_one(UnixListener::bind(&monitor)?);
    let mut child = command(qemu, cpu, image, &monitor)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let chunks = read_output(&mut child);
    let deadline = Instant::now() + TIMEOUT;
    let mut output = String::new();
    let mut done = false;
    loop {
        if !done && output.contains(cue) {
            done = true;
            let left = deadline.saturating_duration_since(Instant::now());
            let result = match connection.recv_timeout(left) {
                Ok(mut stream) => action(&mut stream, deadline),
                Err(error) => Err(format!("QEMU's monitor: {error}").into()),
            };
            if let Err(error) = result {
                // What the image says about it follows.
                let reason = error.message().unwrap_or_default();
                output.push_str(&format!("(no machine check: {reason})\n"));
            }
        }
        let left = deadline.saturating_duration_since(Instant::now());
        match chunks.recv_timeout(left) {
            Ok(chunk) => output.push_str(&chunk),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                output.push_str("\n(killed by the test's timeout)\n");
                return Ok(Outcome {
                    status: None,
                    output,
                });
            }
        }
    }
    Ok(Outcome {
        status: child.wait()?.code(),
        output,
    })
}

/// The first connection to `listener`, when there is one.
fn accept_one(listener: UnixListener) -> Receiver<UnixStream> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            // Nobody waits for it where no image asks for anything.
            let _ = sender.send(stream);
        }
    });
    receiver
}

/// Both output pipes of `child` as one channel, which closes when both have ended.
fn read_output(child: &mut Child) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    let pipes: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|pipe| Box::new(pipe) as _),
        child.stderr.take().map(|pipe| Box::new(pipe) as _),
    ];
    for mut pipe in pipes.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if sender.send(text).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Sends an uncorrected machine check to the first CPU (bank 1, status VAL, UC, EN and PCC) as soon as
/// that is where the image wants it.
fn inject_machine_check(monitor: &mut UnixStream, deadline: Instant) -> Result<(), Failed> {
    wait_for(monitor, "info registers\n", SPINNING, deadline)?;
    monitor.write_all(b"mce 0 1 0xb200000000000000 0x4 0 0\n")?;
    // The monitor stops listening to a peer that has gone. The image may end QEMU before it answers.
    let _ = answer(monitor);
    Ok(())
}

/// Writes the machine's state to `to` as soon as the image waits for its machine check, and ends QEMU.
fn migrate(monitor: &mut UnixStream, to: &str, deadline: Instant) -> Result<(), Failed> {
    wait_for(monitor, "info registers\n", SPINNING, deadline)?;
    monitor.write_all(format!("migrate {to}\n").as_bytes())?;
    wait_for(monitor, "info migrate\n", "status: completed", deadline)?;
    monitor.write_all(b"quit\n")?;
    let _ = answer(monitor);
    Ok(())
}

/// Waits for the answer to what was sent before (the greeting, if nothing was); then repeats `command`
/// until the answer contains `text`.
fn wait_for(
    monitor: &mut UnixStream,
    command: &str,
    text: &str,
    deadline: Instant,
) -> Result<(), Failed> {
    monitor.set_read_timeout(Some(Duration::from_secs(30)))?;
    answer(monitor)?;
    loop {
        monitor.write_all(command.as_bytes())?;
        if answer(monitor)?.contains(text) {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("no `{text}` in time").into());
        }
    }
}

/// What QEMU's monitor prints until it is ready for a command.
fn answer(stream: &mut UnixStream) -> Result<String, Failed> {
    const PROMPT: &[u8] = b"(qemu) ";
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(PROMPT) {
        if stream.read(&mut byte)? == 0 {
            return Err("the machine has ended".into());
        }
        text.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The image passes with the extension.
fn passes(qemu: &Path, image: &Path) -> Result<(), Failed> {
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    let outcome = if name.starts_with(MIGRATION_PREFIX) {
        run_migrated(qemu, emulator::CPU, image)?
    } else {
        run(qemu, emulator::CPU, image, &[])?
    };
    match outcome.status {
        Some(PASSED) => Ok(()),
        _ => Err(outcome.describe().into()),
    }
}

/// The image starts on a stock processor, and does not pass.
fn fails(stock: &Path, image: &Path) -> Result<(), Failed> {
    let outcome = run(stock, "max", image, &[])?;
    if !outcome.output.contains(BANNER) {
        return Err(format!("the image did not start: {}", outcome.describe()).into());
    }
    match outcome.status {
        Some(PASSED) => Err("passes on stock QEMU, so it does not test the extension".into()),
        _ => Ok(()),
    }
}

/// The number behind `label` in the output of the benchmark.
fn ticks(outcome: &Outcome, label: &str) -> Result<u64, Failed> {
    let line = outcome
        .output
        .lines()
        .find_map(|line| line.strip_prefix(label)?.strip_prefix(": 0x"))
        .ok_or_else(|| format!("no line `{label}`: {}", outcome.describe()))?;
    Ok(u64::from_str_radix(line.trim(), 16)?)
}

/// A pair of WRPKRS costs at most a twentieth of a pair of WRMSR on stock QEMU.
fn wrpkrs_is_cheap(setup: &Setup, image: &Path) -> Result<(), Failed> {
    let stock = run(&setup.stock, "max", image, &[])?;
    let with = run(&setup.qemu, emulator::CPU, image, &[])?;
    let slow = ticks(&stock, "ticks of 1000 wrmsr pairs")?;
    let fast = ticks(&with, "ticks of 1000 wrpkrs pairs")?.max(1);
    println!(
        "1000 pairs: {slow} ticks by WRMSR on stock QEMU, {fast} by WRPKRS: 1/{}",
        slow / fast
    );
    if slow / fast < COST_RATIO {
        return Err(format!("only {} times cheaper, not {COST_RATIO}", slow / fast).into());
    }
    Ok(())
}

/// Repeated string instructions, and how many instructions each counts beside what the image calls
/// "nothing". Those with ports count each of the 16 iterations and the look at RCX = 0 behind them.
const REPEATED: [(&str, u64); 8] = [
    ("stosb", 1),
    ("movsq", 1),
    ("lodsb", 1),
    ("cmpsb", 1),
    // With the instruction that clears AL.
    ("scasb", 2),
    // 200,000 iterations: interrupts are looked for every 65,536.
    ("long", 4),
    ("none", 1),
    // With the instruction that loads DX.
    ("insb", 1 + 16 + 1),
];

/// With `-icount`, a repeated string instruction counts once, and not at all where it faults.
fn repeated_strings_count_once(setup: &Setup, image: &Path) -> Result<(), Failed> {
    let count = |qemu: &Path, cpu: &str| {
        let outcome = run(qemu, cpu, image, &["-icount", "shift=0,sleep=off"])?;
        let nothing = ticks(&outcome, "nothing")?;
        Ok::<_, Failed>(move |label: &str| Ok::<_, Failed>(ticks(&outcome, label)? - nothing))
    };
    let ours = count(&setup.qemu, emulator::CPU)?;
    for (label, expected) in REPEATED {
        let counted = ours(label)?;
        if counted != expected {
            return Err(format!("{label} counts {counted}, not {expected}").into());
        }
    }
    let (at_once, late) = (ours("faulting_at_once")?, ours("faulting_late")?);
    if at_once != late {
        return Err(format!("a fault at once counts {at_once}, a late one {late}").into());
    }
    // What the patch is for; when this fails, it may have become unnecessary.
    let stock = count(&setup.stock, "max")?("stosb")?;
    if stock < 4096 {
        return Err(format!("stock QEMU counts {stock} for 4,096 iterations").into());
    }
    Ok(())
}

/// The device `cki-events` counts what the image does, and a machine without it does the same.
fn events_are_counted(setup: &Setup, image: &Path) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("events");
    let device = format!("cki-events,file={}", file.display());
    let icount = ["-icount", "shift=0,sleep=off"];
    let with = [&icount[..], &["-device", &device]].concat();
    for more in [&icount[..], &with] {
        let outcome = run(&setup.qemu, "max,cki=on", image, more)?;
        if outcome.status != Some(PASSED) {
            return Err(format!("{more:?}: {}", outcome.describe()).into());
        }
    }
    Ok(counted::check(&std::fs::read_to_string(&file)?)?)
}

/// One trial for each image and machine, and one for each benchmark.
fn trials() -> Result<Vec<Trial>, String> {
    let setup = Setup::from_environment()?;
    let mut trials = Vec::new();
    for image in setup.images_in("tests")? {
        let name = image.file_stem().unwrap_or_default().to_string_lossy();
        let (qemu, copy) = (setup.qemu.clone(), image.clone());
        trials.push(Trial::test(format!("cki::{name}"), move || {
            passes(&qemu, &copy)
        }));
        let (stock, copy) = (setup.stock.clone(), image.clone());
        trials.push(Trial::test(format!("stock-fails::{name}"), move || {
            fails(&stock, &copy)
        }));
    }
    let image = setup.images.join("bench/pkrs-pair-cost.elf");
    let copy = setup.clone();
    trials.push(Trial::test("cost::pkrs-pair-is-cheap", move || {
        wrpkrs_is_cheap(&copy, &image)
    }));
    let image = setup.images.join("bench/rep-string-count.elf");
    let copy = setup.clone();
    trials.push(Trial::test(
        "count::repeated-strings-count-once",
        move || repeated_strings_count_once(&copy, &image),
    ));
    let image = setup.images.join("bench/events.elf");
    trials.push(Trial::test("count::events-are-counted", move || {
        events_are_counted(&setup, &image)
    }));
    Ok(trials)
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let trials = trials().unwrap_or_else(|error| {
        vec![Trial::test("environment", move || {
            Err(Failed::from(error.clone()))
        })]
    });
    libtest_mimic::run(&arguments, trials).exit_code()
}
