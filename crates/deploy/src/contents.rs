// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a system consists of (`images/system/contents.sh`), and what would be different with another one.

use std::collections::{BTreeMap, BTreeSet};

use cki_wording::units::human_bytes;
use serde::Serialize;

use super::name::short;

/// The script that asks a host for it; [`Contents::read`] reads the answer.
pub const ASK: &str = "\
[ ! -e /usr/lib/cki/contents ] || cat /usr/lib/cki/contents
echo \"words $(cat /proc/cmdline)\"
";

/// How long a line of an answer is at most: a kernel's command line.
const LONGEST: usize = 4096;

/// Linux, as a system has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// Its release.
    pub release: String,
    /// SHA-256 of its image.
    pub hash: String,
}

/// Some modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Modules {
    /// How many.
    pub number: u64,
    /// SHA-256 over all.
    pub hash: String,
}

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Package {
    /// Its version.
    pub version: String,
    /// What it takes, installed.
    pub kib: u64,
}

/// What a system consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    kernel: Kernel,
    modules: Modules,
    module: String,
    monitor: String,
    packages: BTreeMap<String, Package>,
    files: BTreeMap<String, String>,
    links: BTreeMap<String, String>,
    rest: String,
    /// The words of the command line that are the machine's, if it runs.
    words: String,
}

/// One of it in two systems; nothing where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// Its name, if there are several of its kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// In the one that runs.
    pub from: Option<T>,
    /// In the other one.
    pub to: Option<T>,
}

/// What would be different. What is the same is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The systems' names.
    pub system: Change<String>,
    /// Linux.
    pub kernel: Option<Change<Kernel>>,
    /// Whether the initial file system would be another one; beside another kernel, nobody can say.
    pub initial: Option<bool>,
    /// Linux's modules.
    pub modules: Option<Change<Modules>>,
    /// SHA-256 of our module.
    pub module: Option<Change<String>>,
    /// SHA-256 of the monitor.
    pub monitor: Option<Change<String>>,
    /// Debian's packages.
    pub packages: Vec<Change<Package>>,
    /// SHA-256 of files that are no package's.
    pub files: Vec<Change<String>>,
    /// What symbolic links that are no package's lead to: those by which units are enabled, or masked, are among them.
    pub links: Vec<Change<String>>,
    /// Names, kinds, modes or owners of files.
    pub rest: bool,
    /// The kernel's command line, which stays as it is but for the names of slot and system.
    pub command_line: String,
}

fn change<T: Clone + PartialEq>(from: &T, to: &T) -> Option<Change<T>> {
    (from != to).then(|| Change {
        name: String::new(),
        from: Some(from.clone()),
        to: Some(to.clone()),
    })
}

fn changes<T: Clone + PartialEq>(
    from: &BTreeMap<String, T>,
    to: &BTreeMap<String, T>,
) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let of_name = names.into_iter().map(|name| Change {
        name: name.clone(),
        from: from.get(name).cloned(),
        to: to.get(name).cloned(),
    });
    of_name.filter(|change| change.from != change.to).collect()
}

impl Contents {
    /// Reads what a system, or a host that runs one, says; nothing if it says anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let (mut kernel, mut modules, mut module, mut monitor) = (None, None, None, None);
        let (mut packages, mut files) = (BTreeMap::new(), BTreeMap::new());
        let (mut links, mut all) = (BTreeMap::new(), None);
        let mut of_machine = String::new();
        for line in text.lines() {
            // These lines are shown.
            if line.len() > LONGEST || line.bytes().any(|b| b != b' ' && !b.is_ascii_graphic()) {
                return None;
            }
            let (kind, rest) = line.split_once(' ')?;
            let words: Vec<&str> = rest.split(' ').collect();
            match (kind, &words[..]) {
                ("words", words) => {
                    let own = |word: &&&str| {
                        let names = ["cki.system=", "cki-system.", "BOOT_IMAGE=", "initrd="];
                        !names.iter().any(|name| word.starts_with(name))
                    };
                    let words: Vec<&str> = words.iter().filter(own).copied().collect();
                    of_machine = words.join(" ");
                }
                ("kernel", [release, hash]) => {
                    let (release, hash) = ((*release).to_owned(), (*hash).to_owned());
                    kernel = Some(Kernel { release, hash });
                }
                ("modules", [number, hash]) => {
                    let (number, hash) = (number.parse().ok()?, (*hash).to_owned());
                    modules = Some(Modules { number, hash });
                }
                ("module", [hash]) => module = Some((*hash).to_owned()),
                ("monitor", [hash]) => monitor = Some((*hash).to_owned()),
                ("package", [name, version, kib]) => {
                    let (version, kib) = ((*version).to_owned(), kib.parse().ok()?);
                    packages.insert((*name).to_owned(), Package { version, kib });
                }
                ("file", [path, hash]) => {
                    files.insert((*path).to_owned(), (*hash).to_owned());
                }
                ("link", [path, target]) => {
                    links.insert((*path).to_owned(), (*target).to_owned());
                }
                ("rest", [hash]) => all = Some((*hash).to_owned()),
                // Of a later system.
                _ => {}
            }
        }
        Some(Self {
            kernel: kernel?,
            modules: modules?,
            module: module?,
            monitor: monitor?,
            packages,
            files,
            links,
            rest: all?,
            words: of_machine,
        })
    }

    /// What would be different with `to`, whose name and whose kernel and initial file system are the second ones of
    /// these.
    #[must_use]
    pub fn difference(&self, to: &Self, names: [&str; 2], same_start: bool) -> Difference {
        let kernel = change(&self.kernel, &to.kernel);
        Difference {
            system: Change {
                name: String::new(),
                from: Some(names[0].to_owned()),
                to: Some(names[1].to_owned()),
            },
            initial: kernel.is_none().then_some(!same_start),
            kernel,
            modules: change(&self.modules, &to.modules),
            module: change(&self.module, &to.module),
            monitor: change(&self.monitor, &to.monitor),
            packages: changes(&self.packages, &to.packages),
            files: changes(&self.files, &to.files),
            links: changes(&self.links, &to.links),
            rest: self.rest != to.rest,
            command_line: self.words.clone(),
        }
    }
}

