// SPDX-License-Identifier: MIT OR Apache-2.0

//! The client's side of a session: messages on a descriptor, and a user's signals.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;

use cki_session::{
    Container, Event, Failure, FailureKind, Outcome, ProcessId, Request, Signal, decode, encode,
};
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};

use super::guest::Guest;
use super::{Client, ContainerError, Late, STARTED, Session, Wish, plan, session};
use crate::session::caller::Caller;
use crate::session::descriptor::{Descriptor, Service};

/// A launcher's client, and the other end of its descriptor.
fn descriptor() -> (Descriptor, UnixStream) {
    descriptor_for(Service::Run)
}

fn descriptor_for(service: Service) -> (Descriptor, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    let client = Descriptor::new(File::from(OwnedFd::from(there)), service);
    (client.unwrap(), here)
}

fn ask(client: &mut UnixStream, request: &Request) {
    client.write_all(&encode(request).unwrap()).unwrap();
}

fn request(change: impl FnOnce(&mut cki_session::Run)) -> Request {
    let mut run = plan().run.unwrap();
    run.container = Some(Container {
        memory: "256M".parse().unwrap(),
        cmdline: "x=1".to_owned(),
        verbose: true,
        network: None,
        name: None,
        disks: Vec::new(),
        page_tables: None,
    });
    change(&mut run);
    Request::Run(Box::new(run))
}

/// All that is still to be heard, after the launcher has gone.
fn events(client: UnixStream) -> Vec<Event> {
    let lines = BufReader::new(client).lines();
    lines
        .map(|line| decode(line.unwrap().as_bytes()).unwrap())
        .collect()
}

fn ended(outcome: Outcome) -> Event {
    let id = ProcessId::MAIN;
    Event::Ended { id, outcome }
}

#[test]
fn the_request_comes_over_the_descriptor_and_its_rest_goes_to_init() {
    let (mut launcher, mut client) = descriptor();
    ask(&mut client, &request(|_| ()));
    let (container, run) = launcher.wait_for_run().unwrap();
    assert_eq!(
        (container.memory.mib(), container.cmdline.as_str()),
        (256, "x=1")
    );
    assert!(container.verbose);
    assert_eq!(Some(run), plan().run);
}

#[test]
fn a_request_that_a_launcher_cannot_carry_out_is_refused_by_name() {
    let user = String::from_utf8(encode(&request(|_| ())).unwrap()).unwrap();
    let user = user.replace("\"env\"", "\"namespaces\":[],\"env\"");
    let signal = Request::Signal {
        id: ProcessId::MAIN,
        signal: Signal::TERM,
    };
    let line = |request: &Request| encode(request).unwrap();
    let cases = [
        (line(&request(|run| run.container = None)), "no `container`"),
        (
            line(&request(|run| {
                run.container = None;
                run.pool = Some("64M".parse().unwrap());
            })),
            "does not support `pool`",
        ),
        (
            line(&request(|run| run.process.argv.clear())),
            "argv is empty",
        ),
        (user.into_bytes(), "`namespaces`"),
        (line(&signal), "another request before `run`"),
        (b"{\"type\":\"pause\"}\n".to_vec(), "`pause`"),
    ];
    for (bytes, part) in cases {
        let (mut launcher, mut client) = descriptor();
        client.write_all(&bytes).unwrap();
        let failure = launcher.wait_for_run().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Request);
        assert!(failure.message.contains(part), "{part} in {failure:?}");
    }
}

#[test]
fn a_process_for_a_container_is_asked_for_by_the_containers_name_and_by_nothing_else() {
    type Change = fn(&mut cki_session::Run);
    let exec = |change: Change| {
        let (mut launcher, mut client) = descriptor_for(Service::Exec);
        let request = request(|run| {
            run.container = None;
            run.exec = Some("box".parse().unwrap());
            change(run);
        });
        ask(&mut client, &request);
        launcher.wait_for_exec()
    };
    let (name, run) = exec(|_| ()).unwrap();
    assert_eq!((name.as_str(), Some(run)), ("box", plan().run));
    let cases: [(Change, &str); 3] = [
        (|run| run.exec = None, "names no container"),
        (
            |run| run.root.read_only = true,
            "`exec` and `root` exclude each other",
        ),
        (
            |run| {
                run.exec = None;
                run.pool = Some("64M".parse().unwrap());
            },
            "does not support `pool`",
        ),
    ];
    for (change, part) in cases {
        let failure = exec(change).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Request);
        assert!(failure.message.contains(part), "{part} in {failure:?}");
    }
    // Who makes containers starts no process in another.
    let (mut launcher, mut client) = descriptor();
    let both = request(|run| {
        run.container = None;
        run.exec = Some("box".parse().unwrap());
    });
    ask(&mut client, &both);
    let failure = launcher.wait_for_run().unwrap_err();
    assert!(
        failure.message.contains("does not support `exec`"),
        "{failure:?}"
    );
}

