// SPDX-License-Identifier: MIT OR Apache-2.0

//! A console device with several named ports (virtio 1.2, 5.3, VIRTIO_CONSOLE_F_MULTIPORT).
//!
//! The same ports that QEMU gives a `native` machine, so that init is the same program in both:
//! numbers from 1 in the order given, port 0 left out (Linux takes it for a console). A port's other end
//! is a [`PortIo`] that never blocks:
//!
//! - guest to host: a buffer stays in the queue until its port has taken all of it, so a slow
//!   reader of our output slows the program down, and nothing is held in between;
//! - host to guest: bytes are read only when the guest has opened the port and given a buffer.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_CONSOLE;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

use super::drain::{Step, drain};
use super::tallies::OfConsole;
use super::{Device, DriverFault, Next, copy_config};
use crate::counts::Tallied;

/// Feature bit (5.3.3).
const F_MULTIPORT: u64 = 1 << 1;
/// Queues of the control messages (5.3.2): to the driver, from the driver.
const CONTROL_IN: usize = 2;
const CONTROL_OUT: usize = 3;
/// Bytes of `struct virtio_console_control` (5.3.6.1): id, event, value.
const CONTROL_SIZE: usize = 8;
/// Messages to a driver that takes none, at most: it gets a few a port, unless it asks again and again.
const CONTROL_MAX: usize = 256;
/// Bytes copied at a time: what Linux sends at once.
const PIECE: usize = 32 << 10;
/// Bytes of output after which a port leaves the rest for later.
const TURN: usize = 256 << 10;
/// Bytes of a buffer of output at most: what was taken of it is passed over again when there is room for
/// more. Linux sends 32 KiB, or what a pipe holds.
const BUFFER_MAX: usize = 4 << 20;

/// `event` of a control message (5.3.6.2).
mod event {
    pub const DEVICE_READY: u16 = 0;
    pub const PORT_ADD: u16 = 1;
    pub const PORT_READY: u16 = 3;
    pub const PORT_OPEN: u16 = 6;
    pub const PORT_NAME: u16 = 7;
}

/// The host's end of a port. Neither call blocks.
pub trait PortIo: Send {
    /// Takes bytes from the guest, some at least; `WouldBlock` if it can take none now. Another error
    /// ends the direction: the rest is thrown away.
    ///
    /// # Errors
    /// As above.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Gives bytes to the guest; 0 ends the direction, `WouldBlock` if there are none now.
    ///
    /// # Errors
    /// As above; another error ends the direction.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;
}

/// What a port waits for on the host's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The guest waits for input.
    pub input: bool,
    /// Output waits for room.
    pub output: bool,
}

struct Port {
    name: String,
    io: Box<dyn PortIo>,
    /// The driver knows the port.
    ready: bool,
    /// A program in the guest has opened it.
    open: bool,
    /// Our end is open: there may be input.
    connected: bool,
    /// Why nobody takes output any more.
    broken: Option<ErrorKind>,
    /// Bytes of the first buffer in the output queue that have been taken.
    taken: usize,
    interest: Interest,
    tally: Arc<OfConsole>,
}

/// The device.
pub struct Console {
    ports: Vec<Port>,
    /// Control messages for the driver.
    messages: VecDeque<Vec<u8>>,
    /// What is copied at the moment.
    piece: Box<[u8]>,
    tally: Arc<OfConsole>,
}

impl std::fmt::Debug for Console {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.ports.iter().map(|port| &port.name).collect();
        formatter
            .debug_struct("Console")
            .field("ports", &names)
            .finish_non_exhaustive()
    }
}

/// Input and output queue of port `number` (5.3.2).
fn queues_of(number: usize) -> (usize, usize) {
    (2 * number + 2, 2 * number + 3)
}

fn control(id: usize, event: u16, value: u16, name: &str) -> Vec<u8> {
    let mut message = (id as u32).to_le_bytes().to_vec();
    message.extend(event.to_le_bytes());
    message.extend(value.to_le_bytes());
    message.extend(name.as_bytes());
    message
}

impl Console {
    /// A device with these ports, by name.
    #[must_use]
    pub fn new(ports: Vec<(String, Box<dyn PortIo>)>) -> Self {
        let tally = Arc::<OfConsole>::default();
        let ports = ports
            .into_iter()
            .map(|(name, io)| Port {
                name,
                io,
                ready: false,
                open: false,
                connected: true,
                broken: None,
                taken: 0,
                interest: Interest::default(),
                tally: Arc::clone(&tally),
            })
            .collect();
        Console {
            ports,
            messages: VecDeque::new(),
            piece: vec![0; PIECE].into(),
            tally,
        }
    }

