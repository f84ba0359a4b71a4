// SPDX-License-Identifier: MIT OR Apache-2.0

//! Security updates for the packages of application images.
//!
//! Releases are pinned by the lock file; what the archive publishes for their security is not, for it is worth something
//! while it is new. So the archive is asked once a day, and what it said is kept beside the downloads. When it cannot be
//! asked, what it said last counts, and a warning tells.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::archive;
use crate::error::InputsError;
use crate::fetch::error::FetchError;
use crate::inputs::Inputs;
use crate::lockfile::{LockedIndexes, LockedSuite};
use crate::mirrors::SECURITY;
use crate::pin::IndexKind;
use cki_process::files::write_atomically;

/// How long an answer of the archive counts as its current one.
const FRESH: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an archive that did not answer is not asked again.
const PAUSE: Duration = Duration::from_secs(60 * 60);

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
        let asked = UNIX_EPOCH + Duration::from_secs(self.asked);
        let limit = if self.failure.is_some() { PAUSE } else { FRESH };
        now.duration_since(asked).is_ok_and(|age| age < limit)
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
/// [`InputsError::Interrupted`], and when the directory of downloads cannot be locked. That the archive does not answer, or
/// with something that cannot be believed, is a warning.
pub(crate) fn updates(
    inputs: &Inputs,
    suites: &BTreeMap<String, LockedSuite>,
    architecture: &str,
    now: SystemTime,
) -> Result<Updates, InputsError> {
    let mut updates = Updates::default();
    for (of, pinned) in suites {
        let name = format!("{of}{SECURITY}");
        let known = match read(inputs, &name).filter(|known| known.counts(now)) {
            Some(known) => known,
            None => ask(inputs, &name, &pinned.component, architecture, now)?,
        };
        known.into_updates(&name, &mut updates);
    }
    Ok(updates)
}

/// Asks the archive, unless another process has just done so.
fn ask(
    inputs: &Inputs,
    name: &str,
    component: &str,
    architecture: &str,
    now: SystemTime,
) -> Result<Known, InputsError> {
    let _guard = inputs.lock()?;
    let before = read(inputs, name);
    if let Some(known) = before.as_ref().filter(|known| known.counts(now)) {
        return Ok(known.clone());
    }
    let suite = before.and_then(|known| known.suite);
    let date = suite.as_ref().map(|suite| suite.date.as_str());
    let asked = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let known = match current(inputs, name, component, architecture, date) {
        Ok(suite) => Known {
            asked,
            suite: Some(suite),
            failure: None,
        },
        Err(error @ InputsError::Interrupted(_)) => return Err(error),
        Err(InputsError::Fetch(error @ FetchError::Interrupted(_))) => return Err(error.into()),
        Err(error) => Known {
            asked,
            suite,
            failure: Some(error.to_string()),
        },
    };
    let path = inputs.downloads.updates(name);
    let text = serde_json::to_vec(&known).expect("strings and numbers can be written as JSON");
    write_atomically(&path, &text).map_err(|e| FetchError::file(&path, e))?;
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

/// What is kept of a suite. What cannot be read, or whose index is gone, is as good as nothing.
fn read(inputs: &Inputs, name: &str) -> Option<Known> {
    let text = fs::read(inputs.downloads.updates(name)).ok()?;
    let known: Known = serde_json::from_slice(&text).ok()?;
    let has = |suite: &LockedSuite| {
        let pin = suite.indexes.packages.as_ref();
        pin.is_some_and(|pin| inputs.downloads.has(&pin.sha256, pin.size))
    };
    known.suite.iter().all(has).then_some(known)
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
    }
}
