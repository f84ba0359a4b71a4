// SPDX-License-Identifier: MIT OR Apache-2.0

//! A session: one program, run by the container's init for a client.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | who asks, as the session sees it |
//! | [`caller`] | a user: options, signals to the launcher, sentences |
//! | [`descriptor`] | a program: the messages of `abi/session` on a descriptor that it left open |
//! | [`control`] | the other side, init of the container: its port and what it says |
//! | [`plan`] | what is to be run, where and how long |
//! | [`observer`] | who wants to know the container's counts |
//! | [`streams`] | the program's standard streams |
//! | `driver` | serves all of these in one thread until the session is over |
//! | `threads` | the other threads: the vCPU's, those of devices |
//! | [`error`] | a container that did not end as it should |
//!
//! Uses [`crate::vm`], which knows nothing of it.

pub mod caller;
pub mod client;
pub mod control;
pub mod descriptor;
mod driver;
pub mod error;
pub mod observer;
pub mod plan;
pub mod streams;
#[cfg(test)]
mod tests;
mod threads;

use std::sync::Arc;
use std::time::Duration;

use cki_session::Outcome;

use crate::jail::{Confine, Duty};
use crate::module::Vcpu;
use crate::vm::outside::Outside;
use client::Client;
use control::{Inbox, Requests};
use driver::Driver;
use error::{ContainerError, host};
use observer::Observer;
use plan::Plan;
use streams::Streams;
use threads::Threads;

/// Time for the other threads to end after the container was killed.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A started container with everything that its session needs.
pub struct Session {
    /// Devices and memory.
    pub outside: Arc<Outside>,
    /// The vCPU, which gets a thread.
    pub vcpu: Box<dyn Vcpu>,
    /// Requests for init.
    pub requests: Requests,
    /// What init and the vCPU's thread say.
    pub inbox: Inbox,
    /// Our streams.
    pub streams: Streams,
    /// Who is told the container's counts.
    pub observer: Option<Observer>,
}

impl Session {
    /// Runs the container to its end; it is gone on return. Each thread calls `confine` for itself once all
    /// exist and before the guest runs.
    ///
    /// # Errors
    /// [`ContainerError`] when it cannot be said how the program ended.
    pub fn run(
        mut self,
        plan: Plan,
        confine: Confine,
        client: &mut dyn Client,
    ) -> Result<Outcome, ContainerError> {
        let threads = Threads::start(&self.outside, self.vcpu, &self.inbox, confine)?;
        confine(Duty::Session).map_err(host("the launcher's own confinement"))?;
        let mut driver = Driver::new(&self.outside, &self.requests, plan, client)?;
        driver.is_observed_by(self.observer.as_ref());
        threads.go();
        let result = driver.drive(&self.inbox, &mut self.streams);
        self.outside.kill();
        // So that the module can free everything at once, and disks have what they were given.
        threads.wait(END_LIMIT);
        result
    }
}
