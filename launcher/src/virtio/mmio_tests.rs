// SPDX-License-Identifier: MIT OR Apache-2.0

//! The register file, seen by a driver that is right and by drivers that are not.

use proptest::prelude::*;
use virtio_bindings::virtio_mmio as reg;

use super::*;
use crate::virtio::DriverFault;
use crate::virtio::testing::Driver;

/// Two queues, one feature, four bytes of configuration.
#[derive(Default)]
struct Echo {
    resets: u32,
    notified: Vec<Option<usize>>,
    negotiated: Vec<u64>,
    fails: bool,
}

impl Device for Echo {
    fn id(&self) -> u32 {
        42
    }
    fn features(&self) -> u64 {
        1 << 3
    }
    fn queue_count(&self) -> usize {
        2
    }
    fn read_config(&self, offset: u64, data: &mut [u8]) {
        crate::virtio::copy_config(&[1, 2, 3, 4], offset, data);
    }
    fn negotiated(&mut self, features: u64) {
        self.negotiated.push(features);
    }
    fn reset(&mut self) {
        self.resets += 1;
    }
    fn process(
        &mut self,
        _memory: &GuestMemoryMmap,
        _queues: &mut [Queue],
        queue: Option<usize>,
    ) -> Result<Next, DriverFault> {
        self.notified.push(queue);
        if self.fails {
            return Err(DriverFault::Request("on purpose"));
        }
        Ok(Next {
            notify: queue.is_some(),
            ..Next::default()
        })
    }
}

#[test]
fn a_device_says_what_it_is() {
    let driver = Driver::cold(Echo::default());
    assert_eq!(driver.read(reg::VIRTIO_MMIO_MAGIC_VALUE), 0x7472_6976);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_VERSION), 2);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_DEVICE_ID), 42);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_SHM_LEN_LOW), u32::MAX);
}

#[test]
fn the_set_up_of_the_standard_makes_the_device_live() {
    let driver = Driver::new(Echo::default());
    assert!(driver.transport.is_live());
    assert_eq!(driver.transport.device.notified, [None]);
    // All that was offered but event indices.
    assert_eq!(
        driver.transport.device.negotiated,
        [1 << 32 | 1 << 28 | 1 << 3]
    );
}

#[test]
fn features_that_were_not_offered_are_refused() {
    for (low, high) in [(1 << 3 | 1 << 7, 1), (1 << 3, 0)] {
        let mut driver = Driver::cold(Echo::default());
        driver.write(reg::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
        driver.write(reg::VIRTIO_MMIO_DRIVER_FEATURES, low);
        driver.write(reg::VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
        driver.write(reg::VIRTIO_MMIO_DRIVER_FEATURES, high);
        driver.add_status(1 | 2);
        driver.add_status(8);
        assert_eq!(driver.read(reg::VIRTIO_MMIO_STATUS), 3);
        driver.add_status(4);
        assert!(!driver.transport.is_live(), "DRIVER_OK without FEATURES_OK");
        assert!(driver.transport.device.negotiated.is_empty());
    }
}

#[test]
fn features_are_fixed_once_they_are_agreed() {
    let mut driver = Driver::cold(Echo::default());
    driver.negotiate(u64::MAX);
    let before = driver.transport.driver_features;
    driver.write(reg::VIRTIO_MMIO_DRIVER_FEATURES, 0);
    assert_eq!(driver.transport.driver_features, before);
}

#[test]
fn queues_beyond_the_last_have_no_entries() {
    let mut driver = Driver::cold(Echo::default());
    driver.negotiate(u64::MAX);
    driver.write(reg::VIRTIO_MMIO_QUEUE_SEL, 2);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
    driver.write(reg::VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_QUEUE_READY), 0);
    driver.write(reg::VIRTIO_MMIO_QUEUE_NOTIFY, 2);
}

#[test]
fn a_queue_outside_of_memory_does_not_become_ready() {
    let mut driver = Driver::cold(Echo::default());
    driver.negotiate(u64::MAX);
    driver.write(reg::VIRTIO_MMIO_QUEUE_SEL, 0);
    driver.write(reg::VIRTIO_MMIO_QUEUE_NUM, 128);
    driver.write(reg::VIRTIO_MMIO_QUEUE_DESC_HIGH, 0xffff);
    driver.write(reg::VIRTIO_MMIO_QUEUE_READY, 1);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_QUEUE_READY), 0);
}

