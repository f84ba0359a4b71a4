// SPDX-License-Identifier: MIT OR Apache-2.0

//! Cases of the module's own: its interface, and what it owes the host.

use std::fs;
use std::io::{Read, Write};
use std::mem::offset_of;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cki_abi::class::CLASS_EXEC;
use cki_abi::layout::{CLOCK, START_INFO};
use cki_abi::limits::FRAME_SIZE;
use cki_abi::start_info::{ClassRange, Clock};
use cki_abi::uapi::container::Create;
use cki_abi::uapi::run::exits::EXIT_INTR;
use cki_abi::uapi::start::{Seal, Start};
use cki_abi::uapi::system::Info;

use crate::alarm::Alarm;
use crate::attack::{SCRIPT, SEEN};
use crate::case::Case;
use crate::device::{self, System};
use crate::guest::{End, Guest, MEMORY, Prepared, TEXT};
use crate::machine;
use crate::page::{Loop, at, parameter};
use crate::script::{load, single, step};

/// All of them, by name.
pub fn all() -> Vec<(&'static str, Case)> {
    vec![
        (
            "structures_may_be_longer_than_the_modules_and_not_shorter",
            Box::new(sizes),
        ),
        (
            "a_class_list_in_the_containers_own_memory_is_read",
            Box::new(own_memory),
        ),
        ("a_failed_request_starts_nothing", Box::new(not_started)),
        ("a_kill_during_the_start_is_not_forgotten", Box::new(killed)),
        (
            "a_killed_launcher_gives_everything_back",
            Box::new(launcher_killed),
        ),
        (
            "who_is_killed_while_memory_is_zeroed_does_not_wait_for_it",
            Box::new(killed_while_zeroing),
        ),
        ("time_in_a_container_is_guest_time", Box::new(time)),
        (
            "work_on_the_way_to_user_mode_ends_a_run",
            Box::new(user_mode_work),
        ),
        (
            "what_a_container_takes_beside_its_memory_is_charged_to_its_maker",
            Box::new(charged),
        ),
        (
            "a_thread_that_may_not_read_the_tsc_runs_a_container",
            Box::new(own_control_bits),
        ),
        (
            "a_vcpu_is_told_of_seconds_in_which_it_did_not_run",
            Box::new(absence),
        ),
    ]
}

/// The one that wants a CPU in VMX operation.
pub fn vmx() -> Vec<(&'static str, Case)> {
    vec![(
        "no_container_runs_on_a_cpu_in_vmx_operation",
        Box::new(vmx_operation),
    )]
}

fn system() -> Result<System> {
    System::open()
}

