// SPDX-License-Identifier: MIT OR Apache-2.0

//! Modules that a host needs before it finds its disks: none on our kernel, a few on one that was built for
//! any machine.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use nix::kmod::{ModuleInitFlags, finit_module};

/// The list beside the modules of a kernel: files to load, one a line, each after those that it needs.
/// `kernel/debian.nix` makes one.
const LIST: &str = "modules.boot";

/// A module that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[error("cannot load the module {path}: {source}")]
pub struct KernelModuleError {
    path: PathBuf,
    source: io::Error,
}

/// Loads the module in `file` with `parameters`.
///
/// # Errors
/// Those of opening it and of `finit_module(2)`.
pub fn load(file: &Path, parameters: &str) -> io::Result<()> {
    let module = File::open(file)?;
    finit_module(module, &CString::new(parameters)?, ModuleInitFlags::empty())
        .map_err(io::Error::from)
}

/// Loads what the list of the running kernel names, if it has one.
///
/// # Errors
/// [`KernelModuleError`] of the first that cannot be loaded.
pub fn load_all(modules: &Path, release: &str) -> Result<(), KernelModuleError> {
    let directory = modules.join(release.trim());
    for path in listed(&directory)? {
        load(&path, "").map_err(|source| KernelModuleError { path, source })?;
    }
    Ok(())
}

fn listed(directory: &Path) -> Result<Vec<PathBuf>, KernelModuleError> {
    let path = directory.join(LIST);
    match fs::read_to_string(&path) {
        Ok(list) => Ok(list.lines().map(|name| directory.join(name)).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(KernelModuleError { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_loaded_in_the_order_of_the_list_and_without_one_there_are_none() {
        let directory = tempfile::tempdir().unwrap();
        assert!(listed(directory.path()).unwrap().is_empty());
        fs::write(directory.path().join(LIST), "b.ko\na.ko\n").unwrap();
        let files = listed(directory.path()).unwrap();
        assert_eq!(
            files,
            [directory.path().join("b.ko"), directory.path().join("a.ko")]
        );
    }

    #[test]
    fn a_module_that_cannot_be_loaded_is_named() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("6.12")).unwrap();
        fs::write(directory.path().join("6.12").join(LIST), "missing.ko\n").unwrap();
        let error = load_all(directory.path(), "6.12\n").unwrap_err();
        assert!(error.to_string().contains("6.12/missing.ko"), "{error}");
    }
}
