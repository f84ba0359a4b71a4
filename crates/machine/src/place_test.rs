// SPDX-License-Identifier: MIT OR Apache-2.0

//! The session driver in a place of a machine that stays up, whose init and supervisor are played here.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{Event, Hello, Isolation, Outcome, ProcessId, Run, encode};

use crate::ports::Ports;
use crate::resident::Lease;
use crate::{Ended, Io, MachineError, TimeLimit, run_in};

/// What a program has written.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // Its reader is slow.
        thread::sleep(Duration::from_millis(20));
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A place in which init says this, and the program writes that; the supervisor takes so long for its part of the end.
fn run(events: &[Event], written: &[u8], takes: Duration) -> (Result<Ended, MachineError>, String) {
    run_for(TimeLimit::NONE, events, written, takes)
}

/// As [`run`], where the program has a limit.
fn run_for(
    time: TimeLimit,
    events: &[Event],
    written: &[u8],
    takes: Duration,
) -> (Result<Ended, MachineError>, String) {
    let pair = || UnixStream::pair().unwrap();
    let ((control, mut init), (stdin, _input)) = (pair(), pair());
    let ((stdout, mut output), (stderr, _errors)) = (pair(), pair());
    let (connection, mut supervisor) = pair();
    for event in events {
        init.write_all(&encode(event).unwrap()).unwrap();
    }
    output.write_all(written).unwrap();
    let serving = thread::spawn(move || {
        // Until the client says that it goes.
        assert_eq!(supervisor.read(&mut [0]).unwrap(), 0);
        thread::sleep(takes);
        supervisor.shutdown(Shutdown::Both).unwrap();
    });
    let text = Text::default();
    let io = Io::new(std::io::empty(), text.clone(), std::io::sink());
    let lease = Lease {
        connection,
        ports: Ports {
            control,
            stdin,
            stdout,
            stderr,
        },
        serial: None,
        volumes: Vec::new(),
        emulator: std::process::id(),
        number: 1,
    };
    let request = Run::new(vec!["true".to_owned()]);
    let result = run_in(lease, request, time, io, |_| (), || ());
    serving.join().unwrap();
    let text = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
    (result, text)
}

fn hello() -> Event {
    Event::Hello(Hello::new(&[], "6.12"))
}

/// What a program that ends with this status, and has written so much, is told of.
fn end(status: u8, stdout: u64) -> [Event; 2] {
    let id = ProcessId::MAIN;
    let output = Event::Output {
        id,
        stdout,
        stderr: 0,
    };
    let outcome = Outcome::Exited(status);
    [output, Event::Ended { id, outcome }]
}

#[test]
fn what_a_program_whose_time_is_over_has_written_is_read_to_its_end() {
    let started = Event::Started {
        id: ProcessId::MAIN,
        pid: 2,
        isolation: Isolation::Full,
    };
    let written = "more than is read at once\n".repeat(5000);
    let time = TimeLimit {
        grace: Duration::ZERO,
        ..TimeLimit::new(Some(Duration::ZERO))
    };
    let takes = Duration::ZERO;
    let (result, text) = run_for(time, &[hello(), started], written.as_bytes(), takes);
    assert_eq!(result.unwrap().outcome, Outcome::TimedOut);
    assert!(text == written, "{} bytes of {}", text.len(), written.len());
}

#[test]
fn a_session_is_over_when_the_supervisor_has_given_back_what_it_had() {
    let [output, ended] = end(7, 2);
    let takes = Duration::from_millis(200);
    let start = Instant::now();
    let (result, text) = run(&[hello(), output, ended], b"hi", takes);
    assert_eq!(result.unwrap().outcome, Outcome::Exited(7));
    assert_eq!(text, "hi");
    assert!(start.elapsed() >= takes);
}

#[test]
fn what_a_container_that_was_killed_has_written_is_read_to_its_end() {
    // Its launcher did not live to say how much that is.
    let [output, ended] = end(137, 0);
    let written = "some more than is read at once\n".repeat(4000);
    let (result, text) = run(
        &[hello(), output, ended],
        written.as_bytes(),
        Duration::ZERO,
    );
    assert_eq!(result.unwrap().outcome, Outcome::Exited(137));
    assert!(text == written, "{} bytes of {}", text.len(), written.len());
}

#[test]
fn the_end_of_another_program_is_not_ours() {
    // As the program that had the place before would have it, with a hello after it or none.
    let [output, ended] = end(0, 0);
    for events in [
        vec![output.clone(), ended.clone(), hello()],
        vec![ended.clone()],
        vec![hello(), hello(), output, ended],
    ] {
        let error = run(&events, b"", Duration::ZERO).0.unwrap_err();
        assert!(error.to_string().contains("given up"), "{error}");
    }
}
