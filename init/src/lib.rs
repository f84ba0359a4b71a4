// SPDX-License-Identifier: MIT OR Apache-2.0

//! The parts of `cki-init`, PID 1 of a CKI machine.
//!
//! A *session* runs one program from an application image for a client, over the protocol of
//! [`cki_session`]: in a machine the client is `cki-build`, in a container its launcher. A machine's init
//! that is asked for a container is a client itself, of the launcher that it starts. The *shell* mode gives the disk
//! image a prompt on its consoles. What can be decided without being PID 1 is plain functions here, and tested on any
//! machine.
//!
//! Used by: its program. May use: `cki-erofs`, `cki-session`.
//!
//! | file or folder | what | uses |
//! |---|---|---|
//! | [`resident`] | a machine that stays up: a process a place | `session`, `program`, `system`, `channel` |
//! | [`session`] | one program, run for a client | `container`, `program`, `system`, `channel` |
//! | [`container`] | the launcher of a container, as its client sees it | `program`, `system`, `channel` |
//! | [`shell`] | a shell on every console, of the disk image | `program`, `system` |
//! | [`program`] | a process: what it has and may do, its streams, its end | `channel`, `regular` |
//! | [`system`] | what PID 1 sets up around programs, and how a machine ends | `regular` |
//! | [`channel`] | messages over a descriptor | |
//! | [`regular`] | files of a container's, which its programs may exchange at any time | |

pub mod channel;
pub mod container;
pub mod program;
pub mod regular;
pub mod resident;
pub mod session;
pub mod shell;
pub mod system;
