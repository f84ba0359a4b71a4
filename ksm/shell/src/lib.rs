// SPDX-License-Identifier: MIT OR Apache-2.0

//! CKI's kernel security monitor (KSM): what surrounds its rules (`cki-ksm-core`).
//!
//! Used by: the image of the monitor (`ksm/package.nix`), which the host module loads. May use: `cki-abi`,
//! `cki-ksm-core`.
//!
//! The host module maps this image and its tables into slot 256 of every address space of a
//! container and enters it at `MONITOR_ENTRY`. From then on the guest kernel reaches it through two
//! gates, the CPU through privileged IDT gates, and it reaches the host by switching worlds:
//! `gates.s` has all of that; `entries` is what it calls. A vCPU's execution in the monitor is a coroutine of the
//! host: `exit_to_host` suspends it on its own stack, the next OP_RUN resumes it.
//!
//! # Stacks
//!
//! Of each vCPU's area (`cki_abi::layout`): calls and GATE_IRET run on the call stack, each privileged
//! event on its IST. None of them is entered while it is in use: the CPU holds interrupts, NMI and machine checks
//! back at PKRS = 0 (`docs/reference/isa.md`); #DB cannot arise outside of gates (TF is cleared, DR7 is 0); a fault of
//! the monitor's own is #DF (its gates are privileged, those of the guest are not), and ends the container.
//!
//! So nothing interrupts the monitor, and the way out needs no last look: what was held arrives behind it, at
//! the guest's first instruction.
//!
//! Files use only files further down: `entries`; `operations`; `calls`; `events`; `access`, `tables`; `end`; `gates`;
//! `state`, `root`; `cpu`; `area`; `info`, `switch`; `memory`, `lock`, `trap`; `sync`.
//!
//! # Unsafe
//!
//! All of the monitor's `unsafe` is in this crate; `docs/understand/soundness.md` argues why it is sound. What it
//! relies on: the module maps slot 256 as the ABI says, nothing else maps key-1 pages writable, an area belongs to the
//! vCPU that runs on it, and the CPU holds events back while the monitor runs.
//!
//! # Tests
//!
//! Instructions and gates have stand-ins on the host (`testing`), so that what is decided around them is
//! tested there.

#![cfg_attr(not(test), no_std)]
// A monitor is a machine-level program: only for this target is it linked and started.
#![cfg_attr(not(target_os = "none"), allow(dead_code))]

mod access;
mod area;
mod calls;
#[cfg_attr(test, path = "testing/cpu.rs")]
mod cpu;
mod end;
#[cfg(not(test))]
mod entries;
mod events;
#[cfg_attr(test, path = "testing/gates.rs")]
mod gates;
mod info;
mod lock;
mod memory;
mod operations;
mod root;
mod state;
mod switch;
mod sync;
mod tables;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod trap;
