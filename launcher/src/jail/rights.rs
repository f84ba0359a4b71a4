// SPDX-License-Identifier: MIT OR Apache-2.0

//! The rights that a launcher gives up for good, before a guest runs: its user, capabilities, and sight of files.
//!
//! Root has most to give up, and all of it: the launcher becomes a user of its own, in a root directory with nothing in
//! it ([`super::root`]). Whoever else starts it has chosen its user; what capabilities it was given are given up. What
//! was done is looked at afterwards, and a launcher that has more than it should does not run a guest.

use std::io;
use std::str::FromStr;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid, setgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capabilities_secure_bits,
    capability_is_in_ambient_set, capability_is_in_bounding_set, clear_ambient_capability_set,
    no_new_privs, remove_capability_from_bounding_set, set_capabilities,
    set_capabilities_secure_bits, set_no_new_privs,
};

use super::keyring;
use super::root::{JailRoot, JailRootError};

/// What starts the numbers of users for launchers that root starts: one for each, by the number of its process, which
/// no other process of its process namespace has meanwhile. In two of these there may be one number, and so one user,
/// twice: who starts launchers as root in several, with one user namespace, tells them apart by `--jail-user`. No
/// system gives out users up here: systemd's ranges for containers end below it, and what is above 2^31 is not safe
/// everywhere.
const USERS: u32 = 0x7000_0000;

/// Capabilities that a kernel can have; there are some 41.
const CAPABILITIES: u32 = 64;

/// Root's number means nothing any more, no capability comes by a change of user, and none of that can be changed
/// again.
const SECURE_BITS: CapabilitiesSecureBits = CapabilitiesSecureBits::NO_ROOT
    .union(CapabilitiesSecureBits::NO_ROOT_LOCKED)
    .union(CapabilitiesSecureBits::NO_SETUID_FIXUP)
    .union(CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED)
    .union(CapabilitiesSecureBits::KEEP_CAPS_LOCKED)
    .union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE)
    .union(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED);

/// A user and a group of the host, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: Uid,
    /// The group; there is no other.
    pub group: Gid,
}

impl Account {
    /// The launcher's own, which no file of the host belongs to.
    fn own() -> Self {
        let number = USERS + std::process::id();
        Account {
            user: number.into(),
            group: number.into(),
        }
    }
}

/// Reads `UID[:GID]`; the group's number is the user's if it is not said.
impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form =
            || "expected UID[:GID], by number, such as 991:991 (`id NAME` says which)".to_owned();
        // The last number means "as it is" to the kernel.
        let number = |text: &str| text.parse().ok().filter(|&number| number != u32::MAX);
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let (user, group) = number(user).zip(number(group)).ok_or_else(form)?;
        Ok(Account {
            user: Uid::from_raw(user),
            group: Gid::from_raw(group),
        })
    }
}

