// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bytes on the wire, and the rules by which the protocol grows: an older init and a newer cki-build
//! must get along, or say why not.

use cki_session::{
    Container, Disk, DiskError, Event, Failure, FailureKind, Hello, Invalid, Isolation, MAX_LINE,
    Memory, Outcome, ProcessId, ProtocolError, Request, Run, Signal, Status, Terminal, decode,
    encode, exit, feature, port,
};

mod examples;

use examples::{run, wire};

#[test]
fn requests_have_the_documented_form_and_come_back_equal() {
    for (request, text) in examples::requests() {
        assert_eq!(wire(&request), format!("{text}\n"));
        assert_eq!(decode::<Request>(text.as_bytes()).unwrap(), request);
    }
}

#[test]
fn events_have_the_documented_form_and_come_back_equal() {
    for (event, text) in examples::events() {
        assert_eq!(wire(&event), format!("{text}\n"));
        assert_eq!(decode::<Event>(text.as_bytes()).unwrap(), event);
    }
}

#[test]
fn a_request_with_more_than_the_server_knows_is_refused_by_name() {
    for (text, name) in examples::refused() {
        match decode::<Request>(text.as_bytes()) {
            Err(error @ ProtocolError::NotUnderstood(_)) => {
                assert!(error.to_string().contains(name), "{name} in {error}");
            }
            other => panic!("{text} was taken as {other:?}"),
        }
    }
}

#[test]
fn an_event_with_more_than_the_client_knows_is_understood_without_it() {
    let text = r#"{"type":"started","id":1,"pid":2,"isolation":"full","cgroup":"/a"}"#;
    let started = Event::Started {
        id: ProcessId::MAIN,
        pid: 2,
        isolation: Isolation::Full,
    };
    assert_eq!(decode::<Event>(text.as_bytes()).unwrap(), started);
    let text = r#"{"type":"paused","id":1,"since":4}"#;
    assert_eq!(decode::<Event>(text.as_bytes()).unwrap(), Event::Unknown);
    // A server that does not tell its features has none.
    let text = r#"{"type":"hello","version":4,"kernel":"6.12","boot_id":"x"}"#;
    assert_eq!(
        decode::<Event>(text.as_bytes()).unwrap(),
        Event::Hello(Hello::new(&[], "6.12"))
    );
}

#[test]
fn what_a_server_does_not_honour_is_known_before_it_is_asked() {
    let plain = run(&["id"]);
    assert_eq!(plain.unsupported::<&str>(&[]), None);
    let mut contained = plain.clone();
    contained.container = Some(Container {
        memory: "64M".parse().unwrap(),
        cmdline: String::new(),
        verbose: false,
        network: None,
        name: None,
        disks: Vec::new(),
        page_tables: None,
    });
    assert_eq!(contained.unsupported(&[feature::POOL]), Some("container"));
    assert_eq!(contained.unsupported(&["later", feature::CONTAINER]), None);
    contained
        .container
        .as_mut()
        .unwrap()
        .disks
        .push(Disk::new("a", false));
    assert_eq!(contained.unsupported(&[feature::CONTAINER]), Some("disks"));
    let both = [feature::CONTAINER, feature::DISKS];
    assert_eq!(contained.unsupported(&both), None);
    contained.container.as_mut().unwrap().page_tables = Some("8M".parse().unwrap());
    assert_eq!(contained.unsupported(&both), Some("page-tables"));
    let mut pooled = plain;
    pooled.pool = Some("64M".parse().unwrap());
    assert_eq!(pooled.unsupported(&[feature::CONTAINER]), Some("pool"));
    type Change = fn(&mut Run);
    let parts: [(Change, &str); 6] = [
        (|run| run.exec = Some("web".parse().unwrap()), "exec"),
        (|run| run.root.read_only = true, "root"),
        (
            |run| run.process.terminal = Some(Terminal::USUAL),
            "terminal",
        ),
        (|run| run.process.user = Some("a".parse().unwrap()), "user"),
        (
            |run| run.process.ulimits = vec!["core=0".parse().unwrap()],
            "ulimits",
        ),
        (
            |run| run.process.capabilities.add = vec!["all".parse().unwrap()],
            "capabilities",
        ),
    ];
    for (change, name) in parts {
        let mut run = run(&["id"]);
        change(&mut run);
        assert_eq!(run.unsupported::<&str>(&[]), Some(name));
        assert_eq!(run.unsupported(&[name]), None);
    }
}

