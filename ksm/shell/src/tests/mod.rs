// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the shell decides.

mod calls;
mod events;
mod lock;
mod lock_model;
mod operations;
