// SPDX-License-Identifier: MIT OR Apache-2.0

//! A machine that cannot be started, or did not end as it should.

use std::path::PathBuf;

use cki_session::Mismatch;

/// Why a session gave no status of a program.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The host image's `boot.json` is missing or not what we expect.
    #[error("{path}: {message}")]
    HostImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The application image is not there.
    #[error("cannot read the application image {path}: {source}")]
    AppImage {
        /// The image.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The sockets of the ports could not be made.
    #[error("cannot make the sockets of the machine: {0}")]
    Sockets(std::io::Error),
    /// QEMU could not be started.
    #[error("cannot start the emulator {qemu}: {source}")]
    Start {
        /// QEMU's path.
        qemu: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The machine ended or fell silent before its init said how the program ended.
    #[error("the machine {how}{}", report(console, qemu))]
    Crashed {
        /// "ended with status N before ...", "did not start within ...".
        how: String,
        /// End of the kernel console.
        console: String,
        /// End of what QEMU wrote to its standard error.
        qemu: String,
    },
    /// Init breaks the rules of the protocol.
    #[error("the machine's init does not speak our protocol: {0}")]
    Protocol(String),
    /// Init speaks another version of the protocol, or cannot do what is asked for.
    #[error("the machine's init and this program do not fit together: {mismatch}{}", restart(*.stays))]
    Mismatch {
        /// Why, and what to do.
        mismatch: Mismatch,
        /// Whether the machine stays up.
        stays: bool,
    },
    /// The program's output could not be written.
    #[error("cannot write the program's {stream}: {source}")]
    Output {
        /// "standard output" or "standard error".
        stream: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A port that is to be published cannot be had.
    #[error("cannot publish the port {port}: {source}; {remedy}")]
    Port {
        /// Our end of it, such as `127.0.0.1:8080/tcp`.
        port: String,
        /// What the kernel said.
        source: std::io::Error,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The program's name, an argument or a variable cannot be sent.
    #[error("{0}")]
    Request(String),
}

/// How a machine that stays up is updated.
fn restart(stays: bool) -> &'static str {
    match stays {
        true => {
            " (a machine that stays up is as it was when it started: stop it, and start it anew)"
        }
        false => "",
    }
}

/// What QEMU says when the kernel here gives it no memory for the machine's.
const NO_MEMORY: &str = "cannot set up guest memory";

/// What QEMU names when it cannot open a disk of the user's.
const USERS_DISK: &str = r#""node-name":"disk"#;

/// What QEMU says when it cannot publish a port, which was free just before.
const PORT_TAKEN: &str = "Could not set up host forwarding rule";

/// What to do about what the emulator said, a line of its own, where that is known.
pub(crate) fn advice(qemu: &str) -> &'static str {
    if qemu.contains(NO_MEMORY) {
        "\nthere is not so much memory here: give it less (--memory)"
    } else if qemu.contains(PORT_TAKEN) {
        "\nanother program has taken that port just now: try again"
    } else {
        ""
    }
}

/// The ends of two logs, as far as there is something in them.
pub(crate) fn report(console: &str, qemu: &str) -> String {
    let mut text = String::new();
    for (title, part) in [
        ("the emulator said", qemu),
        ("end of the kernel console", console),
    ] {
        let part = part.trim();
        if !part.is_empty() {
            let indented = part.replace('\n', "\n  ");
            text.push_str(&format!("\n{title}:\n  {indented}"));
        }
    }
    text.push_str(advice(qemu));
    if qemu.contains("-blockdev") && qemu.contains(USERS_DISK) {
        text.push_str(
            "\nthat disk is damaged, or of a kind that is not supported: try `qemu-img check -r all` on a copy of it",
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_was_taken_from_the_emulator_at_the_last_moment_is_tried_again() {
        let said = "qemu: -netdev user: Could not set up host forwarding rule 'tcp:127.0.0.1:1-10.0.2.15:80'";
        assert!(report("", said).ends_with("try again"));
    }

    #[test]
    fn a_disk_that_the_emulator_cannot_open_is_told_from_other_trouble() {
        let disk =
            r#"qemu: -blockdev {"driver":"qcow2","node-name":"disk0"}: Snapshot table too large"#;
        assert!(report("", disk).contains("qemu-img check"));
        let file = r#"qemu: -blockdev {"driver":"file","node-name":"file0"}: odd"#;
        for other in [file, "qemu: cannot set up guest memory", ""] {
            assert!(!report("", other).contains("qemu-img"), "{other}");
        }
    }
}
