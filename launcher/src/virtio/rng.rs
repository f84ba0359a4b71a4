// SPDX-License-Identifier: MIT OR Apache-2.0

//! An entropy device (virtio 1.2, 5.4): the guest's buffers are filled with random bytes.

use std::io::{Read, Write};
use std::sync::Arc;

use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

use super::drain::{Step, drain};
use super::tallies::OfEntropy;
use super::{Device, DriverFault, Next};
use crate::counts::Tallied;

/// Bytes of a buffer that are filled at most. Linux asks for some dozens at a time.
const PIECE: usize = 256;

/// The device; `R` gives random bytes and does not end.
#[derive(Debug)]
pub struct Rng<R> {
    random: R,
    tally: Arc<OfEntropy>,
}

impl<R: Read + Send> Rng<R> {
    /// A device on a source of random bytes.
    pub fn new(random: R) -> Self {
        Rng {
            random,
            tally: Arc::default(),
        }
    }
}

impl<R: Read + Send> Device for Rng<R> {
    fn id(&self) -> u32 {
        VIRTIO_ID_RNG
    }

    fn features(&self) -> u64 {
        0
    }

    fn queue_count(&self) -> usize {
        1
    }

    fn read_config(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn tally(&self) -> Option<Tallied> {
        Some(Tallied {
            tally: Arc::clone(&self.tally) as _,
            name: String::new(),
        })
    }

    fn reset(&mut self) {}

    fn process(
        &mut self,
        memory: &GuestMemoryMmap,
        queues: &mut [Queue],
        _queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        let Some(queue) = queues.first_mut().filter(|queue| queue.ready()) else {
            return Ok(Next::default());
        };
        drain(memory, queue, |chain| {
            let mut buffer = chain.writer(memory)?;
            let mut bytes = [0; PIECE];
            let part = &mut bytes[..buffer.available_bytes().min(PIECE)];
            self.random.read_exact(part)?;
            buffer.write_all(part)?;
            self.tally.requests.add(1);
            self.tally.bytes.add(part.len() as u64);
            Ok(Step::Used(part.len() as u32))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::testing::{Driver, WRITE};

    #[test]
    fn buffers_are_filled_and_large_ones_in_part() {
        let mut driver = Driver::new(Rng::new(std::io::repeat(0xa5)));
        for length in [1, 64, 4096, 1 << 20] {
            let at = 0x20_0000;
            driver.put(at, &[0; 4096]);
            driver.offer(0, &[(at, length, WRITE)]);
            driver.notify(0);
            let given = (length as usize).min(PIECE);
            assert_eq!(driver.used(0)[0].1 as usize, given);
            assert_eq!(driver.bytes(at, given), vec![0xa5; given]);
            assert_eq!(driver.bytes(at + given as u64, 16), [0; 16]);
        }
        assert!(driver.take_interrupt() && !driver.needs_reset());
        let counts = [("bytes", 1 + 64 + 256 + 256), ("requests", 4)];
        assert_eq!(
            driver.counted(),
            counts.map(|(name, n)| (name.to_owned(), n))
        );
    }

    #[test]
    fn a_buffer_outside_of_memory_stops_the_device() {
        let mut driver = Driver::new(Rng::new(std::io::repeat(0xa5)));
        driver.offer(0, &[(1 << 40, 16, WRITE)]);
        driver.notify(0);
        assert!(driver.needs_reset());
    }
}
