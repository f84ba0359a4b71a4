// SPDX-License-Identifier: MIT OR Apache-2.0

//! Running a container: the vCPU's thread, the streams, and the session with its init.
//!
//! Two threads. The vCPU's runs the guest and carries out what it asks for, registers of devices
//! included; the main one waits for signals, our streams and the time ([`session`]). They meet in
//! [`machine::Machine`], whose devices are behind one lock that nobody holds while waiting.

pub mod console;
mod driver;
pub mod machine;
pub mod outcome;
pub mod report;
pub mod seccomp;
pub mod session;
pub mod streams;
#[cfg(test)]
mod tests;
pub mod vcpu;
