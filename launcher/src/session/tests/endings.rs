// SPDX-License-Identifier: MIT OR Apache-2.0

//! How sessions end, well and badly.

use std::os::fd::BorrowedFd;
use std::thread;
use std::time::Duration;

use cki_abi::hypercalls::arguments::SHUTDOWN_POWEROFF;
use cki_session::{
    Event, Failure, FailureKind, Hello, Isolation, Outcome, ProcessId, QUEUE_MAX, Request, Signal,
    VERSION, encode,
};
use vm_memory::{Bytes, GuestAddress};

use super::guest::BUFFERS;
use super::{
    Client, ContainerError, Plan, STARTED, Silent, Streams, Wish, pipe, plan, run, session,
    session_on, session_with,
};
use crate::module::{Exit, Fault, ModuleError, Vcpu};
use crate::virtio::testing::{BRING_UP, Scripted};

#[test]
fn time_is_up_for_a_program_that_obeys_and_one_that_does_not() {
    for obeys in [true, false] {
        let (session, _ends) = session(move |guest| {
            guest.start();
            assert!(matches!(
                guest.hear(),
                Request::Signal {
                    signal: Signal::TERM,
                    ..
                }
            ));
            if obeys {
                guest.end(Outcome::signaled(Signal::TERM));
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
fn saying_again_that_the_program_started_gives_it_no_more_time() {
    let (session, _ends) = session(|guest| {
        guest.start();
        for _ in 0..200 {
            guest.say(&STARTED);
            thread::sleep(Duration::from_millis(20));
        }
        guest.exit(0);
    });
    let plan = Plan {
        timeout: Some(Duration::from_millis(100)),
        ..plan()
    };
    assert_eq!(run(plan, session).unwrap(), Outcome::TimedOut);
}

#[test]
fn the_client_is_told_that_the_program_started_and_how_it_ended() {
    let killed = Outcome::Signaled {
        signal: Signal::KILL,
        out_of_memory: true,
        out_of_page_tables: false,
    };
    for outcome in [Outcome::Exited(3), killed] {
        let said = outcome.clone();
        let (session, _ends) = session(move |guest| {
            guest.start();
            guest.end(said);
        });
        let mut client = Silent::new();
        let result = session.run(plan(), |_| Ok(()), &mut client);
        assert_eq!(result.unwrap(), outcome);
        assert_eq!(client.told, [STARTED]);
    }
}

#[test]
fn a_program_that_cannot_be_run_is_told_as_init_says_it() {
    for kind in [
        FailureKind::NotFound,
        FailureKind::NotExecutable,
        FailureKind::Image,
        FailureKind::Request,
        FailureKind::Internal,
    ] {
        let (session, _ends) = session(move |guest| {
            guest.print("last words\n");
            guest.hello();
            guest.hear();
            guest.end(Outcome::Failed(Failure::new(kind, "nope: not found")));
        });
        let mut client = Silent::new();
        let outcome = session.run(plan(), |_| Ok(()), &mut client).unwrap();
        let Outcome::Failed(failure) = &outcome else {
            panic!("{outcome:?}");
        };
        assert!(failure.message.contains("nope: not found"), "{failure:?}");
        assert_eq!(failure.kind, kind);
        // The kernel's console says nothing about a program that is not there.
        let with_console = failure.message.contains("last words");
        assert_eq!(with_console, kind == FailureKind::Internal, "{failure:?}");
        assert_eq!(client.told, []);
    }
}

#[test]
fn a_request_that_init_refuses_is_told_and_the_session_goes_on() {
    let refused = Event::Refused {
        message: "no process 7".to_owned(),
    };
    let said = refused.clone();
    let (session, _ends) = session(move |guest| {
        guest.start();
        guest.say(&said);
        guest.send(5, b"{\"type\":\"something-new\",\"id\":1}\n");
        guest.exit(0);
    });
    let mut client = Silent::new();
    let outcome = session.run(plan(), |_| Ok(()), &mut client).unwrap();
    assert_eq!(outcome, Outcome::Exited(0));
    assert_eq!(client.told, [STARTED, refused]);
}

#[test]
fn what_init_has_no_room_for_is_refused() {
    struct Many(Silent);
    impl Client for Many {
        fn descriptor(&self) -> BorrowedFd<'_> {
            self.0.descriptor()
        }
        fn wishes(&mut self, _started: bool) -> Vec<Wish> {
            vec![Wish::Signal(Signal::WINCH); 40_000]
        }
        fn up(&mut self, _isolation: Isolation) {}
        fn tell(&mut self, event: &Event) {
            self.0.tell(event);
        }
    }
    let (session, _ends) = session(|guest| {
        guest.start();
        guest.exit(0);
    });
    let mut client = Many(Silent::new());
    let outcome = session.run(plan(), |_| Ok(()), &mut client).unwrap();
    assert_eq!(outcome, Outcome::Exited(0));
    let refused = |event: &&Event| matches!(event, Event::Refused { .. });
    let refused = client.0.told.iter().filter(refused).count();
    let line = encode(&Request::Signal {
        id: ProcessId::MAIN,
        signal: Signal::WINCH,
    });
    let room = QUEUE_MAX / line.unwrap().len();
    // Besides them, it holds the request.
    assert!(
        (40_000 - room..40_000).contains(&refused),
        "{refused} of {room}"
    );
}

#[test]
fn a_guest_that_refuses_without_end_fills_nothing_and_does_not_outlive_its_time() {
    let mut plan = plan();
    plan.timeout = Some(Duration::from_millis(300));
    let (session, _ends) = session(|guest| {
        guest.start();
        let message = "x".repeat(15_000);
        loop {
            guest.say(&Event::Refused {
                message: message.clone(),
            });
        }
    });
    let mut client = Silent::new();
    let outcome = session.run(plan, |_| Ok(()), &mut client).unwrap();
    assert_eq!(outcome, Outcome::TimedOut);
    let (started, refused) = client.told.split_first().unwrap();
    assert_eq!((started, refused.len()), (&STARTED, 16));
    assert!(refused.iter().all(|event| matches!(
        event,
        Event::Refused { message } if message.len() == 1024
    )));
}

#[test]
fn a_reader_of_the_kernels_console_that_stops_does_not_keep_time_from_running_out() {
    let (_reader, copy) = pipe();
    let streams = Streams {
        stdin: pipe().0,
        stdout: pipe().1,
        stderr: pipe().1,
    };
    let (session, _log) = session_on(streams, Some(copy), None, |guest| {
        guest.start();
        loop {
            guest.print(&"chatter\n".repeat(100));
        }
    });
    let plan = Plan {
        timeout: Some(Duration::from_millis(100)),
        ..plan()
    };
    assert_eq!(run(plan, session).unwrap(), Outcome::TimedOut);
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
        (Exit::GuestFault(Fault::default()), "cannot go on"),
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
        start_timeout: Duration::from_millis(80),
        ..plan()
    };
    let error = run(plan, session).unwrap_err();
    assert!(matches!(error, ContainerError::Hangs { .. }));
    let message = error.to_string();
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
        Err(ContainerError::Protocol(_))
    ));
    let (session, _ends) = self::session(|guest| {
        guest.open_ports();
        let mut hello = Hello::new(&[], "6.12");
        hello.version = VERSION + 1;
        guest.say(&Event::Hello(hello));
    });
    let error = run(plan(), session).unwrap_err();
    assert!(matches!(error, ContainerError::Mismatch(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("update this program"), "{text}");
    // Whatever its init can do is not what is asked for.
    let (session, _ends) = self::session(|guest| guest.hello());
    let mut plan = plan();
    if let Some(run) = &mut plan.run {
        run.root.read_only = true;
    }
    let text = run(plan, session).unwrap_err().to_string();
    assert!(text.contains("does not support `root`"), "{text}");
}

#[test]
fn an_init_that_says_hello_never_or_twice_is_refused() {
    for said in [STARTED, ended(), refusal()] {
        let (session, _ends) = session(move |guest| {
            guest.open_ports();
            guest.say(&said);
        });
        let text = run(plan(), session).unwrap_err().to_string();
        assert!(text.contains("does not say hello"), "{text}");
    }
    let (session, _ends) = session(|guest| {
        guest.start();
        guest.say(&Event::Hello(Hello::new(&[], "6.12")));
    });
    let text = run(plan(), session).unwrap_err().to_string();
    assert!(text.contains("hello twice"), "{text}");
}

fn ended() -> Event {
    Event::Ended {
        id: ProcessId::MAIN,
        outcome: Outcome::Exited(0),
    }
}

fn refusal() -> Event {
    Event::Refused {
        message: "no".to_owned(),
    }
}

/// A vCPU whose thread meets a bug of ours.
struct Broken;

impl Vcpu for Broken {
    fn run(&mut self) -> Result<Exit, ModuleError> {
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

#[test]
fn a_bug_in_a_devices_thread_ends_the_run() {
    let device = Scripted {
        script: Box::new(|| panic!("on purpose")),
        source: None,
    };
    let (session, ends) = session_with(Some(device), |guest| {
        for (register, value) in BRING_UP {
            guest.hypercall(Exit::MmioWrite {
                device: 1,
                offset: register.into(),
                size: 4,
                value: value.into(),
            });
        }
        loop {
            thread::sleep(Duration::from_secs(60));
        }
    });
    let error = run(plan(), session).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("device 1") && text.contains("failed"),
        "{text}"
    );
    assert!(ends.log.lock().unwrap().killed);
}
