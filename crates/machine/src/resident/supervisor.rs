// SPDX-License-Identifier: MIT OR Apache-2.0

//! The process that keeps a machine up.

use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cki_process::exec::describe;
use cki_session::gate::{Gate, cut};
use cki_session::{Event, Outcome, Outgoing, Request, encode, printable};
use serde_json::json;

use super::books::Books;
use super::directory::Directory;
use super::disks::Disks;
use super::emulator::Emulator;
use super::leases::{Machine, serve};
use super::messages::{Answer, Build, SERVE};
use super::news::News;
use super::passing::MessageSocket;
use super::published::Claims;
use super::qmp::Qmp;
use super::setup::{SPARE, Setup};
use super::volumes::{self, Volumes};
use crate::error::advice;
use crate::patience::{Patience, START_LIMIT};
use crate::relay;

/// How long the emulator may take to end beyond the time that programs have.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Lines of the log, and characters of each, that whoever starts a machine in vain is told.
const LOG_LINES: usize = 40;
const LOG_COLUMNS: usize = 1000;
/// After a client that could not be served.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps a machine up, if this process was started for that: with `serve-machine` as its only argument, and a socket as
/// its standard input, on which it gets its [`Setup`], and says that the machine is up, or why not.
///
/// `close_others` closes all files but the standard ones: what whoever started us had open is not to stay open for as
/// long as the machine is up.
#[must_use]
pub fn serve_if_asked(close_others: impl FnOnce() -> io::Result<()>) -> Option<ExitCode> {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let [word] = &words[..] else { return None };
    if word != SERVE {
        return None;
    }
    Some(match close_others().and_then(|()| run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

/// Everything from the setup to the machine's end.
fn run() -> io::Result<()> {
    // Signals from the terminal are not for us. It fails where this process leads a session already.
    let _ = rustix::process::setsid();
    // QEMU does not get it.
    let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let mut starter = MessageSocket::new(UnixStream::from(socket));
    let Some(setup) = starter.hear::<Setup>()? else {
        return Ok(());
    };
    let result = up(&setup, &mut starter);
    if let Err(why) = &result {
        let message = why.to_string();
        let _ = starter.say(&Answer::Refused { message });
    }
    result
}

fn up(setup: &Setup, starter: &mut MessageSocket) -> io::Result<()> {
    let directory = Directory::new(&setup.machines, &setup.name).map_err(io::Error::other)?;
    let locked = directory.lock().map_err(io::Error::other)?;
    let machine = setup.machine().map_err(io::Error::other)?;
    let (news, queue) = mpsc::channel();
    let mut emulator = Emulator::start(setup, &machine, &locked, &news)?;
    let pid = emulator.qemu.pids().first().copied().unwrap_or_default();
    let books = Arc::new((
        Mutex::new(Books::new(
            setup.pool.mib(),
            setup.places as usize,
            SPARE as usize,
        )),
        Condvar::new(),
    ));
    let monitor = monitor(emulator.monitor.try_clone()?, news.clone())?;
    let shared = Arc::new(Machine {
        emulator: pid,
        build: Build::of(&machine),
        network: setup.network,
        cpus: setup.cpus,
        pool: setup.pool,
        places: setup.places,
        since: Instant::now(),
        books: Arc::clone(&books),
        disks: Mutex::new(Disks::default()),
        claims: Claims::default(),
        volumes: Volumes::default(),
        leases: AtomicU64::default(),
        is_ending: AtomicBool::new(false),
        monitor,
        locked,
        news: news.clone(),
    });
    hear(&emulator, books, news.clone())?;
    let gone = starter.socket().try_clone()?;
    thread::spawn(move || {
        relay::drain(gone);
        let _ = news.send(News::StarterGone);
    });
    let request = Request::Serve(Box::new(setup.request(&machine)));
    let result = wait_until_up(&mut emulator, pid, &request, &shared, &queue).and_then(|()| {
        let listener = shared.locked.listen()?;
        starter.say(&Answer::Status(shared.status()))?;
        let machine = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                let machine = Arc::clone(&machine);
                let serve = |client| {
                    let serve = move || serve(&machine, MessageSocket::new(client));
                    thread::Builder::new().spawn(serve)
                };
                if client.and_then(serve).is_err() {
                    // There are too many files or threads just now. Whoever waits is served later.
                    thread::sleep(PAUSE);
                }
            }
        });
        stay_up(&mut emulator, &shared, &queue)
    });
    // Whatever happened, the emulator is gone, and the name free.
    let _ = emulator.qemu.kill();
    let _ = emulator.qemu.wait();
    shared.locked.unlock();
    result
}

/// The monitor.
fn monitor(port: UnixStream, news: Sender<News>) -> io::Result<Qmp> {
    Qmp::new(port, move |event, data| {
        if let ("DEVICE_DELETED", Some(device)) = (event, data["device"].as_str()) {
            let _ = news.send(News::Unplugged(device.to_owned()));
        }
    })
}

