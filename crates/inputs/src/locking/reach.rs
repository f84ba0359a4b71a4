// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether everything that a lock file pins can still be downloaded.

use serde::Serialize;

use crate::error::InputsError;
use crate::fetch::look::Answer;
use crate::inputs::Inputs;
use crate::lock_json::LockFile;
use crate::provide;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReachReport {
    /// Files that were asked for.
    pub files: usize,
    /// Files that nobody has any more.
    pub gone: Vec<String>,
    /// Files of which it could not be found out, with the reason.
    pub unclear: Vec<String>,
}

/// Asks for every package and source of the lock, without downloading them. Crates are cargo's to download and not
/// asked for.
///
/// # Errors
/// [`InputsError::Fetch`] when it is told to stop. A mirror that does not answer is in the report.
pub fn reach(inputs: &Inputs, lock: &LockFile) -> Result<ReachReport, InputsError> {
    let downloads: Vec<_> = provide::pinned(inputs, lock).into_values().collect();
    inputs.shown.part(&format!(
        "asking for {} pinned files where they come from",
        downloads.len()
    ));
    let mut report = ReachReport {
        files: downloads.len(),
        ..ReachReport::default()
    };
    let answers = inputs.fetcher.look(&downloads)?;
    for (download, answer) in downloads.into_iter().zip(answers) {
        match answer {
            Answer::There => {}
            Answer::Gone => {
                report
                    .gone
                    .push(format!("{} ({})", download.name, download.urls.join(", ")))
            }
            Answer::Unclear(cause) => report.unclear.push(format!("{}: {cause}", download.name)),
        }
    }
    Ok(report)
}
