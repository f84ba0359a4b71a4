// SPDX-License-Identifier: MIT OR Apache-2.0

//! Jumps to each byte of the monitor's text, and calls and hypercalls, with random registers made of values that mean
//! something: whatever comes of it, the guest has its own rights afterwards, or the container has ended by a fault
//! of its own, and nothing is left of it.

use anyhow::{Context, Result, bail, ensure};
use cki_abi::hypercalls::HC_BASE;
use cki_abi::isa::{MSR_CTL, MSR_IA32_PKRS};
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::*;
use cki_abi::uapi::run::exits::{EXIT_MMIO_WRITE, EXIT_PANIC};

use crate::alarm::Alarm;
use crate::case::Case;
use crate::device::System;
use crate::guest::{BASE, DATA, End, Guest, TABLES, UNMAPPED, entry_of};
use crate::page::{Random, at};

/// The first part of the image: gates, entries, and the beginning of what is compiled; with `random=all` on the
/// kernel's command line, all of it.
const SHORT: u64 = 0x1000;
const WHOLE: u64 = 0xb000;
/// The gates, where what WRPKRS is given decides, and how often each of their bytes is tried.
const GATES: u64 = 0x200;
const ROUNDS_OF_GATES: u64 = 40;
/// Rounds of calls, likewise.
const CALLS: u64 = 10_000;
const ALL_CALLS: u64 = 400_000;
/// A guest that makes no progress for that long loops, at its own rights; another one goes on.
const MILLISECONDS: i64 = 100;
/// RFLAGS.TF.
const TRAP: u64 = 0x100;
/// The guest gives up after so many exceptions when it calls: it has no stack any more, for instance.
const GIVES_UP: u64 = 40;
/// Codes of the guest's: PKRS, or IF and IOPL, were not its own.
const OTHER_PKRS: u64 = 0xbad9;
const OTHER_FLAGS: u64 = 0xbada;

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "a_jump_to_any_byte_of_the_monitors_text_gains_nothing",
            Box::new(|| jumps(0)),
        ),
        (
            "nor_does_one_that_is_single_stepped",
            Box::new(|| jumps(TRAP)),
        ),
        ("random_calls_gain_nothing", Box::new(calls)),
    ]
}

fn whole() -> bool {
    std::env::var("random").is_ok_and(|word| word == "all")
}

fn jumps(flags: u64) -> Result<()> {
    // A trap behind WRPKRS comes before what the gate does: one round shows it as well as many.
    let rounds = if flags == 0 { ROUNDS_OF_GATES } else { 1 };
    for round in 0..rounds {
        go(IMAGE_BASE, IMAGE_BASE + GATES, flags, None, round)?;
    }
    let size = if whole() { WHOLE } else { SHORT };
    go(IMAGE_BASE, IMAGE_BASE + size, flags, None, ROUNDS_OF_GATES)
}

fn calls() -> Result<()> {
    let count = if whole() { ALL_CALLS } else { CALLS };
    go(0, count, 0, Some(GATE_CALL), 0)
}

/// Values that registers are made of.
fn values(hpa: u64, calls: bool) -> Vec<u64> {
    let table = |n: u64| hpa + TABLES + (n << 12);
    let entry = entry_of(hpa, UNMAPPED);
    let info = hpa + 0x11_0000;
    if !calls {
        return vec![
            0,
            1,
            2,
            3,
            4,
            5,
            0x0c,
            0x10,
            0x80,
            0x202,
            VCPU_BASE,
            VCPU_BASE + VCPU_STACK_TOP,
            VCPU_BASE + VCPU_GDT,
            VCPU_BASE + VCPU_STATE,
            VCPU_BASE + VCPU_SWITCH,
            IMAGE_BASE,
            GATE_CALL,
            GATE_IRET,
            MONITOR_ENTRY,
            DIRECT_MAP,
            FRAME_TABLE,
            BOOT_INFO,
            BASE,
            BASE + DATA,
            BASE + 0x11_0000,
            BASE + 0x18_0000,
            hpa,
            table(0),
            table(3),
            entry,
            info,
            u64::MAX,
            1 << 63,
            HC_BASE,
            HC_BASE + 2,
            HC_BASE + 6,
            0xc000_0080,
            MSR_IA32_PKRS,
            MSR_CTL,
            PKRS_GUEST,
        ];
    }
    let mut values: Vec<u64> = (0..22).collect();
    values.extend((0..8).map(table));
    values.extend([
        table(0) + 511 * 8,
        table(1) + 510 * 8,
        entry,
        table(4) + 8,
        table(5) + 16,
        table(4) | 0x63,
        table(5) | 0x67,
        table(6) | 0x67,
        hpa + DATA | 0x63,
        hpa + DATA | 0x67 | 1 << 63,
        hpa + 0x20_0000 | 0xe7,
        hpa + 0x7000,
        info,
        hpa + 0x12_0000,
        HC_BASE,
        HC_BASE + 2,
        HC_BASE + 3,
        HC_BASE + 5,
        HC_BASE + 6,
        HC_BASE + 9,
        BASE,
        SLOT_BASE,
        u64::MAX,
        1 << 63,
    ]);
    values
}