/// Why a launcher keeps rights, and so runs no guest.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// Only root becomes somebody else.
    #[error("only root can start the launcher as another user; leave --jail-user out")]
    NotRoot,
    /// It is a user whom it would not give up.
    #[error(
        "the launcher was started as root in part: its real, effective and saved user are not the same; start it as \
         root or as a user (`setpriv --reuid` sets all of them)"
    )]
    Mixed,
    /// Something that is to be given up is not.
    #[error("the launcher cannot give up its rights: it cannot {step}: {source}; {REMEDY}")]
    Step {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// As [`RightsError::Step`], of the user.
    #[error(
        "the launcher cannot give up its rights: it cannot become the user {}: {source}; name one that there is \
         here with --jail-user, or {REMEDY}",
        .account.user
    )]
    User {
        /// Which user.
        account: Account,
        /// Why it failed.
        source: io::Error,
    },
    /// As [`RightsError::Step`], of the groups.
    #[error(
        "the launcher cannot give up its rights: it cannot leave its groups, since its user namespace lets nobody do \
         that, like one of `unshare -r`; make that without other groups, as `setpriv --clear-groups` has it, and say \
         --jail-user 0, or {REMEDY}"
    )]
    Groups,
    /// As [`RightsError::Step`], of the root directory.
    #[error("the launcher cannot give up its rights: {0}; {remedy}", remedy = .0.remedy().unwrap_or(REMEDY))]
    Root(#[from] JailRootError),
    /// Nothing failed, and yet it is not so.
    #[error("the launcher has not given up its rights: {0}; {REMEDY}")]
    Left(&'static str),
    /// A right is a thread's, and others would keep it: a bug.
    #[error("the launcher has {0} threads before it gives up its rights")]
    Threads(usize),
}

/// Whether who is not root could become it again.
fn keeps_root(real: Uid, effective: Uid, saved: Uid) -> bool {
    !effective.is_root() && (real.is_root() || saved.is_root())
}

/// What to do about it.
const REMEDY: &str = "start it as a user of the group that may open /dev/cki, or as root with the capabilities \
                      SYS_ADMIN, SETUID, SETGID and SETPCAP";

fn cannot<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> RightsError {
    move |source| RightsError::Step {
        step,
        source: source.into(),
    }
}

/// What a launcher is going to give up.
#[derive(Debug)]
pub struct Rights {
    /// Whom it becomes, and what it then sees of files, if it is root.
    becomes: Option<(Account, JailRoot)>,
}

impl Rights {
    /// Those of this process, which becomes `account`, or a user of its own.
    ///
    /// # Errors
    /// When it is not root, and so cannot.
    pub fn ours(account: Option<Account>) -> Result<Self, RightsError> {
        let users = getresuid().map_err(cannot("see its users"))?;
        if keeps_root(users.real, users.effective, users.saved) {
            return Err(RightsError::Mixed);
        }
        match (Uid::effective().is_root(), account) {
            (true, account) => Ok(Rights {
                becomes: Some((account.unwrap_or_else(Account::own), JailRoot::default())),
            }),
            (false, Some(_)) => Err(RightsError::NotRoot),
            (false, None) => Ok(Rights { becomes: None }),
        }
    }

    /// The root directory that it is going to have, unless it keeps the one that it has.
    pub fn root(&mut self) -> Option<&mut JailRoot> {
        self.becomes.as_mut().map(|(_, root)| root)
    }

    /// Gives them up. No file is found by its path afterwards, and no thread may have been started before.
    ///
    /// # Errors
    /// [`RightsError`]; what is given up by then stays so.
    pub fn give_up(self) -> Result<(), RightsError> {
        let account = self.becomes.as_ref().map(|(account, _)| *account);
        let has_some = account.is_some() || Held::now()?.sets != NONE;
        if has_some {
            only_thread()?;
        }
        if let Some((account, root)) = self.becomes {
            leave_groups()?;
            keyring::leave().map_err(cannot("leave its session keyring"))?;
            root.enter()?;
            become_user(account)?;
        }
        if has_some {
            clear_ambient_capability_set().map_err(cannot("clear its ambient capabilities"))?;
            set_capabilities(None, NONE).map_err(cannot("drop its capabilities"))?;
        }
        set_no_new_privs(true).map_err(cannot("refuse new privileges (no_new_privs)"))?;
        if account.is_some() && keyring::has_keys().map_err(cannot("see its keys"))? {
            return Err(RightsError::Left("it has keys of its old session"));
        }
        match Held::now()?.excess(account) {
            Some(excess) => Err(RightsError::Left(excess)),
            None => Ok(()),
        }
    }
}

/// No capability, in no set.
const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Whether there is no other thread, whose rights would be its own.
fn only_thread() -> Result<(), RightsError> {
    let threads = std::fs::read_dir("/proc/self/task").map_err(cannot("count its threads"))?;
    match threads.count() {
        1 => Ok(()),
        count => Err(RightsError::Threads(count)),
    }
}

/// Leaves all groups but its own. In a user namespace that lets nobody do that, there may be none to leave.
fn leave_groups() -> Result<(), RightsError> {
    let step = "leave its groups";
    if getgroups().map_err(cannot(step))?.is_empty() {
        return Ok(());
    }
    setgroups(&[]).map_err(|error| {
        let says = std::fs::read_to_string("/proc/self/setgroups").unwrap_or_default();
        match error {
            Errno::EPERM if says.trim() == "deny" => RightsError::Groups,
            error => cannot(step)(error),
        }
    })
}

/// Gives up what root has by its number and by its bounding set, and then the number.
fn become_user(account: Account) -> Result<(), RightsError> {
    let bits = "lock what root's number means (securebits)";
    set_capabilities_secure_bits(SECURE_BITS).map_err(cannot(bits))?;
    for capability in bounding().map_err(cannot("see its bounding set"))?.iter() {
        let step = "take capabilities out of its bounding set";
        remove_capability_from_bounding_set(capability).map_err(cannot(step))?;
    }
    let Account { user, group } = account;
    let refused = |source: Errno| RightsError::User {
        account,
        source: source.into(),
    };
    setresgid(group, group, group).map_err(refused)?;
    setresuid(user, user, user).map_err(refused)
}

/// Each capability that there can be.
fn each() -> impl Iterator<Item = CapabilitySet> {
    (0..CAPABILITIES).map(|number| CapabilitySet::from_bits_retain(1 << number))
}

/// Those of them that `is_in` says are in a set. Behind the last that the kernel has, it knows none.
fn those(
    is_in: impl Fn(CapabilitySet) -> rustix::io::Result<bool>,
) -> rustix::io::Result<CapabilitySet> {
    let mut set = CapabilitySet::empty();
    for capability in each() {
        match is_in(capability) {
            Ok(true) => set |= capability,
            Ok(false) => {}
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(set)
}

fn bounding() -> rustix::io::Result<CapabilitySet> {
    those(capability_is_in_bounding_set)
}

/// The rights that a thread has.
#[derive(Debug, Clone)]
struct Held {
    /// Real, effective and saved.
    users: [u32; 3],
    groups: [u32; 3],
    others: usize,
    sets: CapabilitySets,
    ambient: CapabilitySet,
    bounding: CapabilitySet,
    bits: CapabilitiesSecureBits,
    no_new_privs: bool,
}

impl Held {
    fn now() -> Result<Self, RightsError> {
        let step = "see what rights it has";
        let users = getresuid().map_err(cannot(step))?;
        let groups = getresgid().map_err(cannot(step))?;
        Ok(Held {
            users: [users.real, users.effective, users.saved].map(Uid::as_raw),
            groups: [groups.real, groups.effective, groups.saved].map(Gid::as_raw),
            others: getgroups().map_err(cannot(step))?.len(),
            sets: capabilities(None).map_err(cannot(step))?,
            ambient: those(capability_is_in_ambient_set).map_err(cannot(step))?,
            bounding: bounding().map_err(cannot(step))?,
            bits: capabilities_secure_bits().map_err(cannot(step))?,
            no_new_privs: no_new_privs().map_err(cannot(step))?,
        })
    }

    /// What of it is more than a launcher has that became `account`, or that has given up what another user than root
    /// has.
    fn excess(&self, account: Option<Account>) -> Option<&'static str> {
        let is_left = [
            (self.sets != NONE, "it has capabilities"),
            (!self.ambient.is_empty(), "it has ambient capabilities"),
            (
                !self.no_new_privs,
                "it can get new privileges by executing a file",
            ),
        ];
        let of_root = account.map(|Account { user, group }| {
            [
                (self.users != [user.as_raw(); 3], "it is still its old user"),
                (
                    self.groups != [group.as_raw(); 3],
                    "it is still of its old group",
                ),
                (self.others != 0, "it is of other groups"),
                (!self.bounding.is_empty(), "its bounding set is not empty"),
                (
                    self.bits != SECURE_BITS,
                    "root's number still means something",
                ),
            ]
        });
        let all = is_left.into_iter().chain(of_root.into_iter().flatten());
        all.filter(|(is_so, _)| *is_so).map(|(_, what)| what).next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u32) -> Account {
        Account {
            user: number.into(),
            group: (number + 1).into(),
        }
    }

    fn given_up() -> Held {
        Held {
            users: [7; 3],
            groups: [8; 3],
            others: 0,
            sets: NONE,
            ambient: CapabilitySet::empty(),
            bounding: CapabilitySet::empty(),
            bits: SECURE_BITS,
            no_new_privs: true,
        }
    }

    #[test]
    fn whatever_is_left_is_seen() {
        let became = Some(account(7));
        assert_eq!(given_up().excess(became), None);
        type Change = fn(&mut Held);
        let of_all: [(Change, &str); 5] = [
            (
                |held| held.sets.effective = CapabilitySet::KILL,
                "capabilities",
            ),
            (
                |held| held.sets.permitted = CapabilitySet::CHOWN,
                "capabilities",
            ),
            (
                |held| held.sets.inheritable = CapabilitySet::BPF,
                "capabilities",
            ),
            (|held| held.ambient = CapabilitySet::NET_ADMIN, "ambient"),
            (|held| held.no_new_privs = false, "privileges"),
        ];
        let of_root: [(Change, &str); 9] = [
            (|held| held.users[0] = 0, "old user"),
            (|held| held.users[1] = 0, "old user"),
            (|held| held.users[2] = 0, "old user"),
            (|held| held.groups[0] = 0, "old group"),
            (|held| held.groups[2] = 7, "old group"),
            (|held| held.others = 1, "other groups"),
            (|held| held.bounding = CapabilitySet::SYS_ADMIN, "bounding"),
            (|held| held.bits = CapabilitiesSecureBits::empty(), "number"),
            (
                |held| held.bits.remove(CapabilitiesSecureBits::NO_ROOT_LOCKED),
                "number",
            ),
        ];
        for (change, part) in of_all.iter().chain(&of_root) {
            let mut held = given_up();
            change(&mut held);
            let excess = held.excess(became).unwrap();
            assert!(excess.contains(part), "{part}: {excess}");
        }
        // Another user than root is who they are.
        for (change, _) in of_root {
            let mut held = given_up();
            change(&mut held);
            assert_eq!(held.excess(None), None);
        }
        for (change, _) in of_all {
            let mut held = given_up();
            change(&mut held);
            assert!(held.excess(None).is_some());
        }
    }

    #[test]
    fn who_could_become_root_again_is_no_user() {
        let keeps = |users: [u32; 3]| {
            let [real, effective, saved] = users.map(Uid::from_raw);
            keeps_root(real, effective, saved)
        };
        for users in [[0, 7, 7], [7, 7, 0], [0, 7, 0]] {
            assert!(keeps(users), "{users:?}");
        }
        for users in [[0, 0, 0], [7, 7, 7], [7, 0, 7], [7, 8, 9]] {
            assert!(!keeps(users), "{users:?}");
        }
    }

    #[test]
    fn an_account_is_two_numbers() {
        let account = |text: &str| {
            let Account { user, group } = text.parse().ok()?;
            Some((user.as_raw(), group.as_raw()))
        };
        assert_eq!(account("991"), Some((991, 991)));
        assert_eq!(account("0:5"), Some((0, 5)));
        for text in [
            "",
            "web",
            "1:",
            ":1",
            "-1",
            "4294967295",
            "1:4294967295",
            "1:2:3",
        ] {
            assert_eq!(account(text), None, "{text}");
        }
    }

    #[test]
    fn rights_of_other_threads_are_not_forgotten() {
        let (begin, end) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || end.recv());
        // Whoever runs this: it is looked at before the first step.
        let rights = Rights {
            becomes: Some((account(7), JailRoot::default())),
        };
        let error = rights.give_up();
        assert!(matches!(error, Err(RightsError::Threads(2..))), "{error:?}");
        drop(begin);
        let _ = other.join();
    }

    #[test]
    fn a_launchers_own_user_is_nobody_elses() {
        let Account { user, group } = Account::own();
        assert_eq!(user.as_raw(), group.as_raw());
        // The largest number that a process can have; and from where on systemd has users of other machines.
        const { assert!(USERS + (1 << 22) < 0x7ffe_0000) };
        assert!((USERS..USERS + (1 << 22)).contains(&user.as_raw()));
    }
}
