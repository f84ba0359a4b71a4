// SPDX-License-Identifier: MIT OR Apache-2.0

//! A guest that is a thread: it drives the console through exits as Linux does and speaks as cki-init does.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cki_session::{Event, Hello, Incoming, Isolation, Outcome, ProcessId, Request, encode};
use virtio_bindings::virtio_mmio as reg;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::module::fake::Log;
use crate::module::{Exit, ModuleError, Vcpu};

pub const BASE: u64 = 0x4000_0000;
pub const SIZE: u64 = 16 << 20;
const RINGS: u64 = BASE + 0x10_0000;
pub const BUFFERS: u64 = BASE + 0x80_0000;
const QUEUES: u16 = 12;

/// The vCPU of a guest that is a thread.
pub struct ThreadVcpu {
    exits: Receiver<Exit>,
    results: SyncSender<(i64, u64)>,
    log: Arc<Mutex<Log>>,
}

impl Vcpu for ThreadVcpu {
    fn run(&mut self) -> Result<Exit, ModuleError> {
        loop {
            if self.log.lock().unwrap().killed {
                return Err(ModuleError::Ended);
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
pub struct Guest {
    pub exits: SyncSender<Exit>,
    pub results: Receiver<(i64, u64)>,
    pub memory: GuestMemoryMmap,
    log: Arc<Mutex<Log>>,
    available: [u16; QUEUES as usize],
    used: [u16; QUEUES as usize],
    incoming: Incoming,
    /// Ports that the host has closed.
    closed: Vec<u8>,
}

impl Guest {
    /// A guest that runs in a thread of its own, and its vCPU.
    pub fn spawn(
        memory: GuestMemoryMmap,
        log: &Arc<Mutex<Log>>,
        guest: impl FnOnce(&mut Guest) + Send + 'static,
    ) -> ThreadVcpu {
        let (sender, exits) = sync_channel(0);
        let (results, receiver) = sync_channel(1);
        let mut driver = Guest {
            exits: sender,
            results: receiver,
            memory,
            log: Arc::clone(log),
            available: [0; QUEUES as usize],
            used: [0; QUEUES as usize],
            incoming: Incoming::default(),
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
        ThreadVcpu {
            exits,
            results,
            log: Arc::clone(log),
        }
    }

    pub fn hypercall(&self, exit: Exit) -> u64 {
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

    pub fn print(&self, text: &str) {
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
    pub fn open_ports(&mut self) {
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

    pub fn wait_closed(&mut self, port: u8) {
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
    pub fn offer(&mut self, queue: u16, contents: Option<&[u8]>) {
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
    pub fn send(&mut self, queue: u16, bytes: &[u8]) {
        self.offer(queue, Some(bytes));
        self.wait_used(queue);
    }

    pub fn receive(&mut self, queue: u16) -> Vec<u8> {
        let (at, length) = self.wait_used(queue);
        let mut bytes = vec![0; length as usize];
        self.memory
            .read_slice(&mut bytes, GuestAddress(at))
            .unwrap();
        self.offer(queue, None);
        bytes
    }

    pub fn say(&mut self, event: &Event) {
        self.send(5, &encode(event).unwrap());
    }

    pub fn hello(&mut self) {
        self.open_ports();
        self.say(&Event::Hello(Hello::new(&[], "6.12")));
    }

    pub fn hear(&mut self) -> Request {
        loop {
            if let Some(request) = self.incoming.message().unwrap() {
                return request;
            }
            let bytes = self.receive(4);
            self.incoming.push(&bytes);
        }
    }

    /// As far as the program runs; its arguments.
    pub fn start(&mut self) -> Vec<String> {
        self.hello();
        let Request::Run(run) = self.hear() else {
            panic!("no run");
        };
        self.say(&Event::Started {
            id: run.id,
            pid: 2,
            isolation: Isolation::None,
        });
        run.process.argv
    }

    /// Says how the program ended.
    pub fn end(&mut self, outcome: Outcome) {
        let id = ProcessId::MAIN;
        self.say(&Event::Ended { id, outcome });
    }

    /// The program ended by itself.
    pub fn exit(&mut self, status: u8) {
        self.end(Outcome::Exited(status));
    }
}
