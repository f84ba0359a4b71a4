// SPDX-License-Identifier: MIT OR Apache-2.0

//! Work that may never end, such as writing to a disk that takes nothing: it has a thread of its own, and is left
//! behind when nothing has come of it for too long.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long disks may finish nothing before nobody waits for them any more. One request may take minutes by itself: a
/// flush has the host write all that its own cache has of the disk's file.
pub const LIMIT: Duration = Duration::from_secs(600);
/// How often is looked, at least.
const LOOK: Duration = Duration::from_secs(3);

/// Why there is no result of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Nothing has come of it for too long.
    Behind,
    /// It panicked.
    Broken,
}

/// Does `work`, and gives its result, unless `progress` has been the same for `limit`. The work goes on then, if it
/// can.
///
/// Where no thread can be had, it is done here, however long that takes.
///
/// # Errors
/// [`Left`].
pub fn within<T: Send + 'static>(
    limit: Duration,
    progress: impl FnMut() -> Vec<u64>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Left> {
    let spawn = |work: Box<dyn FnOnce() + Send>| thread::Builder::new().spawn(work).map(drop);
    within_by(spawn, limit, progress, work)
}

fn within_by<T: Send + 'static>(
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>) -> io::Result<()>,
    limit: Duration,
    mut progress: impl FnMut() -> Vec<u64>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Left> {
    let (done, result) = channel();
    // Whoever does it takes it.
    let work = Arc::new(Mutex::new(Some(work)));
    let take = |work: &Mutex<Option<_>>| work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let theirs = Arc::clone(&work);
    let thread = move || {
        if let Some(work) = take(&theirs) {
            // It fails where nobody waits any more.
            let _ = done.send(work());
        }
    };
    if spawn(Box::new(thread)).is_err() {
        return take(&work).map(|work| work()).ok_or(Left::Broken);
    }
    let (mut seen, mut since) = (progress(), Instant::now());
    loop {
        match result.recv_timeout(LOOK.min(limit / 4)) {
            Ok(result) => return Ok(result),
            Err(RecvTimeoutError::Disconnected) => return Err(Left::Broken),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = progress();
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if since.elapsed() >= limit {
            return Err(Left::Behind);
        }
    }
}

/// What the machine's disks have done, as the kernel counts it.
#[derive(Debug)]
pub struct DiskCounts(File);

impl DiskCounts {
    /// Those of all disks, which are read also when nobody sees `/proc` any more.
    ///
    /// # Errors
    /// When it is not mounted.
    pub fn open() -> io::Result<Self> {
        File::open("/proc/diskstats").map(Self)
    }

    /// The counts now; none when they cannot be read.
    pub fn read(&mut self) -> Vec<u64> {
        let mut text = String::new();
        let _ = self.0.rewind();
        let _ = self.0.read_to_string(&mut text);
        done(&text)
    }
}

/// What is done, of a text as Documentation/admin-guide/iostats.rst describes it: reads, writes, discards, flushes.
/// What is still to be done is in it, too, and how long that has been waited for, which grows by itself.
fn done(text: &str) -> Vec<u64> {
    // Behind the numbers of the device and its name.
    const DONE: [usize; 4] = [3, 7, 14, 18];
    let of = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        DONE.map(|at| fields.get(at).and_then(|field| field.parse().ok()))
    };
    text.lines().flat_map(of).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn work_that_never_ends_is_left_behind() {
        let (_never, waits) = channel::<()>();
        let start = Instant::now();
        let result = within(SHORT, || vec![7], move || waits.recv());
        assert_eq!(result, Err(Left::Behind));
        assert!(start.elapsed() >= SHORT);
    }

    #[test]
    fn work_has_the_time_that_it_takes_as_long_as_something_comes_of_it() {
        let mut count = 0;
        let progress = || {
            count += 1;
            vec![count]
        };
        let work = || {
            thread::sleep(4 * SHORT);
            8
        };
        assert_eq!(within(SHORT, progress, work), Ok(8));
    }

    #[test]
    fn work_is_done_where_no_thread_can_be_had_and_a_panic_is_no_waiting() {
        let refused = |_: Box<dyn FnOnce() + Send>| Err(io::ErrorKind::WouldBlock.into());
        assert_eq!(within_by(refused, SHORT, Vec::new, || 8), Ok(8));
        let broken = within(SHORT, Vec::new, || panic!("as a test has it"));
        assert_eq!(broken, Err::<(), _>(Left::Broken));
    }

    #[test]
    fn what_disks_have_done_is_counted_and_not_what_they_have_to_do() {
        let text = |waits: u64| {
            format!(
                " 254 0 vda 5 0 40 1 3 0 80 1 1 {waits} {waits} 7 0 8 1 2 1\n   7 0 loop0 1 0 0 0 0 0 0 0 0 0 0\n"
            )
        };
        assert_eq!(done(&text(0)), [5, 3, 7, 2, 1, 0]);
        assert_eq!(done(&text(9)), done(&text(0)));
        // They can be read again and again.
        let mut counts = DiskCounts::open().unwrap();
        assert_eq!(counts.read().len(), counts.read().len());
    }
}
