// SPDX-License-Identifier: MIT OR Apache-2.0

//! The launcher of CKI containers: a small virtual machine monitor on `/dev/cki`.
//!
//! Used by: its program, `cki`. May use: `cki-abi`, `cki-session`, `cki-frontend`, `cki-module`, `cki-disk`,
//! `cki-erofs`, `cki-volume`.
//!
//! | module | what |
//! |---|---|
//! | [`session`] | one program, run for a client |
//! | [`exec`] | another process in a container that runs, for a client |
//! | [`health`] | when a container that is checked again and again is healthy |
//! | [`container_names`] | containers that run, by name: a directory each |
//! | [`vm`] | the table of devices, the loops of the vCPU and of devices |
//! | [`guest`] | kernel image, layout, page tables, start info, written by one function |
//! | [`backend`] | what is behind devices, on the host's side |
//! | [`virtio`] | registers by hypercall, and devices, pure over guest memory |
//! | [`counts`] | what a vCPU and devices count, by name |
//! | [`module`] | the host module's interface |
//! | [`jail`] | what each thread may ask of the host's kernel while a guest runs |
//! | [`inherited`] | a descriptor left open for us |
//! | [`signals`] | signals as something to read and to send |
//! | [`heap`] | the allocator's heap |
//! | [`large`] | a buffer in one huge page |
//! | [`copy`] | bytes to and from a container |
//! | [`service_manager`] | the service manager that started us |
//! | `socket_file` | the file of a Unix socket in a directory that may be another user's |
//! | [`unblocked`] | descriptors that we share with others, read and written without waiting |
//! | [`names`] | names of the ABI's numbers, for messages |
//!
//! - `session` uses `counts`, `inherited`, `jail`, `module`, `service_manager`, `signals`,
//!   `unblocked`, `virtio`, `vm`.
//! - `exec` uses `session`, `socket_file`, `unblocked`.
//! - `vm` uses `counts`, `jail`, `module`, `names`, `virtio`.
//! - `guest` uses `module`.
//! - `backend` uses `socket_file`, `unblocked`, `virtio`.
//! - `virtio` uses `copy`, `counts`, `large`.
//! - `module` uses `names`.
//! - `jail` uses `unblocked`.
//!
//! The only `unsafe` is in `inherited`, `signals`, `heap`, `large`, `copy`, `module`, `jail` and `backend::tap`.

pub mod backend;
pub mod container_names;
pub mod copy;
pub mod counts;
pub mod exec;
pub mod guest;
pub mod health;
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
