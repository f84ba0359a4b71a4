// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program's standard streams, as whoever started us sees them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use cki_abi::hypercalls::arguments::{EVENT_DEVICE, SHUTDOWN_POWEROFF};
use cki_session::Signal;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    ContainerError, Late, Outcome, Plan, Streams, pipe, plan, rest, run, session, session_on,
};
use crate::module::Exit;

#[test]
fn a_programs_output_and_status_come_out() {
    let (session, ends) = session(|guest| {
        let argv = guest.start();
        guest.send(9, argv[1].as_bytes());
        guest.send(11, b"a warning\n");
        guest.exit(7);
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(7));
    assert_eq!(rest(ends.stdout), "hello");
    assert_eq!(rest(ends.stderr), "a warning\n");
    let log = ends.log.lock().unwrap();
    assert!(log.killed, "the container is gone");
    assert!(log.raised.contains(&(0, EVENT_DEVICE as u32)));
}

#[test]
fn standard_input_reaches_the_program_and_ends() {
    let (session, mut ends) = session(|guest| {
        guest.start();
        let mut text = Vec::new();
        while !text.ends_with(b"end") {
            text.extend(guest.receive(6));
        }
        guest.wait_closed(2);
        guest.send(9, &text);
        guest.exit(0);
    });
    let mut stdin = ends.stdin.take().unwrap();
    let writer = thread::spawn(move || {
        stdin.write_all(b"to the ").unwrap();
        thread::sleep(Duration::from_millis(30));
        stdin.write_all(b"end").unwrap();
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
    writer.join().unwrap();
    assert_eq!(rest(ends.stdout), "to the end");
}

#[test]
fn a_slow_reader_gets_all_output() {
    const ROUNDS: usize = 64;
    let (session, ends) = session(|guest| {
        guest.start();
        for round in 0..ROUNDS {
            guest.send(9, &vec![round as u8; 0x4000]);
        }
        guest.exit(0);
    });
    let mut stdout = ends.stdout;
    let reader = thread::spawn(move || {
        let (mut all, mut bytes) = (Vec::<u8>::new(), [0; 1500]);
        while let Ok(count @ 1..) = stdout.read(&mut bytes) {
            all.extend(&bytes[..count]);
            if all.len() % 7 == 0 {
                thread::sleep(Duration::from_micros(300));
            }
        }
        all
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
    let all = reader.join().unwrap();
    assert_eq!(all.len(), ROUNDS * 0x4000);
    assert!(
        all.chunks(0x4000)
            .enumerate()
            .all(|(round, chunk)| { chunk.iter().all(|&byte| byte == round as u8) })
    );
}

#[test]
fn nobody_reading_the_output_ends_the_run() {
    let (session, ends) = session(|guest| {
        guest.start();
        loop {
            guest.send(9, &[b'y'; 0x4000]);
        }
    });
    drop(ends.stdout);
    assert_eq!(
        run(plan(), session).unwrap(),
        Outcome::signaled(Signal::PIPE)
    );
    assert!(ends.log.lock().unwrap().killed);
}

#[test]
fn standard_input_that_is_closed_is_at_its_end() {
    // What the standard library opens in place of a closed descriptor, and a pipe without a writer.
    let (without_writer, writer) = pipe();
    drop(writer);
    for stdin in [File::open("/dev/null").unwrap(), without_writer] {
        let ((stdout, stdout_there), (_stderr, stderr_there)) = (pipe(), pipe());
        let streams = Streams {
            stdin,
            stdout: stdout_there,
            stderr: stderr_there,
        };
        let (session, _) = session_on(streams, None, None, |guest| {
            guest.start();
            guest.wait_closed(2);
            guest.send(9, b"the end");
            guest.exit(0);
        });
        assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
        assert_eq!(rest(stdout), "the end");
    }
}

#[test]
fn nobody_reading_standard_error_is_the_programs_business() {
    let (session, ends) = session(|guest| {
        guest.start();
        guest.send(11, b"a warning\n");
        guest.send(9, b"a result\n");
        guest.exit(3);
    });
    drop(ends.stderr);
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(3));
    assert_eq!(rest(ends.stdout), "a result\n");
}

#[test]
fn output_that_a_full_disk_did_not_take_is_missed_although_the_program_has_ended() {
    for (queue, name) in [(9, "standard output"), (11, "standard error")] {
        let full = |is| match is {
            true => File::options().write(true).open("/dev/full").unwrap(),
            false => pipe().1,
        };
        let streams = Streams {
            stdin: File::open("/dev/null").unwrap(),
            stdout: full(queue == 9),
            stderr: full(queue == 11),
        };
        let (mut client, all_is_there) = Late::new(None);
        let (session, _) = session_on(streams, None, None, move |guest| {
            guest.start();
            guest.send(queue, b"the only line\n");
            guest.exit(0);
            all_is_there.send(()).unwrap();
        });
        let error = session.run(plan(), |_| Ok(()), &mut client).unwrap_err();
        let expected = format!("cannot write {name}: no storage space");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn all_output_is_out_before_the_last_message_even_if_the_guest_did_not_wait_for_it() {
    const SIZE: usize = 0x4000;
    const BUFFERS: usize = 8;
    let (said, is_said) = mpsc::channel();
    // Twice what a pipe holds, in buffers that the guest does not wait for.
    let (session, ends) = session(move |guest| {
        guest.start();
        for _ in 0..BUFFERS {
            guest.offer(9, Some(&[b'x'; SIZE]));
        }
        guest.exit(0);
        said.send(()).unwrap();
    });
    let reader = thread::spawn(move || {
        is_said.recv().unwrap();
        rest(ends.stdout).len()
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
    assert_eq!(reader.join().unwrap(), SIZE * BUFFERS);
}

#[test]
fn output_that_is_taken_in_several_turns_is_all_out_before_the_last_message() {
    const SIZE: usize = 1 << 20;
    const LEFT: usize = 768 << 10;
    let (said, is_said) = mpsc::channel();
    let (session, ends) = session(move |guest| {
        guest.start();
        guest.offer(9, Some(&[b'x'; LEFT]));
        guest.exit(0);
        said.send(()).unwrap();
    });
    // There is room for nothing, and then for more than is written in one turn.
    let mut others = session.streams.stdout.try_clone().unwrap();
    let size = fcntl(&others, FcntlArg::F_SETPIPE_SZ(SIZE as i32)).unwrap();
    others.write_all(&vec![b'y'; size as usize]).unwrap();
    drop(others);
    let mut stdout = ends.stdout;
    let reader = thread::spawn(move || {
        is_said.recv().unwrap();
        let mut bytes = vec![0; SIZE];
        let first = stdout.read(&mut bytes).unwrap();
        first + rest(stdout).len()
    });
    assert_eq!(run(plan(), session).unwrap(), Outcome::Exited(0));
    assert_eq!(reader.join().unwrap(), size as usize + LEFT);
}

#[test]
fn time_that_is_up_while_output_of_an_ended_program_waits_is_told() {
    let (session, ends) = session(|guest| {
        guest.start();
        for _ in 0..8 {
            guest.offer(9, Some(&[b'x'; 0x4000]));
        }
        guest.exit(0);
    });
    let plan = Plan {
        timeout: Some(Duration::from_millis(200)),
        ..plan()
    };
    assert_eq!(run(plan, session).unwrap(), Outcome::TimedOut);
    drop(ends);
}

/// How a session with this copy of the kernel's console ends, of a kernel that prints so many lines and switches itself
/// off. With a program, that ends before.
fn end_of_console(copy: File, lines: usize, program: bool) -> Result<Outcome, ContainerError> {
    let streams = Streams {
        stdin: pipe().0,
        stdout: pipe().1,
        stderr: pipe().1,
    };
    let (session, _) = session_on(streams, Some(copy), None, move |guest| {
        for _ in 0..lines {
            guest.print("0123456789abcde\n");
        }
        if program {
            guest.start();
            guest.exit(3);
        }
        let off = Exit::Shutdown {
            reason: SHUTDOWN_POWEROFF,
            code: 3,
        };
        guest.exits.send(off).unwrap();
    });
    let mut plan = plan();
    plan.run = plan.run.filter(|_| program);
    run(plan, session)
}

#[test]
fn a_console_whose_output_is_lost_does_not_end_well() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let unread = || {
        let (read, write) = pipe();
        drop(read);
        write
    };
    let error = end_of_console(full(), 1, false).unwrap_err();
    let expected = "cannot write standard output: no storage space";
    assert_eq!(error.to_string(), expected);
    let outcome = end_of_console(unread(), 1, false);
    assert_eq!(outcome.unwrap(), Outcome::signaled(Signal::PIPE));
    // What --verbose shows besides is nobody's output.
    for copy in [full(), unread()] {
        let outcome = end_of_console(copy, 1, true);
        assert_eq!(outcome.unwrap(), Outcome::Exited(3));
    }
}

#[test]
fn a_console_waits_for_a_reader_even_if_its_output_does_not() {
    const LINES: usize = 8192;
    let (read, write) = pipe();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let full = write.try_clone().unwrap();
    let reader = thread::spawn(move || {
        let has_room = || {
            let mut fds = [PollFd::new(full.as_fd(), PollFlags::POLLOUT)];
            poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
        };
        let start = Instant::now();
        while has_room() {
            assert!(start.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(1));
        }
        drop(full);
        rest(read).len()
    });
    let outcome = end_of_console(write, LINES, false);
    assert_eq!(outcome.unwrap(), Outcome::Exited(3));
    assert_eq!(reader.join().unwrap(), LINES * 16);
}
