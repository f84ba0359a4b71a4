// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a guest asks for by hypercalls: registers, and its kernel's console.

use std::io::Write;
use std::thread;
use std::time::Duration;

use cki_abi::hypercalls::arguments::SHUTDOWN_POWEROFF;
use vm_memory::{Bytes, GuestAddress};

use super::guest::{BASE, BUFFERS};
use super::{Outcome, Plan, plan, run, session};
use crate::module::Exit;

#[test]
fn hypercalls_with_bad_arguments_get_errors_and_change_nothing() {
    let (session, ends) = session(|guest| {
        let bad = [
            Exit::MmioRead {
                device: 1,
                offset: 0,
                size: 4,
            },
            Exit::MmioRead {
                device: 0,
                offset: 0,
                size: 8,
            },
            Exit::MmioWrite {
                device: 0,
                offset: 0x1000,
                size: 4,
                value: 0,
            },
            Exit::ConsoleWrite {
                hpa: BASE,
                length: 4097,
            },
            Exit::ConsoleWrite {
                hpa: BASE - 1,
                length: 16,
            },
            Exit::ConsoleWrite {
                hpa: u64::MAX,
                length: 16,
            },
            Exit::ConsoleRead {
                hpa: BASE,
                length: u64::MAX,
            },
        ];
        for exit in bad {
            guest.exits.send(exit).unwrap();
            let (status, _) = guest.results.recv().unwrap();
            assert!(status < 0, "{exit:?}");
        }
        guest.start();
        guest.exit(0);
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
    let log = ends.log.lock().unwrap();
    assert_eq!(log.completed.iter().filter(|done| done.0 < 0).count(), 7);
}

#[test]
fn a_console_without_a_program_is_typed_on_and_ends_with_the_guest() {
    let (session, mut ends) = session(|guest| {
        let mut text = String::new();
        while !text.contains('\n') {
            let count = guest.hypercall(Exit::ConsoleRead {
                hpa: BUFFERS,
                length: 16,
            });
            let mut bytes = vec![0; count as usize];
            guest
                .memory
                .read_slice(&mut bytes, GuestAddress(BUFFERS))
                .unwrap();
            text.push_str(&String::from_utf8(bytes).unwrap());
            thread::sleep(Duration::from_millis(1));
        }
        let code = u64::from(text == "ls\n");
        guest
            .exits
            .send(Exit::Shutdown {
                reason: SHUTDOWN_POWEROFF,
                code,
            })
            .unwrap();
    });
    ends.stdin.take().unwrap().write_all(b"ls\n").unwrap();
    let plan = Plan {
        run: None,
        ..plan()
    };
    assert_eq!(run(plan, session).unwrap(), Outcome::Exited(1));
}
