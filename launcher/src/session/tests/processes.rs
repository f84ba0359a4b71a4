// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sessions in a process of their own: under the filter, which stays, and killed.

use std::io::{IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::Child;

use cki_session::{Event, Outcome, ProcessId, decode};

use super::{STARTED, plan, session, session_with};
use crate::jail::{self, Confine, Duty};
use crate::module::Exit;
use crate::service_manager::{self, ServiceManager};
use crate::session::caller::Caller;
use crate::session::descriptor::{Descriptor, Service};
use crate::testing::{child, role};
use crate::virtio::Next;
use crate::virtio::testing::{BRING_UP, Scripted};

/// A child with `role`, and its client's end of the descriptor, which the child has as its standard input.
fn launcher(name: &str, role: &str) -> (Child, UnixStream) {
    let (here, there) = UnixStream::pair().unwrap();
    // The command holds the child's end, and is gone on return.
    let child = child(name, role)
        .stdin(OwnedFd::from(there))
        .spawn()
        .unwrap();
    (child, here)
}

/// What a launcher says after hello.
fn said(text: &str) -> Vec<Event> {
    let mut events = text.lines().map(|line| decode(line.as_bytes()).unwrap());
    assert!(matches!(events.next(), Some(Event::Hello(_))));
    events.collect()
}

#[test]
fn a_whole_session_runs_under_the_filter_and_other_calls_kill_it() {
    const NAME: &str =
        "session::tests::processes::a_whole_session_runs_under_the_filter_and_other_calls_kill_it";
    if let Some(role) = role(NAME) {
        confined(&role);
    }
    let (mut whole, mut client) = launcher(NAME, "session");
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(whole.wait().unwrap().code(), Some(44));
    let last = Event::Ended {
        id: ProcessId::MAIN,
        outcome: Outcome::Exited(44),
    };
    assert_eq!(said(&text), [STARTED, last]);
    for forbidden in [
        "open",
        "ioctl",
        "exec-memory",
        "socket",
        "device",
        "pread",
        "kill",
    ] {
        let (mut child, _client) = launcher(NAME, forbidden);
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{forbidden}: {status}");
    }
}

/// The child: a session under the filter, then what it was asked to try.
fn confined(role: &str) -> ! {
    let is_rogue = role == "device";
    let file = tempfile::tempfile().unwrap();
    let disks = file.try_clone().unwrap();
    let device = Scripted {
        script: Box::new(move || {
            // What only a disk may ask for, and what it may not.
            assert_eq!(disks.read_at(&mut [0], 0).unwrap(), 0);
            if is_rogue {
                drop(std::net::UdpSocket::bind("127.0.0.1:0"));
            }
            Next::default()
        }),
        source: None,
    };
    let (session, mut ends) = session_with(Some(device), |guest| {
        guest.print("booting\n");
        for (register, value) in BRING_UP {
            guest.hypercall(Exit::MmioWrite {
                device: 1,
                offset: register.into(),
                size: 4,
                value: value.into(),
            });
        }
        guest.start();
        let text = guest.receive(6);
        guest.send(9, &text);
        guest.exit(44);
    });
    ends.stdin.take().unwrap().write_all(b"input").unwrap();
    let confine: Confine = |duty| jail::confine(duty).map_err(std::io::Error::other);
    let mut client = Descriptor::open(0, Service::Run).unwrap();
    let outcome = session.run(plan(), confine, &mut client).unwrap();
    assert!(client.end(&outcome));
    match role {
        "session" => {}
        // To the test itself, which would end.
        "kill" => {
            let parent = i64::from(std::os::unix::process::parent_id());
            // SAFETY: tgkill touches no memory of ours.
            unsafe { libc::syscall(libc::SYS_tgkill, parent, parent, libc::SIGKILL) };
        }
        "pread" => drop(file.read_at(&mut [0], 0)),
        "open" => drop(std::fs::File::open("/dev/null")),
        "ioctl" => {
            let _ = std::io::stdin().is_terminal();
        }
        "exec-memory" => drop(vm_memory::MmapRegion::<()>::build(
            None,
            4096,
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        )),
        _ => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
    }
    std::process::exit(outcome.status().0.into());
}

#[test]
fn the_socket_of_a_name_gives_no_way_to_other_sockets() {
    const NAME: &str =
        "session::tests::processes::the_socket_of_a_name_gives_no_way_to_other_sockets";
    if let Some(role) = role(NAME) {
        let (ours, _) = UnixStream::pair().unwrap();
        let listener = role.starts_with("listener");
        jail::confine(if listener {
            Duty::Listener
        } else {
            Duty::Sockets
        })
        .unwrap();
        if role == "listener-connect" {
            // On a socket that is there.
            let nobody = rustix::net::SocketAddrUnix::new_abstract_name(b"nobody").unwrap();
            let _ = rustix::net::connect(&ours, &nobody);
        } else {
            drop(UnixStream::connect("/nobody"));
        }
        std::process::exit(0);
    }
    let status = |role: &str| launcher(NAME, role).0.wait().unwrap();
    for role in ["listener-socket", "listener-connect"] {
        assert_eq!(status(role).signal(), Some(libc::SIGSYS), "{role}");
    }
    // Whom that of `--vsock` connects to, the filter cannot see.
    assert_eq!(status("sockets").code(), Some(0));
}

#[test]
fn a_service_manager_hears_that_the_program_runs_under_the_filter() {
    const NAME: &str =
        "session::tests::processes::a_service_manager_hears_that_the_program_runs_under_the_filter";
    if role(NAME).is_some() {
        let mut client = Caller::new(false, None).unwrap();
        client.tells(ServiceManager::of_environment().unwrap());
        let (session, _ends) = session(|guest| {
            guest.start();
            guest.exit(7);
        });
        let confine: Confine = |duty| jail::confine(duty).map_err(std::io::Error::other);
        let outcome = session.run(plan(), confine, &mut client).unwrap();
        std::process::exit(outcome.status().0.into());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut child = child(NAME, "supervised");
    let status = child
        .env(service_manager::VARIABLE, &path)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7), "{status}");
    let mut bytes = [0; 64];
    manager.set_nonblocking(true).unwrap();
    let count = manager.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..count], b"READY=1");
    // Once.
    assert!(manager.recv(&mut bytes).is_err());
}

#[test]
fn a_killed_launcher_closes_everything_and_says_no_last_message() {
    const NAME: &str =
        "session::tests::processes::a_killed_launcher_closes_everything_and_says_no_last_message";
    if role(NAME).is_some() {
        let (session, _ends) = session(|guest| {
            guest.start();
            loop {
                std::thread::park();
            }
        });
        let mut client = Descriptor::open(0, Service::Run).unwrap();
        let result = session.run(plan(), |_| Ok(()), &mut client);
        panic!("{result:?}");
    }
    let (mut launcher, mut client) = launcher(NAME, "launcher");
    let (mut text, mut bytes) = (String::new(), [0; 512]);
    while !text.contains("started") {
        let count = client.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    launcher.kill().unwrap();
    // The end of the file: no process of the launcher's is left.
    client.read_to_string(&mut text).unwrap();
    assert_eq!(said(&text), [STARTED]);
    assert_eq!(launcher.wait().unwrap().signal(), Some(libc::SIGKILL));
}
