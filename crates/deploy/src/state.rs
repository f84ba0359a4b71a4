// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a host says of itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::error::Trouble;
use super::name::short;

/// The script that asks for it; [`State::read`] reads the answer.
pub const ASK: &str = "\
[ \"$(id -u)\" = 0 ] || { echo refused=root; exit 0; }
[ -x /usr/lib/cki/slot ] || { echo refused=slots; exit 0; }
/usr/lib/cki/slot status || exit
echo \"boot=$(cat /proc/sys/kernel/random/boot_id)\"
echo \"uptime=$(cut -d . -f 1 /proc/uptime)\"
echo \"units=$(systemctl is-system-running)\"
echo \"var=$(stat -f -c %T /var)\"
echo \"isolation=$(cki info 2> /dev/null | sed -n 's/^isolation: //p')\"
";

/// What a host says if the system before had no isolation to tell of.
pub const NOTHING: &str = "nothing";

/// How long a word of an answer is at most.
const LONGEST: usize = 200;

/// What a word of an answer can be: most are shown, and some are put into the next script. A host that says anything
/// else has been taken over, or is none of ours.
fn is_good(name: &str, word: &str) -> bool {
    match name {
        "slot" | "default" => matches!(word, "a" | "b"),
        "next" => matches!(word, "" | "a" | "b"),
        // Only compared.
        "var" => true,
        "isolation" | "before" => {
            word.len() <= LONGEST && word.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        }
        _ => {
            word.len() <= LONGEST
                && word
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'z' | b':' | b'-'))
        }
    }
}

/// What a host says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// The number of this start.
    pub boot: String,
    /// How many seconds ago that was.
    pub uptime: u64,
    /// The system that runs.
    pub system: String,
    /// Its slot.
    pub slot: String,
    /// The slot of the next start and all others, if there is no trial.
    pub default: String,
    /// The system of the other slot, if that is whole.
    pub other: Option<String>,
    /// How many seconds the trial takes, if this start is one.
    pub trial: Option<u64>,
    /// What isolation the system had that put this one on trial, or [`NOTHING`]; none if nobody has kept that.
    pub before: Option<String>,
    /// Whether the next start is a trial of the other slot.
    pub armed: bool,
    /// The system whose trial failed.
    pub failed: Option<String>,
    /// What a root file system may take in the other slot.
    pub room: u64,
    /// What systemd says of all units.
    pub units: String,
    /// How isolated its containers are; nothing if it runs none.
    pub isolation: Option<String>,
    /// Whether `/var`, which has the host's key, is there after its next start.
    pub keeps_var: bool,
}

/// Seconds that a host can have been up or be on trial for, more than a hundred years.
const SECONDS_MAX: u64 = u32::MAX as u64;

