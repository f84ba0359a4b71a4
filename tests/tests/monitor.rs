//! Monitor and host module, without a guest kernel: bare-metal guests of a few instructions, started
//! through /dev/cki by `tests/driver`, which is PID 1 of an emulated machine.
//!
//! One machine runs all of the driver's cases; each is a trial here. A machine for each monitor that lacks
//! a check (`tests/mutants`) shows that the attack which the check stops succeeds there. A few more show that
//! the module refuses where something is missing, and says what.
//!
//! The parts come from the environment, which `cki-build check` sets: `CKI_QEMU`, `CKI_KERNEL`,
//! `CKI_KSM`, `CKI_KSM_MUTANTS`, `CKI_KMOD` and `CKI_MONITOR_DRIVER` (outputs of those names).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};

/// All cases take a quarter of a minute on an idle machine.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Exit status of QEMU when the driver ends the machine with 0x10.
const PASSED: i32 = 33;
/// As many cases have to have run, or the driver did not do its work.
const CASES_AT_LEAST: usize = 90;
/// As many attacks there have to be: one on each invariant at the least.
const ATTACKS_AT_LEAST: usize = 15;
/// How an attack begins whose success is that the machine says nothing any more.
const SILENCER: &str = " begins: Cpu";
/// For so long after that: with all checks, the host goes on after 0.3 s.
const SILENCE: Duration = Duration::from_secs(6);

struct Parts {
    qemu: PathBuf,
    kernel: PathBuf,
    monitor: PathBuf,
    mutants: PathBuf,
    module: PathBuf,
    driver: PathBuf,
}

impl Parts {
    fn from_environment() -> Result<Self, String> {
        let get = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{name} is not set: run the tests with `cki-build check`"))
        };
        Ok(Parts {
            qemu: get("CKI_QEMU")?,
            kernel: get("CKI_KERNEL")?.join("vmlinux"),
            monitor: get("CKI_KSM")?.join("lib/firmware/cki/ksm"),
            mutants: get("CKI_KSM_MUTANTS")?,
            module: find(&get("CKI_KMOD")?, "cki.ko")?,
            driver: get("CKI_MONITOR_DRIVER")?.join("bin/cki-monitor-driver"),
        })
    }
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

/// An initial file system in cpio's "newc" format (Documentation/driver-api/early-userspace).
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        let inode = self.0.len();
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{length:08x}{0:08x}",
            0,
            1,
            size = content.len(),
            length = name.len() + 1,
        );
        self.0.extend(header.bytes());
        self.0.extend(name.bytes());
        self.0.push(0);
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    fn directory(&mut self, name: &str) {
        self.add(name, 0o040_755, &[]);
    }

    fn file(&mut self, name: &str, path: &Path) -> Result<(), String> {
        let content =
            fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        self.add(name, 0o100_755, &content);
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.0
    }
}

/// What a machine left behind.
struct Outcome {
    /// None if it had to be killed.
    status: Option<i32>,
    console: String,
}

/// Options of QEMU for a machine as fast as can be.
const FAST: &[&str] = &["-accel", "tcg,thread=multi"];
/// And for one that counts instructions.
const COUNTING: &[&str] = &[
    "-accel",
    "tcg,thread=single",
    "-icount",
    "shift=0,sleep=off",
];