#[test]
fn a_client_that_goes_is_seen_to_have_gone_also_when_it_took_nothing() {
    let is_gone = |launcher: &mut Descriptor| match &launcher.wishes(false)[..] {
        [] => false,
        [Wish::End(Outcome::Failed(failure))] => {
            assert!(failure.message.contains("has gone"), "{failure:?}");
            true
        }
        other => panic!("{other:?}"),
    };
    for untold in [0, 5000] {
        let (mut launcher, client) = descriptor_for(Service::Exec);
        for _ in 0..untold {
            launcher.tell(&STARTED);
        }
        assert!(!is_gone(&mut launcher));
        drop(client);
        assert!(is_gone(&mut launcher), "{untold} messages");
    }
}

#[test]
fn a_client_that_has_gone_or_speaks_nonsense_gets_no_container() {
    for (said, part) in [(&b""[..], "has gone"), (b"login:\n", "no message")] {
        let (mut launcher, mut client) = descriptor();
        client.write_all(said).unwrap();
        drop(client);
        let failure = launcher.wait_for_run().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Internal);
        assert!(failure.message.contains(part), "{part} in {failure:?}");
    }
}

#[test]
fn signals_come_as_messages_and_what_is_not_carried_out_is_said() {
    let (mut launcher, mut client) = descriptor();
    let signal = |id, signal| Request::Signal {
        id: ProcessId(id),
        signal,
    };
    ask(&mut client, &request(|_| ()));
    // With the request, before anything runs.
    ask(&mut client, &signal(1, Signal::HUP));
    let (_, run) = launcher.wait_for_run().unwrap();
    let (session, _ends) = session(|guest| {
        guest.start();
        let id = ProcessId::MAIN;
        for signal in [Signal::HUP, Signal::TERM] {
            assert_eq!(guest.hear(), Request::Signal { id, signal });
        }
        guest.exit(5);
    });
    let user = thread::spawn(move || {
        let mut lines = BufReader::new(client.try_clone().unwrap()).lines();
        let mut hear = || decode::<Event>(lines.next().unwrap().unwrap().as_bytes()).unwrap();
        assert_eq!(hear(), STARTED);
        ask(&mut client, &signal(2, Signal::KILL));
        ask(&mut client, &request(|_| ()));
        client.write_all(b"{\"type\":\"pause\"}\n").unwrap();
        for part in ["no process 2", "`run` twice", "`pause`"] {
            let Event::Refused { message } = hear() else {
                panic!("not refused: {part}");
            };
            assert!(message.contains(part), "{part} in {message}");
        }
        ask(&mut client, &signal(1, Signal::TERM));
        assert_eq!(hear(), ended(Outcome::Exited(5)));
    });
    let mut plan = plan();
    plan.run = Some(run);
    let outcome = session.run(plan, |_| Ok(()), &mut launcher).unwrap();
    assert!(launcher.end(&outcome));
    user.join().unwrap();
}

#[test]
fn a_client_that_goes_takes_its_container_along() {
    let (mut launcher, client) = descriptor();
    let (session, ends) = session(|guest| {
        guest.start();
        drop(client);
        loop {
            thread::park();
        }
    });
    let outcome = session.run(plan(), |_| Ok(()), &mut launcher).unwrap();
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(failure.message.contains("has gone"), "{failure:?}");
    assert!(ends.log.lock().unwrap().killed);
}

#[test]
fn a_panic_says_a_last_message_too() {
    let (launcher, client) = descriptor();
    let panics = thread::spawn(move || {
        let _launcher = launcher;
        panic!("on purpose");
    });
    assert!(panics.join().is_err());
    assert!(matches!(
        &events(client)[..],
        [Event::Ended {
            outcome: Outcome::Failed(Failure {
                kind: FailureKind::Internal,
                ..
            }),
            ..
        }]
    ));
}

#[test]
fn a_reason_that_is_longer_than_a_message_is_told_as_far_as_it_fits() {
    let (launcher, client) = descriptor();
    // Each of its characters takes six bytes in JSON.
    let failure = Failure::new(FailureKind::Internal, "\u{1}".repeat(2 << 20));
    let ends = thread::spawn(move || launcher.end(&Outcome::Failed(failure)));
    let said = events(client);
    assert!(ends.join().unwrap());
    let [
        Event::Ended {
            outcome: Outcome::Failed(failure),
            ..
        },
    ] = &said[..]
    else {
        panic!("{} events", said.len());
    };
    assert_eq!(failure.message.len(), 64 << 10);
}

