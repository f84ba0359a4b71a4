// SPDX-License-Identifier: MIT OR Apache-2.0

//! Control protocol between `cki-build` (the *host* side) and `cki-init` (PID 1 of the *guest*).
//!
//! The two talk over the virtio-serial port [`port::CONTROL`]: JSON objects, one a line, UTF-8,
//! each ended by `\n` and at most [`MAX_LINE`] bytes long with it. A session is:
//!
//! ```text
//! guest -> host   hello
//! host  -> guest  run                   (signal ... any time later)
//! guest -> host   started
//! guest -> host   exited | signaled     (or failed, instead of started or in place of these)
//! ```
//!
//! Standard input, output and error of the program are the ports [`port::STDIN`], [`port::STDOUT`]
//! and [`port::STDERR`], raw bytes. The guest sends its last message only after it has written all
//! output to these ports, and then ends the machine with [`exit::VALUE_ENDED`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Version of this protocol, carried by [`GuestMessage::Hello`]. A host refuses any other.
pub const VERSION: u32 = 2;

/// Longest line of the protocol in bytes, its `\n` included (1 MiB). Linux lets argv and the
/// environment together be larger, but nobody types that, and a bound keeps a broken peer from
/// making the other side allocate without end.
pub const MAX_LINE: usize = 1 << 20;

/// Names of the virtio-serial ports (`/sys/class/virtio-ports/*/name` in the guest).
pub mod port {
    /// Both directions: the messages of this crate.
    pub const CONTROL: &str = "org.cki.control";
    /// Host to guest: standard input; closing it is end of file.
    pub const STDIN: &str = "org.cki.stdin";
    /// Guest to host: standard output.
    pub const STDOUT: &str = "org.cki.stdout";
    /// Guest to host: standard error.
    pub const STDERR: &str = "org.cki.stderr";
    /// Every port of a session.
    pub const ALL: [&str; 4] = [CONTROL, STDIN, STDOUT, STDERR];
}

/// How the machine ends: QEMU's `isa-debug-exit` device exits with status `(value << 1) | 1`.
pub mod exit {
    /// I/O port of the device (`iobase=0xf4,iosize=0x4`).
    pub const PORT: u16 = 0xf4;
    /// Written by init when it ends the machine on purpose, after its last message.
    pub const VALUE_ENDED: u8 = 0x21;
    /// QEMU's exit status for [`VALUE_ENDED`]. Any other status means that the machine crashed.
    pub const STATUS_ENDED: i32 = status(VALUE_ENDED);

    /// QEMU's exit status after `value` was written to [`PORT`], in 1..=255 as a shell sees it.
    #[must_use]
    pub const fn status(value: u8) -> i32 {
        ((value as i32) << 1 | 1) & 0xff
    }
}

/// `serial=` of the virtio-blk device that carries the application image
/// (`/sys/block/vd?/serial` in the guest; at most 20 bytes, virtio 1.2 section 5.2.6.1).
pub const APP_SERIAL: &str = "cki-app";

/// The program that init is to run.
///
/// Strings are UTF-8 because JSON is; a host refuses arguments that are not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Program and arguments; never empty. A name without `/` is looked up in `PATH`
    /// (the one of `env` if it sets one).
    pub argv: Vec<String>,
    /// Variables to set, on top of init's defaults (`PATH`, `HOME`, `LANG`); later ones win.
    #[serde(default)]
    pub env: Vec<(String, String)>,
    /// Absolute path of the working directory in the image.
    pub cwd: String,
    /// Host name of the machine, 1 to 64 bytes (`HOST_NAME_MAX`).
    pub hostname: String,
    /// The container to run it in; without one, it is a process of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// MiB that the machine keeps for containers of the program's own: it finds `/dev/cki` and the
    /// command `cki` then. Not together with `container`, which has all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_mib: Option<u64>,
}

/// A container that init starts in its machine, with the program in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Memory of the container in MiB.
    pub memory_mib: u64,
    /// Words for the command line of its kernel.
    pub cmdline: String,
    /// Whether its kernel's console goes to standard error.
    pub console: bool,
}

