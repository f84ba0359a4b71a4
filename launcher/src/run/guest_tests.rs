//! Whole sessions with a guest that is a thread: it drives the console through exits as Linux does and
//! speaks as cki-init does.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cki_abi::hypercalls::arguments::{EVENT_DEVICE, SHUTDOWN_POWEROFF};
use cki_session::{GuestMessage, HostMessage, Isolation, LineBuffer, Run, VERSION, decode, encode};
use nix::sys::signalfd::SignalFd;
use virtio_bindings::virtio_mmio as reg;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::console::GuestConsole;
use super::machine::Machine;
use super::outcome::{Outcome, SessionError};
use super::session::{Io, Plan, Session};
use super::streams::{Outgoing, events};
use crate::device::fake::{FakeContainer, Log};
use crate::device::{Container, DeviceError, Exit, Fault, Vcpu};
use crate::guest::layout::Place;
use crate::guest::load::map;

const BASE: u64 = 0x4000_0000;
const SIZE: u64 = 16 << 20;
const RINGS: u64 = BASE + 0x10_0000;
const BUFFERS: u64 = BASE + 0x80_0000;
const QUEUES: u16 = 12;

/// The vCPU of a guest that is a thread.
struct ThreadVcpu {
    exits: Receiver<Exit>,
    results: SyncSender<(i64, u64)>,
    log: Arc<Mutex<Log>>,
}

