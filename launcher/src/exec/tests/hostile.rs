// SPDX-License-Identifier: MIT OR Apache-2.0

//! Containers that mean no good: what they say is bounded, and nobody waits for what they leave undone.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::channel;

use cki_session::{Hello, Signal, Status, Terminal};
use rustix::io::ioctl_fionread;

use super::*;
use crate::exec::driver::LINGER;
use crate::exec::waiting::SIGNALS_MAX;

#[test]
fn a_container_that_talks_without_end_is_heard_in_measure() {
    let container = Container::new(0, |init| {
        let (_, ports) = init.starts();
        for number in 0..2000 {
            init.says(&Event::Refused {
                message: format!("{number}{}", "y".repeat(4000)),
            });
            init.says(&Event::Started {
                id: ID,
                pid: 8,
                isolation: Isolation::Full,
            });
            init.says(&Event::Ended {
                id: ProcessId(9),
                outcome: Outcome::Exited(9),
            });
        }
        init.ends(Outcome::Exited(0));
        // It keeps a stream open; nobody waits for that long.
        let _kept = init.stream(ports.stdout);
        assert_eq!(init.hears(), None);
    });
    let ran = container.run(cat(), b"", nobody());
    assert_eq!(ran.result.unwrap(), Outcome::Exited(0));
    // That it has started and what it has written, and so many refusals.
    assert_eq!(ran.told.len(), 2 + 16);
    let length = |event: &Event| match event {
        Event::Refused { message } => message.len(),
        _ => 0,
    };
    assert!(ran.told.iter().all(|event| length(event) <= 1024));
}

#[test]
fn what_came_before_a_container_ended_is_counted() {
    let (mut out, stdout) = pipe();
    let (has, told) = channel();
    let reader = thread::spawn(move || {
        let mut text = [0; 3];
        out.read_exact(&mut text).unwrap();
        has.send(()).unwrap();
        text
    });
    let container = Container::new(0, move |init| {
        let (_, ports) = init.starts();
        init.stream(ports.stdout).write_all(b"abc").unwrap();
        // The connection ends when the user has it.
        told.recv_timeout(PATIENCE).unwrap();
    });
    let ours = Streams {
        stdin: null(),
        stdout: file(stdout),
        stderr: null(),
    };
    let mut user = nobody();
    let result = container.serve(cat(), ours, &mut user, START_LIMIT);
    assert!(result.unwrap_err().to_string().contains("has ended"));
    assert_eq!(reader.join().unwrap(), *b"abc");
    let output = Event::Output {
        id: THEIRS,
        stdout: 3,
        stderr: 0,
    };
    assert_eq!(user.told.last(), Some(&output));
}

#[test]
fn a_container_that_ends_or_says_what_cannot_be_is_told_in_a_sentence() {
    let sentence = |init: fn(&mut Init)| {
        let result = Container::new(0, init).run(cat(), b"", nobody()).result;
        result.unwrap_err().to_string()
    };
    let ended = sentence(|init| drop(init.starts()));
    assert!(ended.contains("has ended"), "{ended}");
    let turned_away = sentence(|_| {});
    assert!(turned_away.contains("too many clients"), "{turned_away}");
    let early = sentence(|init| init.ends(Outcome::Exited(0)));
    assert!(early.contains("does not say hello"), "{early}");
    let nonsense = sentence(|init| init.control.get_mut().write_all(b"GET /\n").unwrap());
    assert!(nonsense.contains("does not speak"), "{nonsense}");
    let endless = sentence(|init| {
        let line = vec![b'x'; 2 << 20];
        let _ = init.control.get_mut().write_all(&line);
    });
    assert!(endless.contains("more than"), "{endless}");
    let refused = sentence(|init| {
        init.says(&Event::Hello(Hello::new(&[feature::EXEC], "6.12")));
        let message = "there is no stream of port 1001".to_owned();
        init.says(&Event::Refused { message });
    });
    assert!(refused.contains("port 1001"), "{refused}");
    let old = sentence(|init| init.says(&Event::Hello(Hello::new(&[], "6.12"))));
    assert!(old.contains("`exec`") && old.contains("update it"), "{old}");
    let newer = sentence(|init| {
        let mut hello = Hello::new(&[feature::EXEC], "6.12");
        hello.version += 1;
        init.says(&Event::Hello(hello));
    });
    assert!(newer.contains("update this program"), "{newer}");
}

