// SPDX-License-Identifier: MIT OR Apache-2.0

//! The guest kernel's sources: the queue of patches (`kernel/patches`), the series for a maintainer of Linux that is
//! made of it and of our files (`kernel/series.sh`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cki_tests::cki;

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
        .filter(|name| name.ends_with(".patch") || name.ends_with(".txt"))
        .map(|name| {
            let text = fs::read_to_string(kernel("patches").join(&name)).expect("text");
            (name, text)
        })
        .collect()
}

/// Who sends the series.
const SENDER: &str = "A. U. Thor <author@example.org>";

/// Makes the series of a checkout.
fn make_series(checkout: &Path, out: &Path) -> Output {
    Command::new("bash")
        .arg(kernel("series.sh"))
        .arg(checkout)
        .arg(out)
        .arg(SENDER)
        .output()
        .expect("a shell")
}

/// The mails of the series in their order, but for the cover letter: names and texts.
fn series() -> Vec<(String, String)> {
    let out = tempfile::tempdir().expect("a directory");
    let output = make_series(&kernel(".."), out.path());
    assert!(output.status.success(), "{output:?}");
    names(out.path())
        .into_iter()
        .filter(|name| name.ends_with(".patch"))
        .map(|name| {
            let text = fs::read_to_string(out.path().join(&name)).expect("text");
            (name, text)
        })
        .collect()
}

/// The letter before the mails of the series.
fn cover_letter() -> String {
    let out = tempfile::tempdir().expect("a directory");
    let output = make_series(&kernel(".."), out.path());
    assert!(output.status.success(), "{output:?}");
    fs::read_to_string(out.path().join("0000-cover-letter.txt")).expect("text")
}

/// A copy of what a series is made of, to be spoilt.
fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    for part in [
        "kernel/patches",
        "kernel/series",
        "kernel/src",
        "abi/include",
    ] {
        let to = copy.path().join(part);
        fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        let status = Command::new("cp")
            .arg("-r")
            .arg(kernel("..").join(part))
            .arg(&to)
            .status()
            .expect("cp");
        assert!(status.success(), "{part}");
    }
    copy
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
    let subject = field("Subject")
        .filter(|subject| subject.starts_with("[PATCH] ") || subject.starts_with("[RFC PATCH "));
    let (area, what) = subject
        .and_then(|subject| Some(subject.split_once("] ")?.1))
        .and_then(|subject| subject.split_once(": "))
        .unwrap_or_default();
    wrong("no area in the subject", area.is_empty());
    wrong(
        "a subject that is no sentence without a full stop",
        !what.contains(' ') || what.ends_with('.'),
    );
    wrong("no reason", body.split_whitespace().count() < 15);
    wrong("no changes", !rest.contains("\ndiff --git a/"));
    wrong(
        "blanks at the end of a line",
        rest.lines()
            .any(|line| line.starts_with('+') && line.trim_end() != line),
    );
    found
}

/// The lines of a mail that say who stands for it: who wrote it, and who signs it off.
fn names_in(text: &str) -> Vec<&str> {
    let message = text
        .split_once("\n---\n")
        .map_or(text, |(message, _)| message);
    let by = |line: &&str| line.starts_with("From: ") || line.starts_with("Signed-off-by: ");
    message.lines().filter(by).collect()
}

/// Whoever sends a patch stands for it with a name; nobody else can.
#[test]
fn a_patch_is_nobodys_until_somebody_sends_it() {
    let ours = [
        "patches",
        "series",
        "../emulator/patches",
        "../emulator/libslirp",
    ];
    let mut looked = 0;
    for directory in ours.map(kernel) {
        for name in names(&directory)
            .into_iter()
            .filter(|name| name != "README.md")
        {
            let text = fs::read_to_string(directory.join(&name)).expect("text");
            assert_eq!(names_in(&text), Vec::<&str>::new(), "{name}");
            looked += 1;
        }
    }
    assert!(looked >= 60, "{looked}");
    let (from, off) = (
        format!("From: {SENDER}"),
        format!("Signed-off-by: {SENDER}"),
    );
    for (name, text) in series() {
        assert_eq!(names_in(&text), [from.as_str(), off.as_str()], "{name}");
        let message = text.split_once("\n---\n").map(|(message, _)| message);
        assert!(
            message.is_some_and(|message| message.ends_with(&format!("\n\n{off}"))),
            "{name}"
        );
    }
    assert!(cover_letter().starts_with(&from));
    let (_, document) = series()
        .into_iter()
        .find(|(_, text)| text.contains("\n+++ b/MAINTAINERS\n"))
        .expect("an entry in MAINTAINERS");
    assert!(
        document.contains(&format!("\n+M:\t{SENDER}\n")),
        "{document}"
    );
}

