//! The Nix store: names of fixed outputs, and adding files under them.

pub mod command;