/// Boots the driver with the file `monitor`, if any.
fn boot(
    parts: &Parts,
    cpu: &str,
    speed: &[&str],
    monitor: Option<&Path>,
    arguments: &str,
) -> Result<Outcome, String> {
    let mut archive = Archive::default();
    for directory in ["dev", "proc", "lib", "lib/firmware", "lib/firmware/cki"] {
        archive.directory(directory);
    }
    archive.file("init", &parts.driver)?;
    archive.file("cki.ko", &parts.module)?;
    if let Some(monitor) = monitor {
        archive.file("lib/firmware/cki/ksm", monitor)?;
    }
    let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
    let initrd = directory.path().join("initrd");
    fs::write(&initrd, archive.finish()).map_err(|error| error.to_string())?;

    let command_line = format!(
        "console=ttyS0 loglevel=6 panic=-1 reboot=t tsc=reliable no_timer_check \
         lapic_timer_hz=1000000000 mitigations=off acpi=off pci=off {arguments}"
    );
    let mut child = Command::new(parts.qemu.join("bin/qemu-system-x86_64"))
        .args(["-M", "microvm,acpi=off,pit=on,pic=on,rtc=on,isa-serial=on"])
        .args(["-cpu", cpu, "-m", "256M"])
        .args(speed)
        .args([
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ])
        .arg("-L")
        .arg(parts.qemu.join("share/qemu"))
        .arg("-kernel")
        .arg(&parts.kernel)
        .arg("-initrd")
        .arg(&initrd)
        .args(["-append", &command_line, "-serial", "stdio"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=0x4"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the emulator: {error}"))?;

    let mut output = child.stdout.take().ok_or("no standard output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = std::io::Read::read(&mut output, &mut bytes) {
            let _ = sender.send(bytes[..length].to_vec());
        }
    });
    let mut deadline = Instant::now() + TIMEOUT;
    let alone = arguments.contains("case=");
    let mut console = String::new();
    let in_time = loop {
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(bytes) => console.push_str(&String::from_utf8_lossy(&bytes)),
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
        // Only where nothing comes behind it: the machine of all cases runs such in the middle.
        if alone && console.contains(SILENCER) {
            deadline = deadline.min(Instant::now() + SILENCE);
        }
    };
    if !in_time {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    Ok(Outcome {
        status: status.code().filter(|_| in_time),
        console,
    })
}

