// SPDX-License-Identifier: MIT OR Apache-2.0

//! What kernels say: a sentence that programs look for, and the end of a console as a report of a failure shows it.

/// Bytes of a console that are worth keeping for [`report`].
pub const KEPT: usize = 64 << 10;

/// What the kernel of a container says behind the name of a process that it killed for want of page tables
/// (`kernel/src/arch/x86/cki/victim.c`).
pub const FOR_PAGE_TABLES: &str = ") for its page tables: ";

/// Line of a kernel's log with which it starts init.
pub const INIT_LINE: &str = "Run /init as init process";

/// Lines that a report shows, and bytes: a kernel may print one line without an end.
const SHOWN: usize = 25;
const SHOWN_BYTES: usize = 4096;

/// What kernels print as errors on machines and in containers that are healthy, where `quiet` does not keep it
/// back: it has to do with no failure.
const HEALTHY: [&str; 1] = [
    // There is no PCI, as the command line says.
    "PCI: Fatal: No config space access function found",
];

/// The last lines of `console`, without those that a healthy kernel prints too.
#[must_use]
pub fn report(console: &[u8]) -> String {
    let shown = &console[console.len().saturating_sub(SHOWN_BYTES)..];
    let text = String::from_utf8_lossy(shown).replace('\r', "");
    let lines: Vec<_> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .filter(|line| !HEALTHY.iter().any(|healthy| line.ends_with(healthy)))
        .collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_short_and_the_end() {
        let text: String = (0..100).map(|n| format!("{n}\r\n\r\n")).collect();
        let report_of_lines = report(text.as_bytes());
        assert!(report_of_lines.starts_with("75\n76\n"), "{report_of_lines}");
        assert!(report_of_lines.ends_with("\n99"), "{report_of_lines}");
        assert_eq!(report(&vec![b'x'; 3 * SHOWN_BYTES]).len(), SHOWN_BYTES);
    }

    #[test]
    fn what_a_healthy_kernel_prints_is_left_out() {
        let noise = "[    0.401000] PCI: Fatal: No config space access function found\r\n";
        assert_eq!(report(noise.as_bytes()), "");
        let both = format!("{noise}[    0.9] Kernel panic - not syncing\n");
        assert_eq!(
            report(both.as_bytes()),
            "[    0.9] Kernel panic - not syncing"
        );
    }
}