#[test]
fn requests_that_nobody_can_carry_out_are_invalid() {
    type Change = fn(&mut Run);
    let cases: [(Change, Invalid); 19] = [
        (|run| run.process.argv.clear(), Invalid::NoProgram),
        (
            |run| run.process.argv.push("a\0".into()),
            Invalid::Nul("an argument"),
        ),
        (
            |run| run.process.env.push((String::new(), "v".into())),
            Invalid::Variable(String::new()),
        ),
        (
            |run| run.process.env.push(("a=b".into(), "v".into())),
            Invalid::Variable("a=b".into()),
        ),
        (
            |run| run.process.env.push(("a".into(), "\0".into())),
            Invalid::Nul("the value of a variable"),
        ),
        (
            |run| run.process.workdir = Some("tmp".into()),
            Invalid::WorkingDirectory("tmp".into()),
        ),
        (
            |run| run.process.workdir = Some("/\0".into()),
            Invalid::Nul("the working directory"),
        ),
        (
            |run| {
                (run.hostname, run.exec) = (None, Some("web".parse().unwrap()));
                run.container = Some(Container::new(Memory::constant(64)));
            },
            Invalid::ExecAnd("container"),
        ),
        (
            |run| {
                (run.hostname, run.exec) = (None, Some("web".parse().unwrap()));
                run.root.read_only = true;
            },
            Invalid::ExecAnd("root"),
        ),
        (
            |run| {
                run.exec = Some("web".parse().unwrap());
                run.hostname = Some(Run::HOSTNAME.into());
            },
            Invalid::ExecAnd("hostname"),
        ),
        (
            |run| run.hostname = Some(String::new()),
            Invalid::HostName(String::new()),
        ),
        (
            |run| run.hostname = Some("h".repeat(65)),
            Invalid::HostName("h".repeat(65)),
        ),
        // It would be a line of its own in /etc/hosts.
        (
            |run| run.hostname = Some("x\n192.0.2.1 debian.org".into()),
            Invalid::HostName("x\n192.0.2.1 debian.org".into()),
        ),
        (
            |run| run.hostname = Some("a b".into()),
            Invalid::HostName("a b".into()),
        ),
        (
            |run| {
                let mut container = Container::new(Memory::constant(64));
                container.cmdline = "\0".into();
                run.container = Some(container);
            },
            Invalid::Nul("the kernel's command line"),
        ),
        (
            |run| {
                let mut container = Container::new(Memory::constant(64));
                container.disks.push(Disk::new("", true));
                run.container = Some(container);
            },
            Invalid::Disk(DiskError::Serial(String::new())),
        ),
        (
            |run| run.container = Some(Container::new(Memory::constant(63))),
            Invalid::Memory {
                memory: Memory::constant(63),
                least: Memory::constant(64),
            },
        ),
        (
            |run| run.container = Some(Container::new(Memory::constant(256 * 1024 + 1))),
            Invalid::TooMuchMemory {
                memory: Memory::constant(256 * 1024 + 1),
                most: Memory::constant(256 * 1024),
            },
        ),
        (
            |run| {
                run.container = Some(Container::new(Memory::constant(64)));
                run.pool = Some("64M".parse().unwrap());
            },
            Invalid::ContainerAndPool,
        ),
    ];
    for (change, invalid) in cases {
        let mut run = run(&["id"]);
        assert_eq!(run.check(), Ok(()));
        change(&mut run);
        assert_eq!(run.check(), Err(invalid));
    }
}

#[test]
fn every_outcome_has_the_status_of_a_shell() {
    let failed = |kind| Outcome::Failed(Failure::new(kind, "x"));
    let oom = Outcome::Signaled {
        signal: Signal::KILL,
        out_of_memory: true,
        out_of_page_tables: false,
    };
    for (outcome, status) in [
        (Outcome::Exited(0), 0),
        (Outcome::Exited(255), 255),
        (oom, 137),
        (Outcome::signaled(Signal::PIPE), 141),
        (Outcome::TimedOut, 124),
        (failed(FailureKind::NotFound), 127),
        (failed(FailureKind::NotExecutable), 126),
        (failed(FailureKind::Image), 125),
        (failed(FailureKind::Request), 125),
        (failed(FailureKind::Internal), 125),
    ] {
        assert_eq!(outcome.status(), Status(status), "{outcome:?}");
    }
}

#[test]
fn no_message_says_that_the_clients_own_time_is_over() {
    let ended = Event::Ended {
        id: ProcessId::MAIN,
        outcome: Outcome::TimedOut,
    };
    assert!(encode(&ended).is_err());
    let text = r#"{"type":"ended","id":1,"outcome":"timed-out"}"#;
    assert!(decode::<Event>(text.as_bytes()).is_err());
}

#[test]
fn every_failure_kind_keeps_its_name() {
    for (kind, text) in [
        (FailureKind::NotFound, "\"not-found\"\n"),
        (FailureKind::NotExecutable, "\"not-executable\"\n"),
        (FailureKind::Image, "\"image\"\n"),
        (FailureKind::Request, "\"request\"\n"),
        (FailureKind::Internal, "\"internal\"\n"),
    ] {
        assert_eq!(wire(&kind), text);
    }
}

#[test]
fn isolation_is_told_to_people_in_words() {
    assert_eq!(Isolation::None.to_string(), "none (native)");
    assert_eq!(Isolation::Full.to_string(), "full (cki)");
}

#[test]
fn what_is_no_json_is_told_from_what_is_not_understood() {
    for text in [
        "",
        "Linux version 6.12",
        "{",
        "{\"type\":\"signal\"",
        "run",
        "\u{7f}",
    ] {
        let refused = decode::<Request>(text.as_bytes());
        assert!(
            matches!(refused, Err(ProtocolError::Malformed(_))),
            "{text:?} was taken as {refused:?}"
        );
    }
}

#[test]
fn a_message_longer_than_the_limit_is_refused_on_both_sides() {
    let run = Request::Run(Box::new(run(&[&"x".repeat(MAX_LINE)])));
    assert!(matches!(encode(&run), Err(ProtocolError::TooLong)));
    let line = vec![b' '; MAX_LINE + 1];
    assert!(matches!(
        decode::<Request>(&line),
        Err(ProtocolError::TooLong)
    ));
}

#[test]
fn qemu_ends_with_67_when_init_ends_the_machine() {
    // docs of isa-debug-exit: status = (value << 1) | 1
    assert_eq!(exit::STATUS_ENDED, 67);
    assert_eq!(exit::status(0x10), 33);
}

#[test]
fn port_names_are_distinct_and_of_one_family() {
    for (index, name) in port::ALL.iter().enumerate() {
        assert!(name.starts_with("org.cki."));
        assert!(!port::ALL[..index].contains(name));
    }
}
