// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel of a container says of a process that it killed what init looks for.

use std::fs;
use std::path::Path;

use cki_session::console::FOR_PAGE_TABLES;

#[test]
fn the_kernel_says_that_a_process_was_killed_for_its_page_tables() {
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernel/src/arch/x86/cki/victim.c");
    let source = fs::read_to_string(source).expect("the kernel's file");
    let sentences = source
        .split('"')
        .filter(|text| text.contains("Killed process "));
    let sentences: Vec<_> = sentences.collect();
    let [sentence] = sentences[..] else {
        panic!("{sentences:?}");
    };
    let whole = format!("Out of memory: Killed process %d (%s{FOR_PAGE_TABLES}");
    assert!(sentence.starts_with(&whole), "{sentence}");
}
