// SPDX-License-Identifier: MIT OR Apache-2.0

//! The real `/dev/cki`: ioctls, and nothing else that is unsafe.
//!
//! All ioctl numbers are computed from the structures of [`super::uapi`], whose layout is checked.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{FromRawFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use cki_abi::start_info::Segment;
use cki_abi::version::ABI_VERSION;
use nix::unistd::geteuid;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};
use vmm_sys_util::ioctl::{ioctl, ioctl_with_mut_ref, ioctl_with_ref, ioctl_with_val};

use super::error::Access;
use super::uapi::{
    Create, Event, Info, MODE_CKI, MODE_NONE, RUN_SIZE, Run, SEGMENTS_MAX, Start, UAPI_VERSION,
};
use super::{Container, DeviceError, Exit, StartRequest, Vcpu, broken_memory};

/// `CKI_IOC`.
const IOC: u32 = 0xcb;

/// The numbers of the calls. A module of its own, because the macros make public functions.
mod number {
    use vmm_sys_util::{ioctl_io_nr, ioctl_iow_nr};

    use super::{Event, IOC};

    ioctl_io_nr!(CKI_GET_VERSION, IOC, 0x00);
    ioctl_io_nr!(CKI_GET_INFO, IOC, 0x01);
    ioctl_io_nr!(CKI_CREATE_CONTAINER, IOC, 0x02);
    ioctl_io_nr!(CKI_CREATE_VCPU, IOC, 0x20);
    ioctl_io_nr!(CKI_START, IOC, 0x21);
    ioctl_iow_nr!(CKI_RAISE_EVENT, IOC, 0x22, Event);
    ioctl_io_nr!(CKI_KILL, IOC, 0x23);
    ioctl_io_nr!(CKI_RUN, IOC, 0x40);
}
use number::*;

/// The numbers of all calls, in the header's order, for the test that compares them.
#[must_use]
pub fn ioctls() -> [u64; 8] {
    [
        CKI_GET_VERSION(),
        CKI_GET_INFO(),
        CKI_CREATE_CONTAINER(),
        CKI_CREATE_VCPU(),
        CKI_START(),
        CKI_RAISE_EVENT(),
        CKI_KILL(),
        CKI_RUN(),
    ]
}

/// The ioctls that are made after the start, for the seccomp filter.
#[must_use]
pub fn ioctls_after_start() -> [u64; 3] {
    [CKI_RUN(), CKI_RAISE_EVENT(), CKI_KILL()]
}

/// The open device.
#[derive(Debug)]
pub struct System {
    file: File,
}

/// Why the device may not be opened: its owner and mode, or something else.
fn denied(path: &Path, source: io::Error) -> DeviceError {
    let user = geteuid().as_raw();
    let path = path.to_owned();
    match std::fs::metadata(&path) {
        Ok(file) if user != 0 && source.raw_os_error() == Some(libc::EACCES) => {
            DeviceError::NotPermitted {
                path,
                user,
                access: Access {
                    user: file.uid(),
                    group: file.gid(),
                    mode: file.mode() & 0o777,
                },
            }
        }
        _ => DeviceError::Forbidden { path, source },
    }
}

/// What an ioctl returned, as a result.
fn check(call: &'static str, result: i32) -> Result<i32, DeviceError> {
    if result >= 0 {
        return Ok(result);
    }
    let source = io::Error::last_os_error();
    Err(match source.raw_os_error() {
        Some(libc::EINTR) => DeviceError::Interrupted,
        Some(libc::ESHUTDOWN) => DeviceError::Ended,
        _ => DeviceError::Call { call, source },
    })
}

fn is_errno(error: &DeviceError, errno: i32) -> bool {
    matches!(error, DeviceError::Call { source, .. } if source.raw_os_error() == Some(errno))
}

