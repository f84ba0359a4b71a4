// SPDX-License-Identifier: MIT OR Apache-2.0

//! Downloads under good and bad conditions: each file arrives whole, or not at all and with a message that helps.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use cki_inputs::apt_proxy::Proxies;
use cki_inputs::downloads::Downloads;
use cki_inputs::fetch::Fetcher;
use cki_inputs::fetch::download::Policy;
use cki_inputs::fetch_error::FetchError;
use cki_process::cancel::Cancel;
use support::case::{Case, SIZE};
use support::{Behaviour, Server, download, fetcher, noise, sha256};

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
    case.assert_goes_on_behind(100_000);
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
    let cache = Downloads::open(case.dir.path()).unwrap();
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
fn a_mirror_that_sends_another_file_in_pieces_is_left_for_the_next() {
    const LARGE: usize = 3 << 20;
    let [wrong, good] = [9, 1].map(|seed| {
        let server = Server::start();
        server.put("/a.deb", noise(LARGE, seed));
        server
    });
    // Each piece is progress, and only the whole of it is wrong.
    wrong.always("/a.deb", Behaviour::Cut(1 << 20));
    let body = noise(LARGE, 1);
    let dir = tempfile::tempdir().unwrap();
    let (cache, fetcher, _) = fetcher(dir.path());
    fetcher
        .fetch(&[download("a.deb", &[&wrong, &good], &body)])
        .unwrap();
    assert!(cache.has(&sha256(&body), LARGE as u64));
    assert_eq!(wrong.sent(), 2 * LARGE as u64, "it has one more try");
}

#[test]
fn an_overloaded_server_is_asked_again() {
    let case = Case::new();
    case.server
        .next("/a.deb", &[Behaviour::Status(503), Behaviour::Status(429)]);
    let lines = support::Lines::default();
    let cache = Downloads::open(case.dir.path()).unwrap();
    let fetcher = Fetcher::new(
        cache,
        lines.shown(),
        Cancel::new(),
        support::policy(),
        Proxies::default,
    );
    fetcher
        .fetch(&[download("a.deb", &[&case.server], &case.body)])
        .unwrap();
    assert_eq!(
        lines.all()[1..],
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
    let cache = Downloads::open(case.dir.path()).unwrap();
    let shown = support::Lines::default().shown();
    let fetcher = Fetcher::new(cache, shown, Cancel::new(), support::policy(), move || {
        proxies.clone()
    });
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
fn a_mirror_that_does_not_answer_is_waited_for_once() {
    let case = Case::new();
    let lines = support::Lines::default();
    let cache = Downloads::open(case.dir.path()).unwrap();
    let fetcher = Fetcher::new(
        cache.clone(),
        lines.shown(),
        Cancel::new(),
        support::policy(),
        Proxies::default,
    );
    let mut wanted = Vec::new();
    for number in 0..20 {
        let (name, body) = (number.to_string(), noise(100, number));
        case.server.put(&format!("/{name}"), body.clone());
        let mut download = download(&name, &[&case.server], &body);
        // Port 9 (discard) has no listener.
        download
            .urls
            .insert(0, format!("http://127.0.0.1:9/{name}"));
        wanted.push(download);
    }
    fetcher.fetch(&wanted[..1]).unwrap();
    fetcher.fetch(&wanted).unwrap();
    assert!(wanted.iter().all(|d| cache.has(&d.sha256, d.size)));
    let retries = lines.all();
    let retries = retries.iter().filter(|l| l.contains("trying again"));
    assert_eq!(retries.count(), 2, "the two of the first file");
}

/// The error of a download of `url` through `proxies`, and how long it took with the usual patience.
fn through(proxies: Proxies, url: &str) -> (FetchError, Duration) {
    let case = Case::new();
    let cache = Downloads::open(case.dir.path()).unwrap();
    let shown = support::Lines::default().shown();
    let fetcher = Fetcher::new(cache, shown, Cancel::new(), Policy::default(), move || {
        proxies.clone()
    });
    let mut wanted = download("a.deb", &[&case.server], &case.body);
    wanted.urls = vec![url.into(), url.replace("mirror", "other")];
    let start = Instant::now();
    (fetcher.fetch(&[wanted]).unwrap_err(), start.elapsed())
}

#[test]
fn a_proxy_that_refuses_is_named_at_once() {
    let server = Server::start();
    // The file through a proxy that wants a password.
    let url = "http://mirror.example.org/a.deb";
    server.put(url, "");
    server.always(url, Behaviour::Status(407));
    // Port 9 (discard) has no listener; the server does not know CONNECT.
    for (proxy, url) in [
        ("http://me:secret@127.0.0.1:9", url),
        ("http://127.0.0.1:9", "https://mirror.example.org/a.deb"),
        (server.url.as_str(), url),
        (server.url.as_str(), "https://mirror.example.org/a.deb"),
    ] {
        let proxies = Proxies {
            http: Some(proxy.into()),
            https: Some(proxy.into()),
        };
        let (error, took) = through(proxies, url);
        let text = error.to_string();
        assert!(matches!(error, FetchError::Proxy { .. }), "{error:?}");
        let address = proxy.rsplit(['/', '@']).next().unwrap();
        assert!(text.contains(address) && text.contains("apt"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        // Four retries on each of two mirrors take 15 s.
        assert!(took < Duration::from_secs(5), "{took:?}: {text}");
    }
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
