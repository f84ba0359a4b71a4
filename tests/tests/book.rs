// SPDX-License-Identifier: MIT OR Apache-2.0

//! The book in a browser: Chromium, in a container, looks at every page of the site.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use cki_tests::variable;

/// Where Chromium comes from, and letters for it.
const PACKAGES: [&str; 4] = [
    "--deb",
    "chromium-headless-shell",
    "--deb",
    "fonts-dejavu-core",
];

/// How long both looks may take: the browser runs in an emulator.
const LIMIT: &str = "30m";

/// What the container does with the site that it gets as a tar file: two looks, with a word between them.
const LOOK: &str = r#"
cd /tmp && tar x && export HOME=/tmp
look() {
    chromium-headless-shell --no-sandbox --disable-gpu --allow-file-access-from-files \
        --virtual-time-budget=60000 --dump-dom "$@" file:///tmp/probe.html 2>/dev/null
}
look && echo NEXT && look --blink-settings=preferredColorScheme=0
"#;

/// The site's pages, without the sources that it shows.
fn pages(site: &Path, below: &str, into: &mut Vec<String>) {
    for entry in fs::read_dir(site.join(below)).expect("the site") {
        let entry = entry.expect("an entry");
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() && name != "source" {
            pages(site, &format!("{name}/"), into);
        } else if name.ends_with(".html") {
            into.push(name);
        }
    }
}

#[test]
#[ignore = "downloads Chromium, 125 MiB: `check --all`"]
fn a_browser_in_a_container_finds_every_page_readable() {
    let site = variable("CKI_DOCS").join("share/doc/cki");
    let mut names = Vec::new();
    pages(&site, "", &mut names);
    names.sort();
    let dir = tempfile::tempdir().expect("a directory");

    // Now, because the download takes as long as the network likes, and the look has a limit.
    let image = dir.path().join("app.erofs");
    let status = Command::new(variable("CKI_BUILD"))
        .args(["--quiet", "image", "app"])
        .args(PACKAGES)
        .arg("-o")
        .arg(&image)
        .stdout(Stdio::null())
        .status()
        .expect("cki-build is started");
    assert!(status.success(), "the image of Chromium: {status}");
    fs::remove_file(image).expect("the image");

    let probe = include_str!("book/probe.html").replace("PAGES", &format!("{names:?}"));
    fs::write(dir.path().join("probe.html"), probe).expect("the probe");
    let tar = dir.path().join("site.tar");
    let status = Command::new("tar")
        .arg("--create")
        .arg("--file")
        .arg(&tar)
        .args(["--exclude=source", "--directory"])
        .arg(&site)
        .args([".", "--directory"])
        .arg(dir.path())
        .arg("probe.html")
        .status()
        .expect("tar is started");
    assert!(status.success(), "the site as a file: {status}");

    let output = Command::new(variable("CKI_BUILD"))
        .args(["--quiet", "run", "--memory", "2G", "--timeout", LIMIT])
        .args(PACKAGES)
        .args(["--", "sh", "-c", LOOK])
        .stdin(fs::File::open(tar).expect("the site"))
        .output()
        .expect("cki-build is started");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    let (light, dark) = text.split_once("NEXT").expect("two looks");
    for (scheme, dom) in [("light, 360 wide", light), ("dark, 1400 wide", dark)] {
        let (_, result) = dom.split_once("<pre id=\"result\">").expect("a result");
        let (result, _) = result.split_once("</pre>").expect("a result");
        let expected = format!("{scheme}\nlooked at {}\n", names.len());
        assert_eq!(result, expected, "{scheme}");
    }
}