impl System {
    /// Opens the device and makes sure that it speaks this launcher's interface.
    ///
    /// # Errors
    /// [`DeviceError::Absent`], [`DeviceError::NotPermitted`], [`DeviceError::Forbidden`],
    /// [`DeviceError::Foreign`], [`DeviceError::UapiVersion`].
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK)
            .open(path)
            .map_err(|source| match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => {
                    DeviceError::Absent(path.to_owned())
                }
                Some(libc::EACCES | libc::EPERM) => denied(path, source),
                _ => DeviceError::Foreign {
                    path: path.to_owned(),
                    source,
                },
            })?;
        // SAFETY: the call takes no argument; on a file of another kind it fails.
        let result = unsafe { ioctl_with_val(&file, CKI_GET_VERSION(), 0) };
        if result < 0 {
            return Err(DeviceError::Foreign {
                path: path.to_owned(),
                source: io::Error::last_os_error(),
            });
        }
        if result != UAPI_VERSION {
            return Err(DeviceError::UapiVersion(result));
        }
        Ok(System { file })
    }

    /// What the machine provides.
    ///
    /// # Errors
    /// [`DeviceError::Call`].
    pub fn info(&self) -> Result<Info, DeviceError> {
        let mut info = Info::default();
        // SAFETY: the call writes a `struct cki_info`, which `Info` is, byte for byte, and no more of it than
        // its size says.
        let result = unsafe { ioctl_with_mut_ref(&self.file, CKI_GET_INFO(), &mut info) };
        check("CKI_GET_INFO", result)?;
        Ok(info)
    }

    /// Makes a container of `memory` bytes (a multiple of 2 MiB) with one vCPU, number 0.
    ///
    /// # Errors
    /// [`DeviceError::NoMode`], [`DeviceError::UnknownMode`], [`DeviceError::AbiVersion`],
    /// [`DeviceError::Vcpus`], [`DeviceError::Pool`], [`DeviceError::Pieces`],
    /// [`DeviceError::Segments`] or [`DeviceError::Call`].
    pub fn create(
        &self,
        memory: u64,
        vcpus: u32,
    ) -> Result<(SystemContainer, SystemVcpu), DeviceError> {
        let info = self.info()?;
        check_info(&info, memory, vcpus)?;
        let mut create = Create {
            memory_size: memory,
            vcpus,
            abi_version: ABI_VERSION as u32,
            ..Create::default()
        };
        // SAFETY: the call reads and writes a `struct cki_create`, which `Create` is, of the size that it says.
        let result = unsafe { ioctl_with_mut_ref(&self.file, CKI_CREATE_CONTAINER(), &mut create) };
        let fd = check("CKI_CREATE_CONTAINER", result).map_err(|error| {
            if is_errno(&error, libc::ENOSPC) {
                // Somebody else may have taken of it since.
                no_room(&self.info().unwrap_or(info), memory)
            } else if is_errno(&error, libc::EPROTO) {
                DeviceError::AbiVersion(info.abi_version)
            } else if is_errno(&error, libc::ENODEV) {
                DeviceError::NoMode(info.missing)
            } else {
                error
            }
        })?;
        let container = SystemContainer {
            file: Arc::new(own(fd)),
            segments: segments(&create)?,
        };
        let vcpu = container.vcpu(0)?;
        Ok((container, vcpu))
    }
}

/// Takes over a descriptor that an ioctl has just returned.
fn own(fd: RawFd) -> File {
    // SAFETY: the module has just made the descriptor for this call; nobody else knows it.
    unsafe { File::from_raw_fd(fd) }
}

/// What can be told before anything is created.
fn check_info(info: &Info, memory: u64, vcpus: u32) -> Result<(), DeviceError> {
    match info.mode {
        MODE_CKI => {}
        MODE_NONE => return Err(DeviceError::NoMode(info.missing)),
        other => return Err(DeviceError::UnknownMode(other)),
    }
    if u64::from(info.abi_version) != ABI_VERSION {
        return Err(DeviceError::AbiVersion(info.abi_version));
    }
    if vcpus == 0 || vcpus > info.vcpus_max {
        return Err(DeviceError::Vcpus {
            wanted: vcpus,
            most: info.vcpus_max,
        });
    }
    if memory > info.pool_free {
        return Err(no_room(info, memory));
    }
    Ok(())
}

