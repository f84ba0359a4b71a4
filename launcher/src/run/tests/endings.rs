// SPDX-License-Identifier: MIT OR Apache-2.0

//! How sessions end, well and badly.

use std::thread;
use std::time::Duration;

use cki_abi::hypercalls::arguments::SHUTDOWN_POWEROFF;
use cki_session::{FailureKind, GuestMessage, HostMessage, VERSION};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::Signal;
use vm_memory::{Bytes, GuestAddress};

use super::guest::BUFFERS;
use super::{Outcome, Plan, STARTED, SessionError, plan, run, run_telling, session};
use crate::device::{DeviceError, Exit, Fault, Vcpu};
use crate::run::session::take_signals;

#[test]
fn time_is_up_for_a_program_that_obeys_and_one_that_does_not() {
    for obeys in [true, false] {
        let (session, _ends) = session(move |guest| {
            guest.start();
            assert_eq!(guest.hear(), HostMessage::Signal { signal: 15 });
            if obeys {
                guest.say(&GuestMessage::Signaled {
                    signal: 15,
                    oom: false,
                });
            }
        });
        let plan = Plan {
            timeout: Some(Duration::from_millis(50)),
            ..plan()
        };
        assert_eq!(run(plan, session).unwrap(), Outcome::TimedOut);
    }
}

#[test]
fn whoever_started_us_is_told_that_the_program_started_and_how_it_ended() {
    let killed = GuestMessage::Signaled {
        signal: 9,
        oom: true,
    };
    for last in [GuestMessage::Exited { status: 3 }, killed] {
        let said = last.clone();
        let (session, _ends) = session(move |guest| {
            guest.start();
            guest.say(&said);
        });
        let (result, messages) = run_telling(plan(), session);
        assert_eq!(result.unwrap().message(), last);
        assert_eq!(messages, [STARTED, last]);
    }
}

#[test]
fn a_program_that_cannot_be_run_is_told_as_init_says_it() {
    let cases = [
        (FailureKind::NotFound, Some(127)),
        (FailureKind::NotExecutable, Some(126)),
        (FailureKind::Image, None),
        (FailureKind::Internal, None),
    ];
    for (kind, status) in cases {
        let (session, _ends) = session(move |guest| {
            guest.hello();
            guest.hear();
            guest.say(&GuestMessage::Failed {
                message: "nope: not found".to_owned(),
                kind,
            });
        });
        let (result, messages) = run_telling(plan(), session);
        assert_eq!(result.ok().map(|outcome| outcome.status()), status);
        let [
            GuestMessage::Failed {
                message,
                kind: told,
            },
        ] = &messages[..]
        else {
            panic!("{messages:?}");
        };
        assert!(message.contains("nope: not found"), "{message}");
        assert_eq!(*told, kind);
    }
}