    /// What port `index` (from 0, as given to [`Console::new`]) waits for.
    #[must_use]
    pub fn interest(&self, index: usize) -> Interest {
        self.ports
            .get(index)
            .map_or_else(Interest::default, |port| port.interest)
    }

    /// Why port `index` takes no more output, if so.
    #[must_use]
    pub fn broken(&self, index: usize) -> Option<ErrorKind> {
        self.ports.get(index)?.broken
    }

    /// What the ports wait for, and which are broken.
    fn waits(&self) -> Vec<(Interest, bool)> {
        let of = |port: &Port| (port.interest, port.broken.is_some());
        self.ports.iter().map(of).collect()
    }

    fn send(&mut self, message: Vec<u8>) -> Result<(), DriverFault> {
        if self.messages.len() == CONTROL_MAX {
            return Err(DriverFault::Request(
                "a console driver that asks and takes no answers",
            ));
        }
        self.messages.push_back(message);
        Ok(())
    }

    /// A control message of the driver's. What makes no sense is ignored, as drivers do (5.3.6.2).
    fn receive(&mut self, message: [u8; CONTROL_SIZE]) -> Result<(), DriverFault> {
        let id = u32::from_le_bytes([message[0], message[1], message[2], message[3]]) as usize;
        let event = u16::from_le_bytes([message[4], message[5]]);
        let value = u16::from_le_bytes([message[6], message[7]]);
        if event == event::DEVICE_READY {
            if value == 1 {
                for number in 1..=self.ports.len() {
                    self.send(control(number, event::PORT_ADD, 1, ""))?;
                }
            }
            return Ok(());
        }
        let Some(port) = id
            .checked_sub(1)
            .and_then(|index| self.ports.get_mut(index))
        else {
            return Ok(());
        };
        match (event, value) {
            (event::PORT_READY, 1) => {
                port.ready = true;
                let name = control(id, event::PORT_NAME, 1, &port.name);
                let open = control(id, event::PORT_OPEN, u16::from(port.connected), "");
                self.send(name)?;
                self.send(open)?;
            }
            (event::PORT_READY, 0) => port.ready = false,
            (event::PORT_OPEN, 0 | 1) => port.open = value == 1,
            _ => {}
        }
        Ok(())
    }

