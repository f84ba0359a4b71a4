// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that is up, and its clients: a thread each.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::{Memory, port};

use super::books::Books;
use super::directory::Locked;
use super::disks::Disks;
use super::hello;
use super::messages::{Answer, Ask, Build, MachineStatus, Wanted};
use super::news::News;
use super::passing::MessageSocket;
use super::published::{Claims, Published};
use super::qmp::Qmp;
use super::setup::socket;
use super::volumes::Volumes;

/// How long places, memory and volumes that others are giving back are waited for.
const ENDING_LIMIT: Duration = Duration::from_secs(5);
/// How long a place may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(10);
/// Places that are tried, when one does not answer.
const TRIES: usize = 3;

/// A machine that is up.
pub(super) struct Machine {
    pub(super) emulator: u32,
    pub(super) build: Build,
    pub(super) network: bool,
    pub(super) cpus: u32,
    pub(super) pool: Memory,
    pub(super) places: u32,
    pub(super) since: Instant,
    /// What the monitor's events change, and somebody may wait for.
    pub(super) books: Arc<(Mutex<Books>, Condvar)>,
    pub(super) disks: Mutex<Disks>,
    pub(super) claims: Claims,
    pub(super) volumes: Volumes,
    /// How many there have been.
    pub(super) leases: AtomicU64,
    /// Nobody gets a place any more.
    pub(super) is_ending: AtomicBool,
    pub(super) monitor: Qmp,
    pub(super) locked: Locked,
    pub(super) news: Sender<News>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves a client for as long as it is there.
pub(super) fn serve(machine: &Machine, mut client: MessageSocket) {
    loop {
        let mut files = Vec::new();
        let answer = match client.receive(&mut files) {
            Ok(None) => return,
            Ok(Some(Ask::Status)) => Answer::Status(machine.status()),
            Ok(Some(Ask::Stop { grace_ms })) => {
                machine.is_ending.store(true, Ordering::Relaxed);
                let _ = machine.news.send(News::Stop(grace_ms));
                // The answer is the end of the connection: this process has ended then, and the machine with it.
                continue;
            }
            Ok(Some(Ask::Lease { volumes, .. })) if volumes != files.len() => {
                let message = format!("{} of {volumes} sockets have come", files.len());
                Answer::Refused { message }
            }
            Ok(Some(Ask::Lease { wanted, .. })) => {
                match machine.lease(&wanted, files, &mut client) {
                    Ok(()) => return,
                    Err(message) => Answer::Refused { message },
                }
            }
            Err(error) => {
                let message = error.to_string();
                // It cannot be told where its next message begins.
                let _ = client.say(&Answer::Refused { message });
                return;
            }
        };
        if client.say(&answer).is_err() {
            return;
        }
    }
}

impl Machine {
    /// How it is.
    pub(super) fn status(&self) -> MachineStatus {
        let books = lock(&self.books.0);
        MachineStatus {
            supervisor: std::process::id(),
            emulator: self.emulator,
            build: self.build.clone(),
            network: self.network,
            cpus: self.cpus,
            pool_mib: self.pool.mib(),
            free_mib: books.free_mib(),
            places: self.places,
            free_places: books.free_places() as u32,
            up_s: self.since.elapsed().as_secs(),
        }
    }

