// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connections themselves.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket,
};

use super::PATIENCE;
use crate::exec::connect::{ConnectError, connect};
use crate::exec::driver::Connections;

#[test]
fn a_container_that_takes_no_connection_is_waited_for_until_it_ends_or_the_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("vsock");
    let soon = || Instant::now() + Duration::from_millis(200);
    // No socket yet, a socket without a listener, and a listener that says nothing.
    let refused = connect(&socket, 1, soon(), &mut || true);
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
    let listener = UnixListener::bind(&socket).unwrap();
    let refused = connect(&socket, 1, soon(), &mut || true);
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
    let mut runs = true;
    let ended = connect(&socket, 1, Instant::now() + PATIENCE, &mut || {
        std::mem::replace(&mut runs, false)
    });
    assert!(matches!(ended, Err(ConnectError::Ended)), "{ended:?}");
    drop(listener);
    let refused = connect(&socket, 1, soon(), &mut || true);
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
}

#[test]
fn a_launcher_that_answers_nonsense_is_none() {
    for answer in ["NO\n", "OK x\n", "OK 4294967296\n", &"9".repeat(1000)] {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("vsock");
        let listener = UnixListener::bind(&socket).unwrap();
        let answer = answer.to_owned();
        let launcher = thread::spawn(move || {
            let (mut client, _) = listener.accept().unwrap();
            client.write_all(answer.as_bytes()).unwrap();
            // What it asks for was not read, and it may have gone.
            let _ = client.read_to_end(&mut Vec::new());
        });
        let result = connect(&socket, 1, Instant::now() + PATIENCE, &mut || true);
        assert!(matches!(result, Err(ConnectError::Protocol)), "{result:?}");
        launcher.join().unwrap();
    }
}

#[test]
fn a_launcher_that_many_wait_for_already_is_waited_for_no_longer_than_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vsock");
    let listener = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::empty(),
        None,
    )
    .unwrap();
    bind(listener.as_raw_fd(), &UnixAddr::new(&path).unwrap()).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    // It takes nobody, and has room for one.
    let _first = UnixStream::connect(&path).unwrap();
    let (limit, start) = (Duration::from_millis(300), Instant::now());
    let result = connect(&path, 1, start + limit, &mut || true);
    assert!(matches!(result, Err(ConnectError::Refused)), "{result:?}");
    assert!((limit..PATIENCE).contains(&start.elapsed()));
}

#[test]
fn connections_made_while_the_container_gave_its_name_to_another_are_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vsock");
    let listener = UnixListener::bind(&path).unwrap();
    let served = Arc::new(AtomicU32::new(0));
    let serving = Arc::clone(&served);
    let launcher = thread::spawn(move || {
        for number in 1..5 {
            let (mut client, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&client).read_line(&mut line).unwrap();
            serving.store(number, Ordering::SeqCst);
            let answer = format!("OK {number}\n");
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    // By the time that the last is there, the name is another's.
    let mut runs = || served.load(Ordering::SeqCst) < 4;
    let result = Connections::open(&path, true, Instant::now() + PATIENCE, &mut runs);
    assert!(matches!(result, Err(ConnectError::Ended)), "{result:?}");
    launcher.join().unwrap();
}

#[test]
fn a_link_in_the_place_of_the_socket_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let (another, place) = (directory.path().join("x"), directory.path().join("vsock"));
    let _listens = UnixListener::bind(&another).unwrap();
    std::os::unix::fs::symlink(&another, &place).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let error = connect(&place, 1, deadline, &mut || true).unwrap_err();
    assert!(matches!(error, ConnectError::System(_)), "{error:?}");
}
