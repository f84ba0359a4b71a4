// SPDX-License-Identifier: MIT OR Apache-2.0

//! Packages of Debian's whose maintainer scripts expect much: they install in an image, and their programs run.

use std::ffi::OsStr;
use std::fmt::Write as _;

use cki_tests::{cki, machine};

/// Packages that make users, keys, databases and links to each other's files while they are installed, each with what
/// shows that its program is there.
const AWKWARD: [(&str, &str); 13] = [
    ("samba", "smbd --version"),
    ("mariadb-server", "mariadbd --version"),
    ("postgresql", "ls /var/lib/postgresql/15/main/PG_VERSION"),
    ("exim4-daemon-light", "exim4 --version"),
    ("openssh-server", "ls /etc/ssh/ssh_host_ed25519_key"),
    ("apache2", "apache2 -v"),
    ("nginx-light", "nginx -v"),
    ("slapd", "ls /var/lib/ldap/data.mdb"),
    ("dovecot-core", "dovecot --version"),
    ("bind9", "named -v"),
    ("rsyslog", "rsyslogd -v"),
    ("php-fpm", "php-fpm8.2 --version"),
    ("isc-dhcp-server", "dhcpd --version"),
];

#[test]
fn packages_whose_scripts_expect_much_install_together_and_run() {
    let options = AWKWARD
        .iter()
        .flat_map(|(package, _)| ["--deb", package])
        .chain(["--memory", "512M"]);
    let mut script = "dpkg --audit\n".to_owned();
    for (package, shows) in AWKWARD {
        writeln!(script, "{shows} >/dev/null 2>&1 || echo {package}: $?").expect("to a string");
    }
    let options: Vec<_> = options.collect();
    let output = machine(&options, &["sh", "-c", &script], b"");
    assert_eq!((output.text(), output.status), ("", 0), "{}", output.stderr);
}

/// Those of Debian 12 that a system has by their priority (required, important, standard), and then programs from all
/// sections of the archive that people install most on servers and for development.
const POPULAR: &str = include_str!("packages/popular.txt");

#[test]
#[ignore = "long: 20 minutes and more, and some gigabytes from the mirror"]
fn each_of_the_most_popular_packages_installs() {
    let directory = tempfile::tempdir().expect("a directory");
    let image = directory.path().join("app.img");
    let mut failures = String::new();
    let mut count = 0;
    let lines = POPULAR.lines().filter(|line| !line.starts_with('#'));
    for package in lines.flat_map(str::split_whitespace) {
        let words = ["--quiet", "image", "app", "--deb", package, "-o"].map(OsStr::new);
        let output = cki(words.into_iter().chain([image.as_os_str()]));
        count += 1;
        if output.status != 0 {
            writeln!(failures, "{package}: {}", output.stderr).expect("to a string");
        }
    }
    assert!(count >= 200, "{count} packages are listed");
    assert_eq!(failures, "", "of {count} packages");
}
