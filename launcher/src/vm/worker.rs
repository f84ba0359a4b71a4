// SPDX-License-Identifier: MIT OR Apache-2.0

//! The loop of a device's thread.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};

use super::outside::Outside;
use super::table::{Slot, Thread};

/// Longest time that ppoll waits; a device that wants to wait longer is asked again.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Does the work of a device until its thread is told to stop.
///
/// # Errors
/// When waiting fails, which it does not for descriptors that are open.
pub fn serve(outside: &Outside, slot: &Slot, thread: &Thread) -> io::Result<()> {
    while !thread.is_stopped() {
        let next = outside.turn(slot);
        if !next.more {
            slot.count_wakes(wait(thread, slot.is_live(), next.after)?);
        }
    }
    Ok(())
}

/// Waits until the device was notified, has something to do on the host's side, or the time is over. How often the
/// thread was woken.
fn wait(thread: &Thread, live: bool, time: Option<Duration>) -> io::Result<u64> {
    if thread.source.is_none() && time.is_none() {
        // One system call instead of two, for each request to a disk.
        return Ok(thread.waker.wait());
    }
    let own = thread.waker.as_fd();
    // A device that no driver has brought up, or that has broken, does not read its source: it would be
    // readable for ever. Bringing it up wakes the thread.
    let source = thread.source.as_ref().filter(|_| live).map(AsFd::as_fd);
    let mut fds = [own, source.unwrap_or(own)].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    let fds = &mut fds[..1 + usize::from(source.is_some())];
    // In nanoseconds: of a rate, a fraction of a millisecond may be much (`virtio/limiter.rs`).
    let limit = time.map(|time| time.min(LONGEST).into());
    match ppoll(fds, limit, None) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    // Before the device looks at its queues: what is notified from now on wakes the thread again.
    Ok(if fds[0].any().unwrap_or(false) {
        thread.waker.wait()
    } else {
        0
    })
}
