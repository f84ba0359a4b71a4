// SPDX-License-Identifier: MIT OR Apache-2.0

//! The real `/dev/cki`: what its errors mean to a user, around the calls of `cki-module`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use cki_abi::start_info::Segment;
use cki_abi::uapi::container::Create;
use cki_abi::uapi::eventfd::{Ioeventfd, Irqfd};
use cki_abi::uapi::start::Start;
use cki_abi::uapi::system::Info;
use cki_abi::uapi::system::modes::{MODE_CKI, MODE_NONE};
use cki_abi::uapi::version::UAPI_VERSION;
use cki_abi::version::ABI_VERSION;
use cki_module::RunMapping;
use nix::unistd::geteuid;

use super::error::Access;
use super::{Container, Exit, ModuleError, Register, StartRequest, Vcpu, broken_memory};

/// The open device.
#[derive(Debug)]
pub struct System(cki_module::System);

/// Why the device may not be opened: its owner and mode, or something else.
fn denied(path: &Path, source: io::Error) -> ModuleError {
    let user = geteuid().as_raw();
    let path = path.to_owned();
    match std::fs::metadata(&path) {
        Ok(file) if user != 0 && source.raw_os_error() == Some(libc::EACCES) => {
            ModuleError::NotPermitted {
                path,
                user,
                access: Access {
                    user: file.uid(),
                    group: file.gid(),
                    mode: file.mode() & 0o777,
                },
            }
        }
        _ => ModuleError::Forbidden { path, source },
    }
}

/// What a call of the module's says, to a user.
fn check<T>(call: &'static str, result: io::Result<T>) -> Result<T, ModuleError> {
    result.map_err(|source| match source.raw_os_error() {
        Some(libc::EINTR) => ModuleError::Interrupted,
        Some(libc::ESHUTDOWN) => ModuleError::Ended,
        _ => ModuleError::Call { call, source },
    })
}

fn is_errno(error: &ModuleError, errno: i32) -> bool {
    matches!(error, ModuleError::Call { source, .. } if source.raw_os_error() == Some(errno))
}

impl System {
    /// Opens the device and makes sure that it speaks this launcher's interface.
    ///
    /// # Errors
    /// [`ModuleError::Absent`], [`ModuleError::NotPermitted`], [`ModuleError::Forbidden`],
    /// [`ModuleError::Foreign`], [`ModuleError::UapiVersion`].
    pub fn open(path: &Path) -> Result<Self, ModuleError> {
        let foreign = |source| ModuleError::Foreign {
            path: path.to_owned(),
            source,
        };
        let system =
            cki_module::System::open(path).map_err(|source| match source.raw_os_error() {
                Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => {
                    ModuleError::Absent(path.to_owned())
                }
                Some(libc::EACCES | libc::EPERM) => denied(path, source),
                _ => foreign(source),
            })?;
        let version = system.version().map_err(foreign)?;
        if version != UAPI_VERSION as i32 {
            return Err(ModuleError::UapiVersion(version));
        }
        Ok(System(system))
    }

    /// What the machine provides.
    ///
    /// # Errors
    /// [`ModuleError::Call`].
    pub fn info(&self) -> Result<Info, ModuleError> {
        check("CKI_GET_INFO", self.0.info())
    }

    /// Makes a container of `memory` bytes (a multiple of 2 MiB) with one vCPU, number 0.
    ///
    /// # Errors
    /// [`ModuleError::NoMode`], [`ModuleError::UnknownMode`], [`ModuleError::AbiVersion`],
    /// [`ModuleError::Vcpus`], [`ModuleError::Pool`], [`ModuleError::Pieces`],
    /// [`ModuleError::Segments`] or [`ModuleError::Call`].
    pub fn create(
        &self,
        memory: u64,
        vcpus: u32,
    ) -> Result<(SystemContainer, SystemVcpu), ModuleError> {
        let info = self.info()?;
        check_info(&info, memory, vcpus)?;
        let mut create = Create {
            memory_size: memory,
            vcpus,
            abi_version: ABI_VERSION as u32,
            ..Create::default()
        };
        let made = check("CKI_CREATE_CONTAINER", self.0.create(&mut create)).map_err(|error| {
            if is_errno(&error, libc::ENOSPC) {
                // Somebody else may have taken of it since.
                no_room(&self.info().unwrap_or(info), memory)
            } else if is_errno(&error, libc::EPROTO) {
                ModuleError::AbiVersion(info.abi_version)
            } else if is_errno(&error, libc::ENODEV) {
                ModuleError::NoMode(info.missing)
            } else {
                error
            }
        })?;
        let container = SystemContainer {
            container: made,
            segments: segments(&create)?,
        };
        let vcpu = container.vcpu(0)?;
        Ok((container, vcpu))
    }
}

