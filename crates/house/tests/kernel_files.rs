// SPDX-License-Identifier: MIT OR Apache-2.0

//! Our files of the guest's kernel: that they do not use each other in a circle (`kernel/circles.sh`, which its build
//! runs), and that the documentation names each.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use cki_house::root;

fn kernel(path: &str) -> PathBuf {
    root().join("kernel").join(path)
}

/// Compiles C sources to objects and looks for a circle among them.
fn circles(sources: &[(&str, &str)]) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new("sh");
    command.arg(kernel("circles.sh"));
    for (name, text) in sources {
        let (source, object) = (
            directory.path().join(format!("{name}.c")),
            directory.path().join(format!("{name}.o")),
        );
        fs::write(&source, text).expect("written");
        let status = Command::new("cc")
            .arg("-c")
            .arg(&source)
            .arg("-o")
            .arg(&object)
            .status()
            .expect("a compiler");
        assert!(status.success(), "{text}");
        command.arg(object);
    }
    command.output().expect("a shell")
}

const GROUND: (&str, &str) = ("ground", "int ground; void report(void) { ground++; }");
const MIDDLE: (&str, &str) = (
    "middle",
    "void report(void); void elsewhere(void); void middle(void) { report(); elsewhere(); }",
);

#[test]
fn files_that_use_each_other_in_one_direction_are_no_circle() {
    let top = (
        "top",
        "extern int ground; void middle(void); int top(void) { middle(); return ground; }",
    );
    let output = circles(&[top, GROUND, MIDDLE]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("top.o middle.o ground.o"), "{text}");
}

#[test]
fn a_circle_is_refused_through_functions_and_through_data() {
    let calls = (
        "ground",
        "void middle(void); void report(void) { middle(); }",
    );
    let reads = (
        "ground",
        "extern int last; int report(void) { return last; }",
    );
    let middle = (
        "middle",
        "int last; void report(void); void middle(void) { report(); }",
    );
    for ground in [calls, reads] {
        let output = circles(&[ground, middle]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{ground:?}");
        assert!(message.contains("in a circle"), "{message}");
        assert!(message.contains("middle.o"), "{message}");
    }
}

#[test]
fn an_object_that_is_not_there_ends_the_search_for_circles() {
    let output = circles(&[GROUND]);
    assert!(
        !output.status.success(),
        "one file uses no other: {output:?}"
    );
    let output = Command::new("sh")
        .arg(kernel("circles.sh"))
        .arg("/nonexistent.o")
        .output()
        .expect("a shell");
    assert!(!output.status.success());
}

#[test]
fn the_documentation_names_every_file_of_the_guest_kernel() {
    let text = fs::read_to_string(kernel("../docs/understand/guest-kernel.md")).expect("text");
    let named: BTreeSet<String> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .flat_map(|line| line.split('|').nth(1).unwrap_or_default().split('`'))
        .filter(|word| word.ends_with(".c") || word.ends_with(".S"))
        .map(str::to_owned)
        .collect();
    let there: BTreeSet<String> = fs::read_dir(kernel("src/arch/x86/cki"))
        .expect("a directory")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| name.ends_with(".c") || name.ends_with(".S"))
        .collect();
    assert_eq!(named, there);
}
