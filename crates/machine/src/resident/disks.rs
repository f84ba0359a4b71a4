// SPDX-License-Identifier: MIT OR Apache-2.0

//! Application images as disks of a machine that stays up: plugged in when a container needs one, and left there for
//! the next one that does.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::qmp::Qmp;
use crate::app_disk::AppDisk;

/// Disks that nobody uses and that stay plugged in all the same.
pub(super) const IDLE_MAX: usize = 8;

/// A file as it is now: one that has changed is another disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    disk: AppDisk,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Content {
    fn of(disk: &AppDisk) -> io::Result<Self> {
        let found = fs::metadata(disk.file())?;
        Ok(Self {
            disk: disk.clone(),
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

#[derive(Debug)]
struct Disk {
    number: u32,
    content: Content,
    users: u32,
}

/// The disks that are plugged in, the one used last at the end.
#[derive(Debug, Default)]
pub(super) struct Disks {
    last: u32,
    plugged: Vec<Disk>,
}

/// A disk's name in QEMU, and its serial number.
fn name(number: u32) -> String {
    format!("app-{number}")
}

impl Disks {
    /// Plugs a disk in, unless it is there; its number, for [`Disks::release`], and its serial number.
    pub(super) fn plug(&mut self, qmp: &Qmp, disk: &AppDisk) -> Result<(u32, String), String> {
        let content = Content::of(disk)
            .map_err(|error| format!("cannot use {}: {error}", disk.file().display()))?;
        let found = self.plugged.iter().position(|disk| disk.content == content);
        if let Some(at) = found {
            let mut disk = self.plugged.remove(at);
            disk.users += 1;
            let number = disk.number;
            self.plugged.push(disk);
            return Ok((number, name(number)));
        }
        self.last += 1;
        let (number, name) = (self.last, name(self.last));
        let file = disk.file().to_string_lossy();
        let node = json!({
            "node-name": name, "driver": disk.format(), "read-only": true,
            "file": {"driver": "file", "filename": file, "read-only": true},
        });
        qmp.execute("blockdev-add", &node)?;
        let device = json!({
            "driver": "scsi-hd", "id": name, "bus": "scsi.0", "drive": name, "serial": name,
        });
        if let Err(why) = qmp.execute("device_add", &device) {
            // It is only that the file stays open.
            let _ = qmp.execute("blockdev-del", &json!({"node-name": name}));
            return Err(why);
        }
        self.plugged.push(Disk {
            number,
            content,
            users: 1,
        });
        Ok((number, name))
    }

    /// One user less. Of the disks that nobody uses, those used longest ago are unplugged.
    pub(super) fn release(&mut self, qmp: &Qmp, number: u32) {
        if let Some(disk) = self.plugged.iter_mut().find(|disk| disk.number == number) {
            disk.users -= 1;
        }
        while let Some(number) = self.superfluous() {
            // The machine takes its time; QEMU says when it is done, and the file is closed then.
            let _ = qmp.execute("device_del", &json!({"id": name(number)}));
        }
    }

    /// Takes a disk that nobody needs from the list.
    fn superfluous(&mut self) -> Option<u32> {
        let idle = |disk: &Disk| disk.users == 0;
        if self.plugged.iter().filter(|disk| idle(disk)).count() <= IDLE_MAX {
            return None;
        }
        let at = self.plugged.iter().position(idle)?;
        Some(self.plugged.remove(at).number)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    /// A QEMU that does whatever it is asked, and gives the commands that it was asked.
    fn qemu() -> (Qmp, std::thread::JoinHandle<Vec<(String, String)>>) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let asked = std::thread::spawn(move || {
            let lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut asked = Vec::new();
            for line in lines.map_while(Result::ok) {
                let command: Value = serde_json::from_str(&line).unwrap();
                let answer = json!({"return": {}, "id": command["id"]});
                theirs.write_all(format!("{answer}\n").as_bytes()).unwrap();
                let arguments = &command["arguments"];
                let what = [&arguments["node-name"], &arguments["id"]];
                let what = what.iter().find_map(|value| value.as_str());
                let execute = command["execute"].as_str().unwrap();
                asked.push((execute.to_owned(), what.unwrap_or_default().to_owned()));
                if execute == "quit" {
                    break;
                }
            }
            asked
        });
        (Qmp::new(ours, |_, _| {}).unwrap(), asked)
    }

    #[test]
    fn a_disk_is_plugged_in_once_and_stays_until_others_are_used() {
        let (qmp, asked) = qemu();
        let scratch = tempfile::tempdir().unwrap();
        let file = |number: usize| -> AppDisk {
            let path: PathBuf = scratch.path().join(number.to_string());
            fs::write(&path, "x").unwrap();
            path.into()
        };
        let mut disks = Disks::default();
        let first = file(0);
        assert_eq!(disks.plug(&qmp, &first), Ok((1, "app-1".to_owned())));
        assert_eq!(disks.plug(&qmp, &first), Ok((1, "app-1".to_owned())));
        disks.release(&qmp, 1);
        disks.release(&qmp, 1);
        for number in 1..=IDLE_MAX {
            let (number, _) = disks.plug(&qmp, &file(number)).unwrap();
            disks.release(&qmp, number);
        }
        // Another file of the same name.
        fs::write(first.file(), "longer").unwrap();
        let (number, _) = disks.plug(&qmp, &first).unwrap();
        assert_eq!(number as usize, IDLE_MAX + 2);
        let missing: AppDisk = scratch.path().join("missing").into();
        assert!(disks.plug(&qmp, &missing).unwrap_err().contains("missing"));
        qmp.execute("quit", &json!({})).unwrap();
        let asked = asked.join().unwrap();
        let of = |command: &str| -> Vec<&str> {
            let same = asked.iter().filter(|(asked, _)| asked == command);
            same.map(|(_, what)| what.as_str()).collect()
        };
        assert_eq!(of("device_add").len(), IDLE_MAX + 2);
        assert_eq!(of("device_del"), ["app-1"]);
    }
}
