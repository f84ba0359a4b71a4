// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds CKI from pinned sources and runs programs in the machine that comes out.
//!
//! The binary is a thin shell: [`cli`] says what can be asked, [`commands`] does it.

pub mod check;
pub mod cli;
pub mod commands;
pub mod doctor;
pub mod image;
pub mod logging;
pub mod verify;
