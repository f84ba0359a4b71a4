// SPDX-License-Identifier: MIT OR Apache-2.0

//! Another process in a container that runs: `cki exec`.
//!
//! | file | what |
//! |---|---|
//! | [`connect`] | connections to the container's vsock |
//! | [`control`] | what its init is told and says |
//! | [`waiting`] | what the client asks for while init does not take it |
//! | `relay` | a stream of ours and one of the process's |
//! | [`driver`] | serves all of these, and the client, until the process has ended |
//! | [`error`] | a process of which it cannot be said how it ended |
//!
//! The container is not trusted: what it says is bounded, and nothing that it does or leaves undone keeps the
//! client's signals waiting.

pub mod connect;
pub mod control;
pub mod driver;
pub mod error;
mod relay;
#[cfg(test)]
mod tests;
pub mod waiting;
