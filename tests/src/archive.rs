// SPDX-License-Identifier: MIT OR Apache-2.0

//! An initial file system in cpio's "newc" format (Documentation/driver-api/early-userspace).

use std::fs;
use std::path::Path;

/// The bytes so far.
#[derive(Default)]
pub struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        let inode = self.0.len();
        let header = format!(
            "070701{inode:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{0:08x}{0:08x}{length:08x}{0:08x}",
            0,
            1,
            size = content.len(),
            length = name.len() + 1,
        );
        self.0.extend(header.bytes());
        self.0.extend(name.bytes());
        self.0.push(0);
        self.pad();
        self.0.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Adds a directory.
    pub fn directory(&mut self, name: &str) {
        self.add(name, 0o040_755, &[]);
    }

    /// Adds a file that may be executed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn file(&mut self, name: &str, path: &Path) -> Result<(), String> {
        let content =
            fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        self.add(name, 0o100_755, &content);
        Ok(())
    }

    /// The whole.
    pub fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.0
    }
}
