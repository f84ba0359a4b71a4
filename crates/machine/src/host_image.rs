// SPDX-License-Identifier: MIT OR Apache-2.0

//! The host image: what a machine boots, as `boot.json` of the output `cki-host` says.

use std::path::{Path, PathBuf};

use cki_session::Memory;
use serde::Deserialize;

use super::error::MachineError;

/// Version of `boot.json` that we read.
const BOOT_VERSION: u32 = 4;

/// What is around the processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Board {
    /// No legacy devices to probe, which is most of what a PC's kernel does before init; devices are virtio-mmio.
    Microvm,
    /// A PC, with virtio devices on PCI: for kernels that look for them there only.
    Q35,
}

/// What is beneath a kernel that is its guest: a multiboot image, which starts the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Hypervisor {
    /// An ELF file of 32 bits (Multiboot Specification 0.6.96).
    pub file: PathBuf,
    /// Its command line.
    pub cmdline: String,
    /// How much of the machine's memory it keeps, in MiB.
    pub mib: u32,
}

/// What `cki-host` gives to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostImage {
    /// ELF kernel with a PVH note.
    pub kernel: PathBuf,
    /// Initial file system with our init and commands.
    pub initrd: PathBuf,
    /// The one of a machine for one program: with our init, and nothing that only costs time there.
    pub session_initrd: PathBuf,
    /// Kernel command line.
    pub cmdline: String,
    /// Words for the command line of a container's kernel.
    pub container_cmdline: String,
    /// The board that the kernel is for.
    pub board: Board,
    /// Memory that the machine needs for itself beside that of its container, in MiB: its kernel, the launcher,
    /// the pages that it reads the container's kernel and image through.
    pub host_mib: u32,
    /// What is beneath the kernel, where that is a guest.
    pub hypervisor: Option<Hypervisor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Boot {
    kernel: PathBuf,
    initrd: PathBuf,
    session_initrd: PathBuf,
    cmdline: String,
    container_cmdline: String,
    board: Board,
    host_mib: u32,
    #[serde(default)]
    hypervisor: Option<Hypervisor>,
}

/// The one field of `boot.json` that never changes its meaning.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl HostImage {
    /// Memory of a machine for one container with so much: its own beside it and, beyond 1 GiB, a sixteenth. Linux has
    /// 1/64 of all memory for what it knows of each page, keeps some of it free, and the module's pool is made of
    /// whole chunks of what is left. What a machine does not touch costs nothing here.
    #[must_use]
    pub const fn memory_for(&self, container: Memory) -> Memory {
        let more = container.mib().saturating_sub(1024) / 16;
        container.plus_mib(self.host_mib + more)
    }

    /// Reads `boot.json` in `dir`, the output `cki-host`.
    ///
    /// # Errors
    /// [`MachineError::HostImage`].
    pub fn load(dir: &Path) -> Result<Self, MachineError> {
        let path = dir.join("boot.json");
        let wrong = |message: String| MachineError::HostImage {
            path: path.clone(),
            message,
        };
        let text = std::fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        let Version { version } =
            serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if version != BOOT_VERSION {
            return Err(wrong(format!(
                "version {version} where version {BOOT_VERSION} is expected"
            )));
        }
        let boot: Boot = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(Self {
            kernel: dir.join(boot.kernel),
            initrd: dir.join(boot.initrd),
            session_initrd: dir.join(boot.session_initrd),
            cmdline: boot.cmdline,
            container_cmdline: boot.container_cmdline,
            board: boot.board,
            host_mib: boot.host_mib,
            hypervisor: boot.hypervisor.map(|hypervisor| Hypervisor {
                file: dir.join(hypervisor.file),
                ..hypervisor
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_json_is_read_relative_to_its_directory() {
        let dir = tempfile::tempdir().expect("a directory");
        let boot = r#"{"version":4,"kernel":"vmlinux","initrd":"i","sessionInitrd":"s","cmdline":"quiet","containerCmdline":"nosmt","board":"q35","hostMib":320}"#;
        std::fs::write(dir.path().join("boot.json"), boot).expect("written");
        let host = HostImage::load(dir.path()).expect("valid");
        assert_eq!(host.kernel, dir.path().join("vmlinux"));
        assert_eq!(host.initrd, dir.path().join("i"));
        assert_eq!(host.session_initrd, dir.path().join("s"));
        assert_eq!(host.cmdline, "quiet");
        assert_eq!(host.container_cmdline, "nosmt");
        assert_eq!((host.board, host.host_mib), (Board::Q35, 320));
        assert_eq!(host.hypervisor, None);
        let beneath = r#""hypervisor":{"file":"xen","cmdline":"console=com1","mib":192},"version""#;
        let boot = boot.replace(r#""version""#, beneath);
        std::fs::write(dir.path().join("boot.json"), boot).expect("written");
        let host = HostImage::load(dir.path()).expect("valid");
        let hypervisor = host.hypervisor.expect("it has one");
        assert_eq!(hypervisor.file, dir.path().join("xen"));
        assert_eq!(
            (&*hypervisor.cmdline, hypervisor.mib),
            ("console=com1", 192)
        );
    }

    #[test]
    fn what_the_host_needs_grows_with_its_memory() {
        let host = HostImage {
            kernel: PathBuf::new(),
            initrd: PathBuf::new(),
            session_initrd: PathBuf::new(),
            cmdline: String::new(),
            container_cmdline: String::new(),
            board: Board::Microvm,
            host_mib: 192,
            hypervisor: None,
        };
        for (container, machine) in [(64, 256), (1024, 1216), (2900, 3209), (8192, 8832)] {
            let container = Memory::constant(container);
            assert_eq!(host.memory_for(container), Memory::constant(machine));
        }
        assert_eq!(host.memory_for(Memory::MAX), Memory::MAX);
    }

    #[test]
    fn a_boot_json_of_another_version_or_none_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let message = HostImage::load(dir.path())
            .expect_err("missing")
            .to_string();
        assert!(message.contains("boot.json"), "{message}");
        let boot = r#"{"version":3}"#;
        std::fs::write(dir.path().join("boot.json"), boot).expect("written");
        let message = HostImage::load(dir.path())
            .expect_err("version 3")
            .to_string();
        assert!(message.contains("version 3"), "{message}");
    }
}
