// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bytes on the wire, and the rules by which the protocol grows: an older init and a newer cki-build
//! must get along, or say why not.

use cki_session::{
    Container, Disk, DiskError, Event, Failure, FailureKind, Hello, Invalid, Isolation, LineBuffer,
    MAX_LINE, Memory, Outcome, ProcessId, ProtocolError, Request, Run, Signal, Status, Terminal,
    decode, disk_serial, encode, exit, feature, port,
};

fn wire<M: serde::Serialize>(message: &M) -> String {
    String::from_utf8(encode(message).unwrap()).unwrap()
}

fn run(argv: &[&str]) -> Run {
    Run {
        hostname: Some("h".into()),
        ..Run::new(argv.iter().copied())
    }
}

#[test]
fn requests_have_the_documented_form_and_come_back_equal() {
    let mut run = run(&["lua5.4", "-e", "print(\"ü\\n\")\n"]);
    run.process.env = vec![("K".into(), "V=1".into())];
    let plain = concat!(
        r#"{"type":"run","id":1,"process":{"argv":["lua5.4","-e","print(\"ü\\n\")\n"],"#,
        r#""env":[["K","V=1"]]},"hostname":"h"}"#,
    );
    let mut contained = run.clone();
    contained.container = Some(Container {
        memory: "1536M".parse().unwrap(),
        cmdline: "x=1".into(),
        verbose: true,
        network: None,
        name: None,
        disks: Vec::new(),
        page_tables: Some("128M".parse().unwrap()),
    });
    let container = plain.replace(
        r#""h"}"#,
        r#""h","container":{"memory":"1536M","cmdline":"x=1","verbose":true,"page_tables":"128M"}}"#,
    );
    let mut with_disk = contained.clone();
    let disks = &mut with_disk.container.as_mut().unwrap().disks;
    for read_only in [false, true] {
        disks.push(Disk::new(disk_serial(disks.len()), read_only));
    }
    disks[0].rates.write_bps = Some("1M+8M".parse().unwrap());
    disks[1].rates.read_iops = Some("100".parse().unwrap());
    let disks = container.replace(
        r#""verbose":true"#,
        concat!(
            r#""verbose":true,"disks":[{"serial":"cki-disk0","rates":{"write_bps":"1M+8M"}},"#,
            r#"{"serial":"cki-disk1","read_only":true,"rates":{"read_iops":"100"}}]"#,
        ),
    );
    let mut beside = run.clone();
    (beside.hostname, beside.exec) = (None, Some("web".into()));
    let exec = plain.replace(r#""hostname":"h"}"#, r#""exec":"web"}"#);
    let mut pooled = run.clone();
    pooled.pool = Some("2G".parse().unwrap());
    let pool = plain.replace(r#""h"}"#, r#""h","pool":"2G"}"#);
    let signal = Request::Signal {
        id: ProcessId(7),
        signal: Signal::TERM,
    };
    let resize = Request::Resize {
        id: ProcessId(7),
        terminal: Terminal::USUAL,
    };
    let mut rich = run.clone();
    rich.process.workdir = Some("/srv".into());
    rich.process.user = Some("nobody".parse().unwrap());
    rich.process.terminal = Some(Terminal::USUAL);
    rich.process.ulimits = vec!["core=0".parse().unwrap()];
    rich.process.capabilities.drop = vec!["all".parse().unwrap()];
    rich.root.read_only = true;
    rich.root.tmpfs = vec!["/a:size=1M".parse().unwrap()];
    let parts = concat!(
        r#"],"workdir":"/srv","user":"nobody","terminal":{"rows":24,"columns":80},"ulimits":["core=0:0"],"#,
        r#""capabilities":{"drop":["ALL"]}}"#,
    );
    let all = plain.replace(r#"]},"#, &format!("{parts},")).replace(
        r#""h"}"#,
        r#""h","root":{"read_only":true,"tmpfs":["/a:size=1M"]}}"#,
    );
    let cases = [
        (Request::Run(Box::new(rich)), all.as_str()),
        (
            resize,
            r#"{"type":"resize","id":7,"terminal":{"rows":24,"columns":80}}"#,
        ),
        (Request::Run(Box::new(run)), plain),
        (Request::Run(Box::new(contained)), &container),
        (Request::Run(Box::new(with_disk)), &disks),
        (Request::Run(Box::new(pooled)), &pool),
        (Request::Run(Box::new(beside)), &exec),
        (signal, r#"{"type":"signal","id":7,"signal":15}"#),
    ];
    for (request, text) in cases {
        assert_eq!(wire(&request), format!("{text}\n"));
        assert_eq!(decode::<Request>(text.as_bytes()).unwrap(), request);
    }
}

#[test]
fn events_have_the_documented_form_and_come_back_equal() {
    let id = ProcessId::MAIN;
    let ended = |outcome| Event::Ended { id, outcome };
    let cases = [
        (
            Event::Hello(Hello::new(&["container"], "6.12.95-cki\n")),
            r#"{"type":"hello","version":4,"features":["container"],"kernel":"6.12.95-cki"}"#,
        ),
        (
            Event::Started {
                id,
                pid: 77,
                isolation: Isolation::None,
            },
            r#"{"type":"started","id":1,"pid":77,"isolation":"none"}"#,
        ),
        (
            Event::Output {
                id,
                stdout: 5_000_000_000,
                stderr: 0,
            },
            r#"{"type":"output","id":1,"stdout":5000000000,"stderr":0}"#,
        ),
        (
            Event::Started {
                id,
                pid: 2,
                isolation: Isolation::Full,
            },
            r#"{"type":"started","id":1,"pid":2,"isolation":"full"}"#,
        ),
        (
            Event::Refused {
                message: "no".into(),
            },
            r#"{"type":"refused","message":"no"}"#,
        ),
        (
            ended(Outcome::Exited(7)),
            r#"{"type":"ended","id":1,"outcome":{"exited":7}}"#,
        ),
        (
            ended(Outcome::signaled(Signal::KILL)),
            r#"{"type":"ended","id":1,"outcome":{"signaled":{"signal":9,"out_of_memory":false}}}"#,
        ),
        (
            ended(Outcome::Failed(Failure::new(
                FailureKind::NotFound,
                "no such program: x",
            ))),
            r#"{"type":"ended","id":1,"outcome":{"failed":{"kind":"not-found","message":"no such program: x"}}}"#,
        ),
    ];
    for (event, text) in cases {
        assert_eq!(wire(&event), format!("{text}\n"));
        assert_eq!(decode::<Event>(text.as_bytes()).unwrap(), event);
    }
}

#[test]
fn a_request_with_more_than_the_server_knows_is_refused_by_name() {
    let text = wire(&Request::Run(Box::new(run(&["id"]))));
    let in_process = text.replace("\"env\"", "\"namespaces\":[],\"env\"");
    let on_top = text.replace("\"hostname\"", "\"later\":true,\"hostname\"");
    let in_container = text.replace(
        "\"hostname\"",
        "\"container\":{\"memory\":\"64M\",\"disk\":\"none\"},\"hostname\"",
    );
    for (text, name) in [
        (in_process.as_str(), "`namespaces`"),
        (&on_top, "`later`"),
        (&in_container, "`disk`"),
        (r#"{"type":"pause","id":1}"#, "`pause`"),
        (r#"{"type":"resize","id":1}"#, "`terminal`"),
        (r#"{"type":"signal","id":1}"#, "`signal`"),
        (
            r#"{"type":"signal","id":1,"signal":9,"group":true}"#,
            "`group`",
        ),
        (r#"{"signal":9}"#, "`type`"),
        (r#"{"type":"signal","id":1,"signal":65}"#, "65 is no signal"),
        (r#"{"type":"signal","id":1,"signal":"TERM"}"#, "TERM"),
    ] {
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
        (|run| run.exec = Some("web".into()), "exec"),
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
    let cases: [(Change, Invalid); 17] = [
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
                (run.hostname, run.exec) = (None, Some("web".into()));
                run.container = Some(Container::new(Memory::constant(64)));
            },
            Invalid::ExecAnd("container"),
        ),
        (
            |run| {
                (run.hostname, run.exec) = (None, Some("web".into()));
                run.root.read_only = true;
            },
            Invalid::ExecAnd("root"),
        ),
        (
            |run| {
                run.exec = Some("web".into());
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

    let mut lines = LineBuffer::default();
    lines.push(&vec![b' '; MAX_LINE - 1]);
    assert!(lines.next_line().unwrap().is_none());
    lines.push(b"  ");
    assert!(matches!(lines.next_line(), Err(ProtocolError::TooLong)));
}

#[test]
fn lines_are_cut_where_the_newlines_are_however_the_bytes_arrive() {
    let stream = b"one\n\ntwo\nthr";
    for piece in 1..=stream.len() {
        let mut lines = LineBuffer::default();
        let mut got = Vec::new();
        for bytes in stream.chunks(piece) {
            lines.push(bytes);
            while let Some(line) = lines.next_line().unwrap() {
                got.push(String::from_utf8(line).unwrap());
            }
        }
        assert_eq!(got, ["one", "", "two"], "in pieces of {piece}");
    }
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
