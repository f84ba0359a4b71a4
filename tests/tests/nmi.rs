// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers under a thousand NMIs a second, from the first moment of their launcher to their end: their
//! programs put out what they put out natively, byte for byte, and the host's log has nothing but the NMIs.
//!
//! The emulator injects them (`inject-nmi` of QMP), wherever the processors are. That each instruction of the
//! world switch and of the monitor is met is for `events.rs`; here it is the time that counts, and all that
//! containers do: forks, page faults, reads of the disk, two of them on two processors.

// What is printed is for the reader of a log.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cki_machine::storm::{self, Sent, Storm, words};
use cki_machine::{HostImage, Io, Machine, TimeLimit, tsc};
use cki_session::console::INIT_LINE;
use cki_session::{Container, Memory, Outcome, Run};
use cki_tests::sink::Sink;
use cki_tests::{cki, long, variable};
use rustix::process::{Pid, Signal, kill_process};

/// Between two NMIs.
const PERIOD: Duration = Duration::from_millis(1);
/// A storm is at least that long, and in the long form that.
const SHORT: u64 = 10;
const LONG: u64 = 60;
/// Of the NMIs that the time has room for, so many hundredths are injected at least, on any computer.
const AT_LEAST: u64 = 80;
/// The container's memory, in MiB, and what its machine needs beside it.
const MEMORY: u32 = 256;
const HOST_MEMORY: u32 = 192;
const DEBUG_HOST_MEMORY: u32 = 768;

/// How trouble begins. A console that NMIs write to has halves of lines, so that it is searched for words; the log
/// itself is compared line by line.
const TROUBLE: [&str; 8] = [
    "BUG",
    "WARNING",
    "Oops",
    "cki:",
    "Call Trace",
    "stall",
    "panic",
    "lockup",
];
/// Before the log, in the output of a host's script.
const LOG: &str = "== the log\n";

/// Each prints one line a round, which is the same in all rounds, until `end` is over: `sort -u` leaves one.
const WORK: &str = r#"
forks() {
	n=0
	while [ $n -lt 60 ]; do (exit 3); [ $? = 3 ] && /bin/true && n=$((n + 1)); done
	echo "forks $n"
}
faults() {
	perl -e 'my $sum = 0;
		for my $n (1 .. 6) { my $s = pack("V*", map { $_ * $n } 1 .. 100000); $sum += unpack("%32V*", $s); }
		print "faults $sum\n"'
}
reads() {
	find /usr/bin /usr/lib -type f -size +8k 2> /dev/null | sort | head -n 150 | xargs cat | sha256sum
}
end=$(($(date +%s) + SECONDS_TO_GO))
for work in forks faults reads; do
	while :; do $work; [ $(date +%s) -ge $end ] && break; done | sort -u
	end=$((end + SECONDS_TO_GO))
done
echo done
"#;

fn seconds() -> u64 {
    if long() { LONG } else { SHORT }
}

/// The script, as long as a storm has to be in all.
fn work() -> String {
    WORK.replace("SECONDS_TO_GO", &seconds().div_ceil(3).to_string())
}

/// An application image with what the script needs.
fn image() -> PathBuf {
    static IMAGE: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = IMAGE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("app.img");
        let words = ["--quiet", "image", "app", "--deb", "perl-base", "-o"];
        let output = cki(words
            .iter()
            .map(std::ffi::OsStr::new)
            .chain([path.as_os_str()]));
        assert_eq!(output.status, 0, "{}", output.stderr);
        (dir, path)
    });
    path.clone()
}

/// What a machine did.
struct Done {
    outcome: Outcome,
    stdout: String,
    stderr: String,
    /// What the host's kernel said, without times.
    log: Vec<String>,
    storm: Option<Sent>,
}

