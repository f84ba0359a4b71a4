// SPDX-License-Identifier: MIT OR Apache-2.0

//! The launcher of CKI containers: a small virtual machine monitor on `/dev/cki`.
//!
//! Used by: its program, `cki`. May use: `cki-abi`, `cki-session`, `cki-frontend`, `cki-module`, `cki-disk`, `cki-erofs`,
//! `cki-volume`.
//!
//! | module | what | uses |
//! |---|---|---|
//! | [`session`] | one program, run for a client: a user's command line, or messages on a descriptor | `vm`, `virtio`, `jail`, `inherited`, `signals`, `service_manager`, `unblocked` |
//! | [`exec`] | another process in a container that runs, for a client | `session`, `unblocked` |
//! | [`container_names`] | containers that run, by name: a directory each | |
//! | [`vm`] | the table of devices, the loops of the vCPU and of devices, the kernel's console, sentences about bad ends | `virtio`, `module`, `jail`, `names` |
//! | [`guest`] | kernel image, memory layout, boot page tables, start info: pure, then written by one function | `module` |
//! | [`backend`] | what is behind devices, on the host's side | `virtio` |
//! | [`virtio`] | registers by hypercall, and devices: disks, a console with named ports, a network card, sockets: pure over guest memory | `copy`, `counts` |
//! | [`counts`] | what a vCPU and devices count, by name | |
//! | [`module`] | the host module's interface | `names` |
//! | [`jail`] | what each thread may ask of the host's kernel while a guest runs | `unblocked` |
//! | [`inherited`], [`signals`], [`heap`], [`large`], [`copy`] | a descriptor left open for us, signals as something to read and to send, the allocator's heap, a buffer in one huge page, bytes to and from a container: with `module`, `jail` and `backend::tap` the only `unsafe` | |
//! | [`service_manager`] | the service manager that started us | |
//! | `socket_file` | the file of a Unix socket in a directory that may be another user's | |
//! | [`unblocked`] | descriptors that we share with others, read and written without waiting | |
//! | [`names`] | names of the ABI's numbers, for messages | |

pub mod backend;
mod beginning;
pub mod container_names;
pub mod copy;
pub mod counts;
pub mod exec;
pub mod guest;
pub mod heap;
pub mod inherited;
pub mod jail;
pub mod large;
pub mod module;
pub mod names;
pub mod service_manager;
pub mod session;
pub mod signals;
mod socket_file;
#[cfg(test)]
mod testing;
pub mod unblocked;
pub mod virtio;
pub mod vm;
