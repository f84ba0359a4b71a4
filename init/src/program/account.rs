// SPDX-License-Identifier: MIT OR Apache-2.0

//! Users and groups of an image: passwd(5) and group(5), read as files, because the image's own way of looking
//! them up is none of ours.

use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use cki_session::User;

use crate::regular;

/// Whom a program runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: String,
}

/// There is no such user.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// No user of that name, and it is no number.
    #[error("there is no user {0:?} in the image")]
    User(String),
    /// No group of that name, and it is no number.
    #[error("there is no group {0:?} in the image")]
    Group(String),
    /// A file of the image cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// Looks `user` up in the image at `root`. A number need not be in it: such a user has group 0, no other
/// groups, and `/` as its home.
///
/// With a group of its own choice, a user has no supplementary groups, as with other container engines.
///
/// # Errors
/// [`AccountError`].
pub fn find(root: &Path, user: &User) -> Result<Identity, AccountError> {
    let (passwd, group) = (read(root, "etc/passwd")?, read(root, "etc/group")?);
    let number = user
        .user()
        .parse()
        .ok()
        .filter(|&uid: &u32| uid != u32::MAX);
    let entry = entries(&passwd, 7)
        .find(|fields| fields[0] == user.user())
        .or_else(|| entries(&passwd, 7).find(|fields| number.is_some() && id(fields[2]) == number));
    let entry = entry.and_then(|fields| {
        let (uid, gid) = (id(fields[2])?, id(fields[3])?);
        Some((fields[0], uid, gid, fields[5]))
    });
    let (name, uid, own_group, home) = match (entry, number) {
        (Some((name, uid, gid, home)), _) => (Some(name), uid, gid, home),
        (None, Some(uid)) => (None, uid, 0, ""),
        (None, None) => return Err(AccountError::User(user.user().to_owned())),
    };
    let home = if home.is_empty() { "/" } else { home };
    let (gid, groups) = match user.group() {
        Some(wanted) => (find_group(&group, wanted)?, Vec::new()),
        None => (
            own_group,
            name.map_or(Vec::new(), |name| groups_of(&group, name)),
        ),
    };
    Ok(Identity {
        uid,
        gid,
        groups,
        home: home.to_owned(),
    })
}

fn read(root: &Path, file: &'static str) -> Result<String, AccountError> {
    let mut bytes = Vec::new();
    let opened = regular::open(&root.join(file));
    match opened.and_then(|mut file| file.read_to_end(&mut bytes)) {
        Ok(_) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(AccountError::Read { file, source }),
    }
}

/// The lines that have so many fields; others are passed over, as the C library does.
fn entries(text: &str, fields: usize) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(move |found| found.len() == fields && !found[0].is_empty())
}

fn id(field: &str) -> Option<u32> {
    field.parse().ok().filter(|&id| id != u32::MAX)
}

fn find_group(group: &str, wanted: &str) -> Result<u32, AccountError> {
    entries(group, 4)
        .find(|fields| fields[0] == wanted)
        .and_then(|fields| id(fields[2]))
        .or_else(|| id(wanted))
        .ok_or_else(|| AccountError::Group(wanted.to_owned()))
}

/// The groups that list the user as a member.
fn groups_of(group: &str, name: &str) -> Vec<u32> {
    entries(group, 4)
        .filter(|fields| fields[3].split(',').any(|member| member == name))
        .filter_map(|fields| id(fields[2]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn image() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken line\n\
            daemon:x:1:1::/usr/sbin:/x\n7:x:70:71::/home/seven:\nbad:x:y:1::/:/x\nhomeless:x:9:9:::\n";
        let group = "root:x:0:\ndaemon:x:1:\nadm:x:4:daemon,7\ntty:x:5:\nstaff:x:50:other,daemon\n";
        fs::write(root.path().join("etc/passwd"), passwd).unwrap();
        fs::write(root.path().join("etc/group"), group).unwrap();
        root
    }

    fn account(text: &str) -> Result<Identity, String> {
        let user: User = text.parse().unwrap();
        find(image().path(), &user).map_err(|error| error.to_string())
    }

    #[test]
    fn a_user_has_the_groups_that_list_it_unless_another_group_is_asked_for() {
        for (text, uid, gid, groups, home) in [
            ("root", 0, 0, &[][..], "/root"),
            ("daemon", 1, 1, &[4, 50], "/usr/sbin"),
            ("1", 1, 1, &[4, 50], "/usr/sbin"),
            ("daemon:adm", 1, 4, &[], "/usr/sbin"),
            ("daemon:77", 1, 77, &[], "/usr/sbin"),
            // A name that looks like a number is a name.
            ("7", 70, 71, &[4], "/home/seven"),
            ("1000", 1000, 0, &[], "/"),
            ("1000:5", 1000, 5, &[], "/"),
            ("homeless", 9, 9, &[], "/"),
        ] {
            let expected = Identity {
                uid,
                gid,
                groups: groups.to_vec(),
                home: home.to_owned(),
            };
            assert_eq!(account(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_user_or_group_that_is_not_there_is_named() {
        for (text, part) in [
            ("nosuch", "no user \"nosuch\""),
            ("bad", "no user \"bad\""),
            ("-1", "no user"),
            ("4294967295", "no user"),
            ("4294967296", "no user"),
            ("root:wheel", "no group \"wheel\""),
            ("root:4294967295", "no group"),
        ] {
            let error = account(text).unwrap_err();
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn an_image_without_users_has_numbers_only() {
        let root = tempfile::tempdir().unwrap();
        let find = |text: &str| find(root.path(), &text.parse().unwrap());
        assert_eq!(find("12:13").unwrap().gid, 13);
        assert!(matches!(find("root"), Err(AccountError::User(_))));
    }
}