/// Boots a machine of `cpus` processors that runs `script`: natively, in a container, or, as `Host`, on a host
/// of containers.
fn run(place: Place, cpus: u32, script: &str, storm: bool) -> Done {
    let (image_of_host, runtime, host_memory) = match place {
        Place::Debug => ("CKI_HOST_DEBUG", "CKI_RUNTIME_DEBUG", DEBUG_HOST_MEMORY),
        _ => ("CKI_HOST", "CKI_RUNTIME", HOST_MEMORY),
    };
    let host = HostImage::load(&variable(image_of_host)).expect("a host image");
    let container_cmdline = host.container_cmdline.clone();
    let mib = match place {
        Place::Native => MEMORY,
        Place::Container | Place::Debug => MEMORY + host_memory,
        Place::Host => 2 * MEMORY + 2 * host_memory,
    };
    let memory = Memory::constant(mib);
    let mut machine = Machine::new(&variable("CKI_QEMU"), host, image(), memory, cpus);
    if place != Place::Native {
        machine.runtime_disk = Some(variable(runtime).join("runtime.erofs"));
    }
    machine.tsc_khz = Some(tsc::Measurement::start().khz());
    machine.verbose = true;
    let dir = tempfile::tempdir().expect("a directory");
    let qmp = dir.path().join("qmp");
    storm::prepare(&mut machine, &qmp);
    let mut run = Run::new(["sh", "-c", script]);
    run.process.workdir = Some("/root".into());
    match place {
        Place::Container | Place::Debug => {
            let mut container = Container::new(Memory::constant(MEMORY));
            container.cmdline = container_cmdline;
            run.container = Some(container);
        }
        Place::Host => run.pool = Some(Memory::constant(2 * MEMORY)),
        Place::Native => {}
    }
    let (stdout, stderr, console) = (Sink::default(), Sink::default(), Sink::default());
    let io = Io {
        console: Some(Box::new(console.clone())),
        ..Io::new(std::io::empty(), stdout.clone(), stderr.clone())
    };
    let mut nmis = None;
    let limit = Duration::from_secs(20 * seconds());
    // Ready is what init is before it starts the launcher.
    let ended = cki_machine::run(
        &machine,
        run,
        TimeLimit::new(Some(limit)),
        io,
        |_| {},
        || {
            nmis = storm.then(|| Storm::start(&qmp, PERIOD).expect("QEMU listens"));
        },
    );
    let storm = nmis.map(|storm| storm.end().expect("QEMU injects"));
    let mut stdout = stdout.text();
    let mut console = console.text();
    if let Some((output, log)) = stdout.split_once(LOG) {
        (stdout, console) = (output.to_owned(), log.to_owned());
    }
    let outcome = match ended {
        Ok(ended) => ended.outcome,
        Err(error) => panic!("{storm:?}: {error}\n{}", stderr.text()),
    };
    Done {
        outcome,
        stdout,
        stderr: stderr.text(),
        log: log(&console),
        storm,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Native,
    Container,
    Host,
    /// A container on the kernel that looks for mistakes of the module.
    Debug,
}

/// The lines, without their times.
fn log(console: &str) -> Vec<String> {
    console
        .lines()
        .map(|line| {
            let line = line.trim_end();
            line.split_once("] ")
                .map_or(line, |(_, rest)| rest)
                .to_owned()
        })
        .filter(|line| !line.is_empty())
        .collect()
}

/// The storm's run went as the quiet one did.
fn alike(place: Place, quiet: &Done, stormy: &Done) {
    let Sent {
        count: nmis,
        time: duration,
    } = stormy.storm.expect("a storm");
    println!("{nmis} NMIs in {:.1} s", duration.as_secs_f64());
    assert_eq!(
        (&stormy.outcome, stormy.stderr.as_str()),
        (&Outcome::Exited(0), ""),
        "{:?}",
        stormy.log
    );
    assert_eq!(quiet.stdout, stormy.stdout);
    assert!(
        duration >= Duration::from_secs(seconds()),
        "only {duration:?}"
    );
    let room = (duration.as_nanos() / PERIOD.as_nanos()) as u64;
    assert!(nmis * 100 >= room * AT_LEAST, "{nmis} NMIs in {duration:?}");
    // What one boot says before init, another one may say behind it.
    let known: BTreeSet<_> = quiet.log.iter().map(|line| words(line)).collect();
    let whole = place == Place::Host;
    let news: Vec<_> = stormy
        .log
        .iter()
        .skip_while(|line| !line.contains(INIT_LINE))
        .skip(1)
        .filter(|line| whole || TROUBLE.iter().any(|words| line.contains(words)))
        .filter(|line| !storm::is_expected(line))
        .filter(|line| !known.contains(&words(line)))
        .collect();
    assert!(news.is_empty(), "the host's log: {news:#?}");
}

#[test]
fn a_container_takes_a_thousand_nmis_a_second_from_its_start_to_its_end() {
    let native = run(Place::Native, 1, &work(), false);
    assert_eq!(native.outcome, Outcome::Exited(0), "{}", native.stderr);
    assert!(native.stdout.ends_with("done\n"), "{}", native.stdout);
    // The container's first lines in the log are another matter than the NMIs.
    let quiet = run(Place::Container, 1, "true", false);
    let stormy = run(Place::Container, 1, &work(), true);
    let quiet = Done {
        stdout: native.stdout,
        ..quiet
    };
    alike(Place::Container, &quiet, &stormy);
}

#[test]
fn two_containers_on_two_processors_take_a_thousand_nmis_a_second_each() {
    // The host's own count is behind the programs' output, which is what is compared.
    let script = |work: &str| {
        format!(
            "cat > /tmp/work <<'END'\n{work}\nEND\n\
             start() {{ cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda \
             --memory {MEMORY}M --cmdline mitigations=off -- sh -c \"$(cat /tmp/work)\"; echo status $?; }}\n\
             start > a & start > b & wait; cat a b; grep NMI: /proc/interrupts; printf '{LOG}'; dmesg"
        )
    };
    let native = run(Place::Native, 1, &work(), false);
    assert_eq!(native.outcome, Outcome::Exited(0), "{}", native.stderr);
    let quiet = run(Place::Host, 2, &script("true"), false);
    let mut stormy = run(Place::Host, 2, &script(&work()), true);
    let (output, counts) = stormy
        .stdout
        .rsplit_once("NMI:")
        .map(|(output, counts)| (output.trim_end_matches(' ').to_owned(), counts.to_owned()))
        .unwrap_or_else(|| panic!("{}{}", stormy.stdout, stormy.stderr));
    stormy.stdout = output;
    let one = format!("{}status 0\n", native.stdout);
    let quiet = Done {
        stdout: format!("{one}{one}"),
        ..quiet
    };
    alike(Place::Host, &quiet, &stormy);
    let nmis = stormy.storm.expect("a storm").count;
    let seen: Vec<u64> = counts
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // Two that come while one waits become one.
    assert!(
        seen.len() == 2 && seen.iter().all(|&seen| seen * 2 >= nmis),
        "of {nmis} NMIs the processors have seen {seen:?}"
    );
}

#[test]
fn a_host_that_looks_for_mistakes_finds_none_under_a_thousand_nmis_a_second() {
    let work = work();
    let quiet = run(Place::Debug, 1, &work, false);
    let stormy = run(Place::Debug, 1, &work, true);
    alike(Place::Debug, &quiet, &stormy);
}

#[test]
fn a_machine_that_ends_under_nmis_ends_with_its_own_status() {
    // The emulator's last moments are short: NMIs have to be sent while it takes its devices apart.
    let rounds = if long() { 500 } else { 5 };
    for round in 0..rounds {
        let done = run(Place::Native, 1, "exit 7", true);
        assert_eq!(done.outcome, Outcome::Exited(7), "round {round}");
    }
}

/// What `look` finds within `limit`.
fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let found = look();
        if found.is_some() || Instant::now() > end {
            return found;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn commands_that_arrive_while_the_emulator_ends_neither_crash_nor_hold_it() {
    // What ends it is SIGTERM, and it does so by itself: status 0.
    let rounds = if long() { 1000 } else { 60 };
    for round in 0..rounds {
        let dir = tempfile::tempdir().expect("a directory");
        let qmp = dir.path().join("qmp");
        let mut emulator = Command::new(variable("CKI_QEMU").join("bin/qemu-system-x86_64"))
            .args(["-M", "microvm", "-S", "-nodefaults", "-display", "none"])
            .arg("-qmp")
            .arg(format!("unix:{},server=on,wait=off", qmp.display()))
            .spawn()
            .expect("an emulator");
        let storm = within(Duration::from_secs(5), || {
            Storm::start(&qmp, Duration::from_micros(20)).ok()
        });
        let storm = storm.expect("QEMU listens");
        // The commands are to be under way.
        within(Duration::from_secs(5), || {
            (storm.count() > 100).then_some(())
        });
        kill_process(Pid::from_child(&emulator), Signal::TERM).expect("it runs");
        let status = within(Duration::from_secs(10), || {
            emulator.try_wait().expect("our child")
        });
        if status.is_none() {
            emulator.kill().expect("it runs");
            emulator.wait().expect("our child");
        }
        let code = status.map(|status| status.code());
        assert_eq!(code, Some(Some(0)), "round {round}: {status:?}");
        storm.end().expect("QEMU injects");
    }
}
