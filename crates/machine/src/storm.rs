// SPDX-License-Identifier: MIT OR Apache-2.0

//! Non-maskable interrupts (NMIs) for a machine that is running, one after the other at a steady rate.
//!
//! QEMU injects them (`inject-nmi` of QMP) on each processor, wherever that is. Linux takes those that come from
//! outside on its first processor only, unless it is told otherwise, and says of each that it does not know why it is
//! there.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::machine::Machine;

/// Has each processor's Linux take NMIs from outside (Documentation/admin-guide/kernel-parameters.txt).
const ON_ALL_PROCESSORS: &str = " apic_extnmi=all";
/// What Linux says of an NMI that nobody asked for (arch/x86/kernel/nmi.c), and of the rate of such lines; and of
/// a clock that has to wait for our emulator.
const EXPECTED: [&str; 5] = [
    "Uhhuh. NMI received for unknown reason 3f",
    "Dazed and confused, but trying to continue",
    "unknown_nmi_error: ",
    "INFO: NMI handler",
    "hrtimer: interrupt took",
];

/// Prepares `machine` for a storm: QMP at `socket`, which QEMU makes.
pub fn prepare(machine: &mut Machine, socket: &Path) {
    machine.host.cmdline.push_str(ON_ALL_PROCESSORS);
    machine.extra.extend([
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", socket.display()),
        // A microvm has no port that tells the reason of an NMI. What is read there without this device makes
        // Linux print two lines about each.
        "-device".to_owned(),
        "cki-probe".to_owned(),
    ]);
}

/// Whether a storm is why Linux says that.
#[must_use]
pub fn is_expected(line: &str) -> bool {
    EXPECTED.iter().any(|words| line.contains(words))
}

/// A line of Linux's log without what differs from run to run: the words with digits in them.
#[must_use]
pub fn words(line: &str) -> String {
    let words = line.split_whitespace();
    let words = words.filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<_>>().join(" ")
}

/// NMIs that a machine was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many QEMU has injected, on each processor.
    pub count: u64,
    /// In which time.
    pub time: Duration,
}

/// A storm that is under way: until it is told to end, or the machine has ended.
#[derive(Debug)]
pub struct Storm {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    sender: JoinHandle<Duration>,
    counter: JoinHandle<io::Result<()>>,
}

impl Storm {
    /// One NMI each `period`, on the machine whose QMP socket is at `socket`.
    ///
    /// # Errors
    /// QEMU does not listen there.
    pub fn start(socket: &Path, period: Duration) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        let answers = BufReader::new(stream.try_clone()?);
        let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&count));
        Ok(Self {
            stop,
            count,
            sender: thread::spawn(move || send(stream, period, &stopped)),
            counter: thread::spawn(move || receive(answers, &counted)),
        })
    }

    /// How many there were so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends it, if the end of the machine has not.
    ///
    /// # Errors
    /// QEMU has refused an NMI.
    ///
    /// # Panics
    /// When a thread of it has.
    pub fn end(self) -> io::Result<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        let time = self.sender.join().expect("the sender does not panic");
        self.counter.join().expect("the counter does not panic")?;
        Ok(Sent {
            count: self.count.load(Ordering::Relaxed),
            time,
        })
    }
}

/// Sends until it is stopped or nobody listens; for how long it did.
fn send(mut stream: UnixStream, period: Duration, stopped: &AtomicBool) -> Duration {
    let mut say = |line: &str| stream.write_all(line.as_bytes()).is_ok();
    let start = Instant::now();
    let mut next = start;
    if say("{\"execute\":\"qmp_capabilities\"}\n") {
        while !stopped.load(Ordering::Relaxed) && say("{\"execute\":\"inject-nmi\",\"id\":0}\n") {
            next += period;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }
    let time = start.elapsed();
    // Nobody answers any more, or there is nothing more to answer.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    time
}

/// Counts the answers to NMIs until there are no more.
fn receive(mut answers: BufReader<UnixStream>, count: &AtomicU64) -> io::Result<()> {
    let mut line = String::new();
    while answers.read_line(&mut line).is_ok_and(|length| length > 0) {
        if line.contains("\"error\"") {
            return Err(io::Error::other(format!("QEMU refuses an NMI: {line}")));
        }
        // The greeting and the answer to the first command are not NMIs.
        if line.contains("\"id\"") {
            count.fetch_add(1, Ordering::Relaxed);
        }
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// Answers as QEMU does, to the commands after the first with `answer`; ends after `limit` NMIs.
    fn qemu(answer: &'static str, limit: usize) -> (tempfile::TempDir, JoinHandle<Vec<String>>) {
        let dir = tempfile::tempdir().expect("a directory");
        let listener = UnixListener::bind(dir.path().join("qmp")).expect("bound");
        let thread = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a storm");
            stream.write_all(b"{\"QMP\":{}}\n").expect("sent");
            let lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            let mut heard = Vec::new();
            for line in lines.map_while(Result::ok).take(1 + limit) {
                let text = if heard.is_empty() {
                    "{\"return\":{}}"
                } else {
                    answer
                };
                heard.push(line);
                if stream.write_all(format!("{text}\n").as_bytes()).is_err() {
                    break;
                }
            }
            heard
        });
        (dir, thread)
    }

    #[test]
    fn what_qemu_injects_is_counted_until_the_machine_ends() {
        let (dir, qemu) = qemu("{\"return\": {}, \"id\": 0}", 50);
        let storm =
            Storm::start(&dir.path().join("qmp"), Duration::from_millis(1)).expect("started");
        let heard = qemu.join().expect("no panic");
        let sent = storm.end().expect("no error");
        assert_eq!(sent.count, 50);
        assert!(sent.time >= Duration::from_millis(49), "{sent:?}");
        assert!(heard[0].contains("qmp_capabilities"), "{heard:?}");
        assert!(heard[1..].iter().all(|line| line.contains("inject-nmi")));
    }

    #[test]
    fn an_nmi_that_is_refused_is_told() {
        let (dir, qemu) = qemu("{\"error\": {\"class\": \"GenericError\"}, \"id\": 0}", 3);
        let storm =
            Storm::start(&dir.path().join("qmp"), Duration::from_millis(1)).expect("started");
        qemu.join().expect("no panic");
        let error = storm.end().expect_err("it was refused");
        assert!(error.to_string().contains("GenericError"), "{error}");
    }

    #[test]
    fn lines_of_two_runs_are_compared_without_their_numbers() {
        assert_eq!(
            words("cki: container 12 of 256M ended"),
            "cki: container of ended"
        );
        assert!(is_expected(
            "Uhhuh. NMI received for unknown reason 3f on CPU 1."
        ));
        assert!(!is_expected("BUG: unable to handle page fault"));
    }
}
