// SPDX-License-Identifier: MIT OR Apache-2.0

//! What PID 1 sets up around programs, and how a machine ends: file systems, disks, names, network, modules.
//!
//! | file | what |
//! |---|---|
//! | [`cmdline`] | init's own parameters on the kernel command line |
//! | [`digest`] | what the first bytes of a disk must be |
//! | [`disks`] | disks of the user's, written out when the session is over |
//! | [`image`] | the application image, made the root file system |
//! | [`machine`] | ending the machine, and saying why |
//! | [`modules`] | modules of the kernel |
//! | [`mounts`] | the kernel's file systems |
//! | [`names`] | names of this machine or container, and of others |
//! | [`net`] | the loopback interface and the card |
//! | [`netlink`] | requests to the kernel about network interfaces |
//! | [`ports`] | the virtio-serial ports, found by name |
//! | [`root`] | what a request wants done to the root file system |
//! | [`runtime`] | the disk with what containers are run with |
//! | [`unhung`] | work that may never end |

pub mod cmdline;
pub mod digest;
pub mod disks;
pub mod image;
pub mod machine;
pub mod modules;
pub mod mounts;
pub mod names;
pub mod net;
pub mod netlink;
pub mod ports;
pub mod root;
pub mod runtime;
pub mod unhung;
