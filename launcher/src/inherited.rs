// SPDX-License-Identifier: MIT OR Apache-2.0

//! Descriptors that whoever started us has left open for us.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, RawFd};

/// Why a number names no descriptor that we can read, or read and write.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// Nothing is open there.
    #[error("descriptor {0} is not open: whoever starts cki has to open it")]
    Closed(RawFd),
    /// It is open, but one way only.
    #[error("descriptor {0} is not open for both reading and writing")]
    OneWay(RawFd),
    /// It is open, but not for reading.
    #[error("descriptor {0} is not open for reading")]
    Unreadable(RawFd),
    /// It is open for appending, or as a path alone: writes would land elsewhere, or nowhere.
    #[error("descriptor {0} is open for appending (O_APPEND) or as a path alone (O_PATH)")]
    Elsewhere(RawFd),
    /// No descriptor is left, or the like.
    #[error("descriptor {number} cannot be used: {source}")]
    System {
        /// Which.
        number: RawFd,
        /// Why.
        source: io::Error,
    },
}

/// The name and number of a descriptor, of `NAME=FD`.
///
/// # Errors
/// The text has another form, or the number is one of a standard stream.
pub fn parse(text: &str) -> Result<(String, RawFd), String> {
    let (name, number) = text.split_once('=').ok_or("expected NAME=FD")?;
    match number.parse() {
        Ok(number) if number >= 3 => Ok((name.to_owned(), number)),
        _ => Err("expected the number of a descriptor, 3 or more".to_owned()),
    }
}

/// A file of our own for the inherited descriptor `number`, which must be open for reading and writing.
/// Neither of the two is passed on to programs that we execute.
///
/// # Errors
/// [`InheritedError`].
pub fn both_ways(number: RawFd) -> Result<File, InheritedError> {
    match mode(number)? {
        libc::O_RDWR => own(number),
        _ => Err(InheritedError::OneWay(number)),
    }
}

/// As [`both_ways`], for one that must be open for reading.
///
/// # Errors
/// [`InheritedError`].
pub fn readable(number: RawFd) -> Result<File, InheritedError> {
    match mode(number)? {
        libc::O_RDONLY | libc::O_RDWR => own(number),
        _ => Err(InheritedError::Unreadable(number)),
    }
}

/// Which ways it is open.
fn mode(number: RawFd) -> Result<libc::c_int, InheritedError> {
    // SAFETY: F_GETFL has no argument and reads no memory of ours; any number may be asked about.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFL) };
    match flags {
        ..0 => Err(InheritedError::Closed(number)),
        flags if flags & (libc::O_APPEND | libc::O_PATH) != 0 => {
            Err(InheritedError::Elsewhere(number))
        }
        flags => Ok(flags & libc::O_ACCMODE),
    }
}

fn own(number: RawFd) -> Result<File, InheritedError> {
    let failed = || InheritedError::System {
        number,
        source: io::Error::last_os_error(),
    };
    // SAFETY: the argument is a number; a flag of a descriptor that nobody else here uses is changed.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(failed());
    }
    // A duplicate, because only that is certain to be nobody else's.
    // SAFETY: the argument is the least number wanted.
    let own = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if own < 0 {
        return Err(failed());
    }
    // SAFETY: the call has just made the descriptor; nobody else knows it.
    Ok(unsafe { File::from_raw_fd(own) })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt as _;

    use super::*;

    #[test]
    fn what_is_written_reaches_the_inherited_file() {
        let mut file = tempfile::tempfile().unwrap();
        both_ways(file.as_raw_fd())
            .unwrap()
            .write_all(b"line\n")
            .unwrap();
        let mut text = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line\n");
    }

    #[test]
    fn a_named_descriptor_is_no_standard_stream() {
        assert_eq!(parse("data=7"), Ok(("data".to_owned(), 7)));
        for text in ["7", "data=2", "data=-1", "data=x", "data="] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn descriptors_that_are_closed_or_one_way_are_refused() {
        // No process may have as many open.
        let error = both_ways(RawFd::MAX).unwrap_err();
        assert!(error.to_string().contains("not open"), "{error}");
        let input = File::open("/dev/null").unwrap();
        let error = both_ways(input.as_raw_fd()).unwrap_err();
        assert!(matches!(error, InheritedError::OneWay(_)), "{error}");
        assert!(readable(input.as_raw_fd()).is_ok());
        let output = File::options().write(true).open("/dev/null").unwrap();
        let error = readable(output.as_raw_fd()).unwrap_err();
        assert!(matches!(error, InheritedError::Unreadable(_)), "{error}");
    }

    #[test]
    fn descriptors_that_write_elsewhere_are_refused() {
        let mut both = File::options();
        both.read(true).write(true);
        for flag in [libc::O_APPEND, libc::O_PATH] {
            let file = both.clone().custom_flags(flag).open("/dev/null").unwrap();
            for opened in [both_ways(file.as_raw_fd()), readable(file.as_raw_fd())] {
                let error = opened.unwrap_err();
                assert!(matches!(error, InheritedError::Elsewhere(_)), "{error}");
            }
        }
    }
}
