// SPDX-License-Identifier: MIT OR Apache-2.0

//! Frames over a stream, whole and in pieces, and a file in the place of passt that is no program.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::jail::{self, Duty};
use crate::testing::{child, role};

fn pair() -> (Passt, UnixStream) {
    let (ours, its) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Passt::over(ours), its)
}

fn packed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = (frame.len() as u32).to_be_bytes().to_vec();
    bytes.extend(frame);
    bytes
}

fn next(passt: &mut Passt) -> Option<Vec<u8>> {
    let frame = passt.frame().map(|(_, frame)| frame.to_vec());
    passt.consume();
    frame
}

/// No frame comes any more. Another test's child may hold the socket for a moment, between fork and exec.
fn ends(passt: &mut Passt) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert_eq!(next(passt), None);
        if passt.is_over() {
            return;
        }
        assert!(Instant::now() < deadline, "it does not end");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn frames_come_however_they_are_cut() {
    let (mut passt, mut its) = pair();
    assert_eq!(next(&mut passt), None);
    let bytes = [packed(b"one"), packed(&[7; FRAME_MAX]), packed(b"")].concat();
    for piece in bytes[..5].chunks(1) {
        its.write_all(piece).unwrap();
        assert_eq!(next(&mut passt), None);
    }
    its.write_all(&bytes[5..]).unwrap();
    assert_eq!(next(&mut passt).as_deref(), Some(&b"one"[..]));
    assert_eq!(next(&mut passt), Some(vec![7; FRAME_MAX]));
    assert_eq!(next(&mut passt), Some(vec![]));
    assert_eq!(next(&mut passt), None);
    assert!(!passt.is_over());
}

#[test]
fn the_end_comes_after_the_last_frame() {
    let (mut passt, mut its) = pair();
    its.write_all(&packed(b"last")).unwrap();
    drop(its);
    assert_eq!(next(&mut passt).as_deref(), Some(&b"last"[..]));
    ends(&mut passt);
    passt.send(&Header::default(), b"lost");
    assert!(!passt.flush() && passt.has_room());
}

#[test]
fn a_length_that_no_frame_has_ends_the_link() {
    let (mut passt, mut its) = pair();
    its.write_all(&u32::MAX.to_be_bytes()).unwrap();
    assert_eq!(next(&mut passt), None);
    assert!(passt.is_over());
}

/// passt has no room for it. A guest that heeds the MTU sends none.
#[test]
fn a_frame_that_is_longer_than_any_packet_is_not_sent() {
    let (mut passt, mut its) = pair();
    passt.send(&Header::default(), &vec![7; 65_536]);
    passt.send(&Header::default(), b"next");
    assert!(!passt.flush());
    let mut got = vec![0; packed(b"next").len()];
    its.read_exact(&mut got).unwrap();
    assert_eq!(got, packed(b"next"));
}

#[test]
fn what_is_sent_waits_for_a_slow_reader() {
    let (mut passt, mut its) = pair();
    let mut sent = Vec::new();
    let mut number = 0u32;
    // More than the socket holds.
    while !passt.flush() || passt.has_room() {
        let frame = vec![number as u8; 1000];
        passt.send(&Header::default(), &frame);
        sent.extend(packed(&frame));
        number += 1;
    }
    its.set_nonblocking(true).unwrap();
    let mut got: Vec<u8> = Vec::new();
    while got.len() < sent.len() {
        let mut buffer = [0; 4096];
        match its.read(&mut buffer) {
            Ok(count) => got.extend(&buffer[..count]),
            Err(_) => {
                passt.flush();
            }
        }
    }
    assert!(got == sent);
    assert!(!passt.flush() && passt.has_room());
}

fn settings() -> Settings {
    Settings {
        addresses: vec!["10.0.2.100/24".parse().unwrap()],
        gateways: vec!["10.0.2.2".parse().unwrap()],
        dns_forward: Some("10.0.2.3".parse().unwrap()),
        publish: vec![
            "8080:80".parse().unwrap(),
            "127.0.0.1:53:5353/udp".parse().unwrap(),
        ],
    }
}

#[test]
fn the_command_line_is_this() {
    assert_eq!(
        settings().arguments().join(" "),
        "--quiet --no-map-gw --fd 3 --mtu 65520 --address 10.0.2.100 --netmask 24 --gateway 10.0.2.2 \
         --dns-forward 10.0.2.3 --tcp-ports 8080:80 --udp-ports 127.0.0.1/53:5353 --ipv4-only \
         --no-dhcp --no-dhcpv6 --no-ra"
    );
}

/// A program that is a shell script, in a directory that must stay as long.
fn script(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("passt");
    // Written by another process: this one may fork elsewhere while the file is open for writing.
    let status = Command::new("sh")
        .args(["-c", "printf '%s' \"$1\" > \"$2\"", "sh"])
        .arg(format!("#!/bin/sh\n{text}"))
        .arg(&program)
        .status()
        .unwrap();
    assert!(status.success());
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (directory, program)
}

#[test]
fn its_socket_is_the_third_descriptor() {
    let (_directory, program) = script("printf '\\0\\0\\0\\5hello' >&3");
    let mut passt = Passt::start(&program, &settings()).unwrap();
    assert_eq!(next(&mut passt).as_deref(), Some(&b"hello"[..]));
    ends(&mut passt);
}

