// SPDX-License-Identifier: MIT OR Apache-2.0

//! The cases: name, and what has to hold.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cki_abi::calls::*;
use cki_abi::errors::*;
use cki_abi::faults::FAULT_GATE_MISUSED;
use cki_abi::keys::PKRS_GUEST;
use cki_abi::layout::*;
use cki_abi::uapi::container::Create;
use cki_abi::uapi::start::Start;
use cki_abi::uapi::system::modes::MODE_CKI;
use cki_abi::uapi::version::UAPI_VERSION;
use cki_abi::vectors::{GENERAL_PROTECTION, PAGE_FAULT};

use crate::alarm::Alarm;
use crate::attack::Outcome;
use crate::attacks;
use crate::case::{Case, wrpkrs_of_the_gates};
use crate::device::{self, System};
use crate::eventfds;
use crate::guest::{BASE, CONSTANTS, DATA, End, Guest, TABLES, UNMAPPED, WRITE, entry_of};
use crate::leftovers;
use crate::module;
use crate::observed;
use crate::page::{Loop, at, parameter};
use crate::refusals::{refused_calls, refused_entries, refused_frames};

/// Page-fault error code (Intel SDM Vol. 3A 4.7).
const FAULT_PRESENT: u64 = 1;
const FAULT_WRITE: u64 = 2;
const FAULT_KEY: u64 = 0x20;

/// All of them, in order.
pub fn all() -> Vec<(String, Case)> {
    let mut cases: Vec<(String, Case)> = Vec::new();
    let mut add = |name: &str, case: Case| cases.push((name.to_owned(), case));

    add("the_device_reports_full_isolation", Box::new(device));
    add("malformed_requests_are_refused", Box::new(malformed));
    add(
        "a_guest_starts_and_shuts_down",
        Box::new(|| ends("shutdown", &[START_INFO], End::Code(42))),
    );
    add(
        "a_call_preserves_and_clears_registers_as_documented",
        Box::new(|| ends("version", &[], End::Code(0))),
    );
    add(
        "a_thousand_calls_and_hypercalls",
        Box::new(|| ends("thousand", &[1000], End::Code(0))),
    );
    add(
        "a_hundred_containers_leave_no_memory_behind",
        Box::new(hundred),
    );
    let others = [
        module::all(),
        eventfds::all(),
        observed::all(),
        leftovers::all(),
    ];
    for (name, case) in others.into_iter().flatten() {
        add(name, case);
    }
    add("registers_survive_interrupts", Box::new(registers));
    add(
        "a_guest_that_loops_leaves_the_host_responsive",
        Box::new(loops),
    );
    add(
        "timer_events_interrupt_and_wake_the_guest",
        Box::new(|| ends("timer", &[], End::Code(0))),
    );
    add(
        "an_exception_runs_the_guests_own_handler",
        Box::new(|| ends("own_exception", &[], End::Code(6))),
    );
    add(
        "a_single_stepped_call_succeeds",
        Box::new(|| ends("step_call", &[], End::Code(0))),
    );
    add(
        "a_page_is_mapped_by_a_call",
        Box::new(|| {
            with(
                "map_page",
                |hpa| vec![entry_of(hpa, UNMAPPED), hpa + DATA | WRITE, BASE + UNMAPPED],
                End::Code(0),
            )
        }),
    );

    for (name, entry, error) in refused_entries() {
        add(
            &format!("entry_refused_{name}"),
            Box::new(move || {
                with(
                    "one_call",
                    |hpa| vec![KSM_ENTRY_SET, entry_of(hpa, UNMAPPED), entry(hpa), 0, 0],
                    End::Code(error),
                )
            }),
        );
    }
    for (name, arguments, error) in refused_calls() {
        add(
            &format!("call_refused_{name}"),
            Box::new(move || with("one_call", |hpa| arguments(hpa).to_vec(), End::Code(error))),
        );
    }
    for (name, frame) in refused_frames() {
        add(
            &format!("iret_refused_{name}"),
            Box::new(move || {
                ends(
                    "bad_iret",
                    &[&[0], &frame[..]].concat(),
                    End::Code(E_RETURN),
                )
            }),
        );
    }
    for name in [
        "cli",
        "sti",
        "hlt",
        "wrmsr",
        "rdmsr",
        "write_cr3",
        "read_cr3",
        "write_cr4",
        "write_dr7",
        "lidt",
        "lgdt",
        "ltr",
        "in_port",
        "out_port",
        "iretq",
        "int_80",
        "int_32",
        "wbinvd",
        "sysexit",
    ] {
        add(
            &format!("instruction_refused_{name}"),
            Box::new(move || faults(name, |_| vec![], GENERAL_PROTECTION, Some(0), None)),
        );
    }

    let write = FAULT_PRESENT | FAULT_WRITE;
    for (name, guest, address, error) in [
        ("write_to_a_page_table", "write_to", BASE + TABLES, write),
        ("write_to_text", "write_to", BASE, write),
        ("write_to_constants", "write_to", BASE + CONSTANTS, write),
        ("write_to_the_start_info", "write_to", START_INFO, write),
        (
            "read_the_monitors_text",
            "read_from",
            IMAGE_BASE,
            FAULT_PRESENT | FAULT_KEY,
        ),
        (
            "read_the_boot_info",
            "read_from",
            BOOT_INFO,
            FAULT_PRESENT | FAULT_KEY,
        ),
        (
            "read_the_direct_map",
            "read_from",
            DIRECT_MAP,
            FAULT_PRESENT | FAULT_KEY,
        ),
        (
            "write_the_frame_table",
            "write_to",
            FRAME_TABLE,
            write | FAULT_KEY,
        ),
        (
            "write_the_monitors_stack",
            "write_to",
            VCPU_BASE + VCPU_STACK_TOP - 8,
            write | FAULT_KEY,
        ),
        (
            "write_the_idt",
            "write_to",
            VCPU_BASE + VCPU_IDT,
            write | FAULT_KEY,
        ),
        (
            "write_the_gdt",
            "write_to",
            VCPU_BASE + VCPU_GDT,
            write | FAULT_KEY,
        ),
        (
            "write_the_tss",
            "write_to",
            VCPU_BASE + VCPU_TSS,
            write | FAULT_KEY,
        ),
        (
            "read_the_hosts_memory",
            "read_from",
            0xffff_8880_0010_0000,
            0,
        ),
    ] {
        add(
            &format!("access_refused_{name}"),
            Box::new(move || {
                faults(
                    guest,
                    |_| vec![address],
                    PAGE_FAULT,
                    Some(error),
                    Some(address),
                )
            }),
        );
    }

    for attack in attacks::all() {
        add(
            &format!("attack_refused_{}", attack.name),
            Box::new(move || {
                // The lines that tell the test how it went, whichever monitor this is.
                println!("attack {} begins: {:?}", attack.name, attack.gain);
                let outcome = attack.run()?;
                println!("attack {} {outcome}", attack.name);
                ensure!(matches!(outcome, Outcome::Refused(_)), "{outcome}");
                Ok(())
            }),
        );
    }
    add(
        "jumps_to_every_wrpkrs_of_the_gates_are_caught",
        Box::new(|| gates("jump_to")),
    );
    add(
        "single_stepped_jumps_to_every_wrpkrs_are_caught",
        Box::new(|| gates("step_to")),
    );
    add(
        "the_monitors_entry_is_no_gate",
        Box::new(|| {
            faults(
                "jump_to",
                |_| vec![MONITOR_ENTRY, 0],
                PAGE_FAULT,
                None,
                None,
            )
        }),
    );
    cases
}

