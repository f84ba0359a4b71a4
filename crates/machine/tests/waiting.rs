// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a machine may keep a session waiting for, and what not.

mod fake;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cki_session::{Outcome, Signal};

use fake::{END, Fake, HELLO};

#[test]
fn a_machine_that_talks_without_end_keeps_nobody_from_the_time() {
    let mut fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"started","id":1,"pid":2,"isolation":"full"}}' >&3
        while :; do echo '{{"type":"refused","message":"no"}}'; done >&3"#
    ));
    fake.timeout = Some(Duration::from_millis(300));
    let start = Instant::now();
    assert_eq!(fake.outcome(), Outcome::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_machine_that_reads_no_requests_keeps_nobody_from_the_time() {
    let mut fake = Fake::new(&format!("{HELLO} exec sleep 100"));
    fake.timeout = Some(Duration::from_millis(300));
    let start = Instant::now();
    let ended = fake.run_with(|signals| {
        // More than sockets hold.
        for _ in 0..20_000 {
            signals.send(Signal::new(10).expect("SIGUSR1"));
        }
    });
    assert_eq!(ended.expect("it ends well").outcome, Outcome::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_machine_that_says_nothing_more_and_does_not_end_is_not_waited_for() {
    let fake = Fake::new(&format!(
        r#"{HELLO} echo '{{"type":"started","id":1,"pid":2,"isolation":"full"}}' >&3
        exec 3>&- sleep 100"#
    ));
    let start = Instant::now();
    let error = fake.run().expect_err("nobody says how it ended");
    assert!(error.to_string().contains("says nothing more"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// What a program writes last, and its end.
const LAST_WORDS: &str = r#"echo '{"type":"output","id":1,"stdout":5,"stderr":0}' >&3
    echo '{"type":"ended","id":1,"outcome":{"exited":0}}' >&3
    sleep 0.6; echo late >&5; read -r end <&3"#;

#[test]
fn what_a_program_writes_when_its_time_is_over_is_waited_for() {
    let mut fake = Fake::new(&format!("{HELLO} read -r signal <&3; {LAST_WORDS}; {END}"));
    fake.timeout = Some(Duration::from_millis(50));
    fake.grace = Duration::from_millis(300);
    assert_eq!(fake.outcome(), Outcome::TimedOut);
    assert_eq!(fake.stdout(), b"late\n");
}

#[test]
fn what_a_program_had_written_when_it_was_killed_comes_to_a_slow_reader() {
    let mut fake = Fake::new(&format!(
        "{HELLO} head -c 100000 /dev/zero >&5; exec sleep 100"
    ));
    fake.timeout = Some(Duration::from_millis(50));
    fake.grace = Duration::from_millis(50);
    fake.reader = Duration::from_millis(400);
    assert_eq!(fake.outcome(), Outcome::TimedOut);
    assert_eq!(fake.stdout().len(), 100_000);
}

#[test]
fn a_reader_that_takes_nothing_keeps_nobody_from_the_end_of_the_time() {
    // Whether the program ends in its time or is killed.
    for script in [LAST_WORDS, "echo late >&5; exec sleep 100"] {
        let mut fake = Fake::new(&format!("{HELLO} echo x >&5; read -r signal <&3; {script}"));
        fake.timeout = Some(Duration::from_millis(50));
        fake.grace = Duration::from_millis(50);
        fake.reader = Duration::from_secs(100);
        let start = Instant::now();
        assert_eq!(fake.outcome(), Outcome::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn a_signal_ends_the_wait_for_the_output_of_a_program_that_has_ended() {
    let by = Outcome::signaled(Signal::TERM);
    let killed = Outcome::signaled(Signal::KILL);
    for (ended, expected) in [
        (r#"{"exited":0}"#, &by),
        (r#"{"exited":3}"#, &by),
        (
            r#"{"signaled":{"signal":9,"out_of_memory":false}}"#,
            &killed,
        ),
    ] {
        // It has its output announced, and gives none.
        let fake = Fake::new(&format!(
            r#"{HELLO} echo '{{"type":"started","id":1,"pid":2,"isolation":"full"}}' >&3
            echo '{{"type":"output","id":1,"stdout":5,"stderr":0}}' >&3
            echo '{{"type":"ended","id":1,"outcome":{ended}}}' >&3; echo x >&5; exec sleep 100"#
        ));
        let done = AtomicBool::new(false);
        let result = std::thread::scope(|scope| {
            let result = fake.run_with(|signals| {
                let (done, output) = (&done, &fake.stdout.0);
                scope.spawn(move || {
                    while !done.load(Ordering::Relaxed) {
                        // One that comes between start and end is the program's.
                        if !output.lock().expect("lock").is_empty() {
                            signals.send(Signal::TERM);
                        }
                        std::thread::sleep(Duration::from_millis(20));
                    }
                });
            });
            done.store(true, Ordering::Relaxed);
            result
        });
        assert_eq!(&result.expect("it ends well").outcome, expected);
    }
}

#[test]
fn a_machine_that_sleeps_before_its_program_is_ended_and_said_to_have_done_nothing() {
    let mut fake = Fake::new("exec sleep 100");
    fake.start_limit = Duration::from_millis(500);
    let error = fake.run().expect_err("it hangs").to_string();
    assert!(
        error.contains("within 0.5 s (processor time of the emulator: 0."),
        "{error}"
    );
}

#[test]
fn a_machine_that_spins_before_its_program_is_ended_and_said_to_have_run() {
    let mut fake = Fake::new("while :; do :; done");
    fake.start_limit = Duration::from_millis(1500);
    let error = fake.run().expect_err("it hangs").to_string();
    assert!(error.contains("within 1.5 s (processor time"), "{error}");
    assert!(!error.contains("emulator: 0.0 s"), "{error}");
}

/// The calling thread, and what it starts, runs on one processor.
fn pin(processor: usize) {
    let mut set = rustix::thread::CpuSet::new();
    set.set(processor);
    rustix::thread::sched_setaffinity(None, &set).expect("pinned");
}

/// It has to share its processor with eight others, as on a computer that has much else to do.
#[test]
fn a_machine_that_has_no_processor_is_waited_for() {
    let mut fake = Fake::new(&format!(
        "ran=0; while [ $ran -lt 500000000 ]; do read -r ran _ < /proc/$$/schedstat; done
        {HELLO} {END}"
    ));
    fake.start_limit = Duration::from_millis(1500);
    let done = AtomicBool::new(false);
    let start = Instant::now();
    let one = rustix::thread::sched_getcpu();
    let error = std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                pin(one);
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let session = scope.spawn(|| {
            pin(one);
            fake.run()
        });
        let error = session.join().expect("no panic").err();
        done.store(true, Ordering::Relaxed);
        error.map(|error| error.to_string())
    });
    // A machine that says nothing of its program's end.
    assert!(
        error
            .as_ref()
            .is_some_and(|error| error.contains("while the program was running")),
        "{error:?}"
    );
    assert!(
        start.elapsed() > fake.start_limit,
        "it was as fast as alone"
    );
}
