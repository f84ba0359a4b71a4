// SPDX-License-Identifier: MIT OR Apache-2.0

//! Values that people type: what is taken, what is refused and in which words.

use std::time::Duration;

use cki_session::values::{parse_duration, parse_variable, parse_workdir};
use cki_session::{
    Capabilities, Capability, Container, Limit, Memory, MemoryError, Network, PORTS_MAX, Publish,
    Run, Signal, Terminal, Tmpfs, User,
};
use proptest::prelude::*;

fn mib(text: &str) -> Result<u32, MemoryError> {
    text.parse::<Memory>().map(Memory::mib)
}

#[test]
fn memory_takes_the_usual_units_and_means_mib_without_one() {
    for (text, expected) in [
        ("512M", 512),
        ("512", 512),
        (" 512 ", 512),
        ("2G", 2048),
        ("2GiB", 2048),
        ("2 gb", 2048),
        ("1.5G", 1536),
        ("0.5g", 512),
        ("1.25 GiB", 1280),
        ("0.001953125G", 2),
        ("1048576K", 1024),
        ("1T", 1 << 20),
    ] {
        assert_eq!(mib(text), Ok(expected), "{text}");
    }
}

#[test]
fn memory_that_makes_no_sense_is_refused_with_a_remedy() {
    for (text, part) in [
        ("", "such as 512M or 1.5G"),
        ("M", "such as 512M"),
        ("-1", "such as 512M"),
        (".5G", "such as 512M"),
        ("1.G", "such as 512M"),
        ("1.2.3G", "such as 512M"),
        ("1.0000000001G", "such as 512M"),
        ("5X", "unknown unit \"X\": use K, M, G or T"),
        ("1e3", "unknown unit \"e3\""),
        ("0.3G", "0.3G is not: take 307M or 308M"),
        ("131073K", "take 128M or 129M"),
        ("0", "at least 1M"),
        ("100K", "at least 1M"),
        ("1.5T", "at most 1024G"),
        ("18446744073709551615T", "at most 1024G"),
        ("99999999999999999999G", "at most 1024G"),
    ] {
        let error = mib(text).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {part} in {error}");
    }
}

#[test]
fn durations_are_seconds_unless_they_say_otherwise() {
    for (text, millis) in [
        ("30", 30_000),
        ("1.5", 1_500),
        (".5", 500),
        ("500ms", 500),
        ("2m", 120_000),
        ("1h 30m", 5_400_000),
    ] {
        assert_eq!(
            parse_duration(text),
            Ok(Duration::from_millis(millis)),
            "{text}"
        );
    }
    for (text, part) in [
        ("", "such as 30"),
        ("soon", "such as 30"),
        ("NaN", "such as 30"),
        ("inf", "such as 30"),
        ("-1", "such as 30"),
        ("5 parsecs", "such as 30"),
        ("1e300", "too long"),
        ("0", "longer than nothing"),
        ("0ms", "longer than nothing"),
    ] {
        let error = parse_duration(text).expect_err(text);
        assert!(error.contains(part), "{text}: {part} in {error}");
    }
}