    /// Gives a client a place for as long as it is there, and the container there volumes that are served at the other
    /// ends of these sockets; an error is why not.
    fn lease(
        &self,
        wanted: &Wanted,
        sockets: Vec<OwnedFd>,
        client: &mut MessageSocket,
    ) -> Result<(), String> {
        if self.is_ending.load(Ordering::Relaxed) {
            return Err("it is stopping".to_owned());
        }
        let published = Published::new(&self.monitor, &self.claims, &wanted.publish)?;
        let disk = wanted.disk.as_ref();
        let disk = disk.map(|disk| lock(&self.disks).plug(&self.monitor, disk));
        let disk = disk.transpose()?;
        let volumes = self.volumes.plug(&self.monitor, sockets, ENDING_LIMIT);
        let result = volumes.and_then(|mut volumes| {
            let serial = disk.as_ref().map(|(_, serial)| serial);
            let (place, generation) = self.place(wanted, client, serial, volumes.names())?;
            volumes.are_ending();
            if !wanted.publish.is_empty() {
                // Whoever publishes the same ports next finds them free in the machine, too.
                self.wait_until_after(place, generation, Some(ENDING_LIMIT));
            }
            drop(published);
            if disk.is_some() || !volumes.names().is_empty() {
                // The container may be using them until nothing of it is left. Its client need not wait for that.
                client.end();
                self.wait_until_after(place, generation, None);
            }
            Ok(())
        });
        if let Some((number, _)) = disk {
            lock(&self.disks).release(&self.monitor, number);
        }
        result
    }

    /// Gives a client a place for as long as it is there; which one, and the process that served it.
    fn place(
        &self,
        wanted: &Wanted,
        client: &mut MessageSocket,
        serial: Option<&String>,
        volumes: &[String],
    ) -> Result<(usize, u64), String> {
        for _ in 0..TRIES {
            let place = self.take(wanted.memory.map_or(0, Memory::mib))?;
            let Some((ports, generation)) = self.connect(place) else {
                continue;
            };
            let leased = Answer::Leased {
                serial: serial.cloned(),
                volumes: volumes.to_vec(),
                emulator: self.emulator,
                number: self.leases.fetch_add(1, Ordering::Relaxed) + 1,
            };
            let files: Vec<_> = ports.iter().map(AsFd::as_fd).collect();
            let handed = client.hand_over(&leased, &files);
            // From now on they are the client's alone, and close with it.
            drop(files);
            drop(ports);
            if handed.is_ok() {
                client.wait_for_end();
            }
            lock(&self.books.0).release(place);
            self.books.1.notify_all();
            return Ok((place, generation));
        }
        Err("its places do not answer".to_owned())
    }