#[test]
fn a_hello_without_end_is_not_read_to_its_end() {
    // One line that never ends; one that does, and is a hello but for its length; and many lines.
    let long = Hello::new(&[feature::EXEC], &"6".repeat(100 << 10));
    let lines = [
        vec![b'x'; 4 << 20],
        encode(&Event::Hello(long)).unwrap(),
        b"{\"type\":\"later\"}\n".repeat(1 << 18),
    ];
    for line in lines {
        let whole = line.len();
        let container = Container::new(0, move |init| {
            let mut said = 0;
            for piece in line.chunks(4096) {
                match init.control.get_mut().write(piece) {
                    Ok(count) => said += count,
                    Err(_) => break,
                }
            }
            // What the socket holds besides.
            assert!(said == whole || said < 1 << 20, "{said} bytes were taken");
        });
        let error = container.run(cat(), b"", nobody()).result.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("a hello of more than 65536") || text.contains("does not say hello"),
            "{text}"
        );
    }
}

#[test]
fn an_init_that_says_no_hello_or_starts_nothing_is_waited_for_so_long() {
    for says_hello in [false, true] {
        let container = Container::new(0, move |init| {
            if says_hello {
                init.says(&Event::Hello(Hello::new(&[feature::EXEC], "6.12")));
            }
            // Some of the next, and then no more.
            init.control.get_mut().write_all(b"{").unwrap();
            while init.hears().is_some() {}
        });
        let ours = Streams {
            stdin: null(),
            stdout: null(),
            stderr: null(),
        };
        let (limit, start) = (Duration::from_millis(300), Instant::now());
        let error = container
            .serve(cat(), ours, &mut nobody(), limit)
            .unwrap_err();
        let expected = match error {
            ExecError::Silent => !says_hello,
            ExecError::NotStarted => says_hello,
            _ => false,
        };
        assert!(expected, "{error:?}");
        assert!((limit..PATIENCE).contains(&start.elapsed()));
        container.thread.join().unwrap();
    }
}

