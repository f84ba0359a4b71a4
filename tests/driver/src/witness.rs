// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a container must leave as it was in the host's kernel, and what the kernel brings about for a container:
//! seen and done there by the module of `tests/witness`.

use std::arch::asm;
use std::fs;
use std::io;
use std::mem::offset_of;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use cki_abi::layout::START_INFO;
use cki_abi::limits::CHUNK_SIZE;
use cki_abi::start_info::{Clock, StartInfo};

use crate::alarm::Alarm;
use crate::attack::{SCRIPT, SEEN};
use crate::case::Case;
use crate::device::{self, System};
use crate::guest::{DATA, End, Guest};
use crate::machine;
use crate::moved::own_id;
use crate::page::{Loop, Page, at};
use crate::script::{load, single, step};
use cki_abi::uapi::system::Info;
use cki_abi::uapi::system::missing::MISSING_KERNEL;

/// Selector of the first descriptor of an LDT, with user mode's rights.
const LDT_SELECTOR: u32 = 7;
/// Where Linux has the LDT in its GDT (arch/x86/include/asm/segment.h, GDT_ENTRY_LDT).
const LDTR: &str = "50";
/// DR6 of a debug exception by the first two breakpoints, which no guest can cause.
const DR6: &str = "ffff0ff3";
/// Where the guest `events` has its events word, and the count that is 1 when it takes events.
const INFO: u64 = 0x11_0000;
const EMPTY: usize = at!(Page, empty);
/// What workers of the kernel do is done after this.
const PATIENCE: Duration = Duration::from_secs(10);

/// All of them, by name. Memory stays broken, so those come last.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "a_kernel_that_uses_protection_keys_itself_is_refused",
            Box::new(protection_keys),
        ),
        (
            "the_hosts_dr6_survives_debug_exceptions_of_a_guest",
            Box::new(dr6),
        ),
        ("the_hosts_ldt_survives_a_container", Box::new(ldt)),
        (
            "a_live_patch_gets_at_a_thread_that_runs_a_container",
            Box::new(live_patch),
        ),
        (
            "a_broken_page_of_the_monitors_is_not_touched",
            Box::new(broken_page),
        ),
        (
            "a_container_whose_events_word_is_broken_ends",
            Box::new(broken_events),
        ),
        (
            "broken_memory_of_a_container_goes_to_nobody",
            Box::new(broken_memory),
        ),
    ]
}

fn parameter(name: &str) -> PathBuf {
    PathBuf::from("/sys/module/cki_witness/parameters").join(name)
}

/// Has the witness do something.
pub fn tell(name: &str, value: &str) -> Result<()> {
    begin()?;
    fs::write(parameter(name), value).with_context(|| format!("{name} = {value}"))
}

/// Loads the witness, if it is not there.
fn begin() -> Result<()> {
    if parameter("").exists() {
        return Ok(());
    }
    machine::load("/cki_witness.ko", "")
}

/// What the witness sees.
pub fn ask(name: &str) -> Result<String> {
    begin()?;
    let text = fs::read_to_string(parameter(name)).with_context(|| name.to_owned())?;
    Ok(text.trim().to_owned())
}

/// The word of memory at a host-physical address.
fn word_at(hpa: u64) -> Result<u64> {
    tell("place", &format!("{hpa:x}"))?;
    Ok(u64::from_str_radix(&ask("word")?, 16)?)
}

fn poison(hpa: u64) -> Result<()> {
    tell("poison", &format!("{hpa:x}"))
}

fn system() -> Result<System> {
    System::open()
}

/// Runs a guest without parameters to its end.
fn ends_with(name: &str, code: u64) -> Result<()> {
    let (end, _) = Guest::start(&system()?, name, |_, _| {})?.end()?;
    ensure!(end == End::Code(code), "{name} ended with {end:x?}");
    Ok(())
}

/// Of the kernel's own use, the module sees when it is loaded.
fn protection_keys() -> Result<()> {
    machine::unload("cki")?;
    tell("pks", "1")?;
    let missing = load_again();
    tell("pks", "0")?;
    let (with, without) = (missing?, {
        machine::unload("cki")?;
        load_again()?
    });
    ensure!(with == MISSING_KERNEL, "with PKS in use: {with:#x}");
    ensure!(without == 0, "without: {without:#x}");
    Ok(())
}

/// Loads the module as the machine did, and gives what it finds missing.
fn load_again() -> Result<u32> {
    machine::load("/cki.ko", &machine::parameters()?)?;
    Ok(system()?.info()?.missing)
}

fn dr6() -> Result<()> {
    tell("dr6", DR6)?;
    ends_with("step_call", 0)?;
    let left = ask("dr6")?;
    ensure!(left == DR6, "DR6 was {DR6} and is {left}");
    Ok(())
}

/// Whether programs can name the LDT's descriptor.
fn has_ldt() -> bool {
    let found: u8;
    // SAFETY: LSL reads a descriptor, and clears ZF if it may not.
    unsafe {
        asm!("lsl {0:e}, {1:e}", "setz {2}", out(reg) _, in(reg) LDT_SELECTOR, out(reg_byte) found,
             options(nostack, readonly));
    }
    found != 0
}