#[test]
fn a_client_that_talks_without_pause_has_its_turn_and_others_theirs() {
    let (mut launcher, mut client) = descriptor();
    ask(&mut client, &request(|_| ()));
    launcher.wait_for_run().unwrap();
    let signal = encode(&Request::Signal {
        id: ProcessId::MAIN,
        signal: Signal::WINCH,
    });
    let line = signal.unwrap();
    let count = 100_000 / line.len();
    let all = line.repeat(count);
    let talks = thread::spawn(move || client.write_all(&all).map(|()| client).unwrap());
    let mut heard = Vec::new();
    let start = std::time::Instant::now();
    while heard.iter().sum::<usize>() < count {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(30),
            "{heard:?}"
        );
        heard.push(launcher.wishes(true).len());
    }
    let turn = 16 * 4096 / line.len() + 1;
    assert!(
        heard.iter().all(|&heard| heard <= turn),
        "{heard:?} of {turn}"
    );
    talks.join().unwrap();
}

#[test]
fn a_client_that_does_not_hear_the_last_message_is_noticed() {
    let (launcher, client) = descriptor();
    drop(client);
    assert!(!launcher.end(&Outcome::Exited(0)));
}

#[test]
fn a_full_non_blocking_descriptor_is_waited_for() {
    let (mut launcher, client) = descriptor();
    let file = launcher.descriptor().try_clone_to_owned().unwrap();
    UnixStream::from(file).set_nonblocking(true).unwrap();
    let writer = thread::spawn(move || {
        for _ in 0..20_000 {
            launcher.tell(&STARTED);
        }
        launcher.end(&Outcome::Exited(0))
    });
    assert_eq!(events(client).len(), 20_001);
    assert!(writer.join().unwrap());
}

/// Runs a session whose signals are those that this thread gets.
fn with_signals(
    guest: impl FnOnce(&mut Guest, Pthread) + Send + 'static,
) -> Result<Outcome, ContainerError> {
    let heard = cki_session::forwarded_here().unwrap();
    let all = heard == cki_session::FORWARDED;
    assert!(
        all,
        "signals are ignored here (nohup, or a job in the background): {heard:?} are heard"
    );
    let mut client = Caller::new(false, None).unwrap();
    let us = pthread_self();
    let (session, _ends): (Session, _) = session(move |driver| guest(driver, us));
    session.run(plan(), |_| Ok(()), &mut client)
}

fn send(to: Pthread, signal: Signal) {
    let signal = nix::sys::signal::Signal::try_from(signal.number()).unwrap();
    pthread_kill(to, signal).unwrap();
}

/// Waits until the program is told of a signal.
fn hear(guest: &mut Guest) -> Signal {
    match guest.hear() {
        Request::Signal { signal, .. } => signal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_users_signal_is_the_programs_and_what_it_makes_of_it_is_the_outcome() {
    let outcome = with_signals(|guest, us| {
        guest.start();
        // Started before the signal comes: it would end the session otherwise.
        send(us, Signal::new(10).unwrap());
        assert_eq!(hear(guest).number(), 10);
        for signal in [1, 3, 12, 14, 15, 18, 26, 27, 28, 29, 30] {
            let signal = Signal::new(signal).unwrap();
            send(us, signal);
            assert_eq!(hear(guest), signal);
        }
        guest.exit(5);
    });
    assert_eq!(outcome.unwrap(), Outcome::Exited(5));
}

#[test]
fn a_second_interrupt_ends_a_program_that_does_not_listen() {
    let outcome = with_signals(|guest, us| {
        guest.start();
        send(us, Signal::new(10).unwrap());
        assert_eq!(hear(guest).number(), 10);
        send(us, Signal::INT);
        assert_eq!(hear(guest), Signal::INT);
        send(us, Signal::INT);
    });
    assert_eq!(outcome.unwrap(), Outcome::signaled(Signal::INT));
}

#[test]
fn a_signal_before_the_program_runs_ends_the_container() {
    let outcome = with_signals(|guest, us| {
        guest.print("booting\n");
        send(us, Signal::TERM);
    });
    assert_eq!(outcome.unwrap(), Outcome::signaled(Signal::TERM));
}

#[test]
fn a_wish_to_end_comes_after_an_end_that_init_has_told() {
    let (mut client, both_are_there) = Late::new(Some(Outcome::signaled(Signal::INT)));
    let (session, _ends) = session(move |guest| {
        guest.hello();
        guest.hear();
        guest.say(&STARTED);
        guest.say(&ended(Outcome::Exited(9)));
        both_are_there.send(()).unwrap();
    });
    let outcome = session.run(plan(), |_| Ok(()), &mut client).unwrap();
    assert_eq!(outcome, Outcome::Exited(9));
}