impl State {
    /// Reads the answer to [`ASK`].
    ///
    /// # Errors
    /// [`Trouble`] when the host is none that we know.
    pub fn read(answer: &str) -> Result<Self, Trouble> {
        let lines: BTreeMap<&str, &str> = answer
            .lines()
            .filter_map(|line| line.split_once('='))
            .collect();
        match lines.get("refused") {
            Some(&"root") => return Err(Trouble::NotRoot),
            Some(_) => return Err(Trouble::NoSlots("it has no /usr/lib/cki/slot".to_owned())),
            None => {}
        }
        let word = |name: &'static str| {
            let word = lines.get(name).copied().ok_or(Trouble::Odd(name))?;
            if is_good(name, word) {
                Ok(word)
            } else {
                Err(Trouble::Odd(name))
            }
        };
        let full = |name| Ok::<_, Trouble>(Some(word(name)?).filter(|word| !word.is_empty()));
        let must = |name| full(name)?.ok_or(Trouble::Odd(name));
        let number = |name| must(name)?.parse().map_err(|_| Trouble::Odd(name));
        // It is added to points in time.
        let seconds = |name| match number(name)? {
            number if number <= SECONDS_MAX => Ok(number),
            _ => Err(Trouble::Odd(name)),
        };
        Ok(Self {
            boot: must("boot")?.to_owned(),
            uptime: seconds("uptime")?,
            system: must("system")?.to_owned(),
            slot: must("slot")?.to_owned(),
            default: must("default")?.to_owned(),
            other: full("other")?.map(str::to_owned),
            trial: full("trial")?.map(|_| seconds("trial")).transpose()?,
            // A system that is older than this word does not say it.
            before: match lines.get("before") {
                Some(_) => full("before")?.map(str::to_owned),
                None => None,
            },
            armed: full("next")?.is_some(),
            failed: full("failed")?.map(str::to_owned),
            room: number("room")?,
            units: word("units")?.to_owned(),
            isolation: full("isolation")?.map(str::to_owned),
            keeps_var: word("var")? != "tmpfs",
        })
    }

    /// The name of the slot that does not run.
    #[must_use]
    pub fn other_slot(&self) -> &'static str {
        if self.slot == "a" { "b" } else { "a" }
    }

    /// What is left of the trial.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = self.trial?.saturating_sub(self.uptime);
        Some(Duration::from_secs(left))
    }

    /// In words: a line.
    #[must_use]
    pub fn text(&self) -> String {
        let runs = format!("runs {} (slot {}", short(&self.system), self.slot);
        let other = self.other.as_deref().map(short);
        let mut text = match (self.trial, self.left()) {
            (Some(trial), Some(left)) => format!(
                "{runs}) on trial, of {trial} s with {} left; then it goes back to {} (slot {}) unless it is confirmed",
                left.as_secs(),
                other.unwrap_or("what is there"),
                self.default
            ),
            _ if self.slot == self.default => format!("{runs}, the default)"),
            _ => format!("{runs}, not the default, {})", self.default),
        };
        if self.trial.is_none() {
            text += &match other {
                Some(other) => format!("; slot {} has {other}", self.other_slot()),
                None => format!("; slot {} has no whole system", self.other_slot()),
            };
            if self.armed {
                text += ", which the next start tries";
            }
        }
        if let Some(failed) = &self.failed {
            text += &format!("; the trial of {} failed", short(failed));
        }
        if self.units != "running" {
            text += &format!("; its units are {}", self.units);
        }
        text
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An answer in which these lines are other ones.
    pub fn answer(changes: &[(&str, &str)]) -> String {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let mut lines: BTreeMap<&str, String> = [
            ("boot", "one"),
            ("uptime", "20"),
            ("system", &*format!("1:{a}")),
            ("slot", "a"),
            ("default", "a"),
            ("other", &format!("1:{b}")),
            ("trial", ""),
            ("before", ""),
            ("next", ""),
            ("failed", ""),
            ("room", "4096"),
            ("units", "running"),
            ("isolation", "full (cki)"),
            ("var", "ext2/ext3"),
        ]
        .map(|(name, value)| (name, value.to_owned()))
        .into();
        for (name, value) in changes {
            lines.insert(name, (*value).to_owned());
        }
        let lines = lines
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"));
        lines.collect()
    }

    #[test]
    fn a_time_that_cannot_be_is_no_answer() {
        let max = u64::MAX.to_string();
        for name in ["trial", "uptime"] {
            let read = State::read(&answer(&[(name, &max)]));
            assert!(
                matches!(read, Err(Trouble::Odd(odd)) if odd == name),
                "{read:?}"
            );
            let read = State::read(&answer(&[(name, "4294967295")]));
            assert!(read.is_ok(), "{read:?}");
        }
    }

    #[test]
    fn a_host_is_a_line_that_says_what_runs_and_what_comes() {
        let b = format!("1:{}", "b".repeat(64));
        for (changes, text) in [
            (
                &[][..],
                "runs aaaaaaaaaaaa (slot a, the default); slot b has bbbbbbbbbbbb",
            ),
            (
                &[("other", "")],
                "runs aaaaaaaaaaaa (slot a, the default); slot b has no whole system",
            ),
            (
                &[("next", "b")],
                "runs aaaaaaaaaaaa (slot a, the default); slot b has bbbbbbbbbbbb, which the next start tries",
            ),
            (
                &[("failed", &*b), ("units", "degraded")],
                "runs aaaaaaaaaaaa (slot a, the default); slot b has bbbbbbbbbbbb; the trial of bbbbbbbbbbbb failed; \
                 its units are degraded",
            ),
            (
                &[("default", "b"), ("trial", "600")],
                "runs aaaaaaaaaaaa (slot a) on trial, of 600 s with 580 left; then it goes back to bbbbbbbbbbbb \
                 (slot b) unless it is confirmed",
            ),
        ] {
            let state = State::read(&answer(changes)).expect("an answer");
            assert_eq!(state.text(), text);
        }
        let state = State::read(&answer(&[("trial", "10"), ("var", "tmpfs")])).expect("an answer");
        assert_eq!(state.left(), Some(Duration::ZERO));
        assert!(!state.keeps_var);
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for (text, why) in [
            ("refused=root\n", "not root"),
            ("refused=slots\n", "disk with slots"),
            ("", "does not say boot"),
            (&*answer(&[("room", "x")]), "does not say room"),
            (&*answer(&[("trial", "x")]), "does not say trial"),
            (&*answer(&[("slot", "")]), "does not say slot"),
            (&*answer(&[("slot", "c")]), "does not say slot"),
            (&*answer(&[("default", "\u{1b}c")]), "does not say default"),
            (&*answer(&[("next", "b;")]), "does not say next"),
            (&*answer(&[("boot", "1; reboot")]), "does not say boot"),
            (&*answer(&[("boot", "$(reboot)")]), "does not say boot"),
            (&*answer(&[("system", "1:\u{9b}")]), "does not say system"),
            (&*answer(&[("other", "1:\rx")]), "does not say other"),
            (&*answer(&[("failed", "A B")]), "does not say failed"),
            (
                &*answer(&[("units", "running\u{7f}")]),
                "does not say units",
            ),
            (
                &*answer(&[("units", &"x".repeat(201))]),
                "does not say units",
            ),
            (&*answer(&[("before", "\u{1b}c")]), "does not say before"),
            (
                &*answer(&[("isolation", "full \u{1b}[2J")]),
                "does not say isolation",
            ),
        ] {
            let error = State::read(text).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
