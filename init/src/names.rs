// SPDX-License-Identifier: MIT OR Apache-2.0

//! Names: of this machine or container, and of others.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use cki_session::Interface;

use crate::mounts::make_directory;

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
    let own = fs::read_to_string(&hosts).ok();
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
        fs::write(hosts, text)?;
    }
    let Some(interface) = interface else {
        return Ok(());
    };
    let resolver = etc.join("resolv.conf");
    // It may be a link to a file of a service that does not run here.
    match fs::remove_file(&resolver) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut text = String::new();
    for server in &interface.nameservers {
        let _ = writeln!(text, "nameserver {server}");
    }
    fs::write(resolver, text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use cki_session::Host;

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
}