/// Why the pool has no room for a container of `memory` bytes.
fn no_room(info: &Info, memory: u64) -> DeviceError {
    if memory <= info.pool_free {
        return DeviceError::Pieces(memory);
    }
    DeviceError::Pool {
        wanted: memory,
        size: info.pool_size,
        free: info.pool_free,
    }
}

fn segments(create: &Create) -> Result<Vec<Segment>, DeviceError> {
    let count = create.segment_count as usize;
    if count == 0 || count > SEGMENTS_MAX {
        return Err(DeviceError::Segments("their number"));
    }
    let list: Vec<Segment> = create.segments[..count]
        .iter()
        .map(|segment| Segment {
            base: segment.hpa,
            size: segment.size,
        })
        .collect();
    let mut end = 0;
    for segment in &list {
        let next = segment.base.checked_add(segment.size);
        match next {
            Some(next) if segment.size != 0 && segment.base >= end => end = next,
            _ => return Err(DeviceError::Segments("they are not ascending")),
        }
    }
    if list.iter().map(|segment| segment.size).sum::<u64>() != create.memory_size {
        return Err(DeviceError::Segments("their sum"));
    }
    Ok(list)
}

/// A container descriptor.
#[derive(Debug)]
pub struct SystemContainer {
    file: Arc<File>,
    segments: Vec<Segment>,
}

impl SystemContainer {
    fn vcpu(&self, number: u32) -> Result<SystemVcpu, DeviceError> {
        broken_memory::install().map_err(|source| DeviceError::Call {
            call: "sigaction",
            source,
        })?;
        // SAFETY: the argument is a number.
        let result = unsafe { ioctl_with_val(&*self.file, CKI_CREATE_VCPU(), number.into()) };
        let file = own(check("CKI_CREATE_VCPU", result)?);
        let page = file
            .try_clone()
            .map_err(|source| DeviceError::Call {
                call: "dup",
                source,
            })
            .and_then(|file| {
                MmapRegion::build(
                    Some(FileOffset::new(file, 0)),
                    RUN_SIZE,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED,
                )
                .map_err(|error| DeviceError::Map(error.to_string()))
            })?;
        Ok(SystemVcpu {
            file,
            page: RunPage(Arc::new(page)),
        })
    }
}

impl Container for SystemContainer {
    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn memory(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    fn start(&self, request: &StartRequest) -> Result<(), DeviceError> {
        let mut start = Start {
            start_info: std::ptr::from_ref(&*request.info) as u64,
            classes: request.classes.as_ptr() as u64,
            seals: request.seals.as_ptr() as u64,
            tables: request.tables.as_ptr() as u64,
            class_count: request.classes.len() as u32,
            seal_count: request.seals.len() as u32,
            table_count: request.tables.len() as u32,
            root_hpa: request.root_hpa,
            entry: request.entry,
            ..Start::default()
        };
        // SAFETY: the call reads and writes a `struct cki_start`; its four pointers are to as many
        // elements as it says, of `repr(C)` types that are the header's, borrowed across the call.
        let result = unsafe { ioctl_with_mut_ref(&*self.file, CKI_START(), &mut start) };
        check("CKI_START", result).map_err(|error| {
            if is_errno(&error, libc::EPERM) {
                DeviceError::Refused {
                    operation: start.refusal_op,
                    error: start.refusal_error,
                    index: start.refusal_index,
                }
            } else {
                error
            }
        })?;
        Ok(())
    }

    fn raise(&self, vcpu: u32, event: u32) -> Result<(), DeviceError> {
        let argument = Event { vcpu, event };
        // SAFETY: the call reads a `struct cki_event`, which `Event` is.
        let result = unsafe { ioctl_with_ref(&*self.file, CKI_RAISE_EVENT(), &argument) };
        check("CKI_RAISE_EVENT", result).map(|_| ())
    }

    fn kill(&self) {
        // SAFETY: the call takes no argument. It fails only if the container has ended, as wanted.
        unsafe { ioctl(&*self.file, CKI_KILL()) };
    }
}

/// A vCPU descriptor and its run page.
#[derive(Debug)]
pub struct SystemVcpu {
    file: File,
    page: RunPage,
}

/// A vCPU's run page, which outlives the vCPU.
#[derive(Clone, Debug)]
pub struct RunPage(Arc<MmapRegion>);

impl RunPage {
    /// What it holds now. Of use when the vCPU's thread is not in `CKI_RUN`, where the module writes it.
    #[must_use]
    pub fn snapshot(&self) -> Run {
        // The page is as large as RUN_SIZE, which a Run fits.
        self.0.as_volatile_slice().read_obj(0).unwrap_or_default()
    }
}

impl SystemVcpu {
    /// The run page.
    #[must_use]
    pub fn page(&self) -> RunPage {
        self.page.clone()
    }
}

impl Vcpu for SystemVcpu {
    fn run(&mut self) -> Result<Exit, DeviceError> {
        // SAFETY: the call takes no argument; what it writes is the mapped page and guest memory,
        // both reached through volatile accesses only.
        let result =
            broken_memory::expected(|| unsafe { ioctl_with_val(&self.file, CKI_RUN(), 0) });
        match check("CKI_RUN", result) {
            Ok(_) => Ok(Exit::of(&self.page.snapshot())),
            Err(DeviceError::Interrupted) => Ok(Exit::Interrupted),
            Err(error) => Err(error),
        }
    }

