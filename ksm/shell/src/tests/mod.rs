//! What the shell decides.

mod calls;
mod events;
mod operations;
