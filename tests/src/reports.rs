// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a kernel that looks for mistakes says when it finds one.

/// How reports begin: of any kind, of the checks (lib/, mm/kasan, kernel/locking, mm/kmemleak), of the driver of
/// debug objects. The last is in all that have a stack.
const REPORTS: [&str; 13] = [
    "BUG:",
    "WARNING:",
    "INFO:",
    "KASAN:",
    "UBSAN:",
    "ODEBUG:",
    "Oops",
    "stack-protector",
    "list_add corruption",
    "list_del corruption",
    "unreferenced object",
    "new suspected memory leaks",
    "Call Trace:",
];

/// The lines that are or begin reports.
#[must_use]
pub fn reports(log: &str) -> Vec<&str> {
    let is_report = |line: &&str| REPORTS.iter().any(|words| line.contains(words));
    log.lines().filter(is_report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_found_where_there_is_one() {
        for line in [
            "[    1.0] BUG: KASAN: slab-use-after-free in cki_vcpu_free+0x1/0x2 [cki]",
            "[    1.0] WARNING: possible circular locking dependency detected",
            "[    1.0] WARNING: CPU: 0 PID: 1 at kernel/locking/lockdep.c:1 x+0x1/0x2",
            "[    1.0] UBSAN: shift-out-of-bounds in kmod/slot.c:1:2",
            "[    1.0] BUG: sleeping function called from invalid context at mm/x.c:1",
            "[    1.0] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        ] {
            assert_eq!(reports(&format!("fine\n{line}\nfine\n")), [line]);
        }
        assert!(reports("[    0.1] kasan: KernelAddressSanitizer initialized").is_empty());
    }
}
