// SPDX-License-Identifier: MIT OR Apache-2.0

//! What containers cost, in instructions of a machine that counts them.
//!
//! [`args`] is what one can ask for. [`figure`] takes the paper's figures: each kind of work, or a server that is
//! asked, on each runtime, which is a [`side`]; [`records`] compares what was taken. [`io`], [`micro`] and [`nmi`] have
//! a machine of their own and judge what it says. All of them get machines, and what is built for them, from a [`lab`],
//! which is not here: this crate knows neither checkout nor store.
//!
//! Used by: `cki-build`. May use: `cki-disk`, `cki-figures`, `cki-frontend`, `cki-machine`, `cki-micro`, `cki-process`,
//! `cki-session`, `cki-workload-names`.

pub mod args;
mod error;
pub mod figure;
pub mod io;
pub mod lab;
pub mod limits;
pub mod micro;
pub mod nmi;
mod nmi_report;
pub mod records;
pub mod side;
pub mod work;

pub use cki_figures::{Figure, Took};
pub use cki_workload_names::{Size, Workload};
pub use error::Error;
