// SPDX-License-Identifier: MIT OR Apache-2.0

//! The connections themselves.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::exec::connect::{ConnectError, connect};

#[test]
fn a_container_that_takes_no_connection_is_waited_for_until_it_ends_or_the_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("vsock");
    let soon = || Instant::now() + Duration::from_millis(200);
    // No socket yet, a socket without a listener, and a listener that says nothing.
    let refused = connect(&socket, 1, soon(), &|| true);
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
    let listener = UnixListener::bind(&socket).unwrap();
    let refused = connect(&socket, 1, soon(), &|| true);
    assert!(matches!(refused, Err(ConnectError::Refused)), "{refused:?}");
    let runs = AtomicBool::new(true);
    let ended = connect(&socket, 1, Instant::now() + PATIENCE, &|| {
        runs.swap(false, Ordering::SeqCst)
    });
    assert!(matches!(ended, Err(ConnectError::Ended)), "{ended:?}");
    drop(listener);
    let refused = connect(&socket, 1, soon(), &|| true);
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
        let result = connect(&socket, 1, Instant::now() + PATIENCE, &|| true);
        assert!(matches!(result, Err(ConnectError::Protocol)), "{result:?}");
        launcher.join().unwrap();
    }
}