/// What the host says to the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum HostMessage {
    /// Start the program; the first message, sent once.
    Run(Run),
    /// Send a signal to the program (to its process group); any time after `run`.
    Signal {
        /// Linux signal number, 1..=64.
        signal: i32,
    },
}

/// Why the program was not run or its session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// There is no such program in the image (a shell would say 127).
    NotFound,
    /// The program exists but cannot be executed (a shell would say 126).
    NotExecutable,
    /// The application image is missing, truncated or no root file system.
    Image,
    /// Anything else: a mount, a message or a system call failed in init.
    Internal,
}

impl FailureKind {
    /// Exit status that `cki-build run` gives for this failure.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::NotFound => 127,
            Self::NotExecutable => 126,
            Self::Image | Self::Internal => 125,
        }
    }
}

/// What keeps a program from the machine that runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// Nothing: it is a process of that machine.
    None,
    /// A kernel of its own, deprivileged by PKS and the CKI extension.
    Full,
}

impl fmt::Display for Isolation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "none (native)",
            Self::Full => "full (cki)",
        })
    }
}

/// What the guest says to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum GuestMessage {
    /// Init is up and waits for `run`; the first message.
    Hello {
        /// [`VERSION`] of the guest.
        version: u32,
        /// Kernel release (`uname -r`).
        kernel: String,
    },
    /// The program was executed.
    Started {
        /// Its process id in the guest.
        pid: i32,
        /// What keeps the program from the machine that runs it. Init in a container knows of
        /// nothing and says so; its launcher puts the truth in.
        isolation: Isolation,
    },
    /// The program ended by itself; a last message.
    Exited {
        /// Exit status, 0..=255.
        status: i32,
    },
    /// The program was ended by a signal; a last message.
    Signaled {
        /// Linux signal number, 1..=64.
        signal: i32,
        /// Whether the kernel's out-of-memory killer sent it.
        oom: bool,
    },
    /// The program could not be run, or init could not go on; a last message.
    Failed {
        /// One sentence for the user.
        message: String,
        /// What sort of failure it is.
        kind: FailureKind,
    },
}

impl GuestMessage {
    /// Whether the session ends with this message.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(
            self,
            Self::Exited { .. } | Self::Signaled { .. } | Self::Failed { .. }
        )
    }
}

/// Why a line is not a message.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The line is longer than [`MAX_LINE`].
    #[error("a message of more than {MAX_LINE} bytes")]
    TooLong,
    /// The line is no message that this version knows.
    #[error("no session message: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// `message` as a line of the protocol, `\n` included.
///
/// # Errors
/// [`ProtocolError::TooLong`] when it does not fit [`MAX_LINE`].
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, ProtocolError> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    if line.len() > MAX_LINE {
        return Err(ProtocolError::TooLong);
    }
    Ok(line)
}

/// The message in `line`, with or without its `\n`.
///
/// # Errors
/// [`ProtocolError::Malformed`] for anything but one message of type `M`.
pub fn decode<M: for<'de> Deserialize<'de>>(line: &[u8]) -> Result<M, ProtocolError> {
    if line.len() > MAX_LINE {
        return Err(ProtocolError::TooLong);
    }
    Ok(serde_json::from_slice(line)?)
}

/// Cuts a byte stream into lines, for a side that reads in pieces of any size.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
}

impl LineBuffer {
    /// Adds bytes as they were read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next complete line (without its `\n`), or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`ProtocolError::TooLong`] once more than [`MAX_LINE`] bytes have come without a `\n`;
    /// the stream is of no use after that.
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, ProtocolError> {
        match self.bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) if end < MAX_LINE => {
                let rest = self.bytes.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                line.pop();
                Ok(Some(line))
            }
            None if self.bytes.len() < MAX_LINE => Ok(None),
            _ => Err(ProtocolError::TooLong),
        }
    }
}
