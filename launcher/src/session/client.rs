// SPDX-License-Identifier: MIT OR Apache-2.0

//! Who asked for a session, as the session sees it.

use std::os::fd::BorrowedFd;

use cki_session::{Event, Isolation, Outcome, Signal, Terminal};
use nix::poll::PollFlags;

/// What a client wants while its session runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// The program gets a signal.
    Signal(Signal),
    /// Its terminal gets another size.
    Resize(Terminal),
    /// The session ends now.
    End(Outcome),
}

/// Who asked for a session.
pub trait Client {
    /// Ready for any of [`Client::interest`] when it wants something, or has room for what it is told.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// What poll is to wait for at its descriptor.
    fn interest(&self) -> PollFlags {
        PollFlags::POLLIN
    }

    /// Ready when signals have come that are wishes of its, too.
    fn signals(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// What it wants, once one of its descriptors is ready. `started` tells whether there is a program that can have
    /// a say.
    fn wishes(&mut self, started: bool) -> Vec<Wish>;

    /// Init of the container is up. Does not wait for the client.
    fn up(&mut self, isolation: Isolation);

    /// Tells it what happens to the program. Does not wait for the client.
    fn tell(&mut self, event: &Event);
}
