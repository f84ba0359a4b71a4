// SPDX-License-Identifier: MIT OR Apache-2.0

//! Streams, signals and statuses, with an init that does what it should.

use std::io::{Read, Write};

use cki_session::{Failure, FailureKind, Run, Signal, Status, Terminal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::*;
use crate::session::descriptor::{Descriptor, Service};

#[test]
fn a_process_has_its_streams_and_its_status() {
    // The container is still starting when the first come.
    let container = Container::new(3, |init| {
        let (process, ports) = init.starts();
        assert_eq!(process, cat());
        let mut input = String::new();
        let (mut stdin, mut stdout) = (init.stream(ports.stdin), init.stream(ports.stdout));
        stdin.read_to_string(&mut input).unwrap();
        stdout.write_all(input.as_bytes()).unwrap();
        init.stream(ports.stderr).write_all(b"an error").unwrap();
        // More than fits anywhere on the way.
        stdout.write_all(&[b'x'; 1 << 20]).unwrap();
        init.ends(Outcome::Exited(3));
    });
    let ran = container.run(cat(), b"typed", nobody());
    assert_eq!(ran.result.unwrap().status(), Status(3));
    assert_eq!(ran.out.len(), 5 + (1 << 20));
    assert!(ran.out.starts_with("typedx"));
    assert_eq!(ran.err, "an error");
    let started = Event::Started {
        id: THEIRS,
        pid: 7,
        isolation: Isolation::Full,
    };
    let output = Event::Output {
        id: THEIRS,
        stdout: 5 + (1 << 20),
        stderr: 0,
    };
    assert_eq!(ran.told, [started, output]);
}

#[test]
fn signals_and_sizes_reach_a_process_with_a_terminal() {
    let size = Terminal {
        rows: 50,
        columns: 120,
    };
    let container = Container::new(0, move |init| {
        let (process, ports) = init.starts();
        assert_eq!(
            (process.terminal, ports.stderr),
            (Some(Terminal::USUAL), None)
        );
        assert_eq!(
            init.hears(),
            Some(Request::Resize {
                id: ID,
                terminal: size
            })
        );
        let signal = Signal::TERM;
        assert_eq!(init.hears(), Some(Request::Signal { id: ID, signal }));
        init.ends(Outcome::signaled(Signal::TERM));
    });
    let mut process = cat();
    process.terminal = Some(Terminal::USUAL);
    let wishes = vec![Wish::Resize(size), Wish::Signal(Signal::TERM)];
    let ran = container.run(process, b"", User::who_wants(wishes));
    assert_eq!(ran.result.unwrap().status(), Status(143));
}

#[test]
fn a_client_asks_and_hears_in_messages_and_what_it_asks_early_waits_for_init() {
    let (mut client, there) = UnixStream::pair().unwrap();
    let mut descriptor = Descriptor::new(file(there), Service::Exec).unwrap();
    let mut say = |request: &Request| client.write_all(&encode(request).unwrap()).unwrap();
    let mut run = Run::new(["cat"]);
    (run.id, run.exec) = (THEIRS, Some("box".parse().unwrap()));
    say(&Request::Run(Box::new(run)));
    let asks = |id: ProcessId| {
        let terminal = Terminal::USUAL;
        let signal = |signal| Request::Signal { id, signal };
        [
            Request::Resize { id, terminal },
            signal(Signal::WINCH),
            signal(Signal::CONT),
        ]
    };
    asks(THEIRS).iter().for_each(&mut say);
    // Of another process than it has.
    say(&asks(ID)[1]);
    let answers = client.try_clone().unwrap();
    let container = Container::new(0, move |init| {
        // The last of the client's requests is answered, so all of them wait, before init says hello.
        let mut fds = [PollFd::new(answers.as_fd(), PollFlags::POLLIN)];
        assert_eq!(
            poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()),
            Ok(1)
        );
        let (_, ports) = init.starts();
        for request in asks(ID) {
            assert_eq!(init.hears(), Some(request));
        }
        init.stream(ports.stdout).write_all(b"abc").unwrap();
        init.ends(Outcome::Exited(4));
    });
    let (name, run) = descriptor.wait_for_exec().unwrap();
    assert_eq!(name.as_str(), "box");
    let ours = Streams {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    let outcome = container.serve(run.process, ours, &mut descriptor, START_LIMIT);
    assert!(descriptor.end(&outcome.unwrap()));
    container.thread.join().unwrap();
    let told: Vec<Event> = BufReader::new(client)
        .lines()
        .map(|line| decode(line.unwrap().as_bytes()).unwrap())
        .collect();
    let id = THEIRS;
    let expected = [
        Event::Refused {
            message: "there is no process 1".to_owned(),
        },
        Event::Started {
            id,
            pid: 7,
            isolation: Isolation::Full,
        },
        Event::Output {
            id,
            stdout: 3,
            stderr: 0,
        },
        Event::Ended {
            id,
            outcome: Outcome::Exited(4),
        },
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_client_whose_signal_is_to_end_what_has_not_started_waits_for_nothing() {
    let signal = |signal| Request::Signal { id: THEIRS, signal };
    let asks = [Signal::WINCH, Signal::TERM, Signal::INT].map(signal);
    let descriptor = |asks: &[Request]| {
        let (mut client, there) = UnixStream::pair().unwrap();
        let mut descriptor = Descriptor::new(file(there), Service::Exec).unwrap();
        let mut run = Run::new(["cat"]);
        (run.id, run.exec) = (THEIRS, Some("box".parse().unwrap()));
        let run = Request::Run(Box::new(run));
        for request in std::iter::once(&run).chain(asks) {
            client.write_all(&encode(request).unwrap()).unwrap();
        }
        (descriptor.wait_for_exec().unwrap().1, descriptor, client)
    };
    // While there is no connection.
    let (_, mut early, _client) = descriptor(&asks);
    let mut waiting = Waiting::default();
    assert_eq!(
        waiting.hear(&mut early),
        Some(Outcome::signaled(Signal::TERM))
    );
    // And while init says nothing, or nothing after hello.
    for says_hello in [false, true] {
        let (run, mut descriptor, _client) = descriptor(&asks);
        let container = Container::new(0, move |init| {
            if says_hello {
                init.says(&Event::Hello(Hello::new(&[feature::EXEC], "6.12")));
            }
            while init.hears().is_some() {}
        });
        let ours = Streams {
            stdin: null(),
            stdout: null(),
            stderr: null(),
        };
        let outcome = container.serve(run.process, ours, &mut descriptor, START_LIMIT);
        assert_eq!(outcome.unwrap(), Outcome::signaled(Signal::TERM));
        container.thread.join().unwrap();
    }
    // A process that has started gets it.
    let (run, mut descriptor, mut client) = descriptor(&[]);
    let container = Container::new(0, move |init| {
        init.starts();
        let signal = Signal::TERM;
        assert_eq!(init.hears(), Some(Request::Signal { id: ID, signal }));
        init.ends(Outcome::Exited(6));
    });
    let ours = Streams {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    let user = thread::spawn(move || {
        let mut line = String::new();
        let heard = BufReader::new(&client).read_line(&mut line);
        assert!(heard.is_ok() && line.contains("started"), "{line}");
        client.write_all(&encode(&asks[1]).unwrap()).unwrap();
        client
    });
    let outcome = container.serve(run.process, ours, &mut descriptor, START_LIMIT);
    assert_eq!(outcome.unwrap(), Outcome::Exited(6));
    container.thread.join().unwrap();
    user.join().unwrap();
}

#[test]
fn a_user_who_wants_the_end_gets_it_whatever_the_container_does() {
    let container = Container::new(0, |init| {
        init.starts();
        // Until we have gone.
        assert_eq!(init.hears(), None);
    });
    let wishes = vec![Wish::End(Outcome::signaled(Signal::INT))];
    let ran = container.run(cat(), b"", User::who_wants(wishes));
    assert_eq!(ran.result.unwrap().status(), Status(130));
}

#[test]
fn a_program_that_is_not_there_has_its_status_and_a_bounded_sentence() {
    let container = Container::new(0, |init| {
        init.starts();
        let failure = Failure::new(FailureKind::NotFound, "x".repeat(1 << 18));
        init.ends(Outcome::Failed(failure));
    });
    let outcome = container.run(cat(), b"", nobody()).result.unwrap();
    assert_eq!(outcome.status(), Status(127));
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(failure.message.len(), 1024);
}

#[test]
fn a_reader_that_has_gone_ends_the_process_as_a_broken_pipe_does() {
    let container = Container::new(0, |init| {
        let (_, ports) = init.starts();
        let mut stdout = init.stream(ports.stdout);
        while stdout.write_all(&[b'y'; 4096]).is_ok() {}
        assert_eq!(init.hears(), None);
    });
    let (_, stdout) = pipe();
    let ours = Streams {
        stdin: null(),
        stdout: file(stdout),
        stderr: null(),
    };
    let outcome = container.serve(cat(), ours, &mut nobody(), START_LIMIT);
    assert_eq!(outcome.unwrap().status(), Status(141));
    container.thread.join().unwrap();
}

#[test]
fn a_reader_of_errors_that_has_gone_is_the_matter_of_the_process() {
    let container = Container::new(0, |init| {
        let (_, ports) = init.starts();
        let mut stderr = init.stream(ports.stderr);
        // As long as somebody reads it, or takes note that nobody does.
        while stderr.write_all(&[b'y'; 4096]).is_ok() {}
        init.ends(Outcome::Exited(4));
    });
    let (_, stderr) = pipe();
    let ours = Streams {
        stdin: null(),
        stdout: null(),
        stderr: file(stderr),
    };
    let outcome = container.serve(cat(), ours, &mut nobody(), START_LIMIT);
    assert_eq!(outcome.unwrap(), Outcome::Exited(4));
    container.thread.join().unwrap();
}