fn system() -> Result<System> {
    System::open()
}

fn prepare<'a>(words: impl Fn(u64) -> Vec<u64> + 'a) -> impl FnOnce(&device::Container, u64) + 'a {
    move |container, hpa| {
        for (index, word) in words(hpa).into_iter().enumerate() {
            container.write_word(parameter(index), word);
        }
    }
}

/// Runs a guest with parameters made from the memory's hpa; it has to end so.
fn with(guest: &str, words: impl Fn(u64) -> Vec<u64>, expected: End) -> Result<()> {
    let guest = Guest::start(&system()?, guest, prepare(words))?;
    let (end, run) = guest.end()?;
    ensure!(
        end == expected,
        "ended with {end:x?}, expected {expected:x?} (run page {:x?})",
        &run.detail.0[..14]
    );
    Ok(())
}

fn ends(guest: &str, words: &[u64], expected: End) -> Result<()> {
    with(guest, |_| words.to_vec(), expected)
}

/// Runs a guest that has to be stopped by a fault of its own.
fn faults(
    guest: &str,
    words: impl Fn(u64) -> Vec<u64>,
    expected: u64,
    code: Option<u64>,
    place: Option<u64>,
) -> Result<()> {
    let guest = Guest::start(&system()?, guest, prepare(words))?;
    match guest.end()?.0 {
        End::GuestFault {
            vector,
            error,
            address,
        } if vector == expected
            && code.is_none_or(|code| match expected {
                GENERAL_PROTECTION => true,
                _ => code == error,
            })
            && place.is_none_or(|place| place == address) => {}
        other => bail!(
            "ended with {other:x?}, expected vector {expected}, error {code:x?}, address {place:x?}"
        ),
    }
    // Dead is dead.
    let again = guest.vcpu.run().expect_err("a dead container does not run");
    ensure!(
        again.raw_os_error() == Some(libc::ESHUTDOWN),
        "CKI_RUN after the end: {again}"
    );
    Ok(())
}

fn device() -> Result<()> {
    let system = system()?;
    ensure!(system.version()? == UAPI_VERSION as i32, "CKI_GET_VERSION");
    let info = system.info()?;
    ensure!(info.mode == MODE_CKI && info.missing == 0, "{info:?}");
    ensure!(
        info.pool_size > 0 && info.pool_free == info.pool_size && info.containers == 0,
        "{info:?}"
    );
    Ok(())
}

