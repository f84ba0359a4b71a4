// SPDX-License-Identifier: MIT OR Apache-2.0

//! What Nix, shell and boot menus write on command lines of kernels is what programs read there.

use std::fs;
use std::path::{Path, PathBuf};

use cki_session::cmdline::{self, Mode};

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// Our parameters in a text, and what is behind their `=`.
fn parameters(text: &str) -> Vec<(&str, &str)> {
    let found = text.match_indices("cki.").filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let name = text[at..].split('=').next()?;
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
        let is_name = name[4..].chars().all(|c| c.is_ascii_lowercase()) && name.len() > 4;
        let value = text[at + name.len()..].strip_prefix('=')?;
        let end = value.find(|c: char| !word(c)).unwrap_or(value.len());
        (is_name && !before.is_some_and(word)).then_some((name, &value[..end]))
    });
    found.collect()
}

#[test]
fn the_parameters_of_a_text_are_found() {
    let text =
        "quiet cki.mode=shell cki.pool=128\n# (cki.system=A:B) my-cki.x=1 cki.y cki.a.b=2 cki.=";
    let expected = [
        ("cki.mode", "shell"),
        ("cki.pool", "128"),
        ("cki.system", "A"),
    ];
    assert_eq!(parameters(text), expected);
}

#[test]
fn what_images_are_started_with_is_understood() {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../images");
    let mut used = Vec::new();
    for file in files(&images) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for (name, value) in parameters(&text) {
            let named = format!("{name}={value} in {}", file.display());
            assert!(cmdline::ALL.contains(&name), "{named}");
            assert!(
                name != cmdline::MODE || Mode::named(value).is_some(),
                "{named}"
            );
            used.push(name.to_owned());
        }
    }
    for name in cmdline::ALL {
        assert!(
            used.iter().any(|used| used == name),
            "{name} is in no image"
        );
    }
}

#[test]
fn the_last_value_wins_and_a_mode_has_one_form() {
    let cmdline = format!("{} quiet {} cki.modes=x", Mode::Shell, Mode::Machine);
    assert_eq!(cmdline, "cki.mode=shell quiet cki.mode=machine cki.modes=x");
    assert_eq!(cmdline::value(&cmdline, cmdline::MODE), Some("machine"));
    assert_eq!(cmdline::value("cki.poolside=1", cmdline::POOL), None);
    for mode in [Mode::Session, Mode::Machine, Mode::Shell] {
        assert_eq!(Mode::named(mode.name()), Some(mode));
    }
    assert_eq!(Mode::named("sesion"), None);
}