/// From one address, or round, to the last, with as many guests as it takes.
fn go(first: u64, end: u64, flags: u64, gate: Option<u64>, round: u64) -> Result<()> {
    let system = System::open()?;
    let (mut at, mut guests) = (first, 0u64);
    let mut seed = (2 * round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (mut returns, mut exceptions) = (0u64, 0u64);
    while at < end {
        guests += 1;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005) | 1;
        let guest = Guest::start(&system, "random", |container, hpa| {
            let may_be = 0xffff_ffff_u64;
            let gives_up = if gate.is_some() { GIVES_UP } else { u64::MAX };
            for (place, word) in [
                (at!(Random, next), at),
                (at!(Random, end), end),
                (at!(Random, seed), seed),
                (at!(Random, flags), flags | may_be << 32),
                (at!(Random, gate), gate.unwrap_or(0)),
                (at!(Random, gives_up), gives_up),
            ] {
                container.write_word(place, word);
            }
            let values = values(hpa, gate.is_some());
            for (n, value) in values.iter().cycle().take(64).enumerate() {
                // WRPKRS wants 0 in two registers, and gates want it in the third.
                let value = if gate.is_none() && n % 2 == 0 {
                    0
                } else {
                    *value
                };
                container.write_word(at!(Random, values) + 8 * n, value);
            }
        })?;
        run(&guest).with_context(|| format!("from {at:#x} on, seed {seed:#x}"))?;
        // A store of the guest's may have struck its own count.
        let next = guest.container.read_word(at!(Random, next));
        at = if (at + 1..=end).contains(&next) {
            next
        } else {
            at + 1
        };
        returns += guest.container.read_word(at!(Random, returns));
        exceptions += guest.container.read_word(at!(Random, exceptions));
    }
    println!("random: {guests} guests, {returns} returns, {exceptions} exceptions");
    let info = system.info()?;
    ensure!(
        info.containers == 0 && info.pool_free == info.pool_size,
        "left behind: {info:?}"
    );
    ensure!(returns + exceptions > 0, "nothing came back");
    Ok(())
}

/// Until it ends, or does not get on.
fn run(guest: &Guest) -> Result<()> {
    let _alarm = Alarm::every(MILLISECONDS);
    let mut last = None;
    loop {
        match guest.vcpu.run_once() {
            Ok(run) => match End::of(&run) {
                Some(End::Code(code @ (OTHER_PKRS | OTHER_FLAGS))) => {
                    bail!("it had other rights than its own: {code:#x}")
                }
                Some(end @ End::MonitorFault { .. }) => bail!("{end:x?}"),
                Some(_) => return Ok(()),
                // Interrupted, console, device: any answer will do. A panic is an end.
                None if run.exit_reason <= EXIT_MMIO_WRITE => {
                    guest.vcpu.answer(0, u64::from(run.exit_reason))
                }
                None if run.exit_reason == EXIT_PANIC => return Ok(()),
                None => bail!("exit {}", run.exit_reason),
            },
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {
                let next = guest.container.read_word(at!(Random, next));
                if last == Some(next) {
                    return Ok(());
                }
                last = Some(next);
            }
            Err(error) => return Err(error).context("CKI_RUN"),
        }
    }
}
