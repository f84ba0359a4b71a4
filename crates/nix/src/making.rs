// SPDX-License-Identifier: MIT OR Apache-2.0

//! Making the store of a machine on which nothing has used Nix yet.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::command::Nix;
use crate::settings::STATE;

/// How often a store is made when others make it at the same time; each failure means that one of them got further.
const TRIES: usize = 4;

/// How long others of ours may take to make the store, which takes Nix milliseconds.
const MAKING_MAX: Duration = Duration::from_secs(5);
/// Between two looks whether they have.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Nix {
    /// Makes the store of a machine on which nothing has used Nix yet.
    ///
    /// Of Nix commands that find no store at the same time some fail: Nix looks for `gcroots` and then makes it and
    /// the link in it ("creating symlink … File exists"), and writes `db/schema` where another reads it ("is
    /// corrupt"), both without a lock. So whoever finds either missing has Nix make the store, and of ours one at a
    /// time; again if a Nix that is not ours was quicker. A store that cannot be made is not reported here: the next
    /// command says why.
    pub fn make_store(&self) {
        let state = self.state();
        if is_made(&state) {
            return;
        }
        let _lock = lock_directory(&state);
        for _ in 0..TRIES {
            if is_made(&state) || self.nix_store().arg("--init").output().is_err() {
                break;
            }
        }
    }

    /// Nix's directory of state, of these variables or of this process's.
    fn state(&self) -> PathBuf {
        let own = self.env.get(OsStr::new("NIX_STATE_DIR")).cloned();
        let state = own.or_else(|| std::env::var_os("NIX_STATE_DIR"));
        state.map_or_else(|| STATE.into(), PathBuf::from)
    }
}

/// Whether Nix has made what it makes of its state first and last. A distribution's package may have made the first.
fn is_made(state: &Path) -> bool {
    state.join("gcroots").is_dir()
        && fs::metadata(state.join("db/schema")).is_ok_and(|schema| schema.len() > 0)
}

/// Waits until this process is the only one of ours that has Nix's directory of state, for as long as the file is open.
/// The directory is made if it is not there, as Nix would; Nix locks files in it, never itself. Anybody who may read
/// the directory can lock it, so it is not waited for without end, and then done without.
fn lock_directory(state: &Path) -> Option<fs::File> {
    fs::create_dir_all(state).ok()?;
    let directory = fs::File::open(state).ok()?;
    let start = Instant::now();
    while start.elapsed() < MAKING_MAX {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(directory),
            Err(Errno::WOULDBLOCK | Errno::INTR) => thread::sleep(LOOK_AGAIN),
            Err(_) => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Situation;

    fn script(dir: &Path, text: &str) -> Nix {
        let nix_store = dir.join("nix-store");
        cki_process::files::write_program(&nix_store, &format!("#!/bin/sh\n{text}\n")).unwrap();
        Nix {
            nix_store,
            ..Nix::new(&Situation::default())
        }
    }

    #[test]
    fn a_store_that_others_make_at_the_same_time_is_no_failure() {
        let dir = tempfile::tempdir().unwrap();
        let (state, tries) = (dir.path().join("var"), dir.path().join("tries"));
        let loser = format!(
            "[ $1 = --init ] || exit 0\necho >>{tries}\n[ $(wc -l <{tries}) -gt 1 ] || exit 1\n\
             mkdir -p {state}/gcroots {state}/db; ln -s x {state}/gcroots/profiles; echo 10 >{state}/db/schema",
            tries = tries.display(),
            state = state.display()
        );
        let mut nix = script(dir.path(), &loser);
        nix.env.insert("NIX_STATE_DIR".into(), state.into());
        for _ in 0..2 {
            assert!(nix.missing([Path::new("/nix/store/x")]).unwrap().is_empty());
            assert_eq!(fs::read_to_string(&tries).unwrap(), "\n\n");
        }
    }

    #[test]
    fn one_at_a_time_makes_the_store_and_nobody_uses_it_half_made() {
        let dir = tempfile::tempdir().unwrap();
        let (state, one) = (dir.path().join("var"), dir.path().join("one"));
        // Made slowly in Nix's order; a command that comes in the middle, or a second maker, is a failure.
        let slow = format!(
            "if [ $1 = --init ]; then\n\
               mkdir {one} || {{ echo twice >>{one}.twice; exit 1; }}\n\
               mkdir -p {state}/gcroots {state}/db; ln -s x {state}/gcroots/profiles\n\
               : >{state}/db/schema; ls -R / 2>/dev/null | head -20000 >/dev/null; echo 10 >{state}/db/schema\n\
             else [ -s {state}/db/schema ] || {{ echo corrupt >&2; exit 1; }}; fi",
            one = one.display(),
            state = state.display()
        );
        let mut nix = script(dir.path(), &slow);
        nix.env.insert("NIX_STATE_DIR".into(), state.into());
        std::thread::scope(|scope| {
            let ask = || nix.missing([Path::new("/nix/store/x")]).map(drop);
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            for asked in asked {
                asked.join().unwrap().unwrap();
            }
        });
        assert!(!dir.path().join("one.twice").exists());
    }

    #[test]
    fn a_store_that_a_package_has_begun_is_made_once_and_not_looked_at_again() {
        let dir = tempfile::tempdir().unwrap();
        let (state, calls) = (dir.path().join("var"), dir.path().join("calls"));
        // As Debian's nix-setup-systemd does; Nix then makes no link `profiles`.
        fs::create_dir_all(state.join("gcroots/per-user")).unwrap();
        let text = format!(
            "[ $1 = --init ] || exit 0\necho >>{}\nmkdir -p {state}/db; echo 10 >{state}/db/schema",
            calls.display(),
            state = state.display()
        );
        let mut nix = script(dir.path(), &text);
        nix.env.insert("NIX_STATE_DIR".into(), state.clone().into());
        for _ in 0..3 {
            nix.make_store();
            assert_eq!(fs::read_to_string(&calls).unwrap(), "\n");
        }
        // Nobody who has locked the directory keeps us from a store that is there.
        let other = fs::File::open(&state).unwrap();
        flock(&other, FlockOperation::LockExclusive).unwrap();
        nix.make_store();
    }
}
