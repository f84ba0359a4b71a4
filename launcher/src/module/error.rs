// SPDX-License-Identifier: MIT OR Apache-2.0

//! What can be wrong with the host module, as sentences for the user.

use std::io;
use std::path::PathBuf;

use cki_abi::limits::SEGMENTS_MAX;
use cki_abi::uapi::system::missing::*;
use cki_abi::uapi::version::UAPI_VERSION;
use cki_abi::version::ABI_VERSION;

use crate::names;

/// A call of the host module failed.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// There is no device file.
    #[error(
        "{0} does not exist: load the module cki (modprobe cki), which says in the kernel log what the machine lacks"
    )]
    Absent(PathBuf),
    /// The device file may not be opened by us.
    #[error("{path} may not be opened by user {user}: only {} may", describe_access(.access))]
    NotPermitted {
        /// Which file.
        path: PathBuf,
        /// Who we are.
        user: u32,
        /// Who may.
        access: Access,
    },
    /// Its mode would let us open the device file, and yet we may not.
    #[error(
        "{path} may not be opened, although its owner and mode allow it: {source} (a device control group, a file \
         system mounted nodev or a security module forbids it)"
    )]
    Forbidden {
        /// Which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Something else is there.
    #[error("{path} is not the device of CKI: {source}")]
    Foreign {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The module speaks another version of the header.
    #[error(
        "module and launcher do not fit together: the module has interface version {0}, this launcher {UAPI_VERSION}; \
         install both from one build"
    )]
    UapiVersion(i32),
    /// The module and its monitor are of another version of the binary interface.
    #[error(
        "module and launcher do not fit together: the monitor has ABI version {0}, this launcher {ABI_VERSION}; \
         install both from one build"
    )]
    AbiVersion(u32),
    /// The machine cannot run containers.
    #[error("this machine cannot run CKI containers: {}", describe_missing(*.0))]
    NoMode(u32),
    /// A mode that this launcher does not know.
    #[error("the module runs in mode {0}, which this launcher does not know")]
    UnknownMode(u32),
    /// More vCPUs than the module allows.
    #[error("{wanted} vCPUs: this machine allows containers of at most {most}")]
    Vcpus {
        /// Asked for.
        wanted: u32,
        /// Allowed.
        most: u32,
    },
    /// The pool is too small.
    #[error(
        "the container needs {} MiB, but of the host's pool of {} MiB only {} MiB are free: give it less (--memory), \
         end another container, or give the host a larger pool (cki.pool= on its command line)",
        .wanted >> 20, .size >> 20, .free >> 20
    )]
    Pool {
        /// Bytes wanted.
        wanted: u64,
        /// Bytes of the pool.
        size: u64,
        /// Bytes free.
        free: u64,
    },
    /// The pool is large enough, but in too many pieces.
    #[error(
        "the {} MiB that the container needs are free in the host's pool, but in more than {SEGMENTS_MAX} pieces: give \
         it less (--memory), end other containers, or load the module cki earlier",
        .0 >> 20
    )]
    Pieces(u64),
    /// The monitor refused what the launcher loaded.
    #[error("the monitor refused the guest kernel: {}", describe_refusal(*.operation, *.error, *.index))]
    Refused {
        /// `OP_*`.
        operation: u32,
        /// `E_*`.
        error: u32,
        /// Index in what was handed over.
        index: u32,
    },
    /// The container has ended.
    #[error("the container has ended")]
    Ended,
    /// A signal came.
    #[error("interrupted")]
    Interrupted,
    /// Guest memory cannot be mapped.
    #[error("cannot map the container's memory: {0}")]
    Map(String),
    /// The segments that the module gives break its own rules.
    #[error("the module gave memory that is not as its interface says: {0}")]
    Segments(&'static str),
    /// Any other failure.
    #[error("{call} failed: {source}")]
    Call {
        /// The ioctl.
        call: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Who may open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// Its permissions.
    pub mode: u32,
}

fn describe_access(access: &Access) -> String {
    let name = |id: u32| match id {
        0 => "0 (root)".to_owned(),
        id => id.to_string(),
    };
    let mut text = format!("user {}", name(access.user));
    if access.mode & 0o060 == 0o060 {
        text += &format!(" and members of group {}", name(access.group));
    }
    text
}

/// The reasons in a set of `CKI_MISSING_*`, as one sentence.
#[must_use]
pub fn describe_missing(bits: u32) -> String {
    const REASONS: [(u32, &str); 8] = [
        (
            MISSING_PKS,
            "the CPU has no protection keys for supervisor pages (PKS)",
        ),
        (
            MISSING_EXTENSION,
            "the CPU has no CKI extension, as that of the emulator cki-build makes has",
        ),
        (
            MISSING_CPU,
            "the CPU lacks one of NX, SMEP, SMAP, UMIP, FSGSBASE, XSAVE and a stable TSC",
        ),
        (
            MISSING_MONITOR,
            "the monitor (file /lib/firmware/cki/ksm) is absent or of another version: install it from the module's \
             build",
        ),
        (
            MISSING_POOL,
            "the host has no memory pool: set its size with cki.pool=512M, or the like, on the host's command line",
        ),
        (
            MISSING_KERNEL,
            "the host kernel runs with 5-level paging, FRED, memory encryption or under Xen: boot it without (no5lvl, \
             fred=off, mem_encrypt=off)",
        ),
        (
            MISSING_VMX,
            "KVM has the CPUs in VMX operation: end its virtual machines and boot with kvm.enable_virt_at_load=0, or \
             rmmod kvm_intel",
        ),
        (
            MISSING_NO_LEAKS,
            "the CPU has L1TF or Meltdown, through which a guest kernel could read the host's memory",
        ),
    ];
    let known = REASONS.iter().fold(0, |all, (bit, _)| all | bit);
    let mut parts: Vec<String> = REASONS
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .map(|&(_, text)| text.to_owned())
        .collect();
    if bits & !known != 0 {
        parts.push(format!("reason {:#x}, see the kernel log", bits & !known));
    }
    if parts.is_empty() {
        parts.push("the module does not say why; see the kernel log".to_owned());
    }
    parts.join("; ")
}

fn describe_refusal(operation: u32, error: u32, index: u32) -> String {
    use cki_abi::monitor::{OP_ADOPT, OP_INIT, OP_SEAL, OP_START};
    let what = match u64::from(operation) {
        OP_INIT => "the memory layout".to_owned(),
        OP_SEAL => format!("text range {index}"),
        OP_ADOPT => format!("boot page table {index}"),
        OP_START => "the boot root or the entry point".to_owned(),
        other => format!("operation {other}"),
    };
    format!("{what}: {}", names::error(u64::from(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The word that init takes.
    fn pool() -> String {
        format!("{}=", cki_session::cmdline::POOL)
    }

    #[test]
    fn every_missing_part_is_named() {
        let text = describe_missing(MISSING_PKS | MISSING_POOL);
        assert!(text.contains("PKS") && text.contains(&pool()), "{text}");
        assert!(!text.contains("extension"), "{text}");
        let text = describe_missing(MISSING_VMX);
        assert!(
            text.contains("KVM") && text.contains("enable_virt_at_load=0"),
            "{text}"
        );
    }

    #[test]
    fn who_may_run_containers_is_named() {
        let denied = |group, mode| {
            let access = Access {
                user: 0,
                group,
                mode,
            };
            ModuleError::NotPermitted {
                path: "/dev/cki".into(),
                user: 1000,
                access,
            }
            .to_string()
        };
        let text = denied(0, 0o600);
        assert!(
            text.ends_with("by user 1000: only user 0 (root) may"),
            "{text}"
        );
        let text = denied(108, 0o660);
        assert!(text.ends_with("and members of group 108 may"), "{text}");
    }

    #[test]
    fn too_small_a_pool_is_told_with_sizes_and_the_parameter() {
        let text = ModuleError::Pool {
            wanted: 256 << 20,
            size: 512 << 20,
            free: 100 << 20,
        }
        .to_string();
        for part in ["256 MiB", "512 MiB", "100 MiB", "--memory", &pool()] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn versions_that_differ_are_both_named() {
        let module = ModuleError::UapiVersion(77).to_string();
        let monitor = ModuleError::AbiVersion(78).to_string();
        assert!(module.contains("77") && module.contains(&UAPI_VERSION.to_string()));
        assert!(monitor.contains("78") && monitor.contains(&ABI_VERSION.to_string()));
        assert!(module.contains("one build") && monitor.contains("one build"));
    }

    #[test]
    fn reasons_of_a_newer_module_are_not_lost() {
        assert!(describe_missing(1 << 20).contains("0x100000"));
        assert!(describe_missing(0).contains("kernel log"));
    }

    #[test]
    fn a_refusal_names_what_and_why() {
        let error = ModuleError::Refused {
            operation: cki_abi::monitor::OP_SEAL as u32,
            error: cki_abi::errors::E_GADGET as u32,
            index: 0,
        };
        let text = error.to_string();
        assert!(
            text.contains("text range 0") && text.contains("E_GADGET"),
            "{text}"
        );
    }
}