#[test]
fn a_series_without_a_sender_is_refused() {
    let out = tempfile::tempdir().expect("a directory");
    let make = |sender: &[&str]| {
        Command::new("bash")
            .arg(kernel("series.sh"))
            .args([&kernel(".."), out.path()])
            .args(sender)
            .output()
            .expect("a shell")
    };
    for sender in [
        &[][..],
        &[""],
        &["Author"],
        &["<author@example.org>"],
        &["A <author>"],
    ] {
        let output = make(sender);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{sender:?}");
        assert!(told.contains("'Name <address>'"), "{told}");
    }
    assert!(make(&[SENDER]).status.success());
}

#[test]
fn every_patch_of_the_emulator_is_a_mail_too() {
    let patches = kernel("../emulator/patches");
    let names = names(&patches).into_iter();
    let mut looked = 0;
    for name in names.filter(|name| name.ends_with(".patch")) {
        let text = fs::read_to_string(patches.join(&name)).expect("text");
        assert_eq!(mistakes(&text), Vec::<&str>::new(), "{name}");
        looked += 1;
    }
    assert!(looked >= 20, "{looked}");
}

#[test]
fn every_patch_is_a_mail_that_a_maintainer_could_take() {
    let (queue, series) = (queue(), series());
    assert!(queue.len() >= 10, "{}", queue.len());
    assert!(series.len() > queue.len(), "{}", series.len());
    for (name, text) in queue.iter().chain(&series) {
        assert_eq!(mistakes(text), Vec::<&str>::new(), "{name}");
    }
    // It has questions, and there is no processor for it.
    for (name, text) in series
        .iter()
        .chain([&("the letter".to_owned(), cover_letter())])
    {
        assert!(text.contains("\nSubject: [RFC PATCH "), "{name}");
    }
    // And a bare diff would have been found.
    let text = &queue[1].1;
    let diff = &text[text.find("diff --git").expect("a diff")..];
    assert!(mistakes(diff).len() >= 3, "{:?}", mistakes(diff));
}

/// What the message of a mail says of this repository, which those who are sent it do not have.
fn of_this_repository(mail: &str) -> Vec<&str> {
    let (message, _) = mail.split_once("\n---\n").unwrap_or((mail, ""));
    message
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| {
            ["queue", "our", "ours", "repository"].contains(&&*word.to_ascii_lowercase())
        })
        .collect()
}

#[test]
fn no_mail_of_the_series_speaks_of_this_repository() {
    let mut mails = series();
    mails.push(("the cover letter".to_owned(), cover_letter()));
    for (name, text) in mails {
        assert_eq!(of_this_repository(&text), Vec::<&str>::new(), "{name}");
    }
    let told = "Subject: x\n\nThe last patch of this queue.\n---\n+int queue;\n";
    assert_eq!(of_this_repository(told), ["queue"]);
}

#[test]
fn the_cover_letter_names_mails_by_their_numbers_in_the_series() {
    let letter = cover_letter();
    let source = fs::read_to_string(kernel("series/cover-letter.txt")).expect("text");
    let mut named = 0;
    for (number, (name, text)) in (1..).zip(series()) {
        let header = text.split("\n\n").next().unwrap_or_default();
        let header = header.replace("\n ", " ");
        let (_, subject) = header.split_once("] ").expect("a subject");
        let subject = subject.lines().next().expect("a line");
        for (before, part) in source.split('{').zip(source.split('{').skip(1)) {
            let (begin, after) = part.split_once('}').expect("a closing brace");
            if subject.starts_with(begin) {
                let before = before.rsplit(['}', '\n']).next().expect("a part");
                let after = after.lines().next().unwrap_or_default();
                let after = after.split('{').next().expect("a part");
                let sent = format!("{before}{number}{after}");
                assert!(letter.contains(&sent), "{name}: no {sent:?} in {letter}");
                named += 1;
            }
        }
    }
    assert_eq!(named, source.matches('{').count());
    assert!(named >= 5 && !letter.contains('{'), "{letter}");
}

#[test]
fn no_patch_of_the_queue_changes_a_file_of_ours() {
    let ours = |text: &str| {
        text.lines().any(|line| {
            line.starts_with("+++ b/arch/x86/cki/")
                || line.starts_with("+++ b/arch/x86/include/asm/cki.h")
                || line.starts_with("+++ b/arch/x86/include/cki/")
                || line.starts_with("+++ b/include/uapi/linux/cki")
        })
    };
    for (name, text) in queue() {
        assert!(!ours(&text), "{name}");
    }
    // The series' own do, and would have been found.
    assert!(series().iter().any(|(_, text)| ours(text)));
}