fn errno<T>(result: std::io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Linux charges pages by the 64 and counts those of a batch that are not used yet (mm/memcontrol.c).
const CHARGED_AHEAD: u64 = 64 * FRAME_SIZE;
/// The least memory of a container.
const SMALL: u64 = 2 << 20;
/// So many that their pages are more than two batches.
const CONTAINERS: u64 = 10;

fn charged() -> Result<()> {
    const CGROUPS: &str = "/sys/fs/cgroup";
    machine::mount("cgroup2", CGROUPS)?;
    fs::write(format!("{CGROUPS}/cgroup.subtree_control"), "+memory")?;
    let maker = format!("{CGROUPS}/maker");
    fs::create_dir_all(&maker)?;
    let charge = || -> Result<u64> {
        let text = fs::read_to_string(format!("{maker}/memory.current"))?;
        Ok(text.trim().parse()?)
    };
    let own = std::process::id().to_string();
    fs::write(format!("{maker}/cgroup.procs"), &own)?;
    let system = system()?;
    let (pages, before) = (u64::from(system.info()?.monitor_pages), charge()?);
    let containers: std::io::Result<Vec<_>> = (0..CONTAINERS)
        .map(|_| system.create(&mut device::create(SMALL)))
        .collect();
    let (taken, after) = (u64::from(system.info()?.monitor_pages) - pages, charge()?);
    drop(containers.context("CKI_CREATE_CONTAINER")?);
    fs::write(format!("{CGROUPS}/cgroup.procs"), &own)?;
    let (taken, charged) = (taken * FRAME_SIZE, after.saturating_sub(before));
    ensure!(
        taken > 2 * CHARGED_AHEAD && charged + CHARGED_AHEAD >= taken,
        "of {taken} bytes {charged} are charged"
    );
    // The pool is not: docs/understand/kmod.md says why.
    ensure!(
        charged < taken + SMALL,
        "{charged} bytes are charged for {taken} and the memory of {CONTAINERS} containers"
    );
    Ok(())
}

fn sizes() -> Result<()> {
    let system = system()?;
    let words = size_of::<Info>() / 4;
    let info = system.info_of_size(4 * words as u32)?;
    ensure!(info[0] as usize == 4 * words, "{info:?}");
    ensure!(info[words] == u32::MAX, "behind the structure: {info:?}");
    let info = system.info_of_size(4 * words as u32 + 8)?;
    ensure!(info[0] as usize == 4 * words, "{info:?}");
    ensure!(info[words..words + 3] == [0, 0, u32::MAX], "{info:?}");
    let of_size = |size| errno(system.info_of_size(size));
    ensure!(of_size(4 * words as u32 - 4) == Some(libc::EINVAL));
    ensure!(of_size(0) == Some(libc::EINVAL));
    ensure!(of_size(0x1_0000) == Some(libc::E2BIG));

    let create = device::create(MEMORY);
    let words = size_of::<Create>() / 4;
    let mut memory = vec![0u32; words + 2];
    let of_size = |memory: &mut Vec<u32>, size: usize, behind: u32| {
        // SAFETY: a structure of words, without gaps.
        let whole = unsafe { std::slice::from_raw_parts((&raw const create).cast(), words) };
        memory[..words].copy_from_slice(whole);
        memory[words + 1] = behind;
        memory[0] = size as u32;
        errno(system.create_of_size(memory))
    };
    ensure!(of_size(&mut memory, 4 * words, 1).is_none());
    ensure!(of_size(&mut memory, 4 * words + 8, 0).is_none());
    ensure!(of_size(&mut memory, 4 * words + 8, 1) == Some(libc::E2BIG));
    ensure!(of_size(&mut memory, 4 * words - 4, 0) == Some(libc::EINVAL));
    Ok(())
}

/// The list is read from a page that is not there yet, so that the read itself goes to the module.
fn own_memory() -> Result<()> {
    let prepared = Prepared::new(&system()?, "shutdown", MEMORY)?;
    let place = 0x20_0000;
    for (index, class) in prepared.classes.iter().enumerate() {
        let at = place + index * size_of::<ClassRange>();
        prepared.container.write_word(at, class.base);
        prepared.container.write_word(at + 8, class.size);
        prepared.container.write_word(at + 16, class.class.into());
    }
    let other = prepared.container.map_again()?;
    let mut start = prepared.request();
    start.classes = other.at::<ClassRange>(place) as u64;
    prepared.container.start(&mut start).context("CKI_START")?;
    let guest = Guest {
        container: prepared.container,
        vcpu: prepared.vcpu,
    };
    let (end, _) = guest.end()?;
    ensure!(matches!(end, End::Code(_)), "{end:x?}");
    Ok(())
}

fn not_started() -> Result<()> {
    let prepared = Prepared::new(&system()?, "shutdown", MEMORY)?;
    let start = |change: &dyn Fn(&mut Start)| {
        let mut start = prepared.request();
        change(&mut start);
        errno(prepared.container.start(&mut start))
    };
    ensure!(start(&|start| start.classes = 8) == Some(libc::EFAULT));
    ensure!(start(&|start| start.tables = 8) == Some(libc::EFAULT));
    ensure!(start(&|start| start.table_count = 65_537) == Some(libc::EINVAL));
    ensure!(start(&|start| start.flags = 1) == Some(libc::EINVAL));
    ensure!(errno(prepared.vcpu.run()) == Some(libc::ENOEXEC));
    ensure!(start(&|_| ()).is_none(), "it does not start any more");
    ensure!(start(&|_| ()) == Some(libc::EBUSY));
    prepared.container.kill()?;
    ensure!(start(&|_| ()) == Some(libc::ESHUTDOWN));
    ensure!(errno(prepared.vcpu.run()) == Some(libc::ESHUTDOWN));
    Ok(())
}

/// A start that takes long, and a kill at every millisecond of it. Whichever comes first, nothing runs
/// afterwards.
fn killed() -> Result<()> {
    const LARGE: u64 = 8 << 20;
    let system = system()?;
    let (mut before, mut during) = (0, 0);
    for delay in 0..60 {
        let mut prepared = Prepared::new(&system, "loop_forever", LARGE)?;
        prepared.classes.push(ClassRange {
            base: prepared.hpa + (4 << 20),
            size: 4 << 20,
            class: CLASS_EXEC as u32,
            reserved: 0,
        });
        prepared.seals.push(Seal {
            hpa: prepared.hpa + (4 << 20),
            frames: 1024,
        });
        ensure!(prepared.classes[0].base == prepared.hpa + TEXT);
        let mut start = prepared.request();
        let container = &prepared.container;
        let result = thread::scope(|scope| {
            let starter = scope.spawn(move || container.start(&mut start));
            thread::sleep(Duration::from_millis(delay));
            container.kill()?;
            starter.join().expect("it does not panic")
        });
        match errno(result) {
            None => before += 1,
            Some(libc::ESHUTDOWN) => during += 1,
            other => bail!("CKI_START ended with {other:?}"),
        }
        let _alarm = Alarm::every(300);
        let run = errno(prepared.vcpu.run());
        ensure!(
            run == Some(libc::ESHUTDOWN),
            "it ran after a kill {delay} ms into the start: {run:?}"
        );
    }
    ensure!(
        during > 0,
        "no kill struck during a start ({before} behind)"
    );
    Ok(())
}

fn launcher_killed() -> Result<()> {
    let system = system()?;
    let before = system.info()?.pool_free;
    let (mut runs, mut says) = UnixStream::pair()?;
    // SAFETY: the child is the only thread of a process that has no other either, so no lock is held for ever.
    let child = unsafe { libc::fork() };
    if child == 0 {
        if let Ok(guest) = Guest::start(&system, "loop_forever", |_, _| {}) {
            thread::scope(|scope| {
                scope.spawn(|| {
                    while guest.container.read_word(at!(Loop, begun)) != 1 {
                        thread::yield_now();
                    }
                    let _ = says.write_all(b"x");
                });
                let _ = guest.vcpu.run();
            });
        }
        // SAFETY: ends the child without running this process's destructors twice.
        unsafe { libc::_exit(1) };
    }
    drop(says);
    // The guest is in its loop, or the child has gone.
    ensure!(
        runs.read(&mut [0])? == 1 && system.info()?.pool_free < before,
        "the child has no container"
    );
    let mut status = 0;
    // SAFETY: a child of this process's own.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, &mut status, 0);
    }
    ensure!(libc::WIFSIGNALED(status), "the child ended by itself");
    let info = system.info()?;
    ensure!(info.pool_free == before && info.containers == 0, "{info:?}");
    let next = Guest::start(&system, "shutdown", |container, _| {
        container.write_word(parameter(0), START_INFO);
    })?;
    let (end, _) = next.end()?;
    ensure!(end == End::Code(42), "{end:?}");
    Ok(())
}

