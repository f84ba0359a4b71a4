// SPDX-License-Identifier: MIT OR Apache-2.0

//! What CKI can be built for. The build script of this crate, which the tool and many of its own crates use, asks
//! before they are compiled.

/// Why nothing can be built for this operating system and processor, in Rust's names for them; none if it can.
pub(crate) fn refusal(system: &str, processor: &str) -> Option<String> {
    ((system, processor) != ("linux", "x86_64")).then(|| {
        format!(
            "CKI is for Linux on x86-64, and this is {system} on {processor}: what it builds, and what runs in it, is \
             x86-64 code. Use an x86-64 machine; it needs no extension of the processor, the machine of `run` is \
             emulated"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_processor_or_system_is_refused_in_a_sentence() {
        assert_eq!(refusal("linux", "x86_64"), None);
        for (system, processor) in [
            ("linux", "aarch64"),
            ("macos", "aarch64"),
            ("windows", "x86_64"),
        ] {
            let text = refusal(system, processor).expect("refused");
            assert!(text.contains(system) && text.contains(processor), "{text}");
            assert!(!text.contains('\n'), "cargo shows one line");
        }
    }
}
