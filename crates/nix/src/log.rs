// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nix's log for machines (`--log-format internal-json`): one `@nix {...}` object a line.
//!
//! The numbers are those of `ActivityType` and `ResultType` in Nix's `logging.hh`.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;

/// Lines that are kept of each build, for the report when it fails.
const KEPT_LINES: usize = 40;

const ACTIVITY_FILE_TRANSFER: u64 = 101;
const ACTIVITY_BUILDS: u64 = 104;
const ACTIVITY_BUILD: u64 = 105;
const RESULT_BUILD_LOG_LINE: u64 = 101;
const RESULT_PROGRESS: u64 = 105;

/// Something to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A build has started.
    Building {
        /// Name of the derivation.
        name: String,
        /// Builds that are finished.
        done: u64,
        /// Builds that are known of.
        total: u64,
    },
    /// A line of a build's log.
    Line {
        /// Name of the derivation.
        name: String,
        /// The line.
        line: String,
    },
    /// A download has started.
    Fetching {
        /// What is downloaded.
        name: String,
    },
    /// A message; level 0 is an error, 1 a warning.
    Message {
        /// Nix's verbosity level.
        level: u64,
        /// Its text without colours.
        text: String,
    },
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Record {
    Start {
        id: u64,
        #[serde(rename = "type")]
        kind: u64,
        #[serde(default)]
        fields: Vec<serde_json::Value>,
        #[serde(default)]
        text: String,
    },
    Stop {
        id: u64,
    },
    Result {
        id: u64,
        #[serde(rename = "type")]
        kind: u64,
        #[serde(default)]
        fields: Vec<serde_json::Value>,
    },
    Msg {
        level: u64,
        msg: String,
    },
}

/// Reads the log and keeps what a failure needs.
#[derive(Debug, Default)]
pub struct Log {
    names: BTreeMap<u64, String>,
    last_lines: BTreeMap<String, VecDeque<String>>,
    builds: Option<u64>,
    done: u64,
    total: u64,
    errors: Vec<String>,
    other: Vec<String>,
}

impl Log {
    /// Takes a line of Nix's standard error.
    pub fn line(&mut self, line: &str) -> Option<Event> {
        let Some(json) = line.strip_prefix("@nix ") else {
            return self.plain(line);
        };
        match serde_json::from_str(json) {
            Ok(record) => self.record(record),
            Err(_) => self.plain(line),
        }
    }

    /// Messages of level 0, colours taken out; what was no log record when there are none.
    #[must_use]
    pub fn errors(&self) -> String {
        let lines = if self.errors.is_empty() {
            &self.other
        } else {
            &self.errors
        };
        lines.join("\n")
    }

    /// Last lines of the build of the derivation called `name`.
    #[must_use]
    pub fn last_lines(&self, name: &str) -> Vec<&str> {
        self.last_lines
            .get(name)
            .map(|lines| lines.iter().map(String::as_str).collect())
            .unwrap_or_default()
    }

    /// Names of the derivations whose builds have logged something.
    pub fn builds(&self) -> impl Iterator<Item = &str> {
        self.last_lines.keys().map(String::as_str)
    }

    fn plain(&mut self, line: &str) -> Option<Event> {
        let text = without_colours(line);
        tracing::debug!(target: "crate", "{text}");
        if text.trim().is_empty() {
            return None;
        }
        self.other.push(text.clone());
        Some(Event::Message { level: 1, text })
    }

