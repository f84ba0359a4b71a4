// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is said between the process of a volume and whoever starts it, beside FUSE messages.

/// The first word for a program that is to serve a volume ([`serve::if_asked`](crate::serve::if_asked)).
pub(crate) const SERVE: &str = "serve-volume";

/// What the process says on standard output before the first reply; anything else is why there is no volume.
pub(crate) const READY: &str = "ready\n";

/// Why a file of a user's is no volume, though other engines take it.
pub(crate) const NOT_A_DIRECTORY: &str =
    "not a directory: a volume is a whole directory, so name the one that this is in";
