// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the lock is made of. The lock's model has its own (`tests/lock_model.rs`).

pub use core::hint::spin_loop;
pub use core::sync::atomic::{AtomicU32, Ordering};
