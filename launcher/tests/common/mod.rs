// SPDX-License-Identifier: MIT OR Apache-2.0

//! The binary and files for it. Not every test file uses all of them.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use cki_session::{Container, Event, Memory, Request, Run, decode, encode};

pub fn cki(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cki"))
        .args(arguments)
        .output()
        .expect("it runs")
}

/// The binary with these arguments and a client at descriptor 3: the command, which holds the launcher's end
/// until it is dropped, and the client's end.
pub fn with_client(arguments: &[&str]) -> (Command, UnixStream) {
    let (here, there) = UnixStream::pair().expect("a pair");
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$@\" 3<&0 </dev/null", "sh"])
        .arg(env!("CARGO_BIN_EXE_cki"))
        .args(arguments)
        .stdin(OwnedFd::from(there));
    (command, here)
}

/// A request for `true` in a container of 128 MiB, as a line.
pub fn request() -> Vec<u8> {
    let run = Run {
        container: Some(Container::new(Memory::constant(128))),
        ..Run::new(["true"])
    };
    encode(&Request::Run(Box::new(run))).expect("short")
}

/// All that a launcher says until it is gone, without its hello.
pub fn events(client: UnixStream) -> Vec<Event> {
    let lines = BufReader::new(client).lines();
    let mut events = lines.map(|line| decode(line.expect("text").as_bytes()).expect("an event"));
    let hello = events.next();
    assert!(matches!(hello, Some(Event::Hello(_))), "{hello:?}");
    events.collect()
}

pub fn refused(arguments: &[&str], status: i32, parts: &[&str]) {
    let output = cki(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(output.stdout.is_empty());
    for part in parts {
        assert!(text.contains(part), "{part:?} in {text:?}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

pub fn file(directory: &Path, name: &str, contents: &[u8]) -> String {
    let path = directory.join(name);
    let mut file = std::fs::File::create(&path).expect("created");
    file.write_all(contents).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

pub fn erofs() -> Vec<u8> {
    let mut image = vec![0; 8192];
    image[1024..1028].copy_from_slice(&0xe0f5_e1e2u32.to_le_bytes());
    image[1036] = 12;
    image[1060] = 2;
    image
}

/// The least that the launcher takes for a guest kernel, built for an ABI of this version.
pub fn kernel(abi: u64) -> Vec<u8> {
    use cki_abi::notes::{NOTE_ABI_VERSION, NOTE_DIRECT_MAP, NOTE_ENTRY, NOTE_EXEC_RANGE};
    const VIRTUAL: u64 = 0xffff_ffff_8100_0000;
    const PHYSICAL: u64 = 0x100_0000;
    const CODE: u64 = 0x1000;
    let mut notes = Vec::new();
    for (kind, words) in [
        (NOTE_ABI_VERSION, &[abi][..]),
        (NOTE_ENTRY, &[VIRTUAL]),
        (NOTE_DIRECT_MAP, &[0xffff_8880_0000_0000]),
        (NOTE_EXEC_RANGE, &[PHYSICAL, PHYSICAL + CODE]),
    ] {
        for half in [4, words.len() as u32 * 8, kind as u32] {
            notes.extend(half.to_le_bytes());
        }
        notes.extend(b"CKI\0");
        notes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    bytes.resize(16, 0);
    // ET_EXEC, EM_X86_64; the header's words and halves in their order.
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [VIRTUAL, 64, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([0; 4]);
    for half in [64u16, 56, 2, 64, 0, 0] {
        bytes.extend(half.to_le_bytes());
    }
    let size = notes.len() as u64;
    // PT_LOAD and PT_NOTE: type and flags, offset, addresses, sizes, alignment.
    for segment in [
        [1 | 5 << 32, CODE, VIRTUAL, PHYSICAL, CODE, CODE, CODE],
        [4 | 4 << 32, 2 * CODE, 0, 0, size, 0, 4],
    ] {
        bytes.extend(segment.iter().flat_map(|word: &u64| word.to_le_bytes()));
    }
    bytes.resize(CODE as usize, 0);
    bytes.resize(2 * CODE as usize, 0xf4);
    bytes.extend(notes);
    bytes
}

/// Gives a [`kernel`] a segment of `size` bytes of text.
pub fn grow(kernel: &mut Vec<u8>, size: u64) {
    // p_filesz and p_memsz of the first program header; the contents are a hole at the end.
    let notes = kernel.len();
    for at in [64 + 32, 64 + 40] {
        kernel[at..at + 8].copy_from_slice(&size.to_le_bytes());
    }
    kernel.resize(notes.max(0x1000 + size as usize), 0);
}
