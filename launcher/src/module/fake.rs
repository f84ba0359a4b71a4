// SPDX-License-Identifier: MIT OR Apache-2.0

//! A host module for tests: a container whose memory is a file.

use std::fs::File;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use cki_abi::start_info::Segment;

use super::{Container, ModuleError, Register, StartRequest};

/// What the fakes have been told, shared with the test.
#[derive(Debug, Default)]
pub struct Log {
    /// Start requests.
    pub starts: Vec<StartRequest>,
    /// Events raised: vCPU and bit.
    pub raised: Vec<(u32, u32)>,
    /// What is signalled by which register.
    pub doorbells: Vec<(Register, OwnedFd)>,
    /// What raises which event of which vCPU.
    pub interrupts: Vec<(OwnedFd, u32, u32)>,
    /// Results given to the guest.
    pub completed: Vec<(i64, u64)>,
    /// Whether the container was killed.
    pub killed: bool,
}

/// A container without a host.
#[derive(Debug)]
pub struct FakeContainer {
    segments: Vec<Segment>,
    memory: Arc<File>,
    /// What happened.
    pub log: Arc<Mutex<Log>>,
    /// Whether the next start fails, as a monitor's refusal.
    pub refuse: bool,
}

impl FakeContainer {
    /// A container with these segments, zeroed.
    pub fn new(segments: &[(u64, u64)]) -> Self {
        let memory = tempfile::tempfile().expect("a file");
        memory
            .set_len(segments.iter().map(|segment| segment.1).sum())
            .expect("its size");
        FakeContainer {
            segments: segments
                .iter()
                .map(|&(base, size)| Segment { base, size })
                .collect(),
            memory: Arc::new(memory),
            log: Arc::default(),
            refuse: false,
        }
    }
}

impl Container for FakeContainer {
    fn segments(&self) -> &[Segment] {
        &self.segments
    }
    fn memory(&self) -> Arc<File> {
        Arc::clone(&self.memory)
    }
    fn start(&self, request: &StartRequest) -> Result<(), ModuleError> {
        if self.refuse {
            return Err(ModuleError::Refused {
                operation: cki_abi::monitor::OP_SEAL as u32,
                error: cki_abi::errors::E_GADGET as u32,
                index: 0,
            });
        }
        self.log.lock().unwrap().starts.push(request.clone());
        Ok(())
    }
    fn raise(&self, vcpu: u32, event: u32) -> Result<(), ModuleError> {
        self.log.lock().unwrap().raised.push((vcpu, event));
        Ok(())
    }
    fn signal_on(&self, register: Register, eventfd: BorrowedFd<'_>) -> Result<(), ModuleError> {
        let eventfd = eventfd.try_clone_to_owned().unwrap();
        let mut log = self.log.lock().unwrap();
        log.doorbells.push((register, eventfd));
        Ok(())
    }
    fn raise_on(&self, eventfd: BorrowedFd<'_>, vcpu: u32, event: u32) -> Result<(), ModuleError> {
        let eventfd = eventfd.try_clone_to_owned().unwrap();
        let mut log = self.log.lock().unwrap();
        log.interrupts.push((eventfd, vcpu, event));
        Ok(())
    }
    fn kill(&self) {
        self.log.lock().unwrap().killed = true;
    }
}
