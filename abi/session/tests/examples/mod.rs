// SPDX-License-Identifier: MIT OR Apache-2.0

//! Messages, and what they are on the wire.

use cki_session::{
    Container, Disk, Event, Failure, FailureKind, Hello, Isolation, Outcome, ProcessId, Request,
    Run, Signal, Terminal, disk_serial, encode,
};

pub fn wire<M: serde::Serialize>(message: &M) -> String {
    String::from_utf8(encode(message).unwrap()).unwrap()
}

pub fn run(argv: &[&str]) -> Run {
    Run {
        hostname: Some("h".into()),
        ..Run::new(argv.iter().copied())
    }
}

/// Requests, and their text.
pub fn requests() -> Vec<(Request, String)> {
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
    (beside.hostname, beside.exec) = (None, Some("web".parse().unwrap()));
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
    vec![
        (Request::Run(Box::new(rich)), all),
        (
            resize,
            r#"{"type":"resize","id":7,"terminal":{"rows":24,"columns":80}}"#.to_owned(),
        ),
        (Request::Run(Box::new(run)), plain.to_owned()),
        (Request::Run(Box::new(contained)), container),
        (Request::Run(Box::new(with_disk)), disks),
        (Request::Run(Box::new(pooled)), pool),
        (Request::Run(Box::new(beside)), exec),
        (signal, r#"{"type":"signal","id":7,"signal":15}"#.to_owned()),
    ]
}

/// Events, and their text.
pub fn events() -> Vec<(Event, &'static str)> {
    let id = ProcessId::MAIN;
    let ended = |outcome| Event::Ended { id, outcome };
    vec![
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
    ]
}

/// Requests that are not understood, and what the refusal names.
pub fn refused() -> Vec<(String, &'static str)> {
    let text = wire(&Request::Run(Box::new(run(&["id"]))));
    let in_process = text.replace("\"env\"", "\"namespaces\":[],\"env\"");
    let on_top = text.replace("\"hostname\"", "\"later\":true,\"hostname\"");
    let in_container = text.replace(
        "\"hostname\"",
        "\"container\":{\"memory\":\"64M\",\"disk\":\"none\"},\"hostname\"",
    );
    let changed = [
        (in_process, "`namespaces`"),
        (on_top, "`later`"),
        (in_container, "`disk`"),
    ];
    let short = [
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
    ];
    let short = short.map(|(text, name)| (text.to_owned(), name));
    changed.into_iter().chain(short).collect()
}
