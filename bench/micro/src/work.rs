// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is measured. All of it is the kernel's work: the loops around the calls are a few instructions.

use std::io::{self, Error};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

use cki_micro::{Sample, mode, name};

use crate::counter::sample;

const PAGE: usize = 4096;
/// Pages of a batch of page faults: two tables' worth.
const PAGES: u32 = 1024;

/// The command that makes all measurements, in a process whose memory is laid out the same each time: how
/// many page tables fork has to copy depends on it.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(mode::WORK);
    let fixed = || {
        // SAFETY: a system call with a number.
        match unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } {
            -1 => Err(Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: between fork and exec, the hook makes one system call.
    unsafe { command.pre_exec(fixed) };
    command
}

/// All measurements, in order.
pub fn all() -> io::Result<Vec<Sample>> {
    Ok(vec![
        getpid(),
        page_fault()?,
        mmap_munmap(),
        mprotect()?,
        fork(),
        pipe()?,
    ])
}

fn getpid() -> Sample {
    sample(
        name::GETPID,
        41,
        1000,
        || {},
        |calls| {
            for _ in 0..calls {
                // SAFETY: SYSCALL with the number of getpid, which reads nothing of ours; it clobbers RCX
                // and R11.
                unsafe {
                    core::arch::asm!(
                        "syscall",
                        inlateout("rax") libc::SYS_getpid => _,
                        lateout("rcx") _,
                        lateout("r11") _,
                        options(nostack),
                    );
                }
            }
        },
    )
}

/// Anonymous memory of whole pages that nobody has touched, without huge pages.
#[derive(Debug)]
pub struct Region {
    address: *mut u8,
    pages: u32,
}

impl Region {
    /// Maps it.
    pub fn new(pages: u32) -> io::Result<Self> {
        let size = pages as usize * PAGE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(Error::last_os_error());
        }
        let region = Region {
            address: address.cast(),
            pages,
        };
        // SAFETY: the mapping made above.
        if unsafe { libc::madvise(address, size, libc::MADV_NOHUGEPAGE) } != 0 {
            return Err(Error::last_os_error());
        }
        Ok(region)
    }

    /// Writes to each of the first pages once.
    pub fn touch(&self, pages: u32) {
        for page in 0..pages.min(self.pages) as usize {
            // SAFETY: inside of the mapping, which is writable; volatile, so that it happens.
            unsafe { self.address.add(page * PAGE).write_volatile(1) };
        }
    }

    /// Gives the pages back; the next touch faults again. The page tables stay.
    pub fn forget(&self) {
        // SAFETY: the mapping is anonymous and ours; nothing refers into it.
        unsafe {
            libc::madvise(
                self.address.cast(),
                self.pages as usize * PAGE,
                libc::MADV_DONTNEED,
            )
        };
    }

    fn protect(&self, rights: i32) {
        // SAFETY: nothing refers into the mapping, so its rights are nobody's concern.
        unsafe { libc::mprotect(self.address.cast(), self.pages as usize * PAGE, rights) };
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own.
        unsafe { libc::munmap(self.address.cast(), self.pages as usize * PAGE) };
    }
}

fn page_fault() -> io::Result<Sample> {
    let region = Region::new(PAGES)?;
    Ok(sample(
        name::PAGE_FAULT,
        21,
        PAGES,
        || region.forget(),
        |pages| region.touch(pages),
    ))
}

fn mmap_munmap() -> Sample {
    sample(
        name::MMAP,
        21,
        100,
        || {},
        |pairs| {
            for _ in 0..pairs {
                // SAFETY: a mapping of its own, gone before anybody knows of it.
                unsafe {
                    let address = libc::mmap(
                        ptr::null_mut(),
                        PAGE,
                        libc::PROT_READ | libc::PROT_WRITE,
                        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                        -1,
                        0,
                    );
                    libc::munmap(address, PAGE);
                }
            }
        },
    )
}

fn mprotect() -> io::Result<Sample> {
    let region = Region::new(1)?;
    region.touch(1);
    Ok(sample(
        name::MPROTECT,
        21,
        100,
        || {},
        |calls| {
            for call in 0..calls {
                let write = if call % 2 == 0 { 0 } else { libc::PROT_WRITE };
                region.protect(libc::PROT_READ | write);
            }
        },
    ))
}

fn fork() -> Sample {
    sample(
        name::FORK,
        21,
        4,
        || {},
        |children| {
            for _ in 0..children {
                // SAFETY: this process has one thread, and the child only ends.
                unsafe {
                    let child = libc::fork();
                    if child == 0 {
                        libc::_exit(0);
                    }
                    libc::waitpid(child, ptr::null_mut(), 0);
                }
            }
        },
    )
}

/// A process that sends back what it gets.
fn pipe() -> io::Result<Sample> {
    let (mut there, mut back) = ([0; 2], [0; 2]);
    // SAFETY: room for two descriptors each.
    if unsafe { libc::pipe(there.as_mut_ptr()) != 0 || libc::pipe(back.as_mut_ptr()) != 0 } {
        return Err(Error::last_os_error());
    }
    // SAFETY: this process has one thread; the child reads, writes and ends.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(Error::last_os_error());
    }
    if child == 0 {
        // SAFETY: descriptors of this process's own.
        unsafe { libc::close(there[1]) };
        while pass(there[0], back[1]) {}
        // SAFETY: ends the child without what the parent has still to write.
        unsafe { libc::_exit(0) };
    }
    let sample = sample(
        name::PIPE,
        21,
        100,
        || {},
        |trips| {
            for _ in 0..trips {
                let byte = 0_u8;
                // SAFETY: one byte to a pipe that has room for it.
                unsafe { libc::write(there[1], (&raw const byte).cast(), 1) };
                pass(back[0], -1);
            }
        },
    );
    // SAFETY: descriptors and a child of this process's own.
    unsafe {
        for fd in [there[0], there[1], back[0], back[1]] {
            libc::close(fd);
        }
        libc::waitpid(child, ptr::null_mut(), 0);
    }
    Ok(sample)
}

/// Reads a byte and writes it to `to`, unless that is negative; false at the end of the input.
fn pass(from: i32, to: i32) -> bool {
    let mut byte = 0_u8;
    // SAFETY: room for the byte that is read.
    let read = unsafe { libc::read(from, (&raw mut byte).cast(), 1) };
    if read == 1 && to >= 0 {
        // SAFETY: one byte to a pipe that has room for it.
        unsafe { libc::write(to, (&raw const byte).cast(), 1) };
    }
    read == 1
}