#[test]
fn a_ready_queue_cannot_be_moved() {
    let mut driver = Driver::cold(Echo::default());
    driver.negotiate(u64::MAX);
    driver.set_up_queue(0);
    let before = driver.transport.queues[0].desc_table();
    driver.write(reg::VIRTIO_MMIO_QUEUE_DESC_LOW, 0x20_0000);
    assert_eq!(driver.transport.queues[0].desc_table(), before);
}

#[test]
fn queues_are_configured_only_between_features_and_start() {
    let mut driver = Driver::cold(Echo::default());
    driver.set_up_queue(0);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_QUEUE_READY), 0, "too early");
    let mut driver = Driver::new(Echo::default());
    driver.write(reg::VIRTIO_MMIO_QUEUE_SEL, 0);
    driver.write(reg::VIRTIO_MMIO_QUEUE_READY, 0);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_QUEUE_READY), 1, "too late");
}

#[test]
fn a_notification_before_the_start_does_nothing() {
    let mut driver = Driver::cold(Echo::default());
    driver.negotiate(u64::MAX);
    driver.set_up_queue(0);
    driver.notify(0);
    assert!(driver.transport.device.notified.is_empty());
}

#[test]
fn an_interrupt_is_raised_once_and_acknowledged() {
    let mut driver = Driver::new(Echo::default());
    assert!(!driver.take_interrupt());
    driver.notify(1);
    assert!(driver.take_interrupt());
    assert!(!driver.take_interrupt());
    assert_eq!(driver.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 1);
    driver.write(reg::VIRTIO_MMIO_INTERRUPT_ACK, 1);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

#[test]
fn a_fault_stops_the_device_until_it_is_reset() {
    let mut driver = Driver::new(Echo::default());
    driver.transport.device.fails = true;
    driver.notify(0);
    assert!(driver.needs_reset());
    assert!(driver.take_interrupt());
    assert_eq!(driver.read(reg::VIRTIO_MMIO_INTERRUPT_STATUS), 2);
    let asked = driver.transport.device.notified.len();
    driver.notify(0);
    assert_eq!(driver.transport.device.notified.len(), asked);
    driver.transport.device.fails = false;
    driver.set_up();
    assert!(driver.transport.is_live());
    assert_eq!(driver.transport.device.resets, 2);
}

#[test]
fn status_bits_are_cleared_by_a_reset_only() {
    let mut driver = Driver::new(Echo::default());
    driver.write(reg::VIRTIO_MMIO_STATUS, 1);
    assert!(driver.transport.is_live());
    driver.write(reg::VIRTIO_MMIO_STATUS, 0);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_STATUS), 0);
    assert_eq!(driver.read(reg::VIRTIO_MMIO_QUEUE_READY), 0);
}

#[test]
fn configuration_is_read_in_any_size_and_zero_beyond_its_end() {
    let driver = Driver::cold(Echo::default());
    let read = |offset: u64, size| driver.transport.read(0x100 + offset, size);
    assert_eq!(read(0, 4), Ok(0x0403_0201));
    assert_eq!(read(1, 2), Ok(0x0302));
    assert_eq!(read(2, 8), Ok(0x0403));
    assert_eq!(read(0x200, 8), Ok(0));
    assert_eq!(read(0xeff, 1), Ok(0));
    assert_eq!(read(0xefc, 8), Err(NoRegister));
}

#[test]
fn accesses_that_no_register_has_are_refused() {
    let mut driver = Driver::cold(Echo::default());
    for (offset, size) in [(0, 1), (0, 8), (2, 4), (0x1000, 4), (u64::MAX, 4), (0, 3)] {
        assert_eq!(driver.transport.read(offset, size), Err(NoRegister));
        assert_eq!(driver.try_write(offset, size, 0), Err(NoRegister));
    }
}

proptest! {
    #[test]
    fn no_sequence_of_accesses_panics(
        accesses in proptest::collection::vec((0u64..0x120, 0u64..9, any::<u64>(), any::<bool>()), 0..200),
        live in any::<bool>(),
    ) {
        let mut driver = if live { Driver::new(Echo::default()) } else { Driver::cold(Echo::default()) };
        for (offset, size, value, write) in accesses {
            if write {
                let _ = driver.try_write(offset, size, value);
            } else {
                let _ = driver.transport.read(offset, size);
            }
        }
    }
}
