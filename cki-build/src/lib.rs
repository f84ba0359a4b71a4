//! The library behind `cki-build`, the tool that builds, runs and checks CKI.

pub mod debian;
pub mod inputs;
pub mod store;