impl Vcpu for ThreadVcpu {
    fn run(&mut self) -> Result<Exit, DeviceError> {
        loop {
            if self.log.lock().unwrap().killed {
                return Err(DeviceError::Ended);
            }
            match self.exits.recv_timeout(Duration::from_millis(5)) {
                Ok(exit) => return Ok(exit),
                Err(RecvTimeoutError::Timeout) => {}
                // A guest that loops without an exit, until it is killed.
                Err(RecvTimeoutError::Disconnected) => {
                    thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }
    fn complete(&mut self, status: i64, value: u64) {
        self.log.lock().unwrap().completed.push((status, value));
        let _ = self.results.send((status, value));
    }
}

/// The guest's side. A call panics when the container is killed, which ends the thread.
struct Guest {
    exits: SyncSender<Exit>,
    results: Receiver<(i64, u64)>,
    memory: GuestMemoryMmap,
    log: Arc<Mutex<Log>>,
    available: [u16; QUEUES as usize],
    used: [u16; QUEUES as usize],
    lines: LineBuffer,
    /// Ports that the host has closed.
    closed: Vec<u8>,
}

impl Guest {
    fn hypercall(&self, exit: Exit) -> u64 {
        self.exits.send(exit).unwrap();
        let (status, value) = self.results.recv().unwrap();
        assert_eq!(status, 0, "{exit:?}");
        value
    }

    fn write(&self, register: u32, value: u32) {
        self.hypercall(Exit::MmioWrite {
            device: 0,
            offset: register.into(),
            size: 4,
            value: value.into(),
        });
    }

    fn read(&self, register: u32) -> u32 {
        self.hypercall(Exit::MmioRead {
            device: 0,
            offset: register.into(),
            size: 4,
        }) as u32
    }

    fn print(&self, text: &str) {
        self.memory
            .write_slice(text.as_bytes(), GuestAddress(BUFFERS))
            .unwrap();
        let taken = self.hypercall(Exit::ConsoleWrite {
            hpa: BUFFERS,
            length: text.len() as u64,
        });
        assert_eq!(taken, text.len() as u64);
    }

    /// Brings the console up and opens its ports.
    fn open_ports(&mut self) {
        assert_eq!(self.read(reg::VIRTIO_MMIO_DEVICE_ID), 3);
        self.write(reg::VIRTIO_MMIO_STATUS, 0);
        self.write(reg::VIRTIO_MMIO_STATUS, 3);
        self.write(reg::VIRTIO_MMIO_DRIVER_FEATURES, 2);
        self.write(reg::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
        self.write(reg::VIRTIO_MMIO_DRIVER_FEATURES, 1);
        self.write(reg::VIRTIO_MMIO_STATUS, 11);
        assert_eq!(self.read(reg::VIRTIO_MMIO_STATUS), 11);
        for queue in 0..QUEUES {
            let base = RINGS + 0x4000 * u64::from(queue);
            self.write(reg::VIRTIO_MMIO_QUEUE_SEL, queue.into());
            self.write(reg::VIRTIO_MMIO_QUEUE_NUM, 16);
            self.write(reg::VIRTIO_MMIO_QUEUE_DESC_LOW, base as u32);
            self.write(reg::VIRTIO_MMIO_QUEUE_AVAIL_LOW, base as u32 + 0x1000);
            self.write(reg::VIRTIO_MMIO_QUEUE_USED_LOW, base as u32 + 0x2000);
            self.write(reg::VIRTIO_MMIO_QUEUE_READY, 1);
            assert_eq!(self.read(reg::VIRTIO_MMIO_QUEUE_READY), 1);
        }
        self.write(reg::VIRTIO_MMIO_STATUS, 15);
        // Input of the control messages, of port 1 (control) and port 2 (standard input).
        for queue in [2, 4, 6] {
            for _ in 0..8 {
                self.offer(queue, None);
            }
        }
        self.control(0, 0, 1);
        for port in 1..=4 {
            self.control(port, 3, 1);
            self.control(port, 6, 1);
        }
        // Four ports are added, named and opened; one may have been closed by then.
        let mut seen = 0;
        while seen < 12 {
            if !self.note_closed() {
                seen += 1;
            }
        }
    }

    /// Takes a control message; whether it says that our side of a port is closed.
    fn note_closed(&mut self) -> bool {
        let message = self.receive(2);
        let closed = message[4..] == [6, 0, 0, 0];
        if closed {
            self.closed.push(message[0]);
        }
        closed
    }

    fn wait_closed(&mut self, port: u8) {
        while !self.closed.contains(&port) {
            self.note_closed();
        }
    }

    fn control(&mut self, id: u32, event: u16, value: u16) {
        let mut message = id.to_le_bytes().to_vec();
        message.extend(event.to_le_bytes());
        message.extend(value.to_le_bytes());
        self.send(3, &message);
    }

    /// Makes a buffer available: with contents to be read, or empty to be written.
    fn offer(&mut self, queue: u16, contents: Option<&[u8]>) {
        let slot = self.available[usize::from(queue)] % 16;
        let buffer = BUFFERS + 0x4_0000 * u64::from(queue) + 0x4000 * u64::from(slot);
        let base = RINGS + 0x4000 * u64::from(queue);
        let put = |at: u64, bytes: &[u8]| self.memory.write_slice(bytes, GuestAddress(at)).unwrap();
        let length = contents.map_or(0x1000, <[u8]>::len) as u32;
        put(buffer, contents.unwrap_or(&[]));
        let descriptor = base + 16 * u64::from(slot);
        put(descriptor, &buffer.to_le_bytes());
        put(descriptor + 8, &length.to_le_bytes());
        let flags: u16 = if contents.is_some() { 0 } else { 2 };
        put(descriptor + 12, &flags.to_le_bytes());
        put(base + 0x1004 + 2 * u64::from(slot), &slot.to_le_bytes());
        let next = self.available[usize::from(queue)].wrapping_add(1);
        put(base + 0x1002, &next.to_le_bytes());
        self.available[usize::from(queue)] = next;
        self.write(reg::VIRTIO_MMIO_QUEUE_NOTIFY, queue.into());
    }

    /// Waits for the next used buffer of a queue, idle as a guest would be.
    fn wait_used(&mut self, queue: u16) -> (u64, u32) {
        let base = RINGS + 0x4000 * u64::from(queue) + 0x2000;
        let seen = self.used[usize::from(queue)];
        loop {
            let index: u16 = self.memory.read_obj(GuestAddress(base + 2)).unwrap();
            if index != seen {
                break;
            }
            assert!(!self.log.lock().unwrap().killed, "killed while waiting");
            thread::sleep(Duration::from_millis(1));
        }
        self.used[usize::from(queue)] = seen.wrapping_add(1);
        let slot = base + 4 + 8 * u64::from(seen % 16);
        let head: u32 = self.memory.read_obj(GuestAddress(slot)).unwrap();
        let length = self.memory.read_obj(GuestAddress(slot + 4)).unwrap();
        (
            BUFFERS + 0x4_0000 * u64::from(queue) + 0x4000 * u64::from(head),
            length,
        )
    }

    /// Sends bytes, and returns when the host has taken them.
    fn send(&mut self, queue: u16, bytes: &[u8]) {
        self.offer(queue, Some(bytes));
        self.wait_used(queue);
    }

    fn receive(&mut self, queue: u16) -> Vec<u8> {
        let (at, length) = self.wait_used(queue);
        let mut bytes = vec![0; length as usize];
        self.memory
            .read_slice(&mut bytes, GuestAddress(at))
            .unwrap();
        self.offer(queue, None);
        bytes
    }

    fn say(&mut self, message: &GuestMessage) {
        self.send(5, &encode(message).unwrap());
    }

    fn hello(&mut self) {
        self.open_ports();
        self.say(&GuestMessage::Hello {
            version: VERSION,
            kernel: "6.12".to_owned(),
        });
    }

    fn hear(&mut self) -> HostMessage {
        loop {
            if let Some(line) = self.lines.next_line().unwrap() {
                return decode(&line).unwrap();
            }
            let bytes = self.receive(4);
            self.lines.push(&bytes);
        }
    }

    /// As far as the program runs; its arguments.
    fn start(&mut self) -> Vec<String> {
        self.hello();
        let HostMessage::Run(run) = self.hear() else {
            panic!("no run");
        };
        self.say(&GuestMessage::Started {
            pid: 2,
            isolation: Isolation::None,
        });
        run.argv
    }
}

/// The test's ends of a session's streams.
struct Ends {
    stdin: Option<UnixStream>,
    stdout: UnixStream,
    stderr: UnixStream,
    log: Arc<Mutex<Log>>,
}

fn pair() -> (UnixStream, std::fs::File) {
    let (here, there) = UnixStream::pair().unwrap();
    (here, std::fs::File::from(OwnedFd::from(there)))
}

fn plan() -> Plan {
    Plan {
        run: Some(Run {
            argv: vec!["echo".to_owned(), "hello".to_owned()],
            env: Vec::new(),
            cwd: "/".to_owned(),
            hostname: "cki".to_owned(),
            container: None,
            pool_mib: None,
        }),
        timeout: None,
        start_limit: Duration::from_secs(20),
    }
}

fn session(guest: impl FnOnce(&mut Guest) + Send + 'static) -> (Session, Ends) {
    let container = FakeContainer::new(&[(BASE, SIZE)]);
    let log = Arc::clone(&container.log);
    let pieces = [(
        Place {
            hpa: BASE,
            size: SIZE,
        },
        0,
    )];
    let (memory, seen) = (
        map(&container.memory(), &pieces).unwrap(),
        map(&container.memory(), &pieces).unwrap(),
    );
    let (sender, exits) = sync_channel(0);
    let (results, receiver) = sync_channel(1);
    let mut driver = Guest {
        exits: sender,
        results: receiver,
        memory: seen,
        log: Arc::clone(&log),
        available: [0; QUEUES as usize],
        used: [0; QUEUES as usize],
        lines: LineBuffer::default(),
        closed: Vec::new(),
    };
    let (up, is_up) = std::sync::mpsc::channel();
    thread::spawn(move || {
        up.send(()).unwrap();
        // A guest that fails ends the session with a reason that no test expects.
        let guest = std::panic::AssertUnwindSafe(|| guest(&mut driver));
        if std::panic::catch_unwind(guest).is_err() {
            let _ = driver.exits.send(Exit::Unknown(0xdead));
        }
    });
    is_up.recv().unwrap();
    let (stdin, stdin_there) = pair();
    let (stdout, stdout_there) = pair();
    let (stderr, stderr_there) = pair();
    let io = Io {
        stdin: stdin_there,
        stdout: stdout_there,
        stderr: stderr_there,
    };
    let (events, inbox) = events().unwrap();
    let outgoing = Outgoing::default();
    let ports = io.ports(&events, &outgoing).unwrap();
    let machine = Machine::new(
        Arc::new(container),
        memory,
        GuestConsole::default(),
        ports,
        None,
        events,
    )
    .unwrap();
    let session = Session {
        machine: Arc::new(machine),
        vcpu: Box::new(ThreadVcpu {
            exits,
            results,
            log: Arc::clone(&log),
        }),
        outgoing,
        inbox,
        signals: SignalFd::new(&nix::sys::signal::SigSet::empty()).unwrap(),
        io,
    };
    let ends = Ends {
        stdin: Some(stdin),
        stdout,
        stderr,
        log,
    };
    (session, ends)
}

fn run(plan: Plan, session: Session) -> Result<Outcome, SessionError> {
    session.run(plan, || Ok(()), || ())
}

fn rest(mut stream: UnixStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_programs_output_and_status_come_out() {
    let (session, ends) = session(|guest| {
        let argv = guest.start();
        guest.send(9, argv[1].as_bytes());
        guest.send(11, b"a warning\n");
        guest.say(&GuestMessage::Exited { status: 7 });
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
        guest.say(&GuestMessage::Exited { status: 0 });
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
        guest.say(&GuestMessage::Exited { status: 0 });
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
    assert_eq!(run(plan(), session).unwrap(), Outcome::BrokenPipe);
    assert!(ends.log.lock().unwrap().killed);
}

#[test]
fn time_is_up_for_a_program_that_obeys_and_one_that_does_not() {
    for obeys in [true, false] {
        let (session, _ends) = session(move |guest| {
            guest.start();
            assert_eq!(guest.hear(), HostMessage::Signal { signal: 15 });
            if obeys {
                guest.say(&GuestMessage::Signaled {
                    signal: 15,
                    oom: false,
                });
            }
        });
        let plan = Plan {
            timeout: Some(Duration::from_millis(50)),
            ..plan()
        };
        assert_eq!(run(plan, session).unwrap(), Outcome::TimedOut);
    }
}

#[test]
fn failures_of_the_program_have_their_outcomes() {
    let say = |message: GuestMessage| {
        let (session, _ends) = session(move |guest| {
            guest.hello();
            guest.hear();
            guest.say(&message);
        });
        run(plan(), session)
    };
    use cki_session::FailureKind;
    let failed = |kind| GuestMessage::Failed {
        message: "nope: not found".to_owned(),
        kind,
    };
    assert_eq!(
        say(failed(FailureKind::NotFound)).unwrap(),
        Outcome::NotRun {
            message: "nope: not found".to_owned(),
            status: 127
        }
    );
    assert!(matches!(
        say(failed(FailureKind::Image)),
        Err(SessionError::Init { .. })
    ));
    let killed = GuestMessage::Signaled {
        signal: 9,
        oom: true,
    };
    assert_eq!(
        say(killed).unwrap(),
        Outcome::Signaled {
            signal: 9,
            oom: true
        }
    );
}

#[test]
fn a_panic_is_reported_with_the_console() {
    let (session, _ends) = session(|guest| {
        guest.print("Linux version 6.12\n");
        let words = b"Kernel panic - not syncing: VFS\n";
        guest
            .memory
            .write_slice(words, GuestAddress(BUFFERS))
            .unwrap();
        guest
            .exits
            .send(Exit::Panic {
                hpa: BUFFERS,
                length: words.len() as u64,
            })
            .unwrap();
    });
    let text = run(plan(), session).unwrap_err().to_string();
    for part in ["panicked before its init was up", "Linux version", "VFS"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn every_bad_end_is_told() {
    let ends: [(Exit, &str); 4] = [
        (Exit::GuestFault(Fault::default()), "no handler"),
        (Exit::MonitorFault(Fault::default()), "the monitor"),
        (Exit::Unknown(42), "reason 42"),
        (
            Exit::Shutdown {
                reason: SHUTDOWN_POWEROFF,
                code: 0,
            },
            "switched itself off",
        ),
    ];
    for (exit, part) in ends {
        let (session, _ends) = session(move |guest| {
            guest.start();
            guest.exits.send(exit).unwrap();
        });
        let text = run(plan(), session).unwrap_err().to_string();
        assert!(text.contains(part), "{part} in {text}");
        assert!(text.contains("while the program was running"), "{text}");
    }
}

#[test]
fn a_guest_that_loops_before_init_is_given_up() {
    let (session, ends) = session(|guest| {
        guest.print("about to loop\n");
        loop {
            thread::sleep(Duration::from_secs(60));
        }
    });
    let plan = Plan {
        start_limit: Duration::from_millis(80),
        ..plan()
    };
    let error = run(plan, session).unwrap_err();
    assert!(matches!(error, SessionError::Hangs { .. }), "{error}");
    assert!(error.to_string().contains("about to loop"));
    assert!(ends.log.lock().unwrap().killed);
}

#[test]
fn a_guest_that_speaks_nonsense_is_refused() {
    let (session, _ends) = session(|guest| {
        guest.open_ports();
        guest.send(5, b"login: \n");
    });
    assert!(matches!(
        run(plan(), session),
        Err(SessionError::Protocol(_))
    ));
    let (session, _ends) = self::session(|guest| {
        guest.open_ports();
        guest.say(&GuestMessage::Hello {
            version: VERSION + 1,
            kernel: String::new(),
        });
    });
    assert!(matches!(
        run(plan(), session),
        Err(SessionError::Protocol(_))
    ));
}

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
        guest.say(&GuestMessage::Exited { status: 0 });
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

/// The tests below run the whole session in a process of its own, because a filter stays.
const CHILD: &str = "CKI_TEST_SECCOMP";

fn in_child(test: &str, role: &str) -> std::process::ExitStatus {
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, role)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
}

#[test]
fn a_whole_session_runs_under_the_filter_and_other_calls_kill_it() {
    const NAME: &str =
        "run::guest_tests::a_whole_session_runs_under_the_filter_and_other_calls_kill_it";
    if let Ok(role) = std::env::var(CHILD) {
        confined(&role);
    }
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(in_child(NAME, "session").code(), Some(44));
    for forbidden in ["open", "ioctl", "exec-memory", "socket"] {
        let status = in_child(NAME, forbidden);
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{forbidden}: {status}");
    }
}

/// The child: a session under the filter, then what it was asked to try.
fn confined(role: &str) -> ! {
    let (session, mut ends) = session(|guest| {
        guest.print("booting\n");
        guest.start();
        let text = guest.receive(6);
        guest.send(9, &text);
        guest.say(&GuestMessage::Exited { status: 44 });
    });
    ends.stdin.take().unwrap().write_all(b"input").unwrap();
    let confine = || {
        super::seccomp::apply().map_err(|error| SessionError::Host {
            what: "seccomp",
            source: std::io::Error::other(error),
        })
    };
    let outcome = session.run(plan(), confine, || ()).unwrap();
    match role {
        "session" => {}
        "open" => drop(std::fs::File::open("/dev/null")),
        "ioctl" => {
            use std::io::IsTerminal;
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
    std::process::exit(outcome.status().into());
}
