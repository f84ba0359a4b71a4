// SPDX-License-Identifier: MIT OR Apache-2.0

//! What QEMU is told of the user's disks: each is an open file that QEMU inherits.

use serde_json::{Value, json};

use super::host_image::Board;

/// How the machine has a disk of the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserDisk {
    /// QEMU's name of its format: `raw`, `qcow2`.
    pub format: &'static str,
    /// Whether it cannot be written.
    pub is_read_only: bool,
}

impl UserDisk {
    /// A machine has room for so many.
    pub const MOST: usize = 2;
}

/// Descriptor in QEMU of the file of a disk.
pub(super) const fn fd(index: usize) -> i32 {
    64 + index as i32
}

/// QEMU's arguments for these disks, which are `cki-disk0`, `cki-disk1` in the machine.
///
/// The format is said, so that QEMU never guesses by what a container has written. A flush goes on to the
/// medium, and an error to the container: QEMU would stop the machine where a file system is full.
pub(super) fn words(board: Board, disks: &[UserDisk]) -> Vec<String> {
    let words = |(index, disk): (usize, &UserDisk)| {
        let UserDisk {
            format,
            is_read_only,
        } = disk;
        let file = json!({
            "driver": "file",
            "node-name": format!("file{index}"),
            "filename": format!("/dev/fdset/{index}"),
            "locking": "on",
            "discard": "unmap",
            "auto-read-only": false,
            "read-only": is_read_only,
        });
        let mut node = json!({
            "driver": format,
            "node-name": format!("disk{index}"),
            "file": format!("file{index}"),
            "discard": "unmap",
            "auto-read-only": false,
            "read-only": is_read_only,
        });
        if *format == "qcow2" {
            // A header that names another file has been refused, and one that has changed since is not followed.
            node["backing"] = Value::Null;
        }
        let device = board.disk_device(index);
        [
            "-add-fd".to_owned(),
            format!("fd={},set={index}", fd(index)),
            "-blockdev".to_owned(),
            file.to_string(),
            "-blockdev".to_owned(),
            node.to_string(),
            "-device".to_owned(),
            format!(
                "{device},drive=disk{index},serial={},werror=report,rerror=report",
                cki_session::disk_serial(index)
            ),
        ]
    };
    disks.iter().enumerate().flat_map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_disk_is_a_file_that_qemu_inherits() {
        let disks = [("raw", false), ("qcow2", true)].map(|(format, is_read_only)| UserDisk {
            format,
            is_read_only,
        });
        let said = words(Board::Microvm, &disks);
        let options: Vec<_> = said.iter().step_by(2).map(String::as_str).collect();
        let four = ["-add-fd", "-blockdev", "-blockdev", "-device"];
        assert_eq!(options, [four, four].concat());
        let values: Vec<_> = said.iter().skip(1).step_by(2).map(String::as_str).collect();
        assert_eq!(
            values,
            [
                "fd=64,set=0",
                r#"{"auto-read-only":false,"discard":"unmap","driver":"file","filename":"/dev/fdset/0","locking":"on","node-name":"file0","read-only":false}"#,
                r#"{"auto-read-only":false,"discard":"unmap","driver":"raw","file":"file0","node-name":"disk0","read-only":false}"#,
                "virtio-blk-device,bus=virtio-mmio-bus.4,drive=disk0,serial=cki-disk0,werror=report,rerror=report",
                "fd=65,set=1",
                r#"{"auto-read-only":false,"discard":"unmap","driver":"file","filename":"/dev/fdset/1","locking":"on","node-name":"file1","read-only":true}"#,
                r#"{"auto-read-only":false,"backing":null,"discard":"unmap","driver":"qcow2","file":"file1","node-name":"disk1","read-only":true}"#,
                "virtio-blk-device,bus=virtio-mmio-bus.0,drive=disk1,serial=cki-disk1,werror=report,rerror=report",
            ]
        );
        let words = words(Board::Q35, &disks).join(" ");
        for device in [
            "virtio-blk-pci,addr=5,drive=disk0",
            "virtio-blk-pci,addr=6,drive=disk1",
        ] {
            assert!(words.contains(device), "{words}");
        }
    }
}