/// Listens to the machine's init, which keeps the books.
fn hear(
    emulator: &Emulator,
    books: Arc<(Mutex<Books>, Condvar)>,
    news: Sender<News>,
) -> io::Result<()> {
    let port = emulator.machine.try_clone()?;
    thread::spawn(move || {
        let mut gate = Gate::for_machine();
        // What is no message is as good as none: the emulator's end tells.
        let _ = relay::messages(port, |event| {
            // Whoever has taken the machine over may say it without end, so nothing is kept of it that is not needed.
            if let Event::Ready { place, generation } = event {
                let (books, changed) = &*books;
                let mut books = super::leases::lock(books);
                let were_open = books.are_open();
                books.ready(place as usize, generation);
                drop(books);
                changed.notify_all();
                if !were_open {
                    let _ = news.send(News::Machine(event));
                }
            } else if let Some(event) = gate.pass(event) {
                let _ = news.send(News::Machine(event));
            }
        });
    });
    Ok(())
}

/// Waits until all places are ready; an error says why they are not.
fn wait_until_up(
    emulator: &mut Emulator,
    pid: u32,
    request: &Request,
    machine: &Machine,
    queue: &Receiver<News>,
) -> io::Result<()> {
    let mut patience = Patience::new(Some(pid), machine.since, START_LIMIT);
    loop {
        let left = patience
            .deadline()
            .saturating_duration_since(Instant::now());
        let why = match queue.recv_timeout(left) {
            Ok(News::Machine(Event::Ready { .. }))
                if super::leases::lock(&machine.books.0).are_open() =>
            {
                return Ok(());
            }
            Ok(News::Machine(Event::Hello(hello))) => match hello.check() {
                Ok(()) => {
                    let mut asked = Outgoing::default();
                    let clock = crate::request::clock(&hello);
                    for request in clock.iter().chain([request]) {
                        asked.push(request).map_err(io::Error::other)?;
                    }
                    // Its socket is one that waits.
                    asked.write_to(&mut &emulator.machine)?;
                    continue;
                }
                Err(mismatch) => {
                    format!("its init and this program do not fit together: {mismatch}")
                }
            },
            Ok(News::Machine(Event::Ended {
                outcome: Outcome::Failed(failure),
                ..
            })) => printable(&failure.message).to_string(),
            Ok(News::Ended(status)) => format!("the emulator {}", describe(status)),
            Ok(News::StarterGone) => "whoever started it has gone".to_owned(),
            Ok(_) => continue,
            Err(_) if !patience.is_over() => continue,
            Err(_) => "it takes too long".to_owned(),
        };
        let _ = emulator.qemu.kill();
        emulator.hear_out();
        let console = emulator.console.text();
        let console = console.trim();
        let log = machine.locked.directory().log();
        let said = std::fs::read_to_string(log).unwrap_or_default();
        let said = if said.is_empty() {
            console
        } else {
            said.trim()
        };
        let (said, advice) = (end(said), advice(said));
        let text = format!("{why}\n{said}{advice}");
        return Err(io::Error::other(text.trim().to_owned()));
    }
}

/// The last lines of a log, for people: all of it may be more than a message holds.
fn end(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    let last = last.iter().map(|line| {
        let line: String = line.chars().take(LOG_COLUMNS).collect();
        printable(&line).to_string()
    });
    last.collect::<Vec<_>>().join("\n")
}

/// Keeps the machine up until it ends.
fn stay_up(emulator: &mut Emulator, machine: &Machine, queue: &Receiver<News>) -> io::Result<()> {
    let mut deadline: Option<Instant> = None;
    loop {
        let news = match deadline {
            None => queue.recv().ok(),
            Some(deadline) => queue
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .ok(),
        };
        match news {
            Some(News::Ended(status)) => {
                if deadline.is_none() {
                    emulator.note(&format!("the emulator {}", describe(status)));
                }
                return Ok(());
            }
            // Init did not manage it.
            None => return Ok(()),
            Some(News::Stop(grace_ms)) if deadline.is_none() => {
                let grace = Duration::from_millis(grace_ms.into());
                deadline = Some(Instant::now() + grace + END_LIMIT);
                if let Ok(line) = encode(&Request::Stop { grace_ms }) {
                    // It fails where the machine has gone, which its end tells.
                    let _ = (&emulator.machine).write_all(&line);
                }
            }
            Some(News::Unplugged(device)) if volumes::is_port(&device) => {
                volumes::close(&machine.monitor, &device);
            }
            Some(News::Unplugged(disk)) => {
                // One that is not there is none to close.
                let _ = machine
                    .monitor
                    .execute("blockdev-del", &json!({"node-name": disk}));
            }
            Some(News::Machine(Event::Ended {
                outcome: Outcome::Failed(mut failure),
                ..
            })) => {
                cut(&mut failure.message, LOG_LINES * LOG_COLUMNS);
                let text = format!("cki-build: init: {}\n", printable(&failure.message));
                let _ = emulator.log.write_all(text.as_bytes());
            }
            Some(News::Stop(_) | News::Machine(_) | News::StarterGone) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_told_and_can_be_shown() {
        assert_eq!(end("a\nb"), "a\nb");
        let long = format!(
            "first\n{}\u{1b}[2J",
            format!("{}\n", "x".repeat(9999)).repeat(100)
        );
        let told = end(&long);
        assert!(told.len() < LOG_LINES * (LOG_COLUMNS + 1));
        assert!(
            !told.contains("first") && !told.contains('\u{1b}'),
            "{told}"
        );
    }
}
