// SPDX-License-Identifier: MIT OR Apache-2.0

//! `docs/try/troubleshooting.md`: the messages that are its headings are those of the programs and of the module.

use std::path::Path;

use cki_book::tree::Tree;

/// Where messages come from.
const SOURCES: [&str; 6] = [
    "cki-build/src/",
    "crates/",
    "init/",
    "kmod/",
    "launcher/src/",
    "abi/session/",
];

/// A piece of a message that is shorter may be in any source.
const LEAST: usize = 10;

fn tree() -> Tree {
    Tree::at(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).expect("the tree")
}

/// The messages: headings of level 3 that are code.
fn messages(tree: &Tree) -> Vec<String> {
    let text = tree.text("docs/try/troubleshooting.md").expect("the page");
    text.lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .map(str::to_owned)
        .collect()
}

/// The text of a source with the strings whole that it has over several lines.
fn joined(text: &str) -> String {
    let mut lines = text.lines();
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        if out.ends_with('\\') {
            out.pop();
            out.push_str(line.trim_start());
        } else {
            out.push('\n');
            out.push_str(line);
        }
    }
    out
}

/// The texts of an array of C strings.
fn strings(source: &str, array: &str) -> Vec<String> {
    let (_, rest) = source.split_once(array).expect("the array");
    let (body, _) = rest.split_once("};").expect("its end");
    body.lines()
        .filter_map(|line| line.trim().strip_prefix('"')?.strip_suffix("\","))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_reason_of_the_module_is_a_heading() {
    let tree = tree();
    let main = tree.text("kmod/main.c").expect("the module");
    let reasons = strings(&main, "static const char *const reasons[] = {");
    let header = tree.text("abi/include/linux/cki.h").expect("the header");
    let all = header.matches("#define CKI_MISSING_").count();
    assert_eq!(reasons.len(), all, "{reasons:?}");
    let messages = messages(&tree);
    for reason in reasons {
        assert!(messages.contains(&reason), "no heading: {reason}");
    }
}

/// What the module says of one feature of the CPU, as an example.
#[test]
fn what_a_cpu_may_lack_is_named_as_the_module_names_it() {
    let tree = tree();
    let page = tree.text("docs/try/troubleshooting.md").expect("the page");
    let module = tree.text("kmod/cpu.c").expect("the module");
    let mut seen = 0;
    for rest in page.split("`the CPU lacks ").skip(1) {
        let name = rest.split('`').next().unwrap_or_default();
        if !name.starts_with("something") {
            let entry = format!(", \"{name}\" }},");
            assert!(module.contains(&entry), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 0, "an example of a line of the kernel's log");
}

#[test]
fn each_message_is_in_a_source() {
    let tree = tree();
    let paths = SOURCES.iter().flat_map(|dir| {
        [".rs", ".c"]
            .into_iter()
            .flat_map(|ending| tree.files_below(dir, ending))
    });
    let sources: Vec<_> = paths
        .filter(|path| !path.contains("/tests/"))
        .map(|path| joined(&tree.text(path).expect("a source")))
        .collect();
    let messages = messages(&tree);
    assert!(messages.len() > 30, "{}", messages.len());
    for message in messages {
        let pieces: Vec<_> = message.split("...").map(str::trim).collect();
        let long = pieces.iter().filter(|piece| piece.len() >= LEAST);
        assert!(long.count() > 0, "nothing to look for: {message}");
        let is_of = |source: &&String| pieces.iter().all(|piece| source.contains(piece));
        assert!(
            sources.iter().any(|source| is_of(&source)),
            "in no source: {message}"
        );
    }
}