#[test]
fn a_process_that_has_started_is_not_limited_in_time() {
    // Much for whoever is to start, also when others have the processor.
    let limit = Duration::from_secs(5);
    let container = Container::new(0, move |init| {
        init.starts();
        thread::sleep(limit + Duration::from_secs(1));
        init.ends(Outcome::Exited(8));
    });
    let ours = Streams {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    let outcome = container.serve(cat(), ours, &mut nobody(), limit);
    assert_eq!(outcome.unwrap(), Outcome::Exited(8));
    container.thread.join().unwrap();
}

#[test]
fn signals_end_the_wait_for_hello_and_for_the_start() {
    for says_hello in [false, true] {
        let container = Container::new(0, move |init| {
            if says_hello {
                init.says(&Event::Hello(Hello::new(&[feature::EXEC], "6.12")));
            }
            // What was asked for, and that we have gone.
            while init.hears().is_some() {}
        });
        let wishes = vec![Wish::End(Outcome::signaled(Signal::INT))];
        let ran = container.run(cat(), b"", User::in_haste(wishes));
        assert_eq!(ran.result.unwrap().status(), Status(130));
        assert!(ran.took < START_LIMIT);
    }
}

/// Writes to `stream` until we take no more: how much that was. Gives up after `most` bytes.
fn floods(mut stream: UnixStream, piece: usize, pause: Duration, most: usize) -> usize {
    let start = Instant::now();
    let mut said = 0;
    while said < most && start.elapsed() < PATIENCE {
        match stream.write(&vec![b'z'; piece]) {
            Ok(count) => said += count,
            Err(_) => break,
        }
        thread::sleep(pause);
    }
    said
}

#[test]
fn output_after_the_end_comes_for_a_while_and_in_measure() {
    // A byte now and then, and as much as can be.
    for (piece, pause, most) in [(1, 100, usize::MAX), (1 << 16, 0, 64 << 20)] {
        let container = Container::new(0, move |init| {
            let (_, ports) = init.starts();
            init.ends(Outcome::Exited(5));
            let stream = init.stream(ports.stdout);
            let said = floods(stream, piece, Duration::from_millis(pause), most);
            assert!(said < 32 << 20, "{said} bytes");
        });
        let ran = container.run(cat(), b"", nobody());
        assert_eq!(ran.result.unwrap(), Outcome::Exited(5));
        assert!(ran.took < PATIENCE / 2, "{:?}", ran.took);
    }
}

#[test]
fn a_stream_that_is_left_open_after_the_end_is_given_up() {
    let container = Container::new(0, |init| {
        let (_, ports) = init.starts();
        let kept = [init.stream(ports.stdout), init.stream(ports.stderr)];
        init.ends(Outcome::Exited(6));
        assert_eq!(init.hears(), None);
        drop(kept);
    });
    let ran = container.run(cat(), b"", nobody());
    assert_eq!(ran.result.unwrap(), Outcome::Exited(6));
    assert!((LINGER..PATIENCE / 2).contains(&ran.took), "{:?}", ran.took);
}

#[test]
fn a_signal_after_the_end_waits_for_no_reader() {
    let wishes = vec![Wish::Signal(Signal::TERM); 1000];
    let mut user = User::who_is_told_when(wishes);
    let mut signals = user.other.try_clone().unwrap();
    let container = Container::new(0, move |init| {
        let (_, ports) = init.starts();
        let mut stdout = init.stream(ports.stdout);
        let output = thread::spawn(move || stdout.write_all(&[b'x'; 1 << 20]).unwrap_err());
        init.ends(Outcome::Exited(7));
        // The first may come before the end does.
        while !output.is_finished() {
            let _ = signals.write(b"x");
            thread::sleep(Duration::from_millis(50));
        }
        output.join().unwrap();
    });
    // It does not read, so that we are left with output.
    let (_reader, stdout) = pipe();
    let ours = Streams {
        stdin: null(),
        stdout: file(stdout),
        stderr: null(),
    };
    let outcome = container.serve(cat(), ours, &mut user, START_LIMIT);
    // It does not have all of the output, so that is not told as an end that was well.
    assert_eq!(outcome.unwrap(), Outcome::signaled(Signal::TERM));
    container.thread.join().unwrap();
}

#[test]
fn output_that_a_container_takes_with_it_is_missed() {
    for (stdout, stderr, lost) in [(3, 2, false), (4, 2, true), (3, 3, true), (0, 0, false)] {
        for outcome in [Outcome::Exited(0), Outcome::signaled(Signal::KILL)] {
            let ends = outcome.clone();
            let container = Container::new(0, move |init| {
                let (_, ports) = init.starts();
                init.stream(ports.stdout).write_all(b"abc").unwrap();
                init.stream(ports.stderr).write_all(b"de").unwrap();
                let id = ID;
                init.says(&Event::Output { id, stdout, stderr });
                init.ends(ends);
            });
            let result = container.run(cat(), b"", nobody()).result;
            // A process that was killed is told as that, whatever is missing.
            match lost && outcome == Outcome::Exited(0) {
                false => assert_eq!(result.unwrap(), outcome),
                true => assert!(result.unwrap_err().to_string().contains("not all")),
            }
        }
    }
}

#[test]
fn output_that_a_full_disk_does_not_take_is_missed() {
    for (is_stdout, name) in [(true, "standard output"), (false, "standard error")] {
        let container = Container::new(0, move |init| {
            let (_, ports) = init.starts();
            let port = if is_stdout {
                ports.stdout
            } else {
                ports.stderr
            };
            init.stream(port).write_all(b"the only line\n").unwrap();
            init.ends(Outcome::Exited(0));
        });
        let full = |is| match is {
            true => File::options().write(true).open("/dev/full").unwrap(),
            false => null(),
        };
        let ours = Streams {
            stdin: null(),
            stdout: full(is_stdout),
            stderr: full(!is_stdout),
        };
        let error = container.serve(cat(), ours, &mut nobody(), START_LIMIT);
        let expected = format!("cannot write to {name}: no storage space");
        assert_eq!(error.unwrap_err().to_string(), expected);
        container.thread.join().unwrap();
    }
}

/// One who sends a signal whenever somebody asks.
struct Insisting(UnixStream);

impl Client for Insisting {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn wishes(&mut self, started: bool) -> Vec<Wish> {
        match started {
            true => vec![Wish::Signal(Signal::TERM)],
            false => Vec::new(),
        }
    }

    fn up(&mut self, _isolation: Isolation) {}

    fn tell(&mut self, _event: &Event) {}
}

#[test]
fn a_signal_that_comes_with_the_end_cuts_nothing_where_all_output_is_there() {
    let container = Container::new(0, |init| {
        let (_, ports) = init.starts();
        init.stream(ports.stdout).write_all(b"abc").unwrap();
        drop(init.stream(ports.stderr));
        init.ends(Outcome::Exited(4));
    });
    let (socket, _other) = UnixStream::pair().unwrap();
    let ours = Streams {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    let outcome = container.serve(cat(), ours, &mut Insisting(socket), START_LIMIT);
    assert_eq!(outcome.unwrap(), Outcome::Exited(4));
    container.thread.join().unwrap();
}

#[test]
fn an_init_that_does_not_listen_keeps_no_user_waiting() {
    let container = Container::new(0, |init| {
        let (_, ports) = init.starts();
        // Not a word is taken until the user has had enough, and everything is closed.
        let mut stdout = init.stream(ports.stdout);
        stdout.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = stdout.read(&mut [0]);
        let mut left = Vec::new();
        init.control.read_to_end(&mut left).unwrap();
        assert!(left.len() < 1 << 20, "{} bytes had waited", left.len());
    });
    let mut wishes = vec![Wish::Resize(Terminal::USUAL); 100_000];
    wishes.push(Wish::End(Outcome::signaled(Signal::INT)));
    let mut user = User::who_is_told_when(wishes);
    let mut signals = user.other.try_clone().unwrap();
    let wants = thread::spawn(move || signals.write_all(&[b'x'; 100_001]).unwrap());
    let mut process = cat();
    process.terminal = Some(Terminal::USUAL);
    let ours = Streams {
        stdin: null(),
        stdout: null(),
        stderr: null(),
    };
    let outcome = container.serve(process, ours, &mut user, START_LIMIT);
    assert_eq!(outcome.unwrap().status(), Status(130));
    wants.join().unwrap();
    container.thread.join().unwrap();
}

#[test]
fn what_an_init_does_not_take_is_refused_and_of_sizes_the_newest_counts() {
    let size = |rows| Terminal { rows, columns: 80 };
    let mut wishes = Vec::new();
    for rows in 0..10 {
        wishes.push(Wish::Resize(size(rows)));
        wishes.extend(vec![Wish::Signal(Signal::WINCH); 10]);
    }
    let user = User::in_haste(wishes);
    let socket = user.socket.try_clone().unwrap();
    let container = Container::new(0, move |init| {
        // The wishes are taken before hello.
        let start = Instant::now();
        while ioctl_fionread(&socket).unwrap() > 0 {
            assert!(start.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(1));
        }
        init.starts();
        let terminal = size(9);
        assert_eq!(init.hears(), Some(Request::Resize { id: ID, terminal }));
        for _ in 0..SIGNALS_MAX {
            let signal = Signal::WINCH;
            assert_eq!(init.hears(), Some(Request::Signal { id: ID, signal }));
        }
        init.ends(Outcome::Exited(0));
        assert_eq!(init.hears(), None);
    });
    let mut process = cat();
    process.terminal = Some(Terminal::USUAL);
    let ran = container.run(process, b"", user);
    assert_eq!(ran.result.unwrap(), Outcome::Exited(0));
    let refused = ran.told.iter().filter(
        |event| matches!(event, Event::Refused { message } if message.contains("signal 28")),
    );
    assert_eq!(refused.count(), 100 - SIGNALS_MAX);
}
