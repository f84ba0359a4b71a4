// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a runtime is to those who measure on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cki_machine::Ended;
use cki_session::Memory;

use crate::error::Error;
use crate::lab::{Job, Lab};

/// What the work may use.
pub(super) const MEMORY: Memory = Memory::constant(1024);

/// A program, in a root file system that has nothing but its package, and memory at /tmp.
#[derive(Debug)]
pub struct Work {
    /// A path of the store.
    pub package: PathBuf,
    /// The program and its arguments.
    pub command: Vec<String>,
}

/// A runtime: how work gets onto it, and whether it was done there.
pub trait Side {
    /// What is shown meanwhile.
    fn working(&self) -> String;

    /// Outputs of the flake that it is made of, beside machine and work.
    fn outputs(&self) -> &'static [&'static str];

    /// Images that it is made of, by names for records.
    ///
    /// # Errors
    /// When they cannot be had.
    fn images(&self, lab: &dyn Lab) -> Result<BTreeMap<String, PathBuf>, Error>;

    /// A machine and the program in it that has the work done, and puts out what that does.
    ///
    /// # Errors
    /// When what it needs cannot be had.
    fn run(&self, lab: &dyn Lab, work: &Work) -> Result<Job, Error>;

    /// Refuses what was not done, or not on this runtime.
    ///
    /// # Errors
    /// With what to do about it.
    fn judge(&self, ended: &Ended) -> Result<(), Error>;
}

/// Layers of an image, by names for records.
pub(crate) fn layers(layers: Vec<PathBuf>) -> BTreeMap<String, PathBuf> {
    let named = |(number, layer)| (format!("layer {number}"), layer);
    (1..).zip(layers).map(named).collect()
}