    /// Takes a place. What others are giving back is waited for.
    fn take(&self, mib: u32) -> Result<usize, String> {
        let (books, changed) = &*self.books;
        let deadline = Instant::now() + ENDING_LIMIT;
        let mut books = lock(books);
        loop {
            let why = match books.take(mib) {
                Ok(place) => return Ok(place),
                Err(why) => why.to_string(),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || !books.is_something_ending() {
                return Err(why);
            }
            books = changed
                .wait_timeout(books, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits until nothing of what this process of a place served is left, or that takes too long. Without a
    /// limit, that is as long as its processes take to die, or the machine is up.
    fn wait_until_after(&self, place: usize, generation: u64, limit: Option<Duration>) {
        let (books, changed) = &*self.books;
        let left = |books: &mut Books| !books.is_after(place, generation);
        match limit {
            Some(limit) => drop(changed.wait_timeout_while(lock(books), limit, left)),
            None => drop(changed.wait_while(lock(books), left)),
        }
    }

    /// Connects the ports of a place, whose process has said hello then. `None`: it does not answer,
    /// and is given back.
    fn connect(&self, place: usize) -> Option<(Vec<UnixStream>, u64)> {
        let mut ports = Vec::new();
        for name in port::ALL {
            match self.locked.connect(&socket(name, place as u32)) {
                Ok(port) => ports.push(port),
                Err(error) => {
                    tracing::debug!(%error, place, "a place cannot be connected to");
                    self.give_up(place, ports);
                    return None;
                }
            }
        }
        match hello::wait(&ports, Some(HELLO_LIMIT)) {
            Ok(generation) => {
                lock(&self.books.0).met(place, generation);
                Some((ports, generation))
            }
            Err(error) => {
                tracing::debug!(%error, place, "a place does not answer");
                self.give_up(place, ports);
                None
            }
        }
    }

    /// Gives a place back that has not answered. Its process may not have seen yet that somebody is connected, and
    /// would never see that it was so: the ports are kept until it has said hello, and closed then, which ends it.
    fn give_up(&self, place: usize, ports: Vec<UnixStream>) {
        let books = Arc::clone(&self.books);
        if ports.is_empty() {
            lock(&books.0).put_back(place);
            books.1.notify_all();
            return;
        }
        let wait = move || {
            let met = hello::wait(&ports, None);
            if let Ok(generation) = met {
                lock(&books.0).met(place, generation);
            }
            // Before the place can be had.
            drop(ports);
            lock(&books.0).release(place);
            books.1.notify_all();
        };
        // Without a thread the ports are closed at once: the place is free with the next process, if there is one.
        if thread::Builder::new().spawn(wait).is_err() {
            lock(&self.books.0).release(place);
            self.books.1.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;

    use cki_session::{Event, Hello, encode};
    use serde_json::{Value, json};

    use super::super::directory::Directory;
    use super::super::disks::IDLE_MAX;
    use super::*;
    use crate::app_disk::AppDisk;

    /// A QEMU that does whatever it is asked, and tells which commands that are.
    fn qemu() -> (Qmp, mpsc::Receiver<String>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            let mut client = MessageSocket::new(theirs);
            while let Ok(Some(command)) = client.hear::<Value>() {
                let _ = sender.send(command["execute"].as_str().unwrap().to_owned());
                let answer = json!({"return": {}, "id": command["id"]});
                client.say(&answer).unwrap();
            }
        });
        (Qmp::new(ours, |_, _| {}).unwrap(), asked)
    }

    /// A machine with one place, which its first process serves.
    fn machine(directory: &Directory, monitor: Qmp) -> Arc<Machine> {
        let mut books = Books::new(100, 1, 0);
        books.ready(0, 1);
        Arc::new(Machine {
            emulator: 1,
            build: Build {
                qemu: "/q".into(),
                kernel: "/k".into(),
                runtime_disk: None,
            },
            network: false,
            cpus: 1,
            pool: Memory::constant(100),
            places: 1,
            since: Instant::now(),
            books: Arc::new((Mutex::new(books), Condvar::new())),
            disks: Mutex::default(),
            claims: Claims::default(),
            volumes: Volumes::default(),
            leases: AtomicU64::default(),
            is_ending: AtomicBool::new(false),
            monitor,
            locked: directory.lock().unwrap(),
            news: mpsc::channel().0,
        })
    }

    /// The process of the place, which says hello, and goes when its client does.
    fn serve_the_place(directory: &Directory) {
        let listeners = port::ALL
            .map(|name| UnixListener::bind(directory.path().join(socket(name, 0))).unwrap());
        thread::spawn(move || {
            let mut ports = listeners.map(|listener| listener.accept().unwrap().0);
            let hello = Event::Hello(Hello {
                generation: Some(1),
                ..Hello::new(&[], "6.12")
            });
            ports[0].write_all(&encode(&hello).unwrap()).unwrap();
            let _ = BufReader::new(&ports[0]).read_until(0, &mut Vec::new());
        });
    }

    /// Nothing of the first process's session is left.
    fn next_process(machine: &Machine) {
        lock(&machine.books.0).ready(0, 2);
        machine.books.1.notify_all();
    }

    /// Whether anything was unplugged since this was asked last.
    fn unplugs(asked: &mpsc::Receiver<String>) -> bool {
        asked.try_iter().any(|word| word == "device_del")
    }

    /// A client's connection, and the thread that serves it.
    fn client(machine: &Arc<Machine>) -> (MessageSocket, thread::JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let machine = Arc::clone(machine);
        let serving = thread::spawn(move || serve(&machine, MessageSocket::new(ours)));
        (MessageSocket::new(theirs), serving)
    }

    #[test]
    fn a_disk_stays_until_nothing_of_the_container_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let (monitor, asked) = qemu();
        let directory = Directory::new(&scratch.path().join("machines"), "m").unwrap();
        let machine = machine(&directory, monitor);
        let file = |number: usize| -> AppDisk {
            let path = scratch.path().join(number.to_string());
            std::fs::write(&path, "x").unwrap();
            path.into()
        };
        // As many as may be idle: one more, and another is unplugged.
        for number in 0..IDLE_MAX {
            let mut disks = lock(&machine.disks);
            let (number, _) = disks.plug(&machine.monitor, &file(number)).unwrap();
            disks.release(&machine.monitor, number);
        }
        serve_the_place(&directory);
        let (mut theirs, serving) = client(&machine);
        let wanted = Wanted {
            memory: Some(Memory::constant(64)),
            disk: Some(file(IDLE_MAX)),
            publish: Vec::new(),
        };
        theirs.say(&Ask::Lease { wanted, volumes: 0 }).unwrap();
        let mut files = Vec::new();
        let leased = theirs.receive::<Answer>(&mut files).unwrap().unwrap();
        assert!(matches!(leased, Answer::Leased { .. }), "{leased:?}");
        assert_eq!(files.len(), 4);
        // The client goes, which the supervisor has seen when it ends the connection.
        drop(files);
        theirs.socket().shutdown(std::net::Shutdown::Write).unwrap();
        theirs.wait_for_end();
        assert!(!unplugs(&asked), "the container may still read its disk");
        next_process(&machine);
        serving.join().unwrap();
        assert!(unplugs(&asked));
    }

    #[test]
    fn a_volume_stays_until_nothing_of_the_container_is_left_and_is_closed_then() {
        // The client is killed as soon as it has asked, or when it has its place.
        for is_leased in [false, true] {
            let scratch = tempfile::tempdir().unwrap();
            let (monitor, asked) = qemu();
            let directory = Directory::new(scratch.path(), "m").unwrap();
            let machine = machine(&directory, monitor);
            serve_the_place(&directory);
            let (mut theirs, serving) = client(&machine);
            let (wanted, volumes) = (Wanted::default(), 1);
            let (socket, _server) = UnixStream::pair().unwrap();
            let ask = Ask::Lease { wanted, volumes };
            theirs.hand_over(&ask, &[socket.as_fd()]).unwrap();
            if is_leased {
                let leased = theirs.receive::<Answer>(&mut Vec::new()).unwrap().unwrap();
                let Answer::Leased { volumes, .. } = leased else {
                    panic!("{leased:?}");
                };
                assert_eq!(volumes, ["volume1"]);
            }
            drop(theirs);
            let is_given_back = || lock(&machine.books.0).is_something_ending();
            while !is_given_back() {
                thread::sleep(Duration::from_millis(1));
            }
            assert!(
                !unplugs(&asked),
                "the container may still write to its volume"
            );
            next_process(&machine);
            serving.join().unwrap();
            assert!(unplugs(&asked));
        }
    }

    #[test]
    fn a_volume_of_a_container_that_gets_no_place_is_unplugged() {
        let scratch = tempfile::tempdir().unwrap();
        let (monitor, asked) = qemu();
        let directory = Directory::new(scratch.path(), "m").unwrap();
        let machine = machine(&directory, monitor);
        let (mut theirs, _serving) = client(&machine);
        let (socket, _server) = UnixStream::pair().unwrap();
        let mut refused = |memory, volumes| {
            let wanted = Wanted {
                memory: Some(Memory::constant(memory)),
                ..Wanted::default()
            };
            let ask = Ask::Lease { wanted, volumes };
            theirs.hand_over(&ask, &[socket.as_fd()]).unwrap();
            match theirs.hear().unwrap() {
                Some(Answer::Refused { message }) => message,
                other => panic!("{other:?}"),
            }
        };
        let why = refused(128, 1);
        assert!(why.contains("128 MiB are wanted"), "{why}");
        assert!(unplugs(&asked));
        // And nothing is plugged in where sockets were lost on the way.
        assert_eq!(refused(64, 2), "1 of 2 sockets have come");
        assert!(asked.try_iter().next().is_none());
    }
}