    fn complete(&mut self, status: i64, value: u64) {
        let page = self.page.0.as_volatile_slice();
        // Both offsets are inside the page.
        let _ = page.write_obj(status, std::mem::offset_of!(Run, status));
        let _ = page.write_obj(value, std::mem::offset_of!(Run, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: Info = Info {
        size: size_of::<Info>() as u32,
        mode: MODE_CKI,
        missing: 0,
        abi_version: ABI_VERSION as u32,
        vcpus_max: 1,
        pool_size: 512 << 20,
        pool_free: 256 << 20,
        tsc_khz: 0,
        containers: 0,
        monitor_pages: 0,
        reserved: 0,
    };

    #[test]
    fn an_absent_device_is_told_from_a_foreign_one() {
        let absent = System::open(Path::new("/dev/no-such-device")).unwrap_err();
        assert!(matches!(absent, DeviceError::Absent(_)));
        let foreign = System::open(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(foreign, DeviceError::Foreign { .. }), "{foreign}");
    }

    #[test]
    fn a_machine_is_refused_before_a_container_is_made() {
        let refused = |change: fn(&mut Info)| {
            let mut info = INFO;
            change(&mut info);
            check_info(&info, 256 << 20, 1).unwrap_err()
        };
        assert!(check_info(&INFO, 256 << 20, 1).is_ok());
        assert!(matches!(
            refused(|info| info.mode = MODE_NONE),
            DeviceError::NoMode(0)
        ));
        assert!(matches!(
            refused(|info| info.mode = 7),
            DeviceError::UnknownMode(7)
        ));
        assert!(matches!(
            refused(|info| info.abi_version += 1),
            DeviceError::AbiVersion(_)
        ));
        assert!(matches!(
            refused(|info| info.vcpus_max = 0),
            DeviceError::Vcpus { .. }
        ));
        assert!(matches!(
            refused(|info| info.pool_free -= 1),
            DeviceError::Pool { .. }
        ));
        // What the module refuses although enough is free.
        assert!(matches!(no_room(&INFO, 256 << 20), DeviceError::Pieces(_)));
    }

    #[test]
    fn segments_that_do_not_add_up_are_refused() {
        let mut create = Create {
            memory_size: 4 << 20,
            segment_count: 1,
            ..Create::default()
        };
        create.segments[0].hpa = 0x1000_0000;
        create.segments[0].size = 4 << 20;
        assert_eq!(segments(&create).unwrap().len(), 1);
        create.memory_size = 6 << 20;
        assert!(segments(&create).is_err());
        create.segment_count = 2;
        create.segments[1].hpa = 0x1000_0000;
        create.segments[1].size = 2 << 20;
        assert!(segments(&create).is_err());
        create.segment_count = 33;
        assert!(segments(&create).is_err());
    }
}
