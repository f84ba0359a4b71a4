// SPDX-License-Identifier: MIT OR Apache-2.0

//! Security updates for the packages of application images.
//!
//! Releases are pinned by the lock file; what the archive publishes for their security is not, for it is worth
//! something while it is new. So the archive is asked once a day, and what it said is kept beside the downloads. When
//! it cannot be asked, what it said last counts, and a warning tells.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::archive;
use crate::error::InputsError;
use crate::fetch_error::FetchError;
use crate::inputs::Inputs;
use crate::lock_json::{LockedIndexes, LockedSuite};
use crate::mirrors::SECURITY;
use crate::pin::IndexKind;
use crate::plan::AppPlan;
use cki_debian::apt_sources::main_suite;
use cki_debian::release::parse_date;
use cki_process::files::write_atomically;

/// How long an answer of the archive counts as its current one.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an archive that did not answer is not asked again.
const PAUSE: Duration = Duration::from_secs(60 * 60);
/// Seconds for which what was known will do while another process keeps the archive from being asked.
const RECENT: u64 = 3 * 24 * 60 * 60;

/// Which versions of packages an application image gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Those that the lock file's suites have.
    Pinned,
    /// The same, with the security updates that the archive has published since.
    Current,
}

/// The suites of security updates, and what the user should know of them.
#[derive(Debug, Default)]
pub(crate) struct Updates {
    pub(crate) suites: BTreeMap<String, LockedSuite>,
    pub(crate) warnings: Vec<String>,
}

/// What is kept of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    /// When the archive was asked last, in seconds since 1970.
    asked: u64,
    /// The suite as it was when the archive answered last.
    suite: Option<LockedSuite>,
    /// Why it did not answer when it was asked last.
    failure: Option<String>,
}

impl Known {
    /// Whether it still counts at `now`. A time to come is that of a clock that has been wrong.
    fn counts(&self, now: SystemTime) -> bool {
        let limit = if self.failure.is_some() { PAUSE } else { FRESH };
        let asked = UNIX_EPOCH.checked_add(Duration::from_secs(self.asked));
        asked.is_some_and(|asked| now.duration_since(asked).is_ok_and(|age| age < limit))
    }

    fn into_updates(self, name: &str, updates: &mut Updates) {
        if let Some(failure) = &self.failure {
            let state = match &self.suite {
                Some(suite) => format!("the security updates are those of {}", suite.date),
                None => "the image gets no security updates".to_owned(),
            };
            updates
                .warnings
                .push(format!("{state}: {failure}. `--pinned` does without them"));
        }
        if let Some(suite) = self.suite {
            updates.suites.insert(name.to_owned(), suite);
        }
    }
}

/// The security updates of `suites`, as the archive has them at `now` or had them less than a day ago.
///
/// # Errors
/// [`InputsError::Interrupted`]. That the archive does not answer, or with something that cannot be believed, or that
/// what it says cannot be kept, is a warning.
pub(crate) fn updates(
    inputs: &Inputs,
    suites: &BTreeMap<String, LockedSuite>,
    architecture: &str,
    now: SystemTime,
) -> Result<Updates, InputsError> {
    let mut updates = Updates::default();
    for (of, pinned) in suites {
        let name = format!("{of}{SECURITY}");
        // Only a release has such a suite: not its backports, nor its updates, nor what is one itself.
        if main_suite(of) != of || of.ends_with(SECURITY) || suites.contains_key(&name) {
            continue;
        }
        let known = match read(inputs, &name).filter(|known| known.counts(now)) {
            Some(known) if has_index(inputs, &known) => known,
            _ => ask(inputs, &name, pinned, architecture, now)?,
        };
        known.into_updates(&name, &mut updates);
    }
    Ok(updates)
}

/// Asks the archive, unless another process has just done so.
fn ask(
    inputs: &Inputs,
    name: &str,
    pinned: &LockedSuite,
    architecture: &str,
    now: SystemTime,
) -> Result<Known, InputsError> {
    let before = read(inputs, name);
    let usable = before.clone().filter(|known| has_index(inputs, known));
    let asked = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Another process may download for an hour; what was known of late will do until it has ended.
    if let Some(known) = &usable {
        let is_recent = asked.saturating_sub(known.asked) < RECENT;
        if known.suite.is_some() && is_recent && inputs.downloads.is_locked() {
            return Ok(known.clone());
        }
    }
    let suite = usable.and_then(|known| known.suite);
    let failed = |error: InputsError| match error {
        error @ InputsError::Interrupted(_) => Err(error),
        InputsError::Fetch(error @ FetchError::Interrupted(_)) => Err(error.into()),
        error => Ok(Known {
            asked,
            suite: suite.clone(),
            failure: Some(error.to_string()),
        }),
    };
    let _guard = match inputs.lock() {
        Ok(guard) => guard,
        Err(error) => return failed(error.into()),
    };
    let just = read(inputs, name).filter(|known| known.counts(now) && has_index(inputs, known));
    if let Some(known) = just {
        return Ok(known);
    }
    // Nothing older than what was seen, nor than the release that it updates.
    let seen = before.and_then(|known| known.suite);
    let dates = [Some(pinned), seen.as_ref()].into_iter().flatten();
    let newest = dates
        .map(|suite| suite.date.as_str())
        .max_by_key(|date| parse_date(date));
    let known = match current(inputs, name, &pinned.component, architecture, newest) {
        Ok(suite) => {
            if let Some(seen) = seen.filter(|seen| *seen != suite) {
                drop_index(inputs, &seen, &suite);
            }
            Known {
                asked,
                suite: Some(suite),
                failure: None,
            }
        }
        Err(error) => failed(error)?,
    };
    let text = serde_json::to_vec(&known).expect("strings and numbers can be written as JSON");
    // Where it cannot be kept, the archive is asked again the next time.
    let _ = write_atomically(&inputs.downloads.updates(name), &text);
    Ok(known)
}