fn ldt() -> Result<()> {
    ensure!(!has_ldt(), "this program has an LDT");
    tell("ldtr", "1")?;
    ensure!(has_ldt() && ask("ldtr")? == LDTR, "there is no LDT");
    ends_with("no_ldt", 0)?;
    let (left, found) = (ask("ldtr")?, has_ldt());
    tell("ldtr", "0")?;
    ensure!(left == LDTR && found, "LDTR was {LDTR} and is {left}");
    Ok(())
}

unsafe extern "C" {
    /// From the thread pointer to `struct rseq`, which the C library has registered with the kernel.
    static __rseq_offset: isize;
}

/// Takes this thread out of what the kernel tells of preemption: with that, each is work on the way to user mode.
fn leave_restartable_sequences() -> Result<()> {
    const UNREGISTER: i32 = 1;
    const SIZE: u32 = 32;
    /// RSEQ_SIG of the C library on x86.
    const SIGNATURE: u32 = 0x5305_3053;
    // SAFETY: the thread pointer is the first word that FS points to; the call takes back a registration.
    let result = unsafe {
        let thread: isize;
        asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly, preserves_flags));
        let area = thread + __rseq_offset;
        libc::syscall(libc::SYS_rseq, area, SIZE, UNREGISTER, SIGNATURE)
    };
    ensure!(result == 0, "rseq: {}", io::Error::last_os_error());
    Ok(())
}

/// The kernel gives a thread that computes some other work on its way to user mode now and then (a tenth of a second
/// and more apart). So it is tried often, each time for less than that.
fn live_patch() -> Result<()> {
    const TIMES: usize = 20;
    let guest = Guest::start(&system()?, "loop_forever", |_, _| {})?;
    let returns = AtomicUsize::new(0);
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let (vcpu, returns) = (&guest.vcpu, &returns);
        scope.spawn(move || {
            let left = leave_restartable_sequences().map(|()| own_id());
            let go_on = left.is_ok();
            let _ = sender.send(left);
            while go_on && vcpu.run_once().is_ok_and(|run| run.exit_reason == 0) {
                returns.fetch_add(1, Ordering::Relaxed);
            }
        });
        let thread = receiver.recv()??;
        // It has to be in the container, or it would wait on its way there.
        let start = Instant::now();
        while guest.container.read_word(at!(Loop, begun)) != 1 && start.elapsed() < PATIENCE {
            thread::yield_now();
        }
        let result = (0..TIMES).try_for_each(|time| {
            let before = returns.load(Ordering::Relaxed);
            tell("patch_pending", &thread.to_string())?;
            // It has left, and waited for the flag to go away; now it gets to count.
            thread::sleep(Duration::from_millis(20));
            ensure!(
                returns.load(Ordering::Relaxed) > before,
                "the thread was not on its way to user mode the {time}. time"
            );
            Ok(())
        });
        guest.container.kill()?;
        result
    })
}

/// Waits until `holds` does of what the module says.
fn wait(what: &str, holds: impl Fn(&Info) -> bool) -> Result<()> {
    let system = system()?;
    let start = Instant::now();
    loop {
        let info = system.info()?;
        if holds(&info) {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "{what}: {info:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The page of the clock, of which the guest is told where it is, stands for all of slot 256.
fn broken_page() -> Result<()> {
    let at = START_INFO + offset_of!(StartInfo, clock_hpa) as u64;
    let guest = Guest::start(&system()?, "attack", |container, _| {
        let script = [load(at), single(step::END)];
        for (index, word) in script.iter().flatten().enumerate() {
            container.write_word(SCRIPT as usize + 8 * index, *word);
        }
    })?;
    let (end, _) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    let clock = guest.container.read_word(SEEN) + offset_of!(Clock, tsc) as u64;
    let before = word_at(clock)?;
    ensure!(before != 0, "no clock at {clock:#x}");
    poison(clock)?;
    drop(guest);
    wait("the container stays", |info| info.monitor_pages == 0)?;
    let after = word_at(clock)?;
    ensure!(
        after == before,
        "the broken page at {clock:#x} was written: {after:#x}"
    );
    Ok(())
}

fn broken_events() -> Result<()> {
    let mut word = 0;
    let guest = Guest::start(&system()?, "events", |_, hpa| word = hpa + INFO)?;
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while guest.container.read_word(EMPTY) == 0 {
                thread::yield_now();
            }
            poison(word).expect("the witness does it");
            guest.container.raise(0, 1).expect("the event is taken");
        });
        let _alarm = Alarm::every(3000);
        guest.vcpu.run()
    });
    let error = result.expect_err("it has no end of its own");
    ensure!(error.raw_os_error() == Some(libc::ESHUTDOWN), "{error}");
    drop(guest);
    wait("its memory is still in use", |info| {
        info.pool_free == info.pool_size - CHUNK_SIZE
    })
}

fn broken_memory() -> Result<()> {
    let free = system()?.info()?.pool_free;
    let mut at = 0;
    let guest = Guest::start(&system()?, "shutdown", |_, hpa| at = hpa + DATA + 0x5000)?;
    guest.end()?;
    poison(at)?;
    drop(guest);
    wait("its memory is still in use", |info| {
        info.pool_free == free - CHUNK_SIZE
    })?;
    let mut create = device::create(free - CHUNK_SIZE);
    let _all = system()?.create(&mut create).context("all that is left")?;
    let segments = &create.segments[..create.segment_count as usize];
    ensure!(
        segments
            .iter()
            .all(|segment| at - segment.base >= segment.size),
        "{at:#x} is in {segments:x?}"
    );
    Ok(())
}