    /// Takes the driver's control messages.
    fn control_out(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<Next, DriverFault> {
        drain(memory, queue, |chain| {
            let mut message = [0; CONTROL_SIZE];
            chain
                .reader(memory)?
                .read_exact(&mut message)
                .map_err(|_| DriverFault::Request("a short console control message"))?;
            self.receive(message)?;
            Ok(Step::Used(0))
        })
    }

    /// Gives the driver its control messages.
    fn control_in(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
    ) -> Result<Next, DriverFault> {
        let messages = &mut self.messages;
        drain(memory, queue, |chain| {
            let Some(message) = messages.front() else {
                return Ok(Step::Keep);
            };
            let mut buffer = chain.writer(memory)?;
            if buffer.available_bytes() < message.len() {
                return Err(DriverFault::Request("a console control buffer too small"));
            }
            buffer.write_all(message)?;
            messages.pop_front();
            Ok(Step::Used(buffer.bytes_written() as u32))
        })
    }
}

impl Port {
    /// Guest to host, by way of `bytes`.
    fn output(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
        bytes: &mut [u8],
    ) -> Result<Next, DriverFault> {
        self.interest.output = false;
        let mut done = 0;
        let next = drain(memory, queue, |chain| {
            let mut reader = chain.reader(memory)?;
            if reader.available_bytes() > BUFFER_MAX {
                return Err(DriverFault::Request("a console buffer too large"));
            }
            skip(&mut reader, self.taken, bytes)?;
            while self.broken.is_none() {
                if done >= TURN {
                    return Ok(Step::Later);
                }
                let length = reader.read(bytes)?;
                if length == 0 {
                    break;
                }
                let mut rest = &bytes[..length];
                while !rest.is_empty() {
                    match self.io.write(rest) {
                        Ok(count @ 1..) => {
                            self.tally.output_bytes.add(count as u64);
                            self.taken += count;
                            done += count;
                            rest = rest.get(count..).unwrap_or(&[]);
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {
                            self.interest.output = true;
                            return Ok(Step::Keep);
                        }
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        other => {
                            let kind = other.err().map_or(ErrorKind::WriteZero, |e| e.kind());
                            self.broken = Some(kind);
                            break;
                        }
                    }
                }
            }
            self.taken = 0;
            Ok(Step::Used(0))
        })?;
        // What is left for the next turn waits for room like the rest: it is not taken yet, and a session does not end
        // before it is.
        self.interest.output |= next.more;
        Ok(next)
    }

    /// Host to guest, by way of `bytes`. The second value is whether input has ended just now.
    fn input(
        &mut self,
        memory: &GuestMemoryMmap,
        queue: &mut Queue,
        bytes: &mut [u8],
    ) -> Result<(Next, bool), DriverFault> {
        self.interest.input = false;
        // Linux throws away what arrives while no program has the port open.
        if !self.open || !self.connected {
            return Ok((Next::default(), false));
        }
        let mut ended = false;
        let next = drain(memory, queue, |chain| {
            let mut buffer = chain.writer(memory)?;
            let room = buffer.available_bytes().min(PIECE);
            if room == 0 {
                return Ok(Step::Used(0));
            }
            loop {
                match self.io.read(&mut bytes[..room]) {
                    Ok(count @ 1..) => {
                        self.tally.input_bytes.add(count as u64);
                        buffer.write_all(bytes.get(..count).unwrap_or(&[]))?;
                        return Ok(Step::Used(count as u32));
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        self.interest.input = true;
                        return Ok(Step::Keep);
                    }
                    // An unreadable input is an empty one.
                    _ => {
                        ended = true;
                        return Ok(Step::Keep);
                    }
                }
            }
        })?;
        if ended {
            self.connected = false;
        }
        Ok((next, ended))
    }
}

/// Passes over the part of a buffer that has been taken before.
fn skip(reader: &mut impl Read, count: usize, scratch: &mut [u8]) -> Result<(), DriverFault> {
    let mut left = count;
    while left != 0 {
        let part = left.min(scratch.len());
        let read = reader.read(&mut scratch[..part])?;
        if read == 0 {
            return Err(DriverFault::Request("a console buffer that has shrunk"));
        }
        left -= read;
    }
    Ok(())
}

impl Device for Console {
    fn id(&self) -> u32 {
        VIRTIO_ID_CONSOLE
    }

    fn features(&self) -> u64 {
        F_MULTIPORT
    }

    fn queue_count(&self) -> usize {
        // Those of port 0 and of the control messages, then two a port.
        4 + 2 * self.ports.len()
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        // struct virtio_console_config (5.3.4): cols, rows, max_nr_ports.
        let mut space = [0; 8];
        space[4..].copy_from_slice(&(self.ports.len() as u32 + 1).to_le_bytes());
        copy_config(&space, offset, data);
    }

    fn tally(&self) -> Option<Tallied> {
        Some(Tallied {
            tally: Arc::clone(&self.tally) as _,
            name: String::new(),
        })
    }

    fn reset(&mut self) {
        self.messages.clear();
        for port in &mut self.ports {
            port.ready = false;
            port.open = false;
            port.taken = 0;
            port.interest = Interest::default();
        }
    }

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        let mut next = Next::default();
        let before = self.waits();
        if let Some(queue) = ready(queues, CONTROL_OUT) {
            next |= self.control_out(memory, queue)?;
        }
        for index in 0..self.ports.len() {
            let (input, output) = queues_of(index + 1);
            // A notification is about one queue; a control message may have opened any port.
            let about = |number| queue.is_none_or(|queue| queue == number || queue == CONTROL_OUT);
            let port = &mut self.ports[index];
            if let Some(queue) = ready(queues, output).filter(|_| about(output)) {
                next |= port.output(memory, queue, &mut self.piece)?;
            }
            let mut ended = false;
            if let Some(queue) = ready(queues, input).filter(|_| about(input)) {
                let (taken, end) = port.input(memory, queue, &mut self.piece)?;
                next |= taken;
                ended = end;
            }
            if ended && port.ready {
                self.send(control(index + 1, event::PORT_OPEN, 0, ""))?;
            }
        }
        if let Some(queue) = ready(queues, CONTROL_IN).filter(|_| !self.messages.is_empty()) {
            next |= self.control_in(memory, queue)?;
        }
        next.waits_changed = self.waits() != before;
        Ok(next)
    }
}

fn ready(queues: &mut [Queue], number: usize) -> Option<&mut Queue> {
    queues.get_mut(number).filter(|queue| queue.ready())
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;
