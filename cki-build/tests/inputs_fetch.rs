//! Downloads under good and bad conditions: each file arrives whole, or not at all and with a message that helps.

mod support;

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cki_build::debian::apt_proxy::Proxies;
use cki_build::inputs::Cancel;
use cki_build::inputs::cache::Cache;
use cki_build::inputs::fetch::{Disk, FetchError, Fetcher, RealDisk};
use support::{Behaviour, Server, download, fetcher, noise, sha256};

const SIZE: usize = 300_000;

struct Case {
    server: Server,
    dir: tempfile::TempDir,
    body: Vec<u8>,
}

impl Case {
    /// A server that has one file, `a.deb`.
    fn new() -> Self {
        let case = Self {
            server: Server::start(),
            dir: tempfile::tempdir().unwrap(),
            body: noise(SIZE, 1),
        };
        case.server.put("/a.deb", case.body.clone());
        case
    }

    fn fetch(&self) -> Result<cki_build::inputs::fetch::FetchStats, FetchError> {
        let (_, fetcher, _) = fetcher(self.dir.path());
        fetcher.fetch(&[download("a.deb", &[&self.server], &self.body)])
    }

    fn complete(&self) -> Option<Vec<u8>> {
        fs::read(
            Cache::open(self.dir.path())
                .unwrap()
                .by_hash(&sha256(&self.body)),
        )
        .ok()
    }

    fn partial(&self) -> Option<Vec<u8>> {
        fs::read(
            Cache::open(self.dir.path())
                .unwrap()
                .partial(&sha256(&self.body)),
        )
        .ok()
    }

    fn assert_complete(&self) {
        assert_eq!(self.complete().as_ref(), Some(&self.body));
        assert_eq!(self.partial(), None);
    }

    fn assert_nothing(&self) {
        assert_eq!(
            fs::read_dir(self.dir.path().join("by-hash"))
                .unwrap()
                .count(),
            0
        );
    }
}

#[test]
fn each_file_is_downloaded_once_and_then_taken_from_the_cache() {
    let (server, dir) = (Server::start(), tempfile::tempdir().unwrap());
    let bodies: Vec<Vec<u8>> = (0..20).map(|i| noise(10_000 + usize::from(i), i)).collect();
    let mut wanted = Vec::new();
    for (i, body) in bodies.iter().enumerate() {
        server.put(&format!("/{i}"), body.clone());
        wanted.push(download(&i.to_string(), &[&server], body));
    }
    // The same contents under a second name are the same file.
    wanted.push(wanted[0].clone());
    let total: u64 = bodies.iter().map(|b| b.len() as u64).sum();
    let (cache, fetcher, _) = fetcher(dir.path());
    let first = fetcher.fetch(&wanted).unwrap();
    assert_eq!(
        (
            first.downloaded_files,
            first.downloaded_bytes,
            first.cached_files
        ),
        (20, total, 0)
    );
    for body in &bodies {
        assert_eq!(&fs::read(cache.by_hash(&sha256(body))).unwrap(), body);
    }
    let second = fetcher.fetch(&wanted).unwrap();
    assert_eq!(
        (
            second.downloaded_files,
            second.downloaded_bytes,
            second.cached_files
        ),
        (0, 0, 20)
    );
    assert_eq!((server.sent(), server.requests().len()), (total, 20));
}

#[test]
fn a_cut_connection_is_resumed_where_it_ended() {
    let case = Case::new();
    case.server
        .next("/a.deb", &[Behaviour::Cut(100_000), Behaviour::Cut(50_000)]);
    let stats = case.fetch().unwrap();
    case.assert_complete();
    assert_eq!(
        case.server.requests(),
        ["/a.deb", "/a.deb from 100000", "/a.deb from 150000"]
    );
    assert_eq!(
        (case.server.sent(), stats.downloaded_bytes),
        (SIZE as u64, SIZE as u64)
    );
}

