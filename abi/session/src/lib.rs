// SPDX-License-Identifier: MIT OR Apache-2.0

//! One session, from the command line to the process.
//!
//! A *session* runs one program and tells how it ended. A *client* asks for it, a *server* serves it, and
//! the same messages go over every hop:
//!
//! ```text
//! cki-build --virtio-serial--> init of the machine --socket--> launcher --virtio-console--> init of the container
//! ```
//!
//! Without a container, init of the machine starts the program itself. `cki run` and `cki exec` with options make the
//! message from them; with `--session-fd` they take it as it is.
//!
//! ```text
//! server -> client   hello            what the server understands
//! client -> server   clock            to a machine that knows it, before run: what time it is
//! client -> server   run              once
//! server -> client   started
//! client -> server   signal, resize   any number, after run
//! client -> server   exec             any number, to init of a container, on connections of their own ([`exec`])
//! client -> server   serve, stop      to a machine that stays up ([`Serve`]), on a port of their own
//! server -> client   refused          a request that the server did not carry out; the session goes on
//! server -> client   output           before `ended`: how many bytes the program has written
//! server -> client   ended            once, last: its outcome
//! ```
//!
//! Messages are JSON objects, one a line ([`wire`]). Standard input, output and error are not among them:
//! they are ports ([`port`]) or pipes. A server says `ended` only when all output has been handed over: to the
//! client, or to an emulator between the two that may hold some of it back. So init of a machine says with
//! `output` how much there is, and ends its machine when the client, who has it all, closes the control port.
//!
//! # How the protocol grows
//!
//! Both ends need not change at once:
//!
//! - **A request means all that it says.** A server refuses a request with a field or of a type that it
//!   does not know, by name. It never drops one silently: whoever asks for a read-only file system
//!   must not get another.
//! - **An event may say more than a client knows.** A client ignores fields of events, and whole events,
//!   that it does not know.
//! - **A new field of a request is optional, and has a name in [`feature`].** `hello` lists the names
//!   that the server honours. A client asks before it sends ([`Hello::accepts`]), so that the user
//!   reads a sentence instead of a machine that starts in vain. Whoever does not use the field
//!   can talk to servers without it.
//! - **[`VERSION`] changes only when something that exists changes its meaning.** Then both ends must.
//!
//! What belongs to a process (user, terminal) goes into [`Process`], what belongs to its root file system
//! (what is mounted, whether it can be written) into [`Root`], and what the machine around it has (memory,
//! network, disks) into [`Container`]. Every message about a process carries its
//! [`ProcessId`], so that a session can have more than one.
//!
//! | modules | what |
//! |---|---|
//! | `request`, [`exec`], `serve` | what a client asks for: a program, one more, a machine that stays up |
//! | `process`, `root` | of a request: the process, and its root file system |
//! | `capability`, `limit`, `terminal`, `user` | of a process: its rights, limits, terminal, and whom it runs as |
//! | `disk`, `volume`, `rate`, `memory`, `network` | of a container: what is around it |
//! | `event`, `outcome`, `signal` | what a server says, how a program ended, what reaches it in between |
//! | `invalid`, `mismatch`, [`gate`] | what nobody carries out, who does not fit, how much is passed on |
//! | [`wire`] | messages as bytes |
//! | `container_name`, `image_path`, [`values`], `printable` | texts as people type them, and as sentences show them |
//! | `interface`, [`user_network`] | a network card as init sets it up, and what the user network has |
//! | [`cmdline`], [`console`], `status` | the kernel's command line, what it says, exit statuses |
//!
//! Used by: `cki-build`, `cki-deploy`, `cki-launcher`, `cki-init`, `cki-disk`, `cki-frontend`, `cki-machine`,
//! `cki-measure`, `cki-micro`, `cki-process`, `cki-tests`. May use: no crate of ours.

mod capability;
pub mod cmdline;
pub mod console;
mod container_name;
mod disk;
mod event;
pub mod exec;
pub mod gate;
mod image_path;
mod interface;
mod invalid;
mod limit;
mod memory;
mod mismatch;
mod network;
mod outcome;
mod printable;
mod process;
mod rate;
mod request;
mod root;
mod serve;
mod signal;
mod status;
mod terminal;
mod user;
pub mod user_network;
pub mod values;
mod volume;
pub mod wire;

pub use capability::{Capabilities, Capability};
pub use container_name::{ContainerName, ContainerNameError};
pub use disk::{DISK_SERIAL, Disk, DiskError, disk_serial};
pub use event::{Event, Hello, Isolation, VERSION};
pub use exec::{Exec, StreamPorts};
pub use interface::{Host, Interface, InterfaceError};
pub use invalid::Invalid;
pub use ipnet::IpNet;
pub use limit::Limit;
pub use memory::{Memory, MemoryError};
pub use mismatch::Mismatch;
pub use network::{Connection, Link, Network, NetworkError, PORTS_MAX, Protocol, Publish};
pub use outcome::{Failure, FailureKind, Outcome};
pub use printable::printable;
pub use process::{Process, ProcessId};
pub use rate::{DiskRates, NetworkRates, Rate, Rates};
pub use request::{Container, Request, Run, feature};
pub use root::{Root, Tmpfs};
pub use serve::Serve;
pub use signal::{FORWARDED, Forwarding, Signal, forwarded_here, heard_here};
pub use status::{Status, complain};
pub use terminal::Terminal;
pub use user::User;
pub use volume::{Volume, VolumeError};
pub use wire::{
    Arrived, Heard, Incoming, MAX_LINE, NotQueued, Outgoing, ProtocolError, QUEUE_MAX, decode,
    encode,
};

/// Names of the virtio-serial ports (`/sys/class/virtio-ports/*/name` in a machine or container).
pub mod port {
    /// Both directions: the messages of this crate.
    pub const CONTROL: &str = "org.cki.control";
    /// To the program: standard input; closing it is end of file.
    pub const STDIN: &str = "org.cki.stdin";
    /// From the program: standard output.
    pub const STDOUT: &str = "org.cki.stdout";
    /// From the program: standard error.
    pub const STDERR: &str = "org.cki.stderr";
    /// Every port of a session.
    pub const ALL: [&str; 4] = [CONTROL, STDIN, STDOUT, STDERR];
    /// Both directions: the messages of whoever keeps a machine up ([`Serve`](crate::Serve)).
    pub const MACHINE: &str = "org.cki.machine";

    /// The port `name` of a place of a machine that stays up: `org.cki.control.0`.
    #[must_use]
    pub fn of_place(name: &str, place: u32) -> String {
        format!("{name}.{place}")
    }
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
/// (`/sys/block/vd?/serial` in a machine or container; at most 20 bytes, virtio 1.2 section 5.2.6.1).
pub const APP_SERIAL: &str = "cki-app";
/// `serial=` of the virtio-blk device with what containers are started from: launcher, module, monitor, guest kernel.
pub const RUNTIME_SERIAL: &str = "cki-runtime";
