// SPDX-License-Identifier: MIT OR Apache-2.0

//! FUSE messages as a stream carries them: each begins with its length in 32 bits (`linux/fuse.h`,
//! `struct fuse_in_header` and `struct fuse_out_header`).

use std::io::{self, Read};

/// Bytes of a request's header: length, operation, number, node, user, group, process, length of extensions.
pub const REQUEST_HEADER: usize = 40;
/// Bytes of a reply's header: length, error, number.
pub const REPLY_HEADER: usize = 16;
/// Bytes of data that one message reads or writes at most: 32 pages, FUSE's default.
pub const DATA_MAX: usize = 128 << 10;
/// Bytes of a message at most: the data, and room for every header and name.
pub const MESSAGE_MAX: usize = DATA_MAX + (16 << 10);

/// FUSE_FORGET, FUSE_INTERRUPT (which a server may answer, and ours does not) and FUSE_BATCH_FORGET.
const NEVER_ANSWERED: [u32; 3] = [2, 36, 42];
/// FUSE_SETATTR, FUSE_MKNOD, FUSE_MKDIR and FUSE_CREATE, and where the mode is behind their header.
const MODES: [(u32, usize); 4] = [(4, 68), (8, 0), (9, 0), (35, 4)];
/// FUSE_INIT.
const INIT: u32 = 26;
/// Where the first word of flags is in a FUSE_INIT, and the flag FUSE_MAX_PAGES in it.
const INIT_FLAGS: std::ops::Range<usize> = REQUEST_HEADER + 12..REQUEST_HEADER + 16;
const FUSE_MAX_PAGES: u32 = 1 << 22;
/// The same of the reply to it, and where it says how much one request may write.
const REPLY_FLAGS: std::ops::Range<usize> = REPLY_HEADER + 12..REPLY_HEADER + 16;
const REPLY_MAX_WRITE: std::ops::Range<usize> = REPLY_HEADER + 20..REPLY_HEADER + 24;
/// FUSE_ASYNC_READ, FUSE_ATOMIC_O_TRUNC and FUSE_BIG_WRITES: several reads at once, truncation in opening, and
/// more than a page in a request to write.
const QUICKER: u32 = 1 << 0 | 1 << 3 | 1 << 5;

fn word(message: &[u8], at: usize) -> u32 {
    let bytes = message.get(at..at + 4).unwrap_or(&[0; 4]);
    bytes
        .iter()
        .rev()
        .fold(0, |value, &byte| value << 8 | u32::from(byte))
}

/// Bytes of the message that begins like this, if that many can be one with a header of `header` bytes.
#[must_use]
pub fn length(start: &[u8], header: usize) -> Option<usize> {
    let length = word(start, 0) as usize;
    (header..=MESSAGE_MAX).contains(&length).then_some(length)
}

/// The number of a request or reply, which pairs them.
#[must_use]
pub fn number(message: &[u8]) -> u64 {
    u64::from(word(message, 8)) | u64::from(word(message, 12)) << 32
}

/// Whether a request gets a reply from the process of a volume.
#[must_use]
pub fn is_answered(request: &[u8]) -> bool {
    !NEVER_ANSWERED.contains(&word(request, 4))
}

/// A reply that says that the request with this number failed with an error of `errno.h`.
#[must_use]
pub fn failure(number: u64, error: i32) -> [u8; REPLY_HEADER] {
    let mut reply = [0; REPLY_HEADER];
    reply[..4].copy_from_slice(&(REPLY_HEADER as u32).to_le_bytes());
    reply[4..8].copy_from_slice(&(-error).to_le_bytes());
    reply[8..].copy_from_slice(&number.to_le_bytes());
    reply
}

/// Reads one request; `None` at the end of the stream.
///
/// # Errors
/// Those of reading; `InvalidData` for a length that no request has.
pub fn read_request(stream: &mut impl Read, request: &mut Vec<u8>) -> io::Result<Option<()>> {
    request.resize(REQUEST_HEADER, 0);
    match stream.read(&mut request[..1])? {
        0 => return Ok(None),
        read => stream.read_exact(&mut request[read..])?,
    }
    let length = length(request, REQUEST_HEADER).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "a request of impossible length")
    })?;
    request.resize(length, 0);
    stream.read_exact(&mut request[REQUEST_HEADER..])?;
    Ok(Some(()))
}

/// Whether a request is a FUSE_INIT, the first of all.
#[must_use]
pub fn is_init(request: &[u8]) -> bool {
    word(request, 4) == INIT
}

/// Accepts in the reply to a FUSE_INIT what makes files quicker and was offered; the passthrough file system can do it,
/// and leaves it to others to say so.
pub fn accept_more(request: &[u8], reply: &mut [u8]) {
    // A shorter one says that it failed, or speaks a version that has no such words.
    if reply.len() < REPLY_MAX_WRITE.end {
        return;
    }
    let flags = word(reply, REPLY_FLAGS.start) | word(request, INIT_FLAGS.start) & QUICKER;
    reply[REPLY_FLAGS].copy_from_slice(&flags.to_le_bytes());
    reply[REPLY_MAX_WRITE].copy_from_slice(&(DATA_MAX as u32).to_le_bytes());
}

/// Takes from a FUSE_INIT the offer of messages with more data than [`DATA_MAX`].
pub fn limit_data(request: &mut [u8]) {
    if is_init(request) && request.len() >= INIT_FLAGS.end {
        let flags = word(request, INIT_FLAGS.start) & !FUSE_MAX_PAGES;
        request[INIT_FLAGS].copy_from_slice(&flags.to_le_bytes());
    }
}