/// The first container has all of the pool, so that none of it is zero when the second is made.
fn killed_while_zeroing() -> Result<()> {
    let system = system()?;
    let size = system.info()?.pool_free;
    let mut create = device::create(size);
    for delay in [0, 1, 2, 5, 10, 20] {
        drop(system.create(&mut create)?);
        // SAFETY: the child is the only thread of a process that has no other either, so no lock is held for ever.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let _ = system.create(&mut create);
            // SAFETY: ends the child without running this process's destructors twice.
            unsafe { libc::_exit(0) };
        }
        thread::sleep(Duration::from_millis(delay));
        // SAFETY: a child of this process's own.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
        let info = system.info()?;
        ensure!(
            info.pool_free == size && info.containers == 0,
            "killed after {delay} ms: {info:?}"
        );
    }
    Ok(())
}

fn time() -> Result<()> {
    let guest = Guest::start(&system()?, "loop_forever", |_, _| {})?;
    let (user, kernel) = usage();
    let _alarm = Alarm::every(1000);
    let error = guest.vcpu.run().expect_err("an endless loop ended");
    ensure!(error.raw_os_error() == Some(libc::EINTR), "{error}");
    let (user, kernel) = (usage().0 - user, usage().1 - kernel);
    // Entries and exits are the host's; a tick that finds them is one of a few, and of more where the kernel looks at
    // itself and the emulator has much else to do. Taken for the kernel's, all of it would be there.
    ensure!(
        user > kernel && user > Duration::from_millis(300),
        "{user:?} in user mode, {kernel:?} in the kernel"
    );
    Ok(())
}

