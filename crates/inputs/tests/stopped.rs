// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloads that are stopped, by a full disk, by Ctrl-C, by SIGKILL: what came is kept, and the next run goes on.

mod support;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cki_inputs::fetch::disk::{Disk, RealDisk};
use cki_inputs::fetch_error::FetchError;
use support::case::{Case, SIZE};
use support::{Behaviour, download, fetcher, noise};

/// A disk on which there is room for so many bytes.
struct SmallDisk {
    left: Arc<AtomicU64>,
    tells: bool,
}

struct SmallFile {
    file: Box<dyn Write + Send>,
    left: Arc<AtomicU64>,
}

impl Write for SmallFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::SeqCst);
        let count = bytes.len().min(usize::try_from(left).unwrap());
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let written = self.file.write(&bytes[..count])?;
        self.left.fetch_sub(written as u64, Ordering::SeqCst);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Disk for SmallDisk {
    fn append(&self, path: &Path) -> io::Result<Box<dyn Write + Send>> {
        Ok(Box::new(SmallFile {
            file: RealDisk.append(path)?,
            left: self.left.clone(),
        }))
    }

    fn free(&self, _path: &Path) -> io::Result<u64> {
        Ok(if self.tells {
            self.left.load(Ordering::SeqCst)
        } else {
            u64::MAX
        })
    }
}

#[test]
fn a_disk_that_fills_up_stops_the_download_and_what_came_is_kept() {
    let case = Case::new();
    let left = Arc::new(AtomicU64::new(120_000));
    let (_, fetcher, _) = fetcher(case.dir.path());
    let fetcher = fetcher.with_disk(Arc::new(SmallDisk {
        left: left.clone(),
        tells: false,
    }));
    let wanted = [download("a.deb", &[&case.server], &case.body)];
    let error = fetcher.fetch(&wanted).unwrap_err();
    assert!(matches!(error, FetchError::DiskFull { .. }), "{error:?}");
    assert!(
        error.to_string().contains("Free some space") && error.to_string().contains("CKI_CACHE"),
        "{error}"
    );
    case.assert_nothing();
    assert_eq!(case.partial().unwrap(), case.body[..120_000]);
    assert_eq!(
        case.server.requests().len(),
        1,
        "a full disk is no reason to ask again"
    );
    left.store(u64::from(u32::MAX), Ordering::SeqCst);
    let stats = fetcher.fetch(&wanted).unwrap();
    assert_eq!(
        (stats.resumed_bytes, stats.downloaded_bytes),
        (120_000, SIZE as u64 - 120_000)
    );
    case.assert_complete();
}

#[test]
fn what_does_not_fit_on_the_disk_is_not_even_begun() {
    let case = Case::new();
    let (_, fetcher, _) = fetcher(case.dir.path());
    let fetcher = fetcher.with_disk(Arc::new(SmallDisk {
        left: Arc::new(200_000.into()),
        tells: true,
    }));
    let error = fetcher
        .fetch(&[download("a.deb", &[&case.server], &case.body)])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("0.3 MB are needed, 0.2 MB are free"),
        "{error}"
    );
    assert!(case.server.requests().is_empty());
}

#[test]
fn ctrl_c_ends_a_stalled_download_at_once_and_the_next_run_goes_on() {
    let case = Case::new();
    case.server.next("/a.deb", &[Behaviour::Stall(100_000)]);
    let (_, fetcher, cancel) = fetcher(case.dir.path());
    let wanted = [download("a.deb", &[&case.server], &case.body)];
    let sent = case.server.clone();
    let stopper = thread::spawn(move || {
        // All that it sends is there, as far as a machine with other work can tell.
        while sent.sent() < 100_000 {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(500));
        cancel.set();
        Instant::now()
    });
    assert!(matches!(
        fetcher.fetch(&wanted),
        Err(FetchError::Interrupted(_))
    ));
    let took = stopper.join().unwrap().elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    case.server.close();
    case.assert_goes_on_behind(100_000);
}

#[test]
fn one_failed_download_stops_the_others_but_keeps_what_they_have() {
    let case = Case::new();
    case.server.next("/a.deb", &[Behaviour::Stall(100_000)]);
    let (_, fetcher, _) = fetcher(case.dir.path());
    let wanted = [
        download("a.deb", &[&case.server], &case.body),
        download("absent", &[&case.server], b"x"),
    ];
    let started = Instant::now();
    assert!(matches!(
        fetcher.fetch(&wanted),
        Err(FetchError::Gone { .. })
    ));
    assert!(started.elapsed() < Duration::from_secs(5));
    case.server.close();
    case.fetch().unwrap();
    case.assert_complete();
}

/// What the child process of the next test does: download until it is killed.
#[test]
#[ignore = "run by the next test, in a process of its own"]
fn child_that_downloads_until_it_is_killed() {
    // `check --all` begins each test that is there, this one, too: it is part of the next one.
    let Ok(url) = std::env::var("CKI_TEST_KILLED_URL") else {
        return;
    };
    let dir = std::env::var("CKI_TEST_KILLED_DIR").unwrap();
    let (cache, fetcher, cancel) = fetcher(Path::new(&dir));
    let _guard = cache
        .lock(&support::Lines::default().shown(), &cancel)
        .unwrap();
    let body = noise(SIZE, 1);
    let mut wanted = download("a.deb", &[], &body);
    wanted.urls = vec![format!("{url}/a.deb")];
    fetcher.fetch(&[wanted]).unwrap();
}

#[test]
fn a_process_that_is_killed_while_it_downloads_leaves_a_beginning_and_no_lock() {
    let case = Case::new();
    case.server.next("/a.deb", &[Behaviour::Stall(100_000)]);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "child_that_downloads_until_it_is_killed",
        ])
        .env("CKI_TEST_KILLED_URL", &case.server.url)
        .env("CKI_TEST_KILLED_DIR", case.dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while case.partial().is_none_or(|p| p.len() < 100_000) {
        assert!(
            Instant::now() < deadline && child.try_wait().unwrap().is_none(),
            "the child does not download"
        );
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    case.assert_nothing();
    let (cache, _, cancel) = fetcher(case.dir.path());
    let lines = support::Lines::default();
    let _guard = cache.lock(&lines.shown(), &cancel).unwrap();
    assert!(lines.all().is_empty(), "the lock died with its holder");
    let stats = case.fetch().unwrap();
    case.assert_complete();
    assert_eq!(
        (stats.resumed_bytes, case.server.sent()),
        (100_000, SIZE as u64)
    );
}
