// SPDX-License-Identifier: MIT OR Apache-2.0

//! Opens images that [`crate::make`] has made.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use cki_oci::source::Source;
use cki_oci::{Image, OciError, layer};

use crate::make::{Files, Layer, config, oci};

/// A layer of one file.
pub fn small() -> Vec<u8> {
    Layer::new()
        .directory("etc/")
        .file("etc/name", b"cki")
        .bytes()
}

/// The image in the file or directory, and its layers' file systems, made below `dir`.
pub fn opened(path: &Path, dir: &Path) -> Result<(Image, Vec<PathBuf>), OciError> {
    let source = Source::open(path)?;
    let image = Image::find(&source)?;
    let provide = |layer| layer::provide(&source, layer, dir, &|| ());
    let layers = image.layers.iter().map(provide).collect::<Result<_, _>>()?;
    Ok((image, layers))
}

/// Which layers of the image had to be made, by number.
pub fn made(path: &Path, dir: &Path) -> Vec<usize> {
    let source = Source::open(path).expect("opened");
    let image = Image::find(&source).expect("an image");
    let made = RefCell::new(Vec::new());
    for (number, layer) in image.layers.iter().enumerate() {
        let on_start = || made.borrow_mut().push(number);
        layer::provide(&source, layer, dir, &on_start).expect("a layer");
    }
    made.into_inner()
}

/// As [`opened`], of an archive with these files.
pub fn archived(files: &Files) -> Result<Image, OciError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("image.tar");
    files.archive(&path);
    let layers = dir.path().join("layers");
    let result = opened(&path, &layers);
    if result.is_err() && layers.exists() {
        let left = fs::read_dir(&layers).expect("read").count();
        assert_eq!(left, 0, "a refused layer leaves nothing");
    }
    result.map(|(image, _)| image)
}

pub fn refused(files: &Files) -> String {
    archived(files).expect_err("refused").to_string()
}

/// The file system of a layer with this archive.
pub fn converted(archive: Vec<u8>) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("image.tar");
    oci(&config(std::slice::from_ref(&archive)), &[archive]).archive(&path);
    let (_, layers) = opened(&path, dir.path()).expect("an image");
    fs::read(&layers[0]).expect("read")
}

/// Why a layer with this archive is refused.
pub fn refused_layer(archive: Vec<u8>) -> String {
    refused(&oci(&config(std::slice::from_ref(&archive)), &[archive]))
}
