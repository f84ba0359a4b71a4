// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names: of this machine or container, and of others.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use cki_session::Interface;

use crate::regular;
use crate::system::mounts::make_directory;

/// Sets the host name, and writes the files by which programs find addresses for names. An image's own
/// `/etc/hosts` stays, below what the client asked for; its `/etc/resolv.conf` is about another network.
///
/// # Errors
/// Those of sethostname(2) and of writing below `etc`.
pub fn set(etc: &Path, hostname: &str, interface: Option<&Interface>) -> io::Result<()> {
    nix::unistd::sethostname(hostname)?;
    write(etc, hostname, interface)
}

fn write(etc: &Path, hostname: &str, interface: Option<&Interface>) -> io::Result<()> {
    make_directory(etc, 0o755)?;
    let hosts = etc.join("hosts");
    let own = read(&hosts);
    let asked = interface.map_or(&[][..], |interface| &interface.hosts);
    if own.is_none() || !asked.is_empty() {
        let mut text = String::new();
        for host in asked {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{} {}", host.address, host.name);
        }
        text += &own.unwrap_or_else(|| {
            format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost\n")
        });
        replace(&hosts, &text)?;
    }
    let Some(interface) = interface else {
        return Ok(());
    };
    let mut text = String::new();
    for server in &interface.nameservers {
        let _ = writeln!(text, "nameserver {server}");
    }
    replace(&etc.join("resolv.conf"), &text)
}

/// The text of an image's file, if it has one and it is text.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    let mut file = regular::open(path).ok()?;
    file.read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes a file in the place of whatever has the name. That may be a link to a file of a service that does not run
/// here, or a pipe that nobody reads.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::write(path, text),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use cki_session::Host;
    use nix::sys::stat::Mode;

    use super::*;

    fn interface() -> Interface {
        Interface {
            addresses: vec!["10.0.2.15/24".parse().unwrap()],
            gateways: vec!["10.0.2.2".parse().unwrap()],
            nameservers: vec!["10.0.2.3".parse().unwrap(), "fec0::3".parse().unwrap()],
            mtu: None,
            hosts: vec![Host::parse("db:192.0.2.7").unwrap()],
        }
    }

    #[test]
    fn an_image_without_files_gets_them() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        write(&etc, "box", Some(&interface())).unwrap();
        assert_eq!(
            fs::read_to_string(etc.join("hosts")).unwrap(),
            "192.0.2.7 db\n127.0.0.1 localhost\n127.0.1.1 box\n::1 localhost\n"
        );
        assert_eq!(
            fs::read_to_string(etc.join("resolv.conf")).unwrap(),
            "nameserver 10.0.2.3\nnameserver fec0::3\n"
        );
    }

    #[test]
    fn an_images_own_hosts_stay_and_a_dangling_resolver_goes() {
        let etc = tempfile::tempdir().unwrap();
        let at = |name: &str| etc.path().join(name);
        fs::write(at("hosts"), "127.0.0.1 mine\n").unwrap();
        symlink("/run/nobody/resolv.conf", at("resolv.conf")).unwrap();
        write(etc.path(), "box", None).unwrap();
        assert_eq!(fs::read_to_string(at("hosts")).unwrap(), "127.0.0.1 mine\n");
        write(etc.path(), "box", Some(&interface())).unwrap();
        let hosts = fs::read_to_string(at("hosts")).unwrap();
        assert_eq!(hosts, "192.0.2.7 db\n127.0.0.1 mine\n");
        assert!(
            fs::read_to_string(at("resolv.conf"))
                .unwrap()
                .starts_with("nameserver 10.")
        );
    }

    #[test]
    fn what_is_no_file_of_an_images_is_neither_waited_for_nor_written_through() {
        let etc = tempfile::tempdir().unwrap();
        let (hosts, resolver) = (etc.path().join("hosts"), etc.path().join("resolv.conf"));
        nix::unistd::mkfifo(&hosts, Mode::S_IRWXU).unwrap();
        nix::unistd::mkfifo(&resolver, Mode::S_IRWXU).unwrap();
        write(etc.path(), "box", Some(&interface())).unwrap();
        let text = fs::read_to_string(&hosts).unwrap();
        assert!(text.starts_with("192.0.2.7 db\n127.0.0.1 localhost\n"));
        assert!(fs::symlink_metadata(&resolver).unwrap().is_file());
        // A link to something that is read without an end, or that somebody else owns.
        let elsewhere = etc.path().join("elsewhere");
        for target in [Path::new("/dev/zero"), &elsewhere] {
            fs::remove_file(&hosts).unwrap();
            symlink(target, &hosts).unwrap();
            write(etc.path(), "box", Some(&interface())).unwrap();
            assert_eq!(fs::read_to_string(&hosts).unwrap(), text);
            assert!(fs::symlink_metadata(&hosts).unwrap().is_file());
        }
        assert!(!elsewhere.exists());
    }
}
