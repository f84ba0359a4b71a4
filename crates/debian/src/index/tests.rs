// SPDX-License-Identifier: MIT OR Apache-2.0

use super::*;

/// An index from lines `name version | extra field | ...`, for tests.
pub(crate) fn index(suite: &str, automatic: bool, lines: &[&str]) -> PackageIndex {
    let mut text = String::new();
    for line in lines {
        let mut parts = line.split('|').map(str::trim);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        text += &format!(
            "Package: {name}\nVersion: {version}\nFilename: pool/main/{name}_{version}_amd64.deb\n"
        );
        text += &format!("Size: 10\nSHA256: {}\n", "0".repeat(64));
        for field in parts {
            text += &format!("{}\n", field.replace(" or ", " | "));
        }
        text += "\n";
    }
    PackageIndex::read(suite, automatic, text.as_bytes()).unwrap()
}

#[test]
fn versions_come_newest_first_and_fields_are_kept() {
    let index = index(
        "s",
        true,
        &[
            "a 1~rc1",
            "a 2 | Essential: yes | Depends: b | Pre-Depends: c",
            "a 1",
            "b 1",
        ],
    );
    let versions: Vec<_> = index.versions("a").map(|p| p.version.as_str()).collect();
    assert_eq!(versions, ["2", "1", "1~rc1"]);
    assert_eq!(index.versions("a").next().unwrap().depends, "c, b");
    assert_eq!(index.essential(), ["a"]);
    assert_eq!(index.len(), 4);
}

#[test]
fn providers_are_ordered_by_priority_and_name() {
    let index = index(
        "s",
        true,
        &[
            "zawk 1 | Provides: awk",
            "gawk 2 | Provides: awk (= 5), x",
            "gawk 1 | Provides: awk",
            "mawk 1 | Provides: awk | Priority: required",
        ],
    );
    let names: Vec<_> = index
        .providers("awk")
        .iter()
        .map(|(p, v)| format!("{} {v:?}", p.name))
        .collect();
    assert_eq!(names.len(), 3);
    assert!(
        names[0].starts_with("mawk None")
            && names[1].starts_with("gawk Some")
            && names[2].starts_with("zawk")
    );
}

#[test]
fn an_index_that_points_out_of_the_archive_is_refused() {
    let hash = "0".repeat(64);
    let text = |path: &str, hash: &str| {
        format!("Package: a\nVersion: 1\nFilename: {path}\nSHA256: {hash}\nSize: 1\n")
    };
    let read = |text: String| PackageIndex::read("s", true, text.as_bytes());
    assert!(read(text("pool/a.deb", &hash)).is_ok());
    for path in ["../a.deb", "/etc/passwd", "pool/../../x", "pool//a", ""] {
        assert!(
            matches!(
                read(text(path, &hash)),
                Err(IndexError::Field {
                    field: "Filename",
                    ..
                })
            ),
            "{path}"
        );
    }
    for hash in ["", "00", &"g".repeat(64), &"A".repeat(64)] {
        assert!(
            matches!(
                read(text("pool/a", hash)),
                Err(IndexError::Field {
                    field: "SHA256",
                    ..
                })
            ),
            "{hash}"
        );
    }
}

#[test]
fn the_upstream_tarball_is_found_among_a_source_packages_files() {
    let hash = "1".repeat(64);
    let text = format!(
        "Package: q\nVersion: 1-1\nDirectory: pool/main/q\nChecksums-Sha256:\n {hash} 1 q_1-1.dsc\n {hash} 20 \
         q_1.orig.tar.xz\n {hash} 2 q_1.orig.tar.xz.asc\n\nPackage: q\nVersion: 1-2\nDirectory: d\n\nPackage: r\n\
         Version: 1\n"
    );
    let found = read_sources("q", text.as_bytes()).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].version.as_str(), "1-2");
    assert!(found[0].upstream_tarball().is_none());
    assert_eq!(
        found[1].upstream_tarball().unwrap(),
        &("q_1.orig.tar.xz".to_owned(), hash, 20)
    );
}