#[test]
fn a_download_that_stays_truncated_is_an_error_and_the_next_run_goes_on() {
    let case = Case::new();
    case.server.next(
        "/a.deb",
        &[
            Behaviour::Cut(100_000),
            Behaviour::Cut(0),
            Behaviour::Cut(0),
        ],
    );
    let error = case.fetch().unwrap_err();
    assert!(
        matches!(
            error,
            FetchError::Truncated {
                got: 100_000,
                size: 300_000,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("Run the command again, it goes on where it stopped"),
        "{error}"
    );
    case.assert_nothing();
    assert_eq!(case.partial().unwrap().len(), 100_000);
    let stats = case.fetch().unwrap();
    case.assert_complete();
    assert_eq!(
        (stats.resumed_bytes, case.server.sent()),
        (100_000, SIZE as u64)
    );
}

#[test]
fn a_file_that_is_shorter_on_the_mirror_is_an_error() {
    let case = Case::new();
    case.server.put("/a.deb", &case.body[..1000]);
    let error = case.fetch().unwrap_err();
    assert!(
        matches!(error, FetchError::Truncated { got: 1000, .. }),
        "{error:?}"
    );
    case.assert_nothing();
}

#[test]
fn a_file_that_is_longer_on_the_mirror_is_not_read_to_its_end() {
    let case = Case::new();
    case.server.put("/a.deb", vec![1; 30_000_000]);
    let error = case.fetch().unwrap_err();
    assert!(matches!(error, FetchError::WrongHash { .. }), "{error:?}");
    case.assert_nothing();
    assert_eq!(case.partial(), None);
    assert_eq!(case.server.sent(), 0, "the server could send all of it");
}

#[test]
fn a_server_without_ranges_sends_the_file_again() {
    let case = Case::new();
    case.server
        .next("/a.deb", &[Behaviour::Cut(100_000), Behaviour::IgnoreRange]);
    let stats = case.fetch().unwrap();
    case.assert_complete();
    assert_eq!(
        (stats.downloaded_bytes, stats.resumed_bytes),
        (SIZE as u64 + 100_000, 0)
    );
}

#[test]
fn a_wrong_file_is_refused_and_leaves_nothing() {
    let case = Case::new();
    case.server.put("/a.deb", noise(SIZE, 2));
    let error = case.fetch().unwrap_err();
    let FetchError::WrongHash {
        ref expected,
        ref found,
        ..
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!(
        (expected.as_str(), found.as_str()),
        (&*sha256(&case.body), &*sha256(&noise(SIZE, 2)))
    );
    for remedy in ["--mirror URL", "cki-build lock --update"] {
        assert!(error.to_string().contains(remedy), "{error}");
    }
    case.assert_nothing();
    assert_eq!(case.partial(), None);
    assert_eq!(
        case.server.requests().len(),
        1,
        "asking again would give the same"
    );
}

#[test]
fn a_damaged_beginning_is_thrown_away_and_the_file_downloaded_anew() {
    let case = Case::new();
    let cache = Cache::open(case.dir.path()).unwrap();
    for damaged in [noise(1000, 9), noise(SIZE, 9), noise(SIZE + 1, 9)] {
        let _ = fs::remove_file(cache.by_hash(&sha256(&case.body)));
        fs::write(cache.partial(&sha256(&case.body)), damaged).unwrap();
        case.fetch().unwrap();
        case.assert_complete();
    }
}

#[test]
fn a_file_that_is_gone_is_named_with_what_to_do() {
    for status in [404, 410] {
        let case = Case::new();
        case.server.always("/a.deb", Behaviour::Status(status));
        let error = case.fetch().unwrap_err();
        assert!(matches!(error, FetchError::Gone { .. }), "{error:?}");
        let text = error.to_string();
        for part in [
            "a.deb is no longer on the mirror",
            "cki-build lock --update",
            "snapshot archive of 20260711T101637Z",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(case.server.requests().len(), 1);
    }
}

#[test]
fn other_mirrors_are_tried_whatever_the_first_does_wrong() {
    let good = Case::new();
    let server = |body: &[u8], behaviour| {
        let server = Server::start();
        server.put("/a.deb", body);
        server.always("/a.deb", behaviour);
        server
    };
    let gone = Server::start();
    let wrong = server(&noise(SIZE, 2), Behaviour::Serve);
    let broken = server(b"", Behaviour::Status(503));
    let cutting = server(&good.body, Behaviour::Cut(0));
    for (bad, what) in [
        (&gone, "Gone"),
        (&wrong, "WrongHash"),
        (&broken, "Unavailable"),
        (&cutting, "Truncated"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (cache, fetcher, _) = fetcher(dir.path());
        // That other mirrors do not have the file says least, so it is not what is reported.
        for servers in [[bad, &gone], [&gone, bad]] {
            let error = fetcher
                .fetch(&[download("a.deb", &servers, &good.body)])
                .unwrap_err();
            assert!(format!("{error:?}").starts_with(what), "{error:?}");
        }
        fetcher
            .fetch(&[download("a.deb", &[bad, &good.server], &good.body)])
            .unwrap();
        assert!(cache.has(&sha256(&good.body), SIZE as u64));
    }
}

#[test]
fn an_overloaded_server_is_asked_again() {
    let case = Case::new();
    case.server
        .next("/a.deb", &[Behaviour::Status(503), Behaviour::Status(429)]);
    let recorder = Arc::new(support::Recorder::default());
    let cache = Cache::open(case.dir.path()).unwrap();
    let fetcher = Fetcher::new(
        cache,
        recorder.clone(),
        Cancel::new(),
        support::policy(),
        &Proxies::default(),
    )
    .unwrap();
    fetcher
        .fetch(&[download("a.deb", &[&case.server], &case.body)])
        .unwrap();
    assert_eq!(
        *recorder.notes.lock().unwrap(),
        [
            "a.deb: 503 Service Unavailable; trying again",
            "a.deb: 429 Too Many Requests; trying again"
        ]
    );
    case.assert_complete();
    case.server.always("/a.deb", Behaviour::Status(500));
    let other = noise(10, 7);
    let error = fetcher
        .fetch(&[download("a.deb", &[&case.server], &other)])
        .unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error:?}");
    assert_eq!(case.server.requests().len(), 3 + 3);
}

#[test]
fn a_mirror_that_cannot_be_reached_is_an_error_with_its_address() {
    let case = Case::new();
    let (_, fetcher, _) = fetcher(case.dir.path());
    let mut wanted = download("a.deb", &[&case.server], &case.body);
    // Port 9 (discard) has no listener.
    wanted.urls = vec!["http://127.0.0.1:9/a.deb".into()];
    let error = fetcher.fetch(&[wanted.clone()]).unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error:?}");
    assert!(
        error.to_string().contains("http://127.0.0.1:9/a.deb")
            && error.to_string().contains(": Connection refused"),
        "{error}"
    );
    wanted.urls.clear();
    assert!(matches!(
        fetcher.fetch(&[wanted]),
        Err(FetchError::NoMirror(_))
    ));
}

#[test]
fn a_mirror_is_reached_through_apts_proxy_but_this_machine_is_not() {
    let case = Case::new();
    // A proxy is asked for the whole URL; the server serves what has that as its path.
    case.server
        .put("http://mirror.example.org/a.deb", case.body.clone());
    let proxies = Proxies {
        http: Some(case.server.url.clone()),
        https: None,
    };
    let cache = Cache::open(case.dir.path()).unwrap();
    let recorder = Arc::new(support::Recorder::default());
    let fetcher =
        Fetcher::new(cache, recorder, Cancel::new(), support::policy(), &proxies).unwrap();
    let mut wanted = download("a.deb", &[&case.server], &case.body);
    wanted.urls = vec!["http://mirror.example.org/a.deb".into()];
    fetcher.fetch(&[wanted]).unwrap();
    case.assert_complete();
    let other = noise(100, 5);
    case.server.put("/b.deb", other.clone());
    fetcher
        .fetch(&[download("b.deb", &[&case.server], &other)])
        .unwrap();
    assert_eq!(
        case.server.requests(),
        ["http://mirror.example.org/a.deb", "/b.deb"]
    );
}

#[test]
fn a_mirror_may_be_a_directory() {
    let case = Case::new();
    let mirror = tempfile::tempdir().unwrap();
    fs::write(mirror.path().join("a.deb"), &case.body).unwrap();
    let (_, fetcher, _) = fetcher(case.dir.path());
    let mut wanted = download("a.deb", &[&case.server], &case.body);
    wanted.urls = vec![format!("file://{}/a.deb", mirror.path().display())];
    fetcher.fetch(&[wanted.clone()]).unwrap();
    case.assert_complete();
    wanted.urls = vec![format!("file:{}/b.deb", mirror.path().display())];
    wanted.sha256 = "0".repeat(64);
    assert!(matches!(
        fetcher.fetch(&[wanted]),
        Err(FetchError::Gone { .. })
    ));
}

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
    let started = Instant::now();
    thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        cancel.set();
    });
    assert!(matches!(
        fetcher.fetch(&wanted),
        Err(FetchError::Interrupted)
    ));
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    case.assert_nothing();
    case.server.close();
    assert_eq!(case.partial().unwrap().len(), 100_000);
    let stats = case.fetch().unwrap();
    case.assert_complete();
    assert_eq!(
        (stats.resumed_bytes, case.server.sent()),
        (100_000, SIZE as u64)
    );
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
    let url = std::env::var("CKI_TEST_KILLED_URL").unwrap();
    let dir = std::env::var("CKI_TEST_KILLED_DIR").unwrap();
    let (cache, fetcher, cancel) = fetcher(Path::new(&dir));
    let _guard = cache.lock(&support::Recorder::default(), &cancel).unwrap();
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
    let recorder = support::Recorder::default();
    let _guard = cache.lock(&recorder, &cancel).unwrap();
    assert!(
        recorder.notes.lock().unwrap().is_empty(),
        "the lock died with its holder"
    );
    let stats = case.fetch().unwrap();
    case.assert_complete();
    assert_eq!(
        (stats.resumed_bytes, case.server.sent()),
        (100_000, SIZE as u64)
    );
}
