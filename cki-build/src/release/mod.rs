// SPDX-License-Identifier: MIT OR Apache-2.0

//! A release: what it is made of, and how it is verified.

pub mod args;
mod components;
pub mod error;
pub mod make;
pub mod verify;