/// How a hash is shown.
fn start_of(hash: &str) -> &str {
    short(hash)
}

fn of_hash(what: &str, change: &Change<String>) -> String {
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => format!("{what}: {} -> {}", start_of(from), start_of(to)),
        (None, _) => format!("{what}: new"),
        (_, None) => format!("{what}: gone"),
    }
}

fn of_package(change: &Change<Package>) -> String {
    let size = |package: &Package| human_bytes(package.kib << 10);
    let what = format!("package {}", change.name);
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => {
            let (sign, more) = if to.kib < from.kib {
                ("-", from.kib - to.kib)
            } else {
                ("+", to.kib - from.kib)
            };
            let more = human_bytes(more << 10);
            format!("{what}: {} -> {} ({sign}{more})", from.version, to.version)
        }
        (None, Some(to)) => format!("{what}: new, {} ({})", to.version, size(to)),
        (Some(from), None) => format!("{what}: gone, {} ({})", from.version, size(from)),
        (None, None) => what,
    }
}

fn of_link(change: &Change<String>) -> String {
    let of = |target: &Option<String>| target.clone().unwrap_or_else(|| "none".to_owned());
    let (from, to) = (of(&change.from), of(&change.to));
    format!("link {}: {from} -> {to}", change.name)
}

impl Difference {
    /// In words: a line for each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Change {
            from: Some(from),
            to: Some(to),
            ..
        }) = &self.kernel
        {
            let same = if from.release == to.release {
                ", built anew"
            } else {
                ""
            };
            lines.push(format!("kernel: {} -> {}{same}", from.release, to.release));
        }
        match self.initial {
            None => lines.push("initial file system: not known beside another kernel".to_owned()),
            Some(true) => lines.push("initial file system: another".to_owned()),
            Some(false) => {}
        }
        if let Some(Change {
            from: Some(from),
            to: Some(to),
            ..
        }) = &self.modules
        {
            lines.push(format!("Linux's modules: {} -> {}", from.number, to.number));
        }
        let ours = [("module", &self.module), ("monitor", &self.monitor)];
        let ours = ours.iter().filter_map(|(what, change)| {
            let change = change.as_ref()?;
            Some(of_hash(what, change))
        });
        lines.extend(ours);
        lines.extend(self.packages.iter().map(of_package));
        let files = self.files.iter();
        lines.extend(files.map(|file| of_hash(&format!("file {}", file.name), file)));
        lines.extend(self.links.iter().map(of_link));
        if self.rest {
            lines.push("files: names, kinds, modes or owners are others".to_owned());
        }
        if lines.is_empty() && self.system.from != self.system.to {
            lines.push("something that no list has".to_owned());
        }
        if !lines.is_empty() {
            lines.push(format!("command line: stays {}", self.command_line));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Action;
    use crate::target::Target;

    const RUNS: &str = "\
kernel 6.12.90 aa
modules 70 bb
module cccccccccccccccc
monitor dddddddddddddddd
package adduser 3.134 686
package bash 5.2.15-2+b13 7164
package zlib1g 1:1.2.13.dfsg-1 168
file /etc/group eeeeeeeeeeeeeeee
file /usr/bin/cki ffffffffffffffff
link /etc/systemd/system/sysinit.target.wants/nftables.service /lib/systemd/system/nftables.service
link /etc/systemd/system/e2scrub_all.timer /dev/null
rest 7777777777777777
later what nobody knows yet
words BOOT_IMAGE=/a/bzImage quiet cki.pool=1G cki-system.slot=a cki.system=1:aa initrd=/a/initrd
";

    fn difference(changes: &[(&str, &str)], same_start: bool) -> Difference {
        let mut text = RUNS.to_owned();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        let [from, to] = [RUNS, &text].map(|text| Contents::read(text).expect("contents"));
        from.difference(&to, ["1:aa", "1:bb"], same_start)
    }

    #[test]
    fn what_is_different_is_told_and_what_is_the_same_is_not() {
        let all = difference(
            &[
                ("6.12.90 aa", "6.12.95 ab"),
                ("modules 70", "modules 71"),
                ("module c", "module 0"),
                ("monitor d", "monitor 1"),
                ("package adduser 3.134 686\n", ""),
                ("b13 7164", "b14 7160"),
                ("zlib1g 1:1.2.13.dfsg-1 168", "zlib1g 1:1.3 1192"),
                ("file /etc/group", "package new 1 2\nfile /etc/new"),
                ("cki f", "cki 2"),
                (
                    "link /etc/systemd/system/sysinit.target.wants/nftables.service \
                     /lib/systemd/system/nftables.service\n",
                    "",
                ),
                ("rest 7", "rest 8"),
            ],
            false,
        );
        assert_eq!(
            all.lines(),
            [
                "kernel: 6.12.90 -> 6.12.95",
                "initial file system: not known beside another kernel",
                "Linux's modules: 70 -> 71",
                "module: cccccccccccc -> 0ccccccccccc",
                "monitor: dddddddddddd -> 1ddddddddddd",
                "package adduser: gone, 3.134 (686.00 KiB)",
                "package bash: 5.2.15-2+b13 -> 5.2.15-2+b14 (-4.00 KiB)",
                "package new: new, 1 (2.00 KiB)",
                "package zlib1g: 1:1.2.13.dfsg-1 -> 1:1.3 (+1.00 MiB)",
                "file /etc/group: gone",
                "file /etc/new: new",
                "file /usr/bin/cki: ffffffffffff -> 2fffffffffff",
                "link /etc/systemd/system/sysinit.target.wants/nftables.service: \
                 /lib/systemd/system/nftables.service -> none",
                "files: names, kinds, modes or owners are others",
                "command line: stays quiet cki.pool=1G",
            ]
        );
        assert_eq!(
            difference(&[("90 aa", "90 ab")], false).lines()[0],
            "kernel: 6.12.90 -> 6.12.90, built anew"
        );
        assert_eq!(
            difference(&[], false).lines()[0],
            "initial file system: another"
        );
        assert_eq!(
            difference(&[], true).lines()[0],
            "something that no list has"
        );
        let mut same = difference(&[], true);
        same.system.to = same.system.from.clone();
        assert_eq!(same.lines(), [""; 0]);
    }

    #[test]
    fn a_program_gets_what_there_was_and_what_there_is_to_be() {
        let json = serde_json::to_value(difference(&[("b13 7164", "b14 7160")], true));
        let json = json.expect("JSON");
        assert_eq!(
            json["packages"],
            serde_json::json!([{
                "name": "bash",
                "from": { "version": "5.2.15-2+b13", "kib": 7164 },
                "to": { "version": "5.2.15-2+b14", "kib": 7160 },
            }])
        );
        assert!(json["kernel"].is_null());
        assert_eq!(json["system"]["to"], "1:bb");
    }

    #[test]
    fn a_host_is_asked_and_not_changed() {
        let target = Target::new();
        let to = target.systems[1].files[0].with_file_name("contents");
        let unknown = target.act(Action::Diff);
        assert!(
            !unknown.good && unknown.text.contains("contents: No such file"),
            "{unknown:?}"
        );
        std::fs::write(&to, RUNS.replace("b13 7164", "b14 7164")).expect("written");
        let old = target.act(Action::Diff);
        assert!(
            !old.good && old.text.contains("older than that question"),
            "{old:?}"
        );
        target.set("contents", RUNS.trim_end());
        let told = target.act(Action::Diff);
        assert!(told.good, "{told:?}");
        assert_eq!(
            told.changes.expect("changes").lines(),
            [
                "package bash: 5.2.15-2+b13 -> 5.2.15-2+b14 (+0 B)",
                "command line: stays quiet",
            ]
        );
        let scripts = target.get("scripts");
        for word in ["write", "try", "confirm", "reboot"] {
            assert!(!scripts.contains(word), "{scripts}");
        }
        target.settled("a");
    }

    #[test]
    fn what_does_not_say_what_it_consists_of_is_refused() {
        let without = |kind: &str| {
            let lines = RUNS.lines().filter(|line| !line.starts_with(kind));
            lines.collect::<Vec<_>>().join("\n")
        };
        for text in [
            "",
            "kernel\n",
            &RUNS.replace(" 7164", " x"),
            &RUNS.replace("modules 70", "modules -1"),
            &RUNS.replace("/etc", "\u{1b}[2J"),
            &RUNS.replace("3.134", "3.\u{9b}"),
            &RUNS.replace("quiet", &"x".repeat(LONGEST)),
            &without("kernel "),
            &without("modules "),
            &without("rest "),
            &without("module "),
            &without("monitor "),
        ] {
            assert_eq!(Contents::read(text), None, "{text}");
        }
    }
}
