//! What can be wrong with `/dev/cki`, as sentences for the user.

use std::io;
use std::path::PathBuf;

use cki_abi::version::ABI_VERSION;

use super::uapi::{UAPI_VERSION, missing};
use crate::names;

/// A call of the host module failed.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// There is no device file.
    #[error("{0} does not exist: this machine is no CKI host, or the module cki is not loaded")]
    Absent(PathBuf),
    /// The device file may not be opened.
    #[error("{0} may not be opened: only root and its group may run containers")]
    NotPermitted(PathBuf),
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
        "module and launcher do not fit together: the module has interface version {0}, this launcher {UAPI_VERSION}; install both from one build"
    )]
    UapiVersion(i32),
    /// The module and its monitor are of another version of the binary interface.
    #[error(
        "module and launcher do not fit together: the monitor has ABI version {0}, this launcher {ABI_VERSION}; install both from one build"
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
        "the container needs {} MiB, but of the host's pool of {} MiB only {} MiB are free; cki.pool= on the host's command line sets its size",
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

/// The reasons in a set of `CKI_MISSING_*`, as one sentence.
#[must_use]
pub fn describe_missing(bits: u32) -> String {
    const REASONS: [(u32, &str); 6] = [
        (
            missing::PKS,
            "the CPU has no protection keys for supervisor pages (PKS)",
        ),
        (missing::EXTENSION, "the CPU has no CKI extension"),
        (
            missing::CPU,
            "the CPU lacks one of NX, SMEP, SMAP, PCID, FSGSBASE and an invariant TSC",
        ),
        (
            missing::MONITOR,
            "the monitor (firmware file cki/ksm) is absent or of another version",
        ),
        (
            missing::POOL,
            "the host has no memory pool (cki.pool= on its command line)",
        ),
        (
            missing::KERNEL,
            "the host kernel has a feature in the way, such as page table isolation",
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

    #[test]
    fn every_missing_part_is_named() {
        let text = describe_missing(missing::PKS | missing::POOL);
        assert!(text.contains("PKS") && text.contains("cki.pool="), "{text}");
        assert!(!text.contains("extension"), "{text}");
    }

    #[test]
    fn reasons_of_a_newer_module_are_not_lost() {
        assert!(describe_missing(1 << 20).contains("0x100000"));
        assert!(describe_missing(0).contains("kernel log"));
    }

    #[test]
    fn a_refusal_names_what_and_why() {
        let error = DeviceError::Refused {
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
