// SPDX-License-Identifier: MIT OR Apache-2.0

//! Images that Debian's buildah, skopeo and umoci have made, in containers: what a program sees of their files, one by
//! one, is what it saw where they were made.

use std::ffi::OsStr;
use std::path::Path;

use cki_tests::{Output, run_on, run_program, variable};

/// Makes the images; its argument is [`TREE`].
const MAKE: &str = include_str!("../../programs/oci_tools.sh");

/// Lists the files of one.
const TREE: &str = include_str!("../../programs/tree.sh");

/// The images, all of several layers but for the first.
const IMAGES: [&str; 6] = [
    "buildah-docker",
    "buildah-oci",
    "skopeo-docker",
    "skopeo-oci-archive",
    "skopeo-zstd",
    "umoci",
];

/// What [`TREE`] says of some of the last image's files: whiteouts, an opaque directory, and a directory in the place
/// of a file, with the attributes that it kept and those that it got.
const UMOCI: [&str; 8] = [
    "tree/deep/third|f 644 0:0 ",
    "tree/becomes-directory|f 644 0:0 ",
    "tree/becomes-file/fifth|f 644 0:0 ",
    "tree/device 1:7",
    "security.capability=0x0100000200040800000408000000000000000000",
    "security.capability=0x0100000201000000000000000000000000000000",
    "user.note=0x616e6f74686572",
    "user.fifth=0x6669667468",
];

fn run(image: &Path, options: &[&str], command: &[&str]) -> Output {
    let words = ["--quiet", "run", "--network", "none", "--oci"].map(OsStr::new);
    let words = words.into_iter().chain([image.as_os_str()]);
    let rest = options.iter().chain(&["--"]).chain(command);
    run_program(
        variable("CKI_BUILD"),
        words.chain(rest.map(OsStr::new)),
        b"",
    )
}

#[test]
fn images_of_buildah_skopeo_and_umoci_have_the_files_that_were_put_in_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let out = format!("{}:/out", dir.path().display());
    let packages = ["attr", "buildah", "libcap2-bin", "mount", "skopeo", "umoci"];
    let packages = packages.iter().flat_map(|name| ["--deb", name]);
    let options = ["--memory", "2G", "--network", "none", "--volume", &out];
    let options: Vec<&str> = options.into_iter().chain(packages).collect();
    let made = run_on("cki", &options, &["sh", "-c", MAKE, "sh", TREE], b"");
    assert_eq!(made.status, 0, "{}{}", made.text(), made.stderr);

    // The forms are those that they are to be.
    let blobs = std::fs::read_dir(dir.path().join("skopeo-zstd/blobs/sha256")).expect("blobs");
    let blobs = blobs.map(|blob| std::fs::read(blob.expect("an entry").path()).expect("a blob"));
    let zstd = blobs.filter(|blob| blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
    assert_eq!(zstd.count(), 2, "layers that zstd has compressed");
    assert!(dir.path().join("buildah-oci/oci-layout").exists());

    for name in IMAGES {
        let image = dir.path().join(name);
        let output = run(
            &image,
            &["--user", "0:0", "--workdir", "/"],
            &["/bin/sh", "-c", TREE],
        );
        assert_eq!((output.status, &*output.stderr), (0, ""), "{name}");
        let made = std::fs::read_to_string(dir.path().join(format!("{name}.tree")));
        let made = made.expect("a list");
        assert!(made.lines().count() > 50, "{name}: {made}");
        for line in made.lines().filter(|line| !output.text().contains(*line)) {
            println!("{name} had {line}");
        }
        assert_eq!(output.text(), made, "{name}");
        if name == "umoci" {
            let missing = UMOCI.iter().find(|line| !made.contains(**line));
            assert_eq!(missing, None, "{made}");
            for gone in ["tree/gone", "tree/setuid", "tree/deep/er", "user.binary"] {
                assert!(!made.contains(gone), "{gone}: {made}");
            }
        }
    }

    // buildah's and umoci's configurations hold, and so does a capability that setcap gave a program: it has it
    // although its user has none.
    let output = run(&dir.path().join("buildah-oci"), &[], &[]);
    assert_eq!(output.text(), "0\n/tree\nbuildah\n", "{}", output.stderr);
    let script = "id -u; /bin/cat /proc/self/status; echo; /bin/able /proc/self/status";
    let output = run(&dir.path().join("umoci"), &[], &["/bin/sh", "-c", script]);
    let text = output.text();
    assert!(text.starts_with("1000\n"), "{text}{}", output.stderr);
    let effective: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("CapEff:\t"))
        .collect();
    assert_eq!(
        effective,
        ["0000000000000000", "0000000000002000"],
        "{text}"
    );
}