#[test]
fn a_passt_that_does_not_start_says_why() {
    for (text, part) in [
        (
            "echo \"Failed to bind any port for '-t 8080:80', exiting\" >&2; exit 1",
            "8080:80/tcp",
        ),
        (
            "echo 'External interface not usable' >&2; exit 1",
            "External interface",
        ),
        ("exit 1", "did not say"),
    ] {
        let (_directory, program) = script(text);
        let error = Passt::start(&program, &settings()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = Passt::start(Path::new("/nonexistent/passt"), &settings()).unwrap_err();
    assert!(matches!(error, PasstError::Missing), "{error}");
}

/// A neighbour solicitation, a router solicitation and a neighbour advertisement, as ICMPv6 has them.
fn icmp(from: &str, kind: u8) -> Vec<u8> {
    let from: std::net::Ipv6Addr = from.parse().unwrap();
    let to: std::net::Ipv6Addr = "ff02::2".parse().unwrap();
    let body = [[kind, 0, 0, 0, 0, 0, 0, 0], [0; 8], [0; 8]].concat();
    let mut frame = Vec::new();
    etherparse::PacketBuilder::ethernet2([2; 6], [0x33, 0x33, 0, 0, 0, 2])
        .ipv6(from.octets(), to.octets(), 255)
        .icmpv6_raw(kind, 0, [0; 4])
        .write(&mut frame, &body[8..])
        .unwrap();
    frame
}

#[test]
fn what_nobody_answers_does_not_wake_it() {
    let (passt, mut its) = pair();
    let mut passt = Passt {
        waits: true,
        ..passt
    };
    its.set_nonblocking(true).unwrap();
    for frame in [icmp("::", 135), icmp("fe80::1", 133), icmp("::", 133)] {
        passt.send(&Header::default(), &frame);
        assert!(!passt.flush());
        let nothing = its.read(&mut [0]).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
    // Somebody's address is asked for; from then on, everything is sent.
    let frames = [icmp("fe80::1", 135), icmp("fe80::1", 133)];
    for frame in &frames {
        passt.send(&Header::default(), frame);
    }
    passt.flush();
    let mut got = vec![0; 4096];
    let count = its.read(&mut got).unwrap();
    assert_eq!(got[..count], frames.map(|frame| packed(&frame)).concat());
}

#[test]
fn every_other_frame_wakes_it() {
    let address_of_somebody = crate::backend::network::announcement([2; 6], [10, 0, 2, 1].into());
    for frame in [
        &address_of_somebody[..],
        &icmp("fe80::1", 136),
        b"no frame",
        b"",
    ] {
        let (passt, mut its) = pair();
        let mut passt = Passt {
            waits: true,
            ..passt
        };
        passt.send(&Header::default(), frame);
        passt.flush();
        let mut got = vec![0; 4096];
        let count = its.read(&mut got).unwrap();
        assert_eq!(got[..count], packed(frame));
    }
}

#[test]
fn the_reason_is_what_it_said_last() {
    let said = |text: &str| last_words(text.as_bytes()).to_string();
    assert_eq!(said(""), "passt has ended");
    assert_eq!(
        said("warning\nno user namespaces\n"),
        "passt cannot be used here: no user namespaces"
    );
    assert_eq!(said("\n"), "passt cannot be used here: it did not say why");
    assert!(said(&"x".repeat(1 << 20)).len() < 2 * SAID_MAX as usize);
}

/// A passt that has said this, and its end of the socket.
fn that_said(text: &str) -> (Passt, UnixStream) {
    let (passt, its) = pair();
    let (said, mut saying) = UnixStream::pair().unwrap();
    saying.write_all(text.as_bytes()).unwrap();
    let said = Some(File::from(OwnedFd::from(said)));
    let sentences = sentences();
    let sentences = Some(sentences.unwrap());
    let passt = Passt {
        said,
        sentences,
        ..passt
    };
    (passt, its)
}

#[test]
fn it_is_found_in_absolute_directories_if_it_can_be_executed() {
    let (directory, program) = script("");
    let here = directory.path().display();
    let found = |path: &str| found_in(OsStr::new(path));
    assert_eq!(
        found(&format!(":.:/nonexistent:{here}")),
        Some(program.clone())
    );
    assert_eq!(found(""), None);
    // As is said from the root, where every relative path could lead to it.
    assert_eq!(
        found(&format!("..{here}:../../../../../../../..{here}")),
        None
    );
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o644)).unwrap();
    // Root may execute what anybody may.
    assert_eq!(found(&here.to_string()), None);
}

#[test]
fn why_it_did_not_start_is_said_under_the_filter() {
    const NAME: &str = "backend::passt::tests::why_it_did_not_start_is_said_under_the_filter";
    if let Some(role) = role(NAME) {
        let (mut passt, mut its) = that_said("no user namespaces\n");
        if role == "started" {
            its.write_all(&packed(b"frame")).unwrap();
        }
        drop(its);
        jail::confine(Duty::Network).unwrap();
        while !passt.is_over() {
            next(&mut passt);
        }
        std::process::exit(44);
    }
    let said = |role: &str| {
        let mut child = child(NAME, role);
        let output = child.stderr(Stdio::piped()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(44), "{text}");
        text
    };
    let text = said("refused");
    assert!(
        text.contains("has no network: passt cannot be used here: no user namespaces"),
        "{text}"
    );
    // What has sent a frame has started.
    let text = said("started");
    assert!(!text.contains("network"), "{text}");
}
