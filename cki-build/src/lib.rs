// SPDX-License-Identifier: MIT OR Apache-2.0

//! Builds CKI from pinned sources and runs programs in the machine that comes out.
//!
//! The binary is a thin shell: [`cli`] says what can be asked, [`commands`] does it.

pub mod cache;
pub mod check;
pub mod checkout;
pub mod cli;
pub mod commands;
pub mod debian;
pub mod doctor;
pub mod exec;
pub mod exit;
pub mod image;
pub mod inputs;
pub mod logging;
pub mod nix;
pub mod progress;
pub mod session;
pub mod setup;
pub mod store;
pub mod units;
pub mod verify;