/// `case NAME ok` and `case NAME FAILED: why` by name.
fn cases(console: &str) -> BTreeMap<String, Result<(), String>> {
    console
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

/// `count NAME VALUE` by name.
fn counts(console: &str) -> BTreeMap<&str, u64> {
    console
        .lines()
        .filter_map(|line| line.trim_end().strip_prefix("count ")?.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect()
}

/// Instructions from gate to gate, on a machine that counts them. They are the same in every run.
fn calls_are_short(parts: &Parts) -> Result<(), Failed> {
    let outcome = boot(
        parts,
        "max,cki=on",
        COUNTING,
        Some(&parts.monitor),
        "cki.pool=32M bench",
    )?;
    let counts = counts(&outcome.console);
    let mut wrong = Vec::new();
    for (name, limit) in [
        ("entry_set_user_page", 200),
        ("entry_set_kernel_page", 200),
        ("hypercall_event_send", 1200),
        ("text_poke_5_bytes", 450),
    ] {
        match counts.get(name) {
            Some(&count) if count <= limit => println!("{name}: {count} instructions"),
            count => wrong.push(format!("{name}: {count:?}, not {limit} at most")),
        }
    }
    if outcome.status == Some(PASSED) && wrong.is_empty() {
        return Ok(());
    }
    let console = &outcome.console;
    Err(format!(
        "status {:?}, {wrong:?}; the console:\n{console}",
        outcome.status
    )
    .into())
}

/// Whether the attack reached its aim in this machine.
fn succeeded(attack: &str, outcome: &Outcome) -> Result<(), String> {
    let lines = || {
        outcome.console.lines().filter_map(|line| {
            let line = line.trim_end().strip_prefix("attack ")?;
            line.strip_prefix(attack)
                .filter(|rest| rest.starts_with(' '))
        })
    };
    let end = lines().find(|rest| !rest.starts_with(" begins"));
    let silent = lines().any(|rest| rest == SILENCER);
    match end {
        Some(end) if end.starts_with(" succeeded") => Ok(()),
        None if silent && outcome.status.is_none() => Ok(()),
        _ => Err(format!(
            "the attack did not succeed:{}; status {:?}, the console:\n{}",
            end.unwrap_or(" no word of it"),
            outcome.status,
            tail(&outcome.console)
        )),
    }
}

fn tail(console: &str) -> &str {
    let from = console.len().saturating_sub(4096);
    console.get(from..).unwrap_or(console)
}

/// Each attack where its check is missing, and that this means something.
fn mutants(parts: &Arc<Parts>, whole: &Outcome) -> Result<Vec<Trial>, String> {
    const PREFIX: &str = "attack_refused_";
    let attacks: BTreeSet<String> = cases(&whole.console)
        .into_keys()
        .filter_map(|name| name.strip_prefix(PREFIX).map(str::to_owned))
        .collect();
    let images: BTreeSet<String> = fs::read_dir(&parts.mutants)
        .map_err(|error| format!("{}: {error}", parts.mutants.display()))?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    let mut trials = Vec::new();
    for name in &images {
        let (parts, attack) = (Arc::clone(parts), name.clone());
        trials.push(Trial::test(
            format!("attack_succeeds_without_its_check_{name}"),
            move || {
                let arguments = format!("cki.pool=32M case={PREFIX}{attack}");
                let mutant = parts.mutants.join(&attack);
                let outcome = boot(&parts, "max,cki=on", FAST, Some(&mutant), &arguments)?;
                Ok(succeeded(&attack, &outcome)?)
            },
        ));
    }
    let wrong: Vec<_> = attacks
        .iter()
        .filter(|attack| succeeded(attack, whole).is_ok())
        .cloned()
        .collect();
    trials.push(Trial::test(
        "no_attack_succeeds_with_all_checks",
        move || {
            if wrong.is_empty() {
                return Ok(());
            }
            Err(format!("{wrong:?} would pass for successes").into())
        },
    ));
    trials.push(Trial::test("every_attack_has_its_mutant", move || {
        if attacks == images && attacks.len() >= ATTACKS_AT_LEAST {
            return Ok(());
        }
        Err(format!("attacks: {attacks:?}, mutants: {images:?}").into())
    }));
    Ok(trials)
}

fn trials(parts: Parts) -> Result<Vec<Trial>, String> {
    let parts = Arc::new(parts);
    let outcome = boot(
        &parts,
        "max,cki=on",
        FAST,
        Some(&parts.monitor),
        "cki.pool=32M",
    )?;
    let mut trials = mutants(&parts, &outcome)?;
    let found = cases(&outcome.console);
    let count = found.len();
    for (name, outcome) in found {
        trials.push(Trial::test(name, move || outcome.map_err(Failed::from)));
    }
    trials.push(Trial::test("the_machine_survives_all_cases", move || {
        if outcome.status == Some(PASSED) && count >= CASES_AT_LEAST {
            return Ok(());
        }
        Err(format!(
            "status {:?}, {count} cases; the console:\n{}",
            outcome.status,
            tail(&outcome.console)
        )
        .into())
    }));
    for (name, cpu, monitor, arguments, message) in [
        (
            "without_the_extension_no_containers",
            "max,cki=off",
            true,
            "cki.pool=32M",
            "the CPU has no CKI extension",
        ),
        (
            "without_pks_no_containers",
            "max,pks=off",
            true,
            "cki.pool=32M",
            "the CPU has no protection keys for supervisor pages",
        ),
        (
            "without_a_monitor_no_containers",
            "max,cki=on",
            false,
            "cki.pool=32M",
            "there is no monitor",
        ),
        (
            "without_a_pool_no_containers",
            "max,cki=on",
            true,
            "",
            "there is no memory pool",
        ),
    ] {
        let outcome = boot(
            &parts,
            cpu,
            FAST,
            monitor.then_some(parts.monitor.as_path()),
            &format!("{arguments} case=the_device_reports"),
        )?;
        trials.push(Trial::test(name, move || {
            let refused = outcome
                .console
                .contains(&format!("cki: no containers: {message}"));
            let failed = cases(&outcome.console)
                .get("the_device_reports_full_isolation")
                .is_some_and(Result::is_err);
            if refused && failed {
                return Ok(());
            }
            Err(format!("the module did not say \"{message}\":\n{}", outcome.console).into())
        }));
    }
    trials.push(Trial::test("calls_are_short", move || {
        calls_are_short(&parts)
    }));
    Ok(trials)
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match Parts::from_environment().and_then(trials) {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            let failed = Trial::test("monitor_and_module", move || Err(error.into()));
            libtest_mimic::run(&arguments, vec![failed]).exit_code()
        }
    }
}