/// What can be told before anything is created.
fn check_info(info: &Info, memory: u64, vcpus: u32) -> Result<(), ModuleError> {
    match info.mode {
        MODE_CKI => {}
        MODE_NONE => return Err(ModuleError::NoMode(info.missing)),
        other => return Err(ModuleError::UnknownMode(other)),
    }
    if u64::from(info.abi_version) != ABI_VERSION {
        return Err(ModuleError::AbiVersion(info.abi_version));
    }
    if vcpus == 0 || vcpus > info.vcpus_max {
        return Err(ModuleError::Vcpus {
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
fn no_room(info: &Info, memory: u64) -> ModuleError {
    if memory <= info.pool_free {
        return ModuleError::Pieces(memory);
    }
    ModuleError::Pool {
        wanted: memory,
        size: info.pool_size,
        free: info.pool_free,
    }
}

fn segments(create: &Create) -> Result<Vec<Segment>, ModuleError> {
    let list = create
        .segments
        .get(..create.segment_count as usize)
        .filter(|list| !list.is_empty())
        .ok_or(ModuleError::Segments("their number"))?;
    let mut end = 0;
    for segment in list {
        let next = segment.base.checked_add(segment.size);
        match next {
            Some(next) if segment.size != 0 && segment.base >= end => end = next,
            _ => return Err(ModuleError::Segments("they are not ascending")),
        }
    }
    if list.iter().map(|segment| segment.size).sum::<u64>() != create.memory_size {
        return Err(ModuleError::Segments("their sum"));
    }
    Ok(list.to_vec())
}

/// A container of the module's.
#[derive(Debug)]
pub struct SystemContainer {
    container: cki_module::Container,
    segments: Vec<Segment>,
}

impl SystemContainer {
    fn vcpu(&self, number: u32) -> Result<SystemVcpu, ModuleError> {
        broken_memory::install().map_err(|source| ModuleError::Call {
            call: "sigaction",
            source,
        })?;
        check("CKI_CREATE_VCPU", self.container.vcpu(number.into())).map(SystemVcpu)
    }
}

impl Container for SystemContainer {
    fn segments(&self) -> &[Segment] {
        &self.segments
    }

    fn memory(&self) -> Arc<File> {
        Arc::clone(self.container.file())
    }

    fn start(&self, request: &StartRequest) -> Result<(), ModuleError> {
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
        check("CKI_START", self.container.start(&mut start)).map_err(|error| {
            if is_errno(&error, libc::EPERM) {
                ModuleError::Refused {
                    operation: start.refusal_op,
                    error: start.refusal_error,
                    index: start.refusal_index,
                }
            } else {
                error
            }
        })
    }

    fn raise(&self, vcpu: u32, event: u32) -> Result<(), ModuleError> {
        check("CKI_RAISE_EVENT", self.container.raise(vcpu, event))
    }

    fn signal_on(&self, register: Register, eventfd: BorrowedFd<'_>) -> Result<(), ModuleError> {
        let wanted = Ioeventfd {
            fd: eventfd.as_raw_fd() as u32,
            device: register.device,
            size: size_of::<u32>() as u32,
            offset: register.offset.into(),
            ..Ioeventfd::default()
        };
        check("CKI_IOEVENTFD", self.container.ioeventfd(wanted))
    }

    fn raise_on(&self, eventfd: BorrowedFd<'_>, vcpu: u32, event: u32) -> Result<(), ModuleError> {
        let wanted = Irqfd {
            fd: eventfd.as_raw_fd() as u32,
            vcpu,
            event,
            ..Irqfd::default()
        };
        check("CKI_IRQFD", self.container.irqfd(wanted))
    }

    fn kill(&self) {
        // It fails only if the container has ended, as wanted.
        let _ = self.container.kill();
    }
}

/// A vCPU of the module's.
#[derive(Debug)]
pub struct SystemVcpu(cki_module::Vcpu);

impl SystemVcpu {
    /// The run page.
    #[must_use]
    pub fn page(&self) -> RunMapping {
        self.0.page().clone()
    }
}

impl Vcpu for SystemVcpu {
    fn run(&mut self) -> Result<Exit, ModuleError> {
        match check("CKI_RUN", broken_memory::expected(|| self.0.run())) {
            Err(ModuleError::Interrupted) => Ok(Exit::Interrupted),
            result => result,
        }
    }

    fn complete(&mut self, status: i64, value: u64) {
        self.0.answer(status, value);
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
        assert!(matches!(absent, ModuleError::Absent(_)));
        let foreign = System::open(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(foreign, ModuleError::Foreign { .. }), "{foreign}");
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
            ModuleError::NoMode(0)
        ));
        assert!(matches!(
            refused(|info| info.mode = 7),
            ModuleError::UnknownMode(7)
        ));
        assert!(matches!(
            refused(|info| info.abi_version += 1),
            ModuleError::AbiVersion(_)
        ));
        assert!(matches!(
            refused(|info| info.vcpus_max = 0),
            ModuleError::Vcpus { .. }
        ));
        assert!(matches!(
            refused(|info| info.pool_free -= 1),
            ModuleError::Pool { .. }
        ));
        // What the module refuses although enough is free.
        assert!(matches!(no_room(&INFO, 256 << 20), ModuleError::Pieces(_)));
    }

    #[test]
    fn segments_that_do_not_add_up_are_refused() {
        let mut create = Create {
            memory_size: 4 << 20,
            segment_count: 1,
            ..Create::default()
        };
        create.segments[0].base = 0x1000_0000;
        create.segments[0].size = 4 << 20;
        assert_eq!(segments(&create).unwrap().len(), 1);
        create.memory_size = 6 << 20;
        assert!(segments(&create).is_err());
        create.segment_count = 2;
        create.segments[1].base = 0x1000_0000;
        create.segments[1].size = 2 << 20;
        assert!(segments(&create).is_err());
        create.segment_count = 33;
        assert!(segments(&create).is_err());
    }
}