#[test]
fn a_panic_is_reported_with_the_console() {
    let (session, _ends) = session(|guest| {
        guest.print("Linux version 6.12\n");
        let words = b"Kernel panic - not syncing: VFS\n";
        guest
            .memory
            .write_slice(words, GuestAddress(BUFFERS))
            .unwrap();
        guest
            .exits
            .send(Exit::Panic {
                hpa: BUFFERS,
                length: words.len() as u64,
            })
            .unwrap();
    });
    let text = run(plan(), session).unwrap_err().to_string();
    for part in ["panicked before its init was up", "Linux version", "VFS"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn every_bad_end_is_told() {
    let ends: [(Exit, &str); 5] = [
        (Exit::GuestFault(Fault::default()), "no handler"),
        (Exit::MonitorFault(Fault::default()), "the monitor"),
        (Exit::MachineCheck(Fault::default()), "machine check"),
        (Exit::Unknown(42), "reason 42"),
        (
            Exit::Shutdown {
                reason: SHUTDOWN_POWEROFF,
                code: 0,
            },
            "switched itself off",
        ),
    ];
    for (exit, part) in ends {
        let (session, _ends) = session(move |guest| {
            guest.start();
            guest.exits.send(exit).unwrap();
        });
        let text = run(plan(), session).unwrap_err().to_string();
        assert!(text.contains(part), "{part} in {text}");
        assert!(text.contains("while the program was running"), "{text}");
    }
}

#[test]
fn a_guest_that_loops_before_init_is_given_up() {
    let (session, ends) = session(|guest| {
        guest.print("about to loop\n");
        loop {
            thread::sleep(Duration::from_secs(60));
        }
    });
    let plan = Plan {
        start_limit: Duration::from_millis(80),
        ..plan()
    };
    let (result, messages) = run_telling(plan, session);
    assert!(matches!(result, Err(SessionError::Hangs { .. })));
    let [GuestMessage::Failed { message, .. }] = &messages[..] else {
        panic!("{messages:?}");
    };
    for part in ["within 0.08 s", "--start-timeout", "about to loop"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(ends.log.lock().unwrap().killed);
}

#[test]
fn a_guest_that_speaks_nonsense_is_refused() {
    let (session, _ends) = session(|guest| {
        guest.open_ports();
        guest.send(5, b"login: \n");
    });
    assert!(matches!(
        run(plan(), session),
        Err(SessionError::Protocol(_))
    ));
    let (session, _ends) = self::session(|guest| {
        guest.open_ports();
        guest.say(&GuestMessage::Hello {
            version: VERSION + 1,
            kernel: String::new(),
        });
    });
    assert!(matches!(
        run(plan(), session),
        Err(SessionError::Protocol(_))
    ));
}

/// A session whose signals are those that this thread gets.
fn with_signals(guest: impl FnOnce(&mut super::Guest, Pthread) + Send + 'static) -> super::Session {
    let signals = take_signals().unwrap();
    let us = pthread_self();
    let (mut session, ends) = session(move |driver| guest(driver, us));
    session.signals = signals;
    // The test's ends stay open as long as the process: nothing is read or written.
    std::mem::forget(ends);
    session
}

#[test]
fn a_signal_is_passed_to_the_program_and_what_it_makes_of_it_is_told() {
    let session = with_signals(|guest, us| {
        guest.start();
        pthread_kill(us, Signal::SIGTERM).unwrap();
        assert_eq!(guest.hear(), HostMessage::Signal { signal: 15 });
        guest.say(&GuestMessage::Exited { status: 5 });
    });
    let (result, messages) = run_telling(plan(), session);
    assert_eq!(messages, [STARTED, GuestMessage::Exited { status: 5 }]);
    assert_eq!(result.unwrap().status(), 143);
}

#[test]
fn a_second_signal_ends_a_program_that_does_not_obey() {
    let session = with_signals(|guest, us| {
        guest.start();
        pthread_kill(us, Signal::SIGINT).unwrap();
        assert_eq!(guest.hear(), HostMessage::Signal { signal: 2 });
        pthread_kill(us, Signal::SIGTERM).unwrap();
    });
    let (result, messages) = run_telling(plan(), session);
    assert_eq!(result.unwrap().status(), 130);
    let signaled = GuestMessage::Signaled {
        signal: 2,
        oom: false,
    };
    assert_eq!(messages, [STARTED, signaled]);
}

#[test]
fn a_signal_before_the_program_runs_ends_the_container() {
    let session = with_signals(|guest, us| {
        guest.print("booting\n");
        pthread_kill(us, Signal::SIGTERM).unwrap();
    });
    let (result, messages) = run_telling(plan(), session);
    assert_eq!(result.unwrap().status(), 143);
    let signaled = GuestMessage::Signaled {
        signal: 15,
        oom: false,
    };
    assert_eq!(messages, [signaled]);
}

#[test]
fn other_signals_are_passed_on_and_change_nothing() {
    let session = with_signals(|guest, us| {
        guest.start();
        pthread_kill(us, Signal::SIGUSR1).unwrap();
        assert_eq!(guest.hear(), HostMessage::Signal { signal: 10 });
        guest.say(&GuestMessage::Exited { status: 0 });
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
}

/// A vCPU whose thread meets a bug of ours.
struct Broken;

impl Vcpu for Broken {
    fn run(&mut self) -> Result<Exit, DeviceError> {
        panic!("on purpose");
    }
    fn complete(&mut self, _status: i64, _value: u64) {}
}

#[test]
fn a_bug_in_the_vcpus_thread_ends_the_run() {
    let (mut session, _ends) = session(|_| ());
    session.vcpu = Box::new(Broken);
    let error = run(plan(), session).unwrap_err();
    assert!(error.to_string().contains("the launcher failed"), "{error}");
}
