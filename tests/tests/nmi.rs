// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers under a thousand NMIs a second, from the first moment of their launcher to their end: their
//! programs put out what they put out natively, byte for byte, and the host's log has nothing but the NMIs.
//!
//! The emulator injects them (`inject-nmi` of QMP), wherever the processors are. That each instruction of the
//! world switch and of the monitor is met is for `events.rs`; here it is the time that counts, and all that
//! containers do: forks, page faults, reads of the disk, two of them on two processors.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cki_machine::{HostImage, Io, Machine, tsc};
use cki_session::{Container, Memory, Outcome, Run};
use cki_tests::{cki, long, variable};

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

/// What Linux says of an NMI that nobody asked for (arch/x86/kernel/nmi.c), and of the rate of such lines; and of
/// a clock that has to wait for our emulator.
const EXPECTED: [&str; 5] = [
    "Uhhuh. NMI received for unknown reason 3f",
    "Dazed and confused, but trying to continue",
    "unknown_nmi_error: ",
    "INFO: NMI handler",
    "hrtimer: interrupt took",
];
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

/// What a program does is collected here.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("whole")).into_owned()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// NMIs for a machine, until it is told to stop or the machine has ended.
struct Storm {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, Duration)>,
}

impl Storm {
    /// On the machine whose QMP socket is at `path`.
    fn start(path: &Path) -> Self {
        let mut stream = UnixStream::connect(path).expect("QEMU listens");
        let mut answers = BufReader::new(stream.try_clone().expect("a second handle"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let counter = thread::spawn(move || {
                let (mut count, mut line) = (0, String::new());
                while answers.read_line(&mut line).is_ok_and(|length| length > 0) {
                    // The greeting and the answer to the first command are not NMIs.
                    count += u64::from(line.contains("\"id\""));
                    assert!(!line.contains("\"error\""), "{line}");
                    line.clear();
                }
                count
            });
            let mut say = |line: &str| stream.write_all(line.as_bytes());
            let start = Instant::now();
            let mut sent = 0;
            if say("{\"execute\":\"qmp_capabilities\"}\n").is_ok() {
                while !stopped.load(Ordering::Relaxed)
                    && say("{\"execute\":\"inject-nmi\",\"id\":0}\n").is_ok()
                {
                    sent += 1;
                    thread::sleep(
                        (start + PERIOD * sent).saturating_duration_since(Instant::now()),
                    );
                }
            }
            let duration = start.elapsed();
            // Nobody answers any more, or there is nothing more to answer.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            (counter.join().expect("it counts"), duration)
        });
        Self { stop, thread }
    }

    /// How many there were, in which time.
    fn end(self) -> (u64, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("it ends")
    }
}

/// What a machine did.
struct Done {
    outcome: Outcome,
    stdout: String,
    stderr: String,
    /// What the host's kernel said from the start of init on, without times.
    log: Vec<String>,
    /// NMIs, and in which time.
    storm: Option<(u64, Duration)>,
}

/// Line of the kernel's log with which it starts init.
const INIT_LINE: &str = "Run /init as init process";

/// Boots a machine of `cpus` processors that runs `script`: natively, in a container, or, as `Host`, on a host
/// of containers.
fn run(place: Place, cpus: u32, script: &str, storm: bool) -> Done {
    let (image_of_host, runtime, host_memory) = match place {
        Place::Debug => ("CKI_HOST_DEBUG", "CKI_RUNTIME_DEBUG", DEBUG_HOST_MEMORY),
        _ => ("CKI_HOST", "CKI_RUNTIME", HOST_MEMORY),
    };
    let mut host = HostImage::load(&variable(image_of_host)).expect("a host image");
    let container_cmdline = host.container_cmdline.clone();
    // NMIs reach the first processor only if nobody asks for more.
    host.cmdline.push_str(" apic_extnmi=all");
    let mib = match place {
        Place::Native => MEMORY,
        Place::Container | Place::Debug => MEMORY + host_memory,
        Place::Host => 2 * MEMORY + 2 * host_memory,
    };
    let memory = Memory::constant(mib);
    let mut machine = Machine::new(&variable("CKI_QEMU"), host, image(), memory, cpus);
    if place != Place::Native {
        machine.runtime = Some(variable(runtime).join("runtime.erofs"));
    }
    machine.tsc_khz = Some(tsc::frequency_khz());
    machine.verbose = true;
    let dir = tempfile::tempdir().expect("a directory");
    let qmp = dir.path().join("qmp");
    machine.extra = vec![
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", qmp.display()),
        // A microvm has no port that tells the reason of an NMI. What is read there without this device makes
        // Linux print two lines about each.
        "-device".to_owned(),
        "cki-probe".to_owned(),
    ];
    let mut run = Run::new(["sh", "-c", script]);
    run.process.workdir = "/root".into();
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
        stdin: Box::new(std::io::empty()),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
        console: Some(Box::new(console.clone())),
    };
    let mut nmis = None;
    let limit = Duration::from_secs(20 * seconds());
    // Ready is what init is before it starts the launcher.
    let ended = cki_machine::run(
        &machine,
        run,
        Some(limit),
        io,
        |_| {},
        || {
            nmis = storm.then(|| Storm::start(&qmp));
        },
    );
    let storm = nmis.map(Storm::end);
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

/// The lines from the start of init on, without their times.
fn log(console: &str) -> Vec<String> {
    console
        .lines()
        .skip_while(|line| !line.contains(INIT_LINE))
        .skip(1)
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
    let (nmis, duration) = stormy.storm.expect("a storm");
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
    // Numbers differ from run to run.
    let words = |line: &String| {
        let words = line.split_whitespace();
        let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
        words.collect::<Vec<_>>().join(" ")
    };
    let known: BTreeSet<_> = quiet.log.iter().map(words).collect();
    let whole = place == Place::Host;
    let news: Vec<_> = stormy
        .log
        .iter()
        .filter(|line| whole || TROUBLE.iter().any(|words| line.contains(words)))
        .filter(|line| !EXPECTED.iter().any(|words| line.contains(words)))
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
             start() {{ cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --root /dev/vda \
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
    let (nmis, _) = stormy.storm.expect("a storm");
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
