// SPDX-License-Identifier: MIT OR Apache-2.0

//! The client of a place whose process has ended: that it hears so, and whether it has gone.

use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cki_session::{Event, Failure, FailureKind, Outcome, ProcessId, encode, port};

use crate::system::ports::{self, PortError};

/// The ports of a place, by which its client is known.
#[derive(Debug)]
pub struct PlacePorts {
    place: u32,
    /// Their devices, that of the control port first, once all of them are known.
    devices: Vec<PathBuf>,
}

impl PlacePorts {
    /// Those of a place.
    #[must_use]
    pub fn of_place(place: u32) -> Self {
        Self {
            place,
            devices: Vec::new(),
        }
    }

    /// Whether nobody is connected to any of them, while no process has them open. Whoever is connected to the control
    /// port gets the farewell.
    ///
    /// # Errors
    /// [`PortError::Open`].
    pub fn is_client_gone(&mut self, farewell: &mut Farewell) -> Result<bool, PortError> {
        if self.devices.is_empty() {
            let of_place = |name| ports::find(Path::new("/sys"), &port::of_place(name, self.place));
            let devices = port::ALL.iter().map(|name| of_place(name));
            // Ports that have not all appeared yet have no client.
            let Some(devices) = devices.collect::<Option<Vec<_>>>() else {
                return Ok(true);
            };
            let path = |device| Path::new("/dev").join(device);
            self.devices = devices.into_iter().map(path).collect();
        }
        let mut opened = Vec::new();
        for device in &self.devices {
            opened.push(ports::open_device(device)?);
        }
        Ok(is_gone(&mut opened, farewell))
    }
}

/// Whether nobody is connected to any of these ports, the first of which is for control.
fn is_gone<P: AsFd + Write>(ports: &mut [P], farewell: &mut Farewell) -> bool {
    let is_connected = |port: &P| ports::is_connected(port, Duration::ZERO);
    if let Some(control) = ports.first_mut().filter(|control| is_connected(control)) {
        farewell.say(control);
        return false;
    }
    !ports.iter().any(is_connected)
}

/// What is said to a client whose process has ended.
#[derive(Debug)]
pub struct Farewell {
    /// What of it is not said yet.
    rest: Vec<u8>,
}

impl Default for Farewell {
    fn default() -> Self {
        let message = "the process that served the program's place has ended";
        let outcome = Outcome::Failed(Failure::new(FailureKind::Internal, message.to_owned()));
        let id = ProcessId::MAIN;
        // A line of that length can be encoded.
        let rest = encode(&Event::Ended { id, outcome }).unwrap_or_default();
        Self { rest }
    }
}

impl Farewell {
    /// Says as much of the rest as the port, which does not block, has room for.
    fn say(&mut self, control: &mut impl Write) {
        while !self.rest.is_empty() {
            match control.write(&self.rest) {
                Ok(0) => return,
                Ok(count) => drop(self.rest.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // There is no room until the client has read what came before, or it goes.
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ports() -> (Vec<UnixStream>, Vec<UnixStream>) {
        let pairs = port::ALL.map(|_| UnixStream::pair().unwrap());
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        for port in &ours {
            port.set_nonblocking(true).unwrap();
        }
        (ours, theirs)
    }

    #[test]
    fn a_client_has_gone_when_it_has_left_all_ports_in_whatever_order() {
        for last in 0..port::ALL.len() {
            let (mut ours, mut theirs) = ports();
            let kept = theirs.swap_remove(last);
            drop(theirs);
            let mut farewell = Farewell::default();
            assert!(!is_gone(&mut ours, &mut farewell), "port {last}");
            // Who has left the control port cannot hear anything.
            assert_eq!(farewell.rest.is_empty(), last == 0);
            drop(kept);
            assert!(is_gone(&mut ours, &mut farewell), "port {last}");
        }
    }

    #[test]
    fn a_client_that_does_not_read_hears_the_farewell_when_it_does_once() {
        let (mut ours, mut theirs) = ports();
        let mut before = 0;
        while let Ok(count) = ours[0].write(&[b'x'; 4096]) {
            before += count;
        }
        let mut farewell = Farewell::default();
        let whole = farewell.rest.clone();
        for _ in 0..2 {
            assert!(!is_gone(&mut ours, &mut farewell));
        }
        theirs[0].read_exact(&mut vec![0; before]).unwrap();
        for _ in 0..2 {
            assert!(!is_gone(&mut ours, &mut farewell));
        }
        let mut heard = vec![0; whole.len()];
        theirs[0].read_exact(&mut heard).unwrap();
        assert_eq!(heard, whole);
        drop(ours);
        assert_eq!(theirs[0].read(&mut [0]).unwrap(), 0, "and only once");
    }
}
