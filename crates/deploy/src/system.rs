// SPDX-License-Identifier: MIT OR Apache-2.0

//! The system that is to be put on hosts.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::contents::Contents;
use super::error::Trouble;

/// The files of a system, in the order in which a host takes them.
const FILES: [&str; 3] = ["bzImage", "initrd", "root.verity"];

/// A system (`images/system/package.nix`).
#[derive(Debug, Clone)]
pub struct System {
    /// Number of blocks and hash over all of them, as the kernel's command line has it.
    pub name: String,
    /// Kernel, initial file system, root file system.
    pub files: [PathBuf; 3],
    /// Their sizes.
    pub sizes: [u64; 3],
    /// SHA-256 over kernel and initial file system, which the name says nothing of.
    pub start: String,
}

impl System {
    /// The system in a directory.
    ///
    /// # Errors
    /// [`Trouble::NoSystem`] when it is none.
    pub fn read(directory: &Path) -> Result<Self, Trouble> {
        let none = |why: String| Trouble::NoSystem {
            directory: directory.to_owned(),
            why,
        };
        let cannot = |name: &str, error: &io::Error| none(format!("{name}: {error}"));
        let path = directory.join("system");
        let name = fs::read_to_string(path).map_err(|error| cannot("system", &error))?;
        let name = name.trim().to_owned();
        let (blocks, hash) = name.split_once(':').unwrap_or_default();
        let is_hash =
            hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let blocks = blocks.parse::<u32>().ok().filter(|_| is_hash);
        let blocks =
            blocks.ok_or_else(|| none("system: it is no number of blocks and hash".to_owned()))?;
        let files = FILES.map(|file| directory.join(file));
        let mut sizes = [0; 3];
        let mut digest = Sha256::new();
        for (at, file) in files.iter().enumerate() {
            let cannot = |error| cannot(FILES[at], &error);
            let mut file = File::open(file).map_err(cannot)?;
            sizes[at] = file.metadata().map_err(cannot)?.len();
            if at < 2 {
                io::copy(&mut file, &mut digest).map_err(cannot)?;
            }
        }
        if sizes[2] <= u64::from(blocks) * 4096 || sizes.contains(&0) {
            return Err(none("it is not whole".to_owned()));
        }
        Ok(Self {
            name,
            files,
            sizes,
            start: digest
                .finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        })
    }

    /// What it consists of.
    ///
    /// # Errors
    /// [`Trouble::NoSystem`] when it does not say that.
    pub fn contents(&self) -> Result<Contents, Trouble> {
        let directory = self.files[0].with_file_name("");
        let path = directory.join("contents");
        let none = |why: String| Trouble::NoSystem {
            directory: directory.clone(),
            why: format!("contents: {why}"),
        };
        let text = fs::read_to_string(path).map_err(|error| none(error.to_string()))?;
        Contents::read(&text).ok_or_else(|| none("it does not say what it consists of".to_owned()))
    }

    /// All that a host takes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.sizes.iter().sum()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small system with this digit as its hash.
    pub fn write(directory: &Path, digit: char) -> System {
        fs::create_dir_all(directory).expect("made");
        let name = format!("1:{}\n", digit.to_string().repeat(64));
        for (file, text) in [
            ("bzImage", "kernel"),
            ("initrd", "initial"),
            ("system", &name),
        ] {
            fs::write(directory.join(file), text).expect("written");
        }
        fs::write(directory.join("root.verity"), vec![b'r'; 8192]).expect("written");
        System::read(directory).expect("a system")
    }

    #[test]
    fn a_system_has_a_name_and_three_whole_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let system = write(directory.path(), 'a');
        assert_eq!(system.sizes, [6, 7, 8192]);
        assert_eq!(system.size(), 8205);
        assert_eq!(crate::name::short(&system.name), "aaaaaaaaaaaa");
        for (file, text, why) in [
            ("root.verity", "short", "not whole"),
            ("system", "no name", "no number"),
            ("system", &format!("1:{}", "A".repeat(64)), "no number"),
            ("bzImage", "", "not whole"),
        ] {
            let system = write(directory.path(), 'a');
            fs::write(system.files[0].with_file_name(file), text).expect("written");
            let error = System::read(directory.path()).expect_err(file).to_string();
            assert!(error.contains(why), "{error}");
        }
        fs::remove_file(directory.path().join("initrd")).expect("removed");
        let error = System::read(directory.path())
            .expect_err("none")
            .to_string();
        assert!(
            error.contains("no number") || error.contains("initrd"),
            "{error}"
        );
    }
}