    fn record(&mut self, record: Record) -> Option<Event> {
        let text_field = |fields: &[serde_json::Value]| {
            fields.first().and_then(|v| v.as_str()).map(str::to_owned)
        };
        match record {
            Record::Start {
                id,
                kind: ACTIVITY_BUILD,
                fields,
                ..
            } => {
                let name = derivation_name(&text_field(&fields)?);
                self.names.insert(id, name.clone());
                Some(Event::Building {
                    name,
                    done: self.done,
                    total: self.total.max(self.done + 1),
                })
            }
            Record::Start {
                id,
                kind: ACTIVITY_BUILDS,
                ..
            } => {
                self.builds = Some(id);
                None
            }
            Record::Start {
                kind: ACTIVITY_FILE_TRANSFER,
                fields,
                text,
                ..
            } => Some(Event::Fetching {
                name: text_field(&fields).unwrap_or(text),
            }),
            Record::Start { .. } => None,
            Record::Stop { id } => {
                self.names.remove(&id);
                None
            }
            Record::Result {
                id,
                kind: RESULT_BUILD_LOG_LINE,
                fields,
            } => {
                let name = self.names.get(&id)?.clone();
                let line = without_colours(&text_field(&fields)?);
                let kept = self.last_lines.entry(name.clone()).or_default();
                if kept.len() == KEPT_LINES {
                    kept.pop_front();
                }
                kept.push_back(line.clone());
                Some(Event::Line { name, line })
            }
            Record::Result {
                id,
                kind: RESULT_PROGRESS,
                fields,
            } if self.builds == Some(id) => {
                let number = |index: usize| fields.get(index).and_then(serde_json::Value::as_u64);
                self.done = number(0).unwrap_or(self.done);
                self.total = number(1).unwrap_or(self.total);
                None
            }
            Record::Result { .. } => None,
            Record::Msg { level, msg } => {
                let text = without_colours(&msg);
                tracing::debug!(target: "crate", level, "{text}");
                if level == 0 {
                    self.errors.push(text.clone());
                }
                Some(Event::Message { level, text })
            }
        }
    }
}

/// `cki-kernel-6.12` of `/nix/store/HASH-cki-kernel-6.12.drv`.
#[must_use]
pub fn derivation_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let name = file.split_once('-').map_or(file, |(_, name)| name);
    name.strip_suffix(".drv").unwrap_or(name).to_owned()
}

/// `text` without terminal control sequences (ECMA-48 CSI) and control characters.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            if chars.next() == Some('[') {
                // Parameters end with the first final byte, 0x40 to 0x7e.
                for c in chars.by_ref() {
                    if ('\u{40}'..='\u{7e}').contains(&c) {
                        break;
                    }
                }
            }
        } else if c == '\n' || c == '\t' || !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"@nix {"action":"start","fields":["/nix/store/ij0kgy0gpc6fi5dpqld6in1sgx4jhnl7-cki-kernel-6.12.drv","",1,1],"id":7,"level":3,"text":"building","type":105}"#;

    #[test]
    fn builds_are_counted_and_their_lines_named() {
        let mut log = Log::default();
        log.line(r#"@nix {"action":"start","id":1,"level":0,"text":"","type":104}"#);
        log.line(r#"@nix {"action":"result","fields":[2,5,1,0],"id":1,"type":105}"#);
        assert_eq!(
            log.line(START),
            Some(Event::Building {
                name: "cki-kernel-6.12".into(),
                done: 2,
                total: 5
            })
        );
        assert_eq!(
            log.line(r#"@nix {"action":"result","fields":["\u001b[1mCC main.o\u001b[0m"],"id":7,"type":101}"#),
            Some(Event::Line {
                name: "cki-kernel-6.12".into(),
                line: "CC main.o".into()
            })
        );
        assert_eq!(log.last_lines("cki-kernel-6.12"), ["CC main.o"]);
    }

    #[test]
    fn only_the_last_lines_of_a_build_are_kept() {
        let mut log = Log::default();
        log.line(START);
        for number in 0..100 {
            log.line(&format!(
                r#"@nix {{"action":"result","fields":["{number}"],"id":7,"type":101}}"#
            ));
        }
        let lines = log.last_lines("cki-kernel-6.12");
        assert_eq!((lines.len(), lines[0], lines[39]), (40, "60", "99"));
    }

    #[test]
    fn errors_lose_their_colours_and_other_messages_are_no_errors() {
        let mut log = Log::default();
        log.line(r#"@nix {"action":"msg","level":1,"msg":"warning: dirty"}"#);
        log.line(r#"@nix {"action":"msg","level":0,"msg":"\u001b[31;1merror:\u001b[0m no"}"#);
        assert_eq!(log.errors(), "error: no");
    }

    #[test]
    fn a_log_that_is_not_json_is_kept_as_it_is() {
        let mut log = Log::default();
        assert!(log.line("error: old nix").is_some());
        assert!(log.line("@nix {broken").is_some());
        assert_eq!(log.errors(), "error: old nix\n@nix {broken");
    }
}
