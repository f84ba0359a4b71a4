// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one program, run by the container's init for a client.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | who asks, as the session sees it |
//! | [`command_line`] | a user: options, signals to the launcher, sentences |
//! | [`descriptor`] | a program: the messages of `abi/session` on a descriptor that it left open |
//! | [`control`] | the other side, init of the container: its port and what it says |
//! | [`plan`] | what is to be run, where and how long |
//! | [`streams`] | the program's standard streams |
//! | `driver` | serves all of these in one thread until the session is over |
//! | [`error`] | a container that did not end as it should |
//!
//! Uses [`crate::vm`], which knows nothing of it.

pub mod client;
pub mod command_line;
pub mod control;
pub mod descriptor;
mod driver;
pub mod error;
pub mod plan;
pub mod streams;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use cki_session::Outcome;

use crate::module::Vcpu;
use crate::vm::machine::Machine;
use crate::vm::vcpu;
use client::Client;
use control::{Inbox, Input, Outgoing};
use driver::Driver;
use error::{ContainerError, host};
use plan::Plan;
use streams::Streams;

/// Time for the vCPU's thread to come back after the container was killed.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A started container with everything that its session needs.
pub struct Session {
    /// Devices and memory.
    pub machine: Arc<Machine>,
    /// The vCPU, which gets a thread.
    pub vcpu: Box<dyn Vcpu>,
    /// Requests for init.
    pub outgoing: Outgoing,
    /// What init and the vCPU's thread say.
    pub inbox: Inbox,
    /// Our streams.
    pub streams: Streams,
}

impl Session {
    /// Runs the container to its end; it is gone on return. `confine` is called once both threads
    /// exist and before the guest runs.
    ///
    /// # Errors
    /// [`ContainerError`] when it cannot be said how the program ended.
    pub fn run(
        mut self,
        plan: Plan,
        confine: impl FnOnce() -> io::Result<()>,
        client: &mut dyn Client,
    ) -> Result<Outcome, ContainerError> {
        let (go, gone) = mpsc::channel::<()>();
        let (up, is_up) = mpsc::channel::<()>();
        let (machine, mut vcpu) = (Arc::clone(&self.machine), self.vcpu);
        let inputs = self.inbox.sender();
        thread::Builder::new()
            .name("vcpu0".to_owned())
            .spawn(move || {
                // Its own start is over: what it asks of the kernel from now on is in the filter.
                let _ = up.send(());
                if gone.recv().is_ok() {
                    inputs.send(Input::VcpuEnded(vcpu::run(&mut *vcpu, &machine)));
                }
            })
            .map_err(host("cannot start a thread"))?;
        // It sends before anything else, so this does not fail.
        let _ = is_up.recv();
        confine().map_err(host("the launcher's own confinement"))?;
        let mut driver = Driver::new(&self.machine, &self.outgoing, plan, client)?;
        // The thread waits for this; it is there, since it was spawned.
        let _ = go.send(());
        let result = driver.drive(&self.inbox, &mut self.streams);
        let has_ended = driver.vcpu_has_ended();
        self.machine.kill();
        if !has_ended {
            wait_for_end(&self.inbox);
        }
        result
    }
}

/// Waits until the vCPU's thread is out of the guest, so that the module can free everything at once.
fn wait_for_end(inbox: &Inbox) {
    let deadline = Instant::now() + END_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match inbox.receive(left) {
            Some(Input::VcpuEnded(_)) | None => return,
            Some(_) => {}
        }
    }
}