#[test]
fn a_variable_needs_a_name() {
    assert_eq!(parse_variable("A=b=c"), Ok(("A".into(), "b=c".into())));
    assert_eq!(parse_variable("A="), Ok(("A".into(), String::new())));
    for text in ["A", "=b", "", "A=\0", "\0=b"] {
        assert!(parse_variable(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_working_directory_is_absolute() {
    assert_eq!(parse_workdir("/a b"), Ok("/a b".into()));
    for text in ["", "a", "./a", "/a\0"] {
        assert!(parse_workdir(text).is_err(), "{text:?}");
    }
}

proptest! {
    #[test]
    fn memory_is_written_as_it_is_read(mib in 1_u64..=1 << 20) {
        let memory = Memory::from_mib(mib).unwrap();
        prop_assert_eq!(memory.to_string().parse(), Ok(memory));
        prop_assert_eq!(memory.bytes(), mib << 20);
    }

    /// Against another way to say the same: in MiB, and in a 64th of a GiB, which is exact in decimals.
    #[test]
    fn fractions_mean_what_they_say(parts in 1_u32..=4 * 64) {
        let text = format!("{}G", f64::from(parts) / 64.0);
        prop_assert_eq!(mib(&text), Ok(parts * 16), "{}", text);
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC*") {
        let _ = text.parse::<Memory>();
        let _ = parse_duration(&text);
        let _ = parse_variable(&text);
    }

    #[test]
    fn numbers_of_any_length_are_taken_or_refused(text in "[0-9]{0,40}(\\.[0-9]{0,40})? ?[kKmMgGtTiB]{0,3}") {
        if let Ok(memory) = text.parse::<Memory>() {
            prop_assert!((1..=1 << 20).contains(&memory.mib()));
        }
    }

    #[test]
    fn milliseconds_are_exact(millis in 1_u64..=1_000_000_000) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(parse_duration(&format!("{millis}ms")), Ok(duration));
    }

    #[test]
    fn a_variable_comes_back_as_it_was(name in "[^=\0]+", value in "[^\0]*") {
        prop_assert_eq!(parse_variable(&format!("{name}={value}")), Ok((name, value)));
    }
}

/// Each text is taken and means the other, which is its form in messages.
fn means<T>(cases: &[(&str, &str)])
where
    T: std::str::FromStr<Err = String> + std::fmt::Display + serde::Serialize,
{
    for (text, form) in cases {
        let value: T = text.parse().expect(text);
        assert_eq!(value.to_string(), *form);
        assert_eq!(serde_json::to_value(&value).unwrap(), *form);
    }
}

fn refused<T: std::str::FromStr<Err = String>>(cases: &[(&str, &str)]) {
    for (text, part) in cases {
        let Err(error) = text.parse::<T>() else {
            panic!("{text:?} was taken");
        };
        assert!(error.contains(part), "{text}: {part} in {error}");
    }
}

#[test]
fn a_user_is_a_name_or_a_number_and_may_have_a_group() {
    means::<User>(&[
        ("www-data", "www-data"),
        ("1000:0", "1000:0"),
        ("a:b", "a:b"),
    ]);
    let user: User = "a:7".parse().unwrap();
    assert_eq!((user.user(), user.group()), ("a", Some("7")));
    for text in ["", ":", "a:", ":a", "a:b:c", "a\nb", "a\0"] {
        refused::<User>(&[(text, "UID[:GID]")]);
    }
}

#[test]
fn a_limit_has_the_name_of_a_resource_and_a_soft_and_a_hard_value() {
    means::<Limit>(&[
        ("nofile=1024:4096", "nofile=1024:4096"),
        ("core=0", "core=0:0"),
        ("stack=8388608:-1", "stack=8388608:unlimited"),
    ]);
    let limit: Limit = "nofile=1:2".parse().unwrap();
    assert_eq!((limit.resource(), limit.soft(), limit.hard()), (7, 1, 2));
    refused::<Limit>(&[
        ("nofile", "RESOURCE=SOFT"),
        ("nofile=", "RESOURCE=SOFT"),
        ("nofile=-2", "RESOURCE=SOFT"),
        ("nofile=+2", "RESOURCE=SOFT"),
        ("nofile=1:2:3", "RESOURCE=SOFT"),
        ("files=1", "no resource \"files\"; there are cpu, "),
        ("nofile=unlimited:5", "above the hard one"),
    ]);
}

#[test]
fn a_process_beside_another_has_no_more_than_that_one_unless_it_says_so() {
    let of = |add: &[&str], drop: &[&str]| {
        let parse = |names: &[&str]| -> Vec<Capability> {
            names.iter().map(|name| name.parse().unwrap()).collect()
        };
        Capabilities {
            add: parse(add),
            drop: parse(drop),
        }
    };
    let dropped = |one: &Capabilities, more: &Capabilities| -> Vec<u32> {
        one.with(more).dropped().collect()
    };
    // CHOWN is 0, KILL 5, NET_RAW 13.
    let no_raw = of(&[], &["net_raw"]);
    assert_eq!(dropped(&no_raw, &of(&[], &[])), [13]);
    assert_eq!(dropped(&no_raw, &of(&[], &["kill"])), [5, 13]);
    assert!(dropped(&no_raw, &of(&["net_raw"], &[])).is_empty());
    assert_eq!(dropped(&no_raw, &of(&["all"], &["kill"])), [5]);
    let only_chown = of(&["chown"], &["all"]);
    let but = |has: &[u32]| -> Vec<u32> { (0..41).filter(|one| !has.contains(one)).collect() };
    assert_eq!(dropped(&only_chown, &of(&[], &[])), but(&[0]));
    assert_eq!(dropped(&only_chown, &of(&["kill"], &[])), but(&[0, 5]));
    assert_eq!(dropped(&only_chown, &of(&[], &["chown"])), but(&[]));
    assert_eq!(dropped(&only_chown, &of(&["kill"], &["all"])), but(&[5]));
}

#[test]
fn capabilities_are_named_as_in_their_manual_page() {
    means::<Capability>(&[
        ("net_raw", "NET_RAW"),
        ("CAP_CHOWN", "CHOWN"),
        ("all", "ALL"),
    ]);
    refused::<Capability>(&[("NET", "no capability \"NET\""), ("", "no capability")]);
}

#[test]
fn what_is_dropped_stays_dropped_and_all_but_some_can_be() {
    let dropped = |add: &[&str], drop: &[&str]| -> Vec<u32> {
        let list = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        let (add, drop) = (list(add), list(drop));
        Capabilities { add, drop }.dropped().collect()
    };
    assert_eq!(dropped(&[], &[]), [0; 0]);
    assert_eq!(dropped(&["chown"], &[]), [0; 0]);
    assert_eq!(dropped(&[], &["chown", "bpf"]), [0, 39]);
    assert_eq!(dropped(&["chown"], &["chown"]), [0]);
    assert_eq!(dropped(&["all"], &["chown"]), [0]);
    assert_eq!(dropped(&[], &["all"]), (0..41).collect::<Vec<_>>());
    let all_but = dropped(&["kill"], &["all"]);
    assert!(all_but.len() == 40 && !all_but.contains(&5));
    assert_eq!(dropped(&["all"], &["all"]), [0; 0]);
}

#[test]
fn a_tmpfs_has_a_path_and_may_have_a_size_and_a_mode() {
    means::<Tmpfs>(&[
        ("/var/cache", "/var/cache"),
        ("/a:size=64M", "/a:size=64M"),
        ("/a:mode=0755,size=1G", "/a:size=1G,mode=755"),
        ("/a:", "/a"),
    ]);
    assert_eq!("/a".parse::<Tmpfs>().unwrap().mode(), 0o1777);
    refused::<Tmpfs>(&[
        ("tmp", "absolute path"),
        ("", "absolute path"),
        ("/a/../b", "without .."),
        ("/", "root itself"),
        ("//./", "root itself"),
        ("/a:size=x", "size: expected a number"),
        ("/a:mode=9", "octal"),
        ("/a:mode=17777", "octal"),
        ("/a:exec", "no option \"exec\"; there are size"),
    ]);
}

#[test]
fn a_signal_has_a_name_or_a_number() {
    for (text, number) in [
        ("TERM", 15),
        ("sigkill", 9),
        ("HUP", 1),
        ("SYS", 31),
        ("RTMIN", 34),
        ("RTMIN+30", 64),
        ("SIGRTMAX", 64),
        ("RTMAX-30", 34),
        ("7", 7),
        ("64", 64),
    ] {
        assert_eq!(text.parse::<Signal>().unwrap().number(), number, "{text}");
    }
    for text in [
        "", "0", "65", "-9", "FOO", "RTMIN+31", "RTMAX-31", "RTMIN-1", "RTMIN+-1",
    ] {
        refused::<Signal>(&[(text, "is no signal")]);
    }
}

#[test]
fn a_terminal_has_a_size_and_nothing_else() {
    let text = r#"{"rows":24,"columns":80}"#;
    assert_eq!(
        serde_json::from_str::<Terminal>(text).unwrap(),
        Terminal::USUAL
    );
    let more = r#"{"rows":24,"columns":80,"colours":8}"#;
    assert!(serde_json::from_str::<Terminal>(more).is_err());
}

#[test]
fn ports_are_published_one_by_one_and_in_ranges() {
    let read = |text: &str| -> Result<Vec<String>, String> {
        let ports = Publish::parse_all(text)?;
        // What is shown can be read, too.
        for port in &ports {
            assert_eq!(port.to_string().parse(), Ok(*port));
        }
        Ok(ports.iter().map(Publish::to_string).collect())
    };
    for (text, expected) in [
        ("8080:80", &["8080:80/tcp"][..]),
        ("[::1]:53:5353/udp", &["[::1]:53:5353/udp"]),
        (
            "127.0.0.1:8000-8002:80-82/tcp",
            &[
                "127.0.0.1:8000:80/tcp",
                "127.0.0.1:8001:81/tcp",
                "127.0.0.1:8002:82/tcp",
            ],
        ),
        ("65534-65535:1-2", &["65534:1/tcp", "65535:2/tcp"]),
        ("7-7:8", &["7:8/tcp"]),
    ] {
        assert_eq!(read(text).unwrap(), expected, "{text}");
    }
    for (text, part) in [
        ("80", "expected [IP:]HOST:CONTAINER"),
        ("80:80/sctp", "expected [IP:]HOST:CONTAINER"),
        ("x:80:80", "expected [IP:]HOST:CONTAINER"),
        ("80:0", "from 1 to 65535"),
        ("80-:80-", "from 1 to 65535"),
        ("1-2-3:1-2-3", "from 1 to 65535"),
        ("65535-65536:1-2", "from 1 to 65535"),
        ("82-80:82-80", "82-80 is no range"),
        ("80-82:80-81", "3 ports cannot lead to 2"),
        ("80-82:80", "3 ports cannot lead to 1"),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(
        "80-81:80-81"
            .parse::<Publish>()
            .unwrap_err()
            .contains("no range")
    );
}

#[test]
fn a_port_of_the_host_leads_to_one_place() {
    let check = |texts: &[&str]| {
        let ports = texts
            .iter()
            .flat_map(|text| Publish::parse_all(text).unwrap());
        let network = Network {
            publish: ports.collect(),
            ..Network::user()
        };
        let mut container = Container::new(Memory::constant(64));
        container.network = Some(network);
        let run = Run {
            container: Some(container),
            ..Run::new(["true"])
        };
        run.check().map_err(|error| error.to_string())
    };
    for texts in [
        &["80:80", "80:80/udp"][..],
        &["127.0.0.1:80:80", "[::1]:80:81"],
        &["1000-1255:1000-1255"],
    ] {
        check(texts).unwrap();
    }
    for texts in [
        &["80:80", "80:81"][..],
        &["80:80", "127.0.0.1:80:80"],
        &["127.0.0.1:80:80", "127.0.0.1:80-81:80-81"],
    ] {
        let error = check(texts).unwrap_err();
        assert!(
            error.contains("port 80 of the host is published twice"),
            "{error}"
        );
    }
    let error = check(&["1000-1256:1000-1256"]).unwrap_err();
    assert!(
        error.contains(&format!(
            "257 ports cannot be published: {PORTS_MAX} at most"
        )),
        "{error}"
    );
}
