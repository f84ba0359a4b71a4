// SPDX-License-Identifier: MIT OR Apache-2.0

//! The queue of patches (`kernel/patches`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cki_tests::{cki, long};

fn kernel(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../kernel")
        .join(path)
}

/// The names in a directory, sorted.
fn names(path: &Path) -> BTreeSet<String> {
    fs::read_dir(path)
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect()
}

/// The patches in their order: names and texts.
fn queue() -> Vec<(String, String)> {
    names(&kernel("patches"))
        .into_iter()
        .filter(|name| name != "README.md")
        .map(|name| {
            let text = fs::read_to_string(kernel("patches").join(&name)).expect("text");
            (name, text)
        })
        .collect()
}

/// What is wrong with a patch as a mail to a maintainer.
fn mistakes(text: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    let mut wrong = |what, is: bool| {
        if is {
            found.push(what);
        }
    };
    let (mail, rest) = text.split_once("\n---\n").unwrap_or((text, ""));
    let (header, body) = mail.split_once("\n\n").unwrap_or((mail, ""));
    // Long lines of a header go on behind a blank.
    let header = header.replace("\n ", " ");
    let field = |name: &str| {
        header
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let author = field("From").unwrap_or_default();
    wrong("no author", !author.contains('<'));
    let subject = field("Subject").and_then(|subject| subject.strip_prefix("[PATCH] "));
    let (area, what) = subject
        .and_then(|subject| subject.split_once(": "))
        .unwrap_or_default();
    wrong("no area in the subject", area.is_empty());
    wrong(
        "a subject that is no sentence without a full stop",
        !what.contains(' ') || what.ends_with('.'),
    );
    let mut trailer = body.lines().rev().take_while(|line| !line.is_empty());
    wrong(
        "not signed off by its author",
        !trailer.any(|line| line.strip_prefix("Signed-off-by: ") == Some(author)),
    );
    let reason = body.rsplit_once("\n\n").map_or("", |(reason, _)| reason);
    wrong("no reason", reason.split_whitespace().count() < 15);
    wrong("no changes", !rest.contains("\ndiff --git a/"));
    wrong(
        "changes to a file of ours, which is no patch's business",
        rest.contains("\n+++ b/arch/x86/cki/")
            || rest.contains("\n+++ b/arch/x86/include/asm/cki.h"),
    );
    wrong(
        "blanks at the end of a line",
        rest.lines()
            .any(|line| line.starts_with('+') && line.trim_end() != line),
    );
    found
}

#[test]
fn every_patch_is_a_mail_that_a_maintainer_could_take() {
    let queue = queue();
    assert!(queue.len() >= 10, "{}", queue.len());
    for (name, text) in &queue {
        assert_eq!(mistakes(text), Vec::<&str>::new(), "{name}");
    }
    // And a bare diff, or a patch that nobody stands for, would have been found.
    let text = &queue[1].1;
    let diff = &text[text.find("diff --git").expect("a diff")..];
    assert!(mistakes(diff).len() >= 4, "{:?}", mistakes(diff));
    let unsigned = text.replace("Signed-off-by:", "Acked-by:");
    assert_eq!(mistakes(&unsigned), ["not signed off by its author"]);
}

#[test]
fn patches_are_numbered_in_one_order_host_first() {
    let mut last = 0;
    for (name, _) in queue() {
        let number: u32 = name[..4].parse().expect("a number of four digits");
        assert!(number > last, "{name}");
        assert!(
            name.ends_with(".patch") && name.as_bytes()[4] == b'-',
            "{name}"
        );
        last = number;
    }
}

/// The kernel's build applies the queue patch by patch, without fuzz. With `--all`, another build compiles
/// what the queue touches after each patch (`kernel/build-queue.sh`), which takes minutes.
#[test]
fn the_queue_applies_and_each_patch_builds() {
    let attr = if long() {
        "cki-kernel-queue"
    } else {
        "cki-kernel"
    };
    let output = cki(["--quiet", "build", attr]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let text = fs::read_to_string(kernel("package.nix")).expect("text");
    assert!(text.contains("--fuzz=0"));
}
