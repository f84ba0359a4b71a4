// SPDX-License-Identifier: MIT OR Apache-2.0

//! The threads of a session besides its own: the vCPU's, and those of devices.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::control::{Inbox, Input};
use super::error::{ContainerError, host};
use crate::jail::{Confine, Duty};
use crate::module::Vcpu;
use crate::vm::outside::Outside;
use crate::vm::table::Slot;
use crate::vm::{vcpu, worker};

/// The threads, started and confined. Dropped, they end without having run the guest.
pub(super) struct Threads {
    /// Each thread waits for a word here.
    go: Vec<Sender<()>>,
    /// Fails for good once all threads have ended.
    gone: Receiver<()>,
}

/// A thread's work once it may go.
type Work = Box<dyn FnOnce() + Send>;

impl Threads {
    /// Starts a thread for the vCPU and one for each device that has a thread; all are confined on return.
    ///
    /// # Errors
    /// When a thread cannot be started or confined.
    pub(super) fn start(
        outside: &Arc<Outside>,
        vcpu: Box<dyn Vcpu>,
        inbox: &Inbox,
        confine: Confine,
    ) -> Result<Self, ContainerError> {
        let (alive, gone) = channel();
        let mut threads = Threads {
            go: Vec::new(),
            gone,
        };
        let (inputs, shared) = (inbox.sender(), Arc::clone(outside));
        let work: Work = Box::new(move || {
            let mut vcpu = vcpu;
            let end = vcpu::run(&mut *vcpu, &shared);
            drop(vcpu);
            inputs.send(Input::VcpuEnded(end));
        });
        threads.add("vcpu0", Duty::Vcpu, &alive, confine, work)?;
        for slot in outside.devices().threaded() {
            let Some(thread) = slot.thread() else {
                continue;
            };
            let name = format!("device{}", slot.number());
            let (slot, shared, inputs) = (Arc::clone(slot), Arc::clone(outside), inbox.sender());
            let work: Work = Box::new(move || {
                if let Some(problem) = serve(&shared, &slot) {
                    inputs.send(Input::DeviceFailed(slot.number(), problem));
                }
            });
            threads.add(&name, thread.duty, &alive, confine, work)?;
        }
        Ok(threads)
    }

    fn add(
        &mut self,
        name: &str,
        duty: Duty,
        alive: &Sender<()>,
        confine: Confine,
        work: Work,
    ) -> Result<(), ContainerError> {
        let (go, gone) = channel();
        let (up, is_up) = channel();
        let alive = alive.clone();
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Its own start is over: what it asks of the kernel from now on is in the filter.
                let confined = confine(duty);
                let is_confined = confined.is_ok();
                let _ = up.send(confined);
                if is_confined && gone.recv().is_ok() {
                    work();
                }
                drop(alive);
            })
            .map_err(host("cannot start a thread"))?;
        self.go.push(go);
        // It sends before anything else, so this does not fail.
        is_up
            .recv()
            .unwrap_or(Ok(()))
            .map_err(host("the launcher's own confinement"))
    }

    /// Lets them run.
    pub(super) fn go(&self) {
        for thread in &self.go {
            // The thread waits for this; it is there, since it was spawned.
            let _ = thread.send(());
        }
    }

    /// Waits until they have ended, but no longer than `limit`.
    pub(super) fn wait(self, limit: Duration) {
        drop(self.go);
        let deadline = Instant::now() + limit;
        let left = || deadline.saturating_duration_since(Instant::now());
        // Nobody sends: it is all threads gone, or the time.
        let _ = self.gone.recv_timeout(left());
    }
}

/// The work of a device; what went wrong.
fn serve(outside: &Outside, slot: &Slot) -> Option<String> {
    let thread = slot.thread()?;
    // Nothing of the two is used after a panic but to end the container.
    let serve = AssertUnwindSafe(|| worker::serve(outside, slot, thread));
    match catch_unwind(serve) {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("the launcher failed, as said above".to_owned()),
    }
}