/// User and system time of this thread.
fn usage() -> (Duration, Duration) {
    // SAFETY: a plain structure that the call fills in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage
    };
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    (time(usage.ru_utime), time(usage.ru_stime))
}

/// The C library has registered this thread for restartable sequences: when another thread had its CPU, the
/// kernel has something to do for it on its way to user mode (TIF_NOTIFY_RESUME), and no signal says so.
fn user_mode_work() -> Result<()> {
    let guest = Guest::start(&system()?, "loop_forever", |_, _| {})?;
    let ended = AtomicBool::new(false);
    let start = Instant::now();
    let result = thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        });
        let _alarm = Alarm::every(5000);
        let result = guest.vcpu.run_once();
        ended.store(true, Ordering::Relaxed);
        result
    });
    let run = result.context("nothing but a signal ended it")?;
    ensure!(run.exit_reason == EXIT_INTR, "exit {}", run.exit_reason);
    ensure!(start.elapsed() < Duration::from_secs(4));
    Ok(())
}

/// CR4.TSD belongs to the thread: nothing of this process may read the TSC as long as this lives.
struct WithoutTsc;

impl WithoutTsc {
    fn new() -> Result<Self> {
        Self::set(libc::PR_TSC_SIGSEGV)?;
        Ok(WithoutTsc)
    }

    fn set(what: i32) -> Result<()> {
        // SAFETY: changes what RDTSC does in this thread.
        let result = unsafe { libc::prctl(libc::PR_SET_TSC, what, 0, 0, 0) };
        ensure!(
            result == 0,
            "PR_SET_TSC: {}",
            std::io::Error::last_os_error()
        );
        Ok(())
    }
}

impl Drop for WithoutTsc {
    fn drop(&mut self) {
        Self::set(libc::PR_TSC_ENABLE).expect("it has worked before");
    }
}

fn own_control_bits() -> Result<()> {
    let guest = Guest::start(&system()?, "version", |_, _| {})?;
    let without = WithoutTsc::new()?;
    let result = guest.end();
    drop(without);
    let (end, _) = result?;
    ensure!(end == End::Code(0), "{end:x?}");
    Ok(())
}

/// The time-stamp counter.
fn tsc() -> u64 {
    // SAFETY: every program may read it here.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// How often it was away, for a guest whose launcher lets so many milliseconds pass before it runs: of the time that
/// the module has measured, which on a machine that is short of time is another.
fn absences_after(pause: u64) -> Result<u64> {
    let system = system()?;
    let ticks = system.info()?.tsc_khz * pause;
    let guest = Guest::start(&system, "attack", |container, _| {
        let at = CLOCK + offset_of!(Clock, absences) as u64;
        let script = [load(at), single(step::END)];
        for (index, word) in script.iter().flatten().enumerate() {
            container.write_word(SCRIPT as usize + 8 * index, *word);
        }
    })?;
    let start = tsc();
    while tsc() - start < ticks {
        thread::sleep(Duration::from_millis(1));
    }
    let (end, _) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    Ok(guest.container.read_word(SEEN))
}

fn absence() -> Result<()> {
    let seen = absences_after(1100)?;
    ensure!(seen >= 1, "after a second there were {seen} absences");
    // Where this program gets no processor for a second, there is one: not each time.
    for _ in 0..3 {
        if absences_after(0)? == 0 {
            return Ok(());
        }
    }
    bail!("there was an absence without any");
}

/// On a machine whose module looks at CR4.TSD in the place of CR4.VMXE (tests/variants).
fn vmx_operation() -> Result<()> {
    const MISSING_VMX: u32 = 1 << 6;
    let system = system()?;
    let guest = Guest::start(&system, "version", |_, _| {})?;
    let without = WithoutTsc::new()?;
    let info = system.info();
    let create = errno(system.create(&mut device::create(MEMORY)));
    let run = errno(guest.vcpu.run());
    drop(without);
    let info = info?;
    ensure!(info.mode == 0 && info.missing == MISSING_VMX, "{info:?}");
    ensure!(create == Some(libc::ENODEV), "{create:?}");
    ensure!(run == Some(libc::ENXIO), "{run:?}");
    // The CPU is free again.
    ensure!(system.info()?.missing == 0);
    let (end, _) = guest.end()?;
    ensure!(end == End::Code(0), "{end:x?}");
    Ok(())
}
