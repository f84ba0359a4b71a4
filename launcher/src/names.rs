// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names of the ABI's numbers, from the ABI's own tables.

use cki_abi::description::Group;
use cki_abi::{calls, errors, faults, hypercalls, vectors};

fn find(group: &Group, value: u64, skip: &[&str]) -> Option<&'static str> {
    group
        .constants
        .iter()
        .find(|constant| constant.value == value && !skip.contains(&constant.name))
        .map(|constant| constant.name)
}

/// `E_*` for an error, positive.
#[must_use]
pub fn error(number: u64) -> String {
    find(&errors::GROUP, number, &[]).map_or_else(|| format!("error {number}"), str::to_owned)
}

/// `KSM_*` or `HC_*` for a call.
#[must_use]
pub fn call(number: u64) -> String {
    find(&calls::GROUP, number, &["KSM_CALLS"])
        .or_else(|| find(&hypercalls::GROUP, number, &["HC_BASE", "HC_END"]))
        .map_or_else(|| format!("call {number:#x}"), str::to_owned)
}

/// Mnemonic of an exception (Intel SDM Vol. 3A table 6-1), or `FAULT_*` for what is not an exception.
#[must_use]
pub fn fault(vector: u64) -> String {
    let mnemonic = usize::try_from(vector)
        .ok()
        .and_then(|vector| vectors::MNEMONICS.get(vector).copied())
        .filter(|mnemonic| !mnemonic.is_empty());
    mnemonic
        .or_else(|| find(&faults::GROUP, vector, &[]))
        .map_or_else(|| format!("exception {vector}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_names_of_the_abi() {
        assert_eq!(error(errors::E_CLASS), "E_CLASS");
        assert_eq!(error(999), "error 999");
        assert_eq!(call(calls::KSM_ENTRY_SET), "KSM_ENTRY_SET");
        assert_eq!(call(hypercalls::HC_CONSOLE_WRITE), "HC_CONSOLE_WRITE");
        let unknown = calls::KSM_CALLS;
        assert_eq!(call(unknown), format!("call {unknown:#x}"));
        assert_eq!(fault(vectors::GENERAL_PROTECTION), "#GP");
        assert_eq!(fault(15), "exception 15");
        assert_eq!(fault(faults::FAULT_GATE_MISUSED), "FAULT_GATE_MISUSED");
        assert_eq!(fault(99), "exception 99");
    }
}
