// SPDX-License-Identifier: MIT OR Apache-2.0

//! Hash tables that are laid out alike in every run: those of the standard library are not, and counts of
//! instructions would differ.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

pub type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;