fn malformed() -> Result<()> {
    let system = system()?;
    let errno = |change: &dyn Fn(&mut Create)| {
        let mut create = device::create(0x40_0000);
        change(&mut create);
        system
            .create(&mut create)
            .err()
            .and_then(|error| error.raw_os_error())
    };
    ensure!(errno(&|c| c.abi_version += 1) == Some(libc::EPROTO));
    ensure!(errno(&|c| c.flags = 1) == Some(libc::EINVAL));
    ensure!(errno(&|c| c.vcpus = 0) == Some(libc::EINVAL));
    ensure!(errno(&|c| c.vcpus = 65) == Some(libc::EINVAL));
    ensure!(errno(&|c| c.memory_size = 0) == Some(libc::EINVAL));
    ensure!(errno(&|c| c.memory_size += 4096) == Some(libc::EINVAL));
    ensure!(errno(&|c| c.memory_size = 1 << 36) == Some(libc::ENOSPC));
    // A page table that maps a frame of the host's, adopted at the start.
    let refused = Guest::start(&system, "shutdown", |container, hpa| {
        container.write_word((entry_of(hpa, UNMAPPED) - hpa) as usize, 0x1000 | WRITE);
    });
    let message = format!(
        "{:#}",
        refused
            .err()
            .context("a boot table with a foreign frame was adopted")?
    );
    ensure!(
        message.contains(&format!("error {E_RANGE}, index 0")),
        "{message}"
    );
    // Text with the gadget, sealed at the start.
    let refused = Guest::start(&system, "shutdown", |container, _| {
        container.write(0x2000 - 2, &cki_abi::isa::WRPKRS);
    });
    let message = format!(
        "{:#}",
        refused
            .err()
            .context("text with WRPKRS across a page border was sealed")?
    );
    ensure!(message.contains(&format!("error {E_GADGET}")), "{message}");
    // Twice.
    let guest = Guest::start(&system, "shutdown", |_, _| {})?;
    let again = guest
        .container
        .start(&mut Start::default())
        .expect_err("started twice");
    ensure!(again.raw_os_error() == Some(libc::EBUSY), "{again}");
    ensure!(guest.container.vcpu(0).is_err(), "a vCPU after the start");
    Ok(())
}

fn hundred() -> Result<()> {
    for _ in 0..100 {
        ends("shutdown", &[START_INFO], End::Code(42))?;
    }
    let info = system()?.info()?;
    ensure!(
        info.pool_free == info.pool_size && info.containers == 0 && info.monitor_pages == 0,
        "{info:?}"
    );
    Ok(())
}

fn registers() -> Result<()> {
    let guest = Guest::start(&system()?, "registers", prepare(|_| vec![100_000_000]))?;
    let (end, run) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    ensure!(
        run.exits_interrupt >= 2,
        "only {} interrupts: nothing was tested",
        run.exits_interrupt
    );
    Ok(())
}

fn loops() -> Result<()> {
    let guest = Guest::start(&system()?, "loop_forever", prepare(|_| vec![]))?;
    let start = Instant::now();
    let _alarm = Alarm::every(300);
    let error = guest.vcpu.run().expect_err("an endless loop ended");
    ensure!(error.raw_os_error() == Some(libc::EINTR), "{error}");
    ensure!(
        start.elapsed() < Duration::from_secs(10),
        "the signal took {:?}",
        start.elapsed()
    );
    ensure!(
        guest.container.read_word(at!(Loop, begun)) == 1,
        "the guest did not get to its loop"
    );
    ensure!(
        guest.vcpu.page().exits_interrupt > 0,
        "no interrupt reached the host"
    );
    Ok(())
}

/// Jumps to every WRPKRS of the monitor's with values that a gate does not use there, and the good ones.
fn gates(guest: &str) -> Result<()> {
    let found = wrpkrs_of_the_gates()?;
    for address in found {
        for value in [0, 1, 4, PKRS_GUEST, 0xffff_ffff] {
            let running = Guest::start(&system()?, guest, prepare(|_| vec![address, value]))?;
            // With the value that the gate itself uses there, a jump is a call with odd registers: it
            // comes back to the guest, which then faults, goes on, or loops until the alarm. Any
            // other value ends the container.
            let usual = value == 0 || value == PKRS_GUEST;
            let alarm = usual.then(|| Alarm::every(300));
            let caught = match running.end() {
                Ok((
                    End::GuestFault {
                        vector: FAULT_GATE_MISUSED,
                        ..
                    },
                    _,
                )) => true,
                Ok((End::GuestFault { .. } | End::Code(_), _)) => false,
                Ok((end, _)) => bail!("jump to {address:#x} with {value:#x}: {end:x?}"),
                Err(error) if error.root_cause().to_string().contains("Interrupted") => false,
                Err(error) => return Err(error),
            };
            drop(alarm);
            ensure!(
                caught || usual,
                "jump to {address:#x} with {value:#x} was not caught"
            );
        }
    }
    Ok(())
}