/// Takes the set-user-ID and set-group-ID bits from the mode that a request gives to a file.
pub fn clear_set_id(request: &mut [u8]) {
    let Some((_, at)) = MODES.iter().find(|(name, _)| *name == word(request, 4)) else {
        return;
    };
    let at = REQUEST_HEADER + at;
    if request.len() >= at + 4 {
        let mode = word(request, at) & !(libc::S_ISUID | libc::S_ISGID);
        request[at..at + 4].copy_from_slice(&mode.to_le_bytes());
    }
}

/// Makes root whoever a request comes from.
pub fn come_from_root(request: &mut [u8]) {
    request[24..32].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(operation: u32, body: &[u8]) -> Vec<u8> {
        let mut request = vec![0; REQUEST_HEADER];
        request.extend(body);
        let length = request.len() as u32;
        request[..4].copy_from_slice(&length.to_le_bytes());
        request[4..8].copy_from_slice(&operation.to_le_bytes());
        request[8..16].copy_from_slice(&0x1_0000_0002_u64.to_le_bytes());
        request[24..32].fill(0x11);
        request
    }

    #[test]
    fn requests_are_read_whole_and_one_by_one() {
        let (first, second) = (request(1, b"name\0"), request(3, &[7; 100]));
        let stream = [first.clone(), second.clone()].concat();
        let (mut stream, mut read) = (&stream[..], Vec::new());
        assert!(read_request(&mut stream, &mut read).unwrap().is_some());
        assert_eq!(read, first);
        assert_eq!(number(&read), 0x1_0000_0002);
        assert!(read_request(&mut stream, &mut read).unwrap().is_some());
        assert_eq!(read, second);
        assert!(read_request(&mut stream, &mut read).unwrap().is_none());
    }

    #[test]
    fn a_request_of_an_impossible_length_or_cut_short_is_an_error() {
        for length in [0, 39, MESSAGE_MAX as u32 + 1, u32::MAX] {
            let mut wrong = request(1, b"name\0");
            wrong[..4].copy_from_slice(&length.to_le_bytes());
            let error = read_request(&mut &wrong[..], &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{length}");
        }
        let cut = request(1, b"name\0");
        for end in 1..cut.len() {
            let error = read_request(&mut &cut[..end], &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end}");
        }
    }

    #[test]
    fn only_forgetting_and_interrupting_is_not_answered() {
        let answered = |operation| is_answered(&request(operation, b""));
        assert!(!answered(2) && !answered(36) && !answered(42));
        assert!((0..60).filter(|&operation| answered(operation)).count() == 57);
    }

    #[test]
    fn a_failure_is_the_reply_to_its_request() {
        let reply = failure(0x1_0000_0002, libc::EIO);
        assert_eq!(length(&reply, REPLY_HEADER), Some(16));
        assert_eq!(number(&reply), 0x1_0000_0002);
        assert_eq!(reply[4..8], (-5i32).to_le_bytes());
    }

    #[test]
    fn what_does_not_fit_is_not_offered_and_nothing_else_changes() {
        let offer = [[0xff; 16], [0xff; 16]].concat();
        let mut init = request(INIT, &offer);
        limit_data(&mut init);
        assert_eq!(init[INIT_FLAGS], 0xffbf_ffff_u32.to_le_bytes());
        init[INIT_FLAGS].fill(0xff);
        assert_eq!(init, request(INIT, &offer));
        // Too short to have flags; another operation.
        for mut other in [request(INIT, &[0xff; 12]), request(3, &offer)] {
            let before = other.clone();
            limit_data(&mut other);
            assert_eq!(other, before);
        }
    }

    #[test]
    fn what_makes_files_quicker_is_accepted_if_it_was_offered() {
        let offer =
            |flags: u32| request(INIT, &[[0; 12].as_slice(), &flags.to_le_bytes()].concat());
        for (offered, accepted) in [(0, 0x100), (u32::MAX, 0x129), (1 << 5 | 1 << 7, 0x120)] {
            let mut reply = [0; REPLY_HEADER + 64];
            reply[REPLY_FLAGS].copy_from_slice(&0x100_u32.to_le_bytes());
            accept_more(&offer(offered), &mut reply);
            assert_eq!(word(&reply, REPLY_FLAGS.start), accepted, "{offered:x}");
            assert_eq!(word(&reply, REPLY_MAX_WRITE.start) as usize, DATA_MAX);
        }
        let mut failed = failure(1, libc::EPROTO);
        accept_more(&offer(u32::MAX), &mut failed);
        assert_eq!(failed, failure(1, libc::EPROTO));
    }

    #[test]
    fn no_request_sets_a_user_or_group_of_a_program() {
        for (operation, at) in [(4, 68), (8, 0), (35, 4)] {
            let mode = |mode: u32| {
                let mut body = [0xff; 88];
                body[at..at + 4].copy_from_slice(&mode.to_le_bytes());
                request(operation, &body)
            };
            let mut asked = mode(0o107_755);
            clear_set_id(&mut asked);
            assert_eq!(asked, mode(0o101_755), "{operation}");
            // Too short to have a mode.
            let mut short = request(operation, &vec![0xff; at + 3]);
            clear_set_id(&mut short);
            assert_eq!(short, request(operation, &vec![0xff; at + 3]));
        }
        // FUSE_WRITE has none.
        let mut write = request(16, &[0xff; 88]);
        clear_set_id(&mut write);
        assert_eq!(write, request(16, &[0xff; 88]));
    }

    #[test]
    fn whoever_asks_can_be_made_root() {
        let mut asked = request(1, b"name\0");
        come_from_root(&mut asked);
        assert_eq!(asked[24..32], [0; 8]);
        asked[24..32].fill(0x11);
        assert_eq!(asked, request(1, b"name\0"));
    }
}
