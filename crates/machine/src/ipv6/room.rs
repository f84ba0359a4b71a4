// SPDX-License-Identifier: MIT OR Apache-2.0

//! How many descriptors relayed connections may take in this process: half of those that it may have. The rest is for
//! what else it does, which of a machine that stays up is to serve its other clients.

use std::sync::{Arc, LazyLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ports::raise_descriptors;

static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let half = raise_descriptors() / 2;
    Arc::new(Semaphore::new(usize::try_from(half).unwrap_or(0)))
});

/// Room for so many descriptors, once there is.
pub(super) async fn wait(descriptors: u32) -> Option<OwnedSemaphorePermit> {
    // It fails only if the semaphore is closed, which nobody does.
    Arc::clone(&ROOM).acquire_many_owned(descriptors).await.ok()
}

/// Room for a descriptor, if there is now.
pub(super) fn one() -> Option<OwnedSemaphorePermit> {
    Arc::clone(&ROOM).try_acquire_owned().ok()
}