/// The suite as it is now, with its index among the downloads.
fn current(
    inputs: &Inputs,
    name: &str,
    component: &str,
    architecture: &str,
    date: Option<&str>,
) -> Result<LockedSuite, InputsError> {
    let inputs = inputs.impatient();
    let (release, signed) = archive::current_release(&inputs, name, component, date)?;
    let path = IndexKind::Packages.path(component, architecture);
    let pin = archive::pin(&release, name, &path)?;
    archive::fetch_index(&inputs, name, component, &pin, &release.date)?;
    Ok(LockedSuite {
        automatic: true,
        component: component.to_owned(),
        date: release.date,
        indexes: LockedIndexes {
            packages: Some(pin),
            sources: None,
        },
        release: Some(signed),
        version: release.version,
    })
}

/// Removes the files of a suite as it was seen before, so that they are not one more each day.
fn drop_index(inputs: &Inputs, seen: &LockedSuite, now: &LockedSuite) {
    let pins = |suite: &LockedSuite| {
        let pins = suite.release.iter().chain(&suite.indexes.packages);
        pins.map(|pin| pin.sha256.clone()).collect::<Vec<_>>()
    };
    let kept = pins(now);
    for hash in pins(seen).iter().filter(|hash| !kept.contains(hash)) {
        // One that stays takes room and nothing else.
        let _ = fs::remove_file(inputs.downloads.by_hash(hash));
    }
}

/// What is kept of a suite. What cannot be read is as good as nothing.
fn read(inputs: &Inputs, name: &str) -> Option<Known> {
    let text = fs::read(inputs.downloads.updates(name)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Whether the index of what is known is among the downloads.
fn has_index(inputs: &Inputs, known: &Known) -> bool {
    let pin = known.suite.iter().flat_map(|s| &s.indexes.packages);
    pin.into_iter()
        .all(|pin| inputs.downloads.has(&pin.sha256, pin.size))
}

/// An error of bringing the packages of `plan`: of one that is a security update, which archives drop as soon as there
/// is the next, it says what helps. The archive is asked anew the next time.
pub(crate) fn explain(inputs: &Inputs, plan: &AppPlan, error: InputsError) -> InputsError {
    let (name, found) = match &error {
        InputsError::Fetch(FetchError::Gone { name, urls, .. }) => {
            (name, format!("it is not at {}", urls.join(" or ")))
        }
        InputsError::Fetch(FetchError::WrongHash { name, url, .. }) => {
            (name, format!("{url} is another file"))
        }
        _ => return error,
    };
    let package = plan.packages.iter().find(|p| p.package == *name);
    let Some(package) = package.filter(|p| p.suite.ends_with(SECURITY)) else {
        return error;
    };
    let path = inputs.downloads.updates(&package.suite);
    if let Some(mut known) = read(inputs, &package.suite) {
        known.asked = 0;
        let text = serde_json::to_vec(&known).expect("strings and numbers can be written as JSON");
        let _ = write_atomically(&path, &text);
    }
    InputsError::UpdateGone {
        package: package.package.clone(),
        suite: package.suite.clone(),
        found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_for_a_day_and_silence_for_an_hour() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let known = |age: u64, failure: Option<&str>| Known {
            asked: 1_000_000 - age,
            suite: None,
            failure: failure.map(str::to_owned),
        };
        assert!(known(24 * 3600 - 1, None).counts(now));
        assert!(!known(24 * 3600, None).counts(now));
        assert!(known(3599, Some("no answer")).counts(now));
        assert!(!known(3600, Some("no answer")).counts(now));
        let to_come = Known {
            asked: 1_000_001,
            ..known(0, None)
        };
        assert!(!to_come.counts(now), "the clock has been wrong");
        let damaged = Known {
            asked: u64::MAX,
            ..known(0, None)
        };
        assert!(!damaged.counts(now));
    }
}
