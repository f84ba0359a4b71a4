// SPDX-License-Identifier: MIT OR Apache-2.0

//! The bytes on the wire: an older init and a newer cki-build must agree on them.

use cki_session::{
    Container, FailureKind, GuestMessage, HostMessage, Isolation, LineBuffer, MAX_LINE,
    ProtocolError, Run, decode, encode, exit, port,
};

fn wire<M: serde::Serialize>(message: &M) -> String {
    String::from_utf8(encode(message).unwrap()).unwrap()
}

#[test]
fn host_messages_have_the_documented_form_and_come_back_equal() {
    let run = HostMessage::Run(Run {
        argv: vec!["lua5.4".into(), "-e".into(), "print(\"ü\\n\")\n".into()],
        env: vec![("K".into(), "V=1".into())],
        cwd: "/root".into(),
        hostname: "cki".into(),
        container: None,
        pool_mib: None,
    });
    let expected = concat!(
        r#"{"type":"run","argv":["lua5.4","-e","print(\"ü\\n\")\n"],"#,
        r#""env":[["K","V=1"]],"cwd":"/root","hostname":"cki"}"#,
        "\n"
    );
    assert_eq!(wire(&run), expected);
    assert_eq!(decode::<HostMessage>(expected.as_bytes()).unwrap(), run);

    let signal = HostMessage::Signal { signal: 15 };
    assert_eq!(wire(&signal), "{\"type\":\"signal\",\"signal\":15}\n");
    assert_eq!(
        decode::<HostMessage>(wire(&signal).as_bytes()).unwrap(),
        signal
    );
}

#[test]
fn guest_messages_have_the_documented_form_and_come_back_equal() {
    let cases = [
        (
            GuestMessage::Hello {
                version: 2,
                kernel: "6.12.95-cki".into(),
            },
            r#"{"type":"hello","version":2,"kernel":"6.12.95-cki"}"#,
        ),
        (
            GuestMessage::Started {
                pid: 77,
                isolation: Isolation::None,
            },
            r#"{"type":"started","pid":77,"isolation":"none"}"#,
        ),
        (
            GuestMessage::Started {
                pid: 2,
                isolation: Isolation::Full,
            },
            r#"{"type":"started","pid":2,"isolation":"full"}"#,
        ),
        (
            GuestMessage::Exited { status: 7 },
            r#"{"type":"exited","status":7}"#,
        ),
        (
            GuestMessage::Signaled {
                signal: 9,
                oom: false,
            },
            r#"{"type":"signaled","signal":9,"oom":false}"#,
        ),
        (
            GuestMessage::Failed {
                message: "no such program: x".into(),
                kind: FailureKind::NotFound,
            },
            r#"{"type":"failed","message":"no such program: x","kind":"not-found"}"#,
        ),
    ];
    for (message, text) in cases {
        assert_eq!(wire(&message), format!("{text}\n"));
        assert_eq!(decode::<GuestMessage>(text.as_bytes()).unwrap(), message);
    }
}

#[test]
fn a_container_is_asked_for_by_a_field_that_is_absent_otherwise() {
    let text = concat!(
        r#"{"type":"run","argv":["id"],"env":[],"cwd":"/","hostname":"h","#,
        r#""container":{"memory_mib":256,"cmdline":"x=1","console":true}}"#,
    );
    let run = HostMessage::Run(Run {
        argv: vec!["id".into()],
        env: vec![],
        cwd: "/".into(),
        hostname: "h".into(),
        container: Some(Container {
            memory_mib: 256,
            cmdline: "x=1".into(),
            console: true,
        }),
        pool_mib: None,
    });
    assert_eq!(wire(&run), format!("{text}\n"));
    assert_eq!(decode::<HostMessage>(text.as_bytes()).unwrap(), run);
    let odd = text.replace("\"console\"", "\"cpus\":2,\"console\"");
    assert!(decode::<HostMessage>(odd.as_bytes()).is_err());
}

#[test]
fn isolation_is_told_to_people_in_words() {
    assert_eq!(Isolation::None.to_string(), "none (native)");
    assert_eq!(Isolation::Full.to_string(), "full (cki)");
}

#[test]
fn every_failure_kind_keeps_its_name_and_exit_status() {
    let cases = [
        (FailureKind::NotFound, "\"not-found\"\n", 127),
        (FailureKind::NotExecutable, "\"not-executable\"\n", 126),
        (FailureKind::Image, "\"image\"\n", 125),
        (FailureKind::Internal, "\"internal\"\n", 125),
    ];
    for (kind, text, status) in cases {
        assert_eq!(wire(&kind), text);
        assert_eq!(kind.exit_status(), status);
    }
}

#[test]
fn only_the_messages_that_end_a_session_are_last() {
    assert!(GuestMessage::Exited { status: 0 }.is_last());
    let killed = GuestMessage::Signaled {
        signal: 9,
        oom: true,
    };
    assert!(killed.is_last());
    let started = GuestMessage::Started {
        pid: 2,
        isolation: Isolation::None,
    };
    assert!(!started.is_last());
}

#[test]
fn unknown_messages_and_fields_are_refused() {
    for text in [
        r#"{"type":"reboot"}"#,
        r#"{"type":"signal"}"#,
        r#"{"type":"signal","signal":"TERM"}"#,
        r#"{"type":"signal","signal":9,"pid":1}"#,
        r#"{"type":"run","argv":["a"],"cwd":"/","hostname":"h","user":"root"}"#,
        r#"{"signal":9}"#,
        r#"{"type":"signal","signal":9} x"#,
        "",
    ] {
        let refused = decode::<HostMessage>(text.as_bytes());
        assert!(
            matches!(refused, Err(ProtocolError::Malformed(_))),
            "{text:?} was taken as {refused:?}"
        );
    }
}

#[test]
fn a_message_longer_than_the_limit_is_refused_on_both_sides() {
    let run = HostMessage::Run(Run {
        argv: vec!["x".repeat(MAX_LINE)],
        env: vec![],
        cwd: "/".into(),
        hostname: "cki".into(),
        container: None,
        pool_mib: None,
    });
    assert!(matches!(encode(&run), Err(ProtocolError::TooLong)));

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