#[test]
fn git_takes_our_files_from_the_series_as_they_are() {
    let (linux, out) = (
        tempfile::tempdir().expect("a directory"),
        tempfile::tempdir().expect("a directory"),
    );
    let output = make_series(&kernel(".."), out.path());
    assert!(output.status.success(), "{output:?}");
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(linux.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .args([
                "-c",
                "user.name=Tester",
                "-c",
                "user.email=tester@example.com",
            ])
            .args(arguments)
            .output()
            .expect("git");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    };
    git(&["init", "--quiet"]);
    // These add files, so they need no kernel.
    let mut taken = 0;
    for (name, text) in series() {
        if text.contains("\n+++ b/arch/x86/cki/") || text.contains("\n+++ b/arch/x86/include/cki/")
        {
            let mail = out.path().join(&name);
            git(&["am", "--quiet", mail.to_str().expect("UTF-8")]);
            taken += 1;
        }
    }
    assert!(taken >= 2, "{taken}");
    for (ours, linuxs) in [
        ("src/arch/x86/cki", "arch/x86/cki"),
        ("src/arch/x86/include", "arch/x86/include"),
        ("../abi/include/cki", "arch/x86/include/cki"),
    ] {
        let (ours, linuxs) = (kernel(ours), linux.path().join(linuxs));
        for name in names(&ours) {
            if ours.join(&name).is_file() {
                let text = fs::read_to_string(ours.join(&name)).expect("text");
                let taken = fs::read_to_string(linuxs.join(&name)).expect("taken");
                assert!(text == taken, "{name}");
            }
        }
    }
    assert_eq!(
        names(&kernel("src/arch/x86/cki")),
        names(&linux.path().join("arch/x86/cki"))
    );
    let header = |directory: &Path| fs::read_to_string(directory.join("asm/cki.h")).expect("text");
    assert!(
        header(&kernel("src/arch/x86/include")) == header(&linux.path().join("arch/x86/include"))
    );
    let shared = |path: &Path| fs::read_to_string(path).expect("text");
    assert!(
        shared(&kernel("../abi/include/linux/cki_guest.h"))
            == shared(&linux.path().join("include/uapi/linux/cki_guest.h"))
    );
}

#[test]
fn a_series_with_a_hole_without_a_file_or_with_a_letter_of_others_is_refused() {
    type Spoil = (&'static str, fn(&Path));
    let spoil: [Spoil; 5] = [
        ("the series adds other files", |copy| {
            fs::write(copy.join("kernel/src/arch/x86/cki/new.c"), "int new;\n").expect("written");
        }),
        ("there is no", |copy| {
            fs::remove_file(copy.join("kernel/src/arch/x86/cki/call.c")).expect("removed");
        }),
        ("names no one mail by {x86/none: such}, but: none", |copy| {
            let letter = copy.join("kernel/series/cover-letter.txt");
            let text = fs::read_to_string(&letter).expect("text");
            let text = text.replacen("{x86/apic: take}", "{x86/none: such}", 1);
            fs::write(&letter, text).expect("written");
        }),
        ("names no one mail by {x86/apic: take}, but: 1 10", |copy| {
            let patches = copy.join("kernel/patches");
            let tenth = names(&patches)
                .into_iter()
                .find(|name| name.starts_with("0010"));
            let tenth = patches.join(tenth.expect("a tenth mail"));
            let text = fs::read_to_string(&tenth).expect("text");
            let text = text.replacen("[PATCH] x86/cpufeatures:", "[PATCH] x86/apic: take", 1);
            fs::write(&tenth, text).expect("written");
        }),
        ("number 2 is 0003", |copy| {
            let series = copy.join("kernel/series");
            let second = names(&series)
                .into_iter()
                .find(|name| name.starts_with("0002"));
            fs::remove_file(series.join(second.expect("a second mail"))).expect("removed");
        }),
    ];
    for (message, spoil) in spoil {
        let (copy, out) = (copy(), tempfile::tempdir().expect("a directory"));
        assert!(make_series(copy.path(), out.path()).status.success());
        spoil(copy.path());
        let output = make_series(copy.path(), out.path());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}: {output:?}");
        assert!(told.contains(message), "{told}");
    }
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

/// The kernel's build applies the queue patch by patch, without fuzz.
#[test]
fn the_queue_applies() {
    let output = cki(["--quiet", "build", "cki-kernel"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
}

/// Applies the series, and compiles what it touches after each patch (`kernel/build-queue.sh`).
#[test]
#[ignore = "compiles parts of Linux after each patch, for minutes: `check --all`"]
fn each_patch_of_the_series_builds() {
    let output = cki(["--quiet", "build", "cki-kernel-queue"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
}

/// Looks at the series, at our files of the kernel and at the module's; what stays is in
/// `kernel/checkpatch.txt`, with reasons.
#[test]
#[ignore = "unpacks Linux: `check --all`"]
fn checkpatch_has_nothing_to_say() {
    let output = cki(["--quiet", "build", "cki-checkpatch"]);
    assert_eq!(output.status, 0, "{}", output.stderr);
}
