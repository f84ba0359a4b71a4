// SPDX-License-Identifier: MIT OR Apache-2.0

//! A container's kernel, as the process of a volume meets it: FUSE messages on a socket.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use cki_volume::client::{Shared, StartError, VolumeProcess, start};
use cki_volume::message::{DATA_MAX, REPLY_HEADER, REQUEST_HEADER};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_cki-volume");
pub const LOOKUP: u32 = 1;
pub const GETATTR: u32 = 3;
pub const READLINK: u32 = 5;
pub const SYMLINK: u32 = 6;
pub const MKNOD: u32 = 8;
pub const MKDIR: u32 = 9;
pub const UNLINK: u32 = 10;
pub const LINK: u32 = 13;
pub const OPEN: u32 = 14;
pub const READ: u32 = 15;
pub const WRITE: u32 = 16;
pub const INIT: u32 = 26;
pub const CREATE: u32 = 35;
pub const RENAME: u32 = 12;
pub const ROOT: u64 = 1;

/// A container's kernel with a volume.
pub struct Guest {
    pub socket: UnixStream,
    pub process: VolumeProcess,
    number: u64,
}

impl Guest {
    pub fn start(directory: &Path, is_read_only: bool) -> Result<Guest, StartError> {
        Guest::start_as(Path::new(PROGRAM), directory, is_read_only)
    }

    /// As [`Guest::start`], by a program that executes [`PROGRAM`].
    pub fn start_as(
        program: &Path,
        directory: &Path,
        is_read_only: bool,
    ) -> Result<Guest, StartError> {
        let volume = Shared {
            directory: directory.to_owned(),
            is_read_only,
        };
        let (socket, process) = start(program, &volume)?;
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        Ok(Guest {
            socket,
            process,
            number: 0,
        })
    }

    /// With the answer to its greeting.
    pub fn new(directory: &Path, is_read_only: bool) -> Guest {
        let mut guest = Guest::start(directory, is_read_only).expect("a volume");
        // Version 7.38, read ahead 128 KiB, every feature of the first word and none of the second.
        let mut greeting = [7u32, 38, 128 << 10, u32::MAX]
            .map(u32::to_le_bytes)
            .concat();
        greeting.resize(64, 0);
        let answer = guest.ask(INIT, 0, &greeting).expect("an answer to INIT");
        let flags = u32::from_le_bytes(answer[12..16].try_into().unwrap());
        assert_eq!(
            flags & 1 << 22,
            0,
            "it takes more data than a message holds"
        );
        assert_eq!(flags & 1 << 5, 1 << 5, "it takes no more than a page");
        let most = u32::from_le_bytes(answer[20..24].try_into().unwrap());
        assert_eq!(most as usize, DATA_MAX);
        guest
    }

    pub fn send(&mut self, operation: u32, node: u64, body: &[u8]) {
        self.number += 1;
        let mut request = ((REQUEST_HEADER + body.len()) as u32)
            .to_le_bytes()
            .to_vec();
        request.extend(operation.to_le_bytes());
        request.extend(self.number.to_le_bytes());
        request.extend(node.to_le_bytes());
        // User, group, process, extensions.
        request.extend([0; 16]);
        request.extend(body);
        self.socket.write_all(&request).expect("it listens");
    }

    /// The body of the answer, or the error.
    pub fn ask(&mut self, operation: u32, node: u64, body: &[u8]) -> Result<Vec<u8>, i32> {
        self.send(operation, node, body);
        let mut header = [0; REPLY_HEADER];
        self.socket.read_exact(&mut header).expect("it answers");
        let word = |at: usize| i32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        assert_eq!(header[8..], self.number.to_le_bytes());
        let mut answer = vec![0; word(0) as usize - REPLY_HEADER];
        self.socket
            .read_exact(&mut answer)
            .expect("all of the answer");
        match word(4) {
            0 => Ok(answer),
            error => Err(-error),
        }
    }

    pub fn lookup(&mut self, parent: u64, name: &str) -> Result<u64, i32> {
        let answer = self.ask(LOOKUP, parent, format!("{name}\0").as_bytes())?;
        Ok(u64::from_le_bytes(answer[..8].try_into().unwrap()))
    }

    /// The inode number of a node.
    pub fn inode(&mut self, node: u64) -> Result<u64, i32> {
        let answer = self.ask(GETATTR, node, &[0; 16])?;
        Ok(u64::from_le_bytes(answer[16..24].try_into().unwrap()))
    }

    pub fn open(&mut self, node: u64, flags: i32) -> Result<u64, i32> {
        let body = [flags as u32, 0].map(u32::to_le_bytes).concat();
        let answer = self.ask(OPEN, node, &body)?;
        Ok(u64::from_le_bytes(answer[..8].try_into().unwrap()))
    }

    pub fn read(&mut self, node: u64, size: u32) -> Result<Vec<u8>, i32> {
        let handle = self.open(node, libc::O_RDONLY)?;
        let mut body = [handle, 0].map(u64::to_le_bytes).concat();
        body.extend([size, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
        self.ask(READ, node, &body)
    }

    /// Makes a file, in the mode of `mknod(2)`.
    pub fn make(&mut self, parent: u64, name: &str, mode: u32, device: u32) -> Result<(), i32> {
        let mut body = [mode, device, 0, 0].map(u32::to_le_bytes).concat();
        body.extend(format!("{name}\0").as_bytes());
        self.ask(MKNOD, parent, &body).map(drop)
    }

    pub fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<(), i32> {
        let mut body = to.0.to_le_bytes().to_vec();
        body.extend(format!("{}\0{}\0", from.1, to.1).as_bytes());
        self.ask(RENAME, from.0, &body).map(drop)
    }
}
