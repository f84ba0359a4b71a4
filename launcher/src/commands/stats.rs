// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki stats`: what a container has counted.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cki_launcher::container_names::ContainerNames;
use cki_launcher::counts::Counts;
use cki_launcher::exec::connect;
use cki_session::{Status, printable};

use crate::cli::StatsArgs;
use crate::json::escaped;

/// Bytes that a launcher may say: it has some hundred counts at most.
const ANSWER_MAX: u64 = 1 << 20;
/// How long it may take. One that is stopped, or has its kernel still to load, says nothing.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What the launcher at a socket says. It may be another user's: it is not waited for longer than told, and no more is
/// taken for true than that it says numbers.
pub(super) fn ask(socket: &Path) -> io::Result<Counts> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let mut stream = connect::open(socket)?;
    let mut answer = Vec::new();
    let mut bytes = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // Also for one that says a byte now and then. No time at all would be one without end.
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => answer.extend(bytes.get(..count).unwrap_or(&[])),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
        if answer.len() as u64 > ANSWER_MAX {
            return Err(io::Error::other("its answer is too long"));
        }
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// `cki stats`.
pub fn stats(args: &StatsArgs) -> anyhow::Result<Status> {
    let names = ContainerNames::default();
    let state = names.find(&args.name)?;
    let asked = ask(&names.stats(&state));
    let counts = asked.with_context(|| {
        let name = &args.name;
        format!("the launcher of the container {name} does not say what it has counted")
    })?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", escaped(&counts)?)?;
    } else {
        out.write_all(table(&counts).as_bytes())?;
    }
    Ok(Status::OK)
}

/// The same for people: a line for each count.
fn table(counts: &Counts) -> String {
    let vcpus = counts.vcpus.iter().enumerate();
    let vcpus = vcpus.map(|(number, counts)| (format!("vcpu {number}"), counts));
    let devices = counts.devices.iter().map(|device| {
        let title = format!("{} {}", device.kind, device.name);
        (title.trim_end().to_owned(), &device.counts)
    });
    let mut text = String::new();
    for (title, counts) in vcpus.chain(devices) {
        for (name, count) in counts {
            let line = format!("{title:<24} {name:<24} {count}");
            text += &printable(&line).replace(['\n', '\t'], " ");
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use cki_launcher::counts::OfDevice;

    use super::*;

    /// What is made of a launcher's answer.
    fn answered(answer: Vec<u8>) -> io::Result<Counts> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        let listener = UnixListener::bind(&path).unwrap();
        let launcher = thread::spawn(move || {
            // Who does not want all of it closes the socket.
            let _ = listener.accept().unwrap().0.write_all(&answer);
        });
        let counts = ask(&path);
        launcher.join().unwrap();
        counts
    }

    #[test]
    fn an_answer_is_taken_and_what_is_none_is_refused() {
        let counts = answered(br#"{"vcpus":[{"entries":7}],"devices":[]}"#.to_vec()).unwrap();
        assert_eq!(counts.vcpus[0]["entries"], 7);
        for answer in [
            Vec::new(),
            b"{}".to_vec(),
            br#"{"vcpus":[{"entries":"7"}],"devices":[]}"#.to_vec(),
            vec![b' '; 2 << 20],
        ] {
            assert!(answered(answer).is_err());
        }
    }

    #[test]
    fn nobody_is_waited_for_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        assert_eq!(ask(&path).unwrap_err().kind(), ErrorKind::NotFound);
        let _silent = UnixListener::bind(&path).unwrap();
        let start = Instant::now();
        assert_eq!(ask(&path).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < 10 * ANSWER_LIMIT);
    }

    #[test]
    fn one_that_says_a_byte_now_and_then_is_waited_for_no_longer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stats");
        let listener = UnixListener::bind(&path).unwrap();
        let launcher = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            while stream.write_all(b" ").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let start = Instant::now();
        assert_eq!(ask(&path).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < 10 * ANSWER_LIMIT);
        launcher.join().unwrap();
    }

    #[test]
    fn each_count_is_a_line_that_no_terminal_obeys() {
        let counts = Counts {
            vcpus: vec![[("entries".to_owned(), 7)].into()],
            devices: vec![OfDevice {
                kind: "disk".to_owned(),
                name: "a\u{1b}[2J\nb".to_owned(),
                counts: [("read_bytes".to_owned(), 8)].into(),
            }],
        };
        let text = table(&counts);
        let lines: Vec<Vec<_>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["vcpu", "0", "entries", "7"]);
        assert_eq!(lines[1][0], "disk");
        assert!(lines[1].ends_with(&["read_bytes", "8"]), "{lines:?}");
        assert_eq!(lines.len(), 2);
        assert!(!text.contains('\u{1b}'));
    }
}
