// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many descriptors relayed connections may take in this process: half of those that it may have. The rest is for
//! what else it does, which of a machine that stays up is to serve its other clients. And of that half, each relay has
//! a share, so that whoever holds connections to one container does not keep clients from all others.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ports::raise_descriptors;

/// What one relay may have of all, at most.
const SHARE: usize = 8;

static ALL: LazyLock<(Arc<Semaphore>, usize)> = LazyLock::new(|| {
    let half = usize::try_from(raise_descriptors() / 2).unwrap_or(0);
    (Arc::new(Semaphore::new(half)), half)
});

/// What one relay has.
#[derive(Debug, Clone)]
pub(super) struct Share(Arc<Semaphore>);

/// Room that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _of_share: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Share {
    /// An eighth.
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ALL.1 / SHARE)))
    }

    /// Room for so many descriptors, once there is.
    pub(super) async fn wait(&self, descriptors: u32) -> Option<Room> {
        // It fails only if a semaphore is closed, which nobody does.
        let share = Arc::clone(&self.0).acquire_many_owned(descriptors);
        let of_share = share.await.ok()?;
        let all = Arc::clone(&ALL.0).acquire_many_owned(descriptors);
        Some(Room {
            _of_share: of_share,
            _of_all: all.await.ok()?,
        })
    }

    /// Room for a descriptor, if there is now.
    pub(super) fn one(&self) -> Option<Room> {
        Some(Room {
            _of_share: Arc::clone(&self.0).try_acquire_owned().ok()?,
            _of_all: Arc::clone(&ALL.0).try_acquire_owned().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_whose_share_is_taken_leaves_the_others_theirs() {
        let (one, other) = (Share::new(), Share::new());
        let taken: Vec<_> = std::iter::from_fn(|| one.one()).collect();
        assert_eq!(taken.len(), ALL.1 / SHARE);
        assert!(one.one().is_none());
        let rest: Vec<_> = std::iter::from_fn(|| other.one()).collect();
        assert_eq!(rest.len(), taken.len());
        drop(taken);
        assert!(one.one().is_some());
    }
}
