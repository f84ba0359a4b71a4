// SPDX-License-Identifier: MIT OR Apache-2.0

//! Progress, on standard error only: a spinner on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, WeakProgressBar};

/// Time between details where only lines are shown.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Not at all.
    Quiet,
    /// One line when a step starts, and one for each that it announces.
    Lines,
    /// A spinner that is redrawn.
    Terminal,
}

/// Shows what is going on.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    style: Style,
}

impl Progress {
    /// What suits standard error; nothing when `quiet`.
    #[must_use]
    pub fn new(quiet: bool) -> Self {
        Self {
            style: match (quiet, std::io::stderr().is_terminal()) {
                (true, _) => Style::Quiet,
                (false, true) => Style::Terminal,
                (false, false) => Style::Lines,
            },
        }
    }

    /// Shows nothing.
    #[must_use]
    pub const fn quiet() -> Self {
        Self {
            style: Style::Quiet,
        }
    }

    /// How it shows.
    #[must_use]
    pub const fn style(self) -> Style {
        self.style
    }

    /// A step that takes long: announced at once.
    #[must_use]
    pub fn step(self, what: &str) -> Step {
        self.start(what, true)
    }

    /// A step that is usually short: only a terminal shows it.
    #[must_use]
    pub fn short_step(self, what: &str) -> Step {
        self.start(what, false)
    }

    fn start(self, what: &str, announce: bool) -> Step {
        let bar = match self.style {
            Style::Terminal => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                let template = "{spinner} {prefix} {wide_msg:.dim} {elapsed}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style);
                }
                bar.set_prefix(what.to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                let mut shown = shown();
                shown.retain(|bar| bar.upgrade().is_some());
                shown.push(bar.downgrade());
                bar
            }
            Style::Lines | Style::Quiet => ProgressBar::hidden(),
        };
        let step = Step {
            style: self.style,
            bar,
            out: Mutex::new(Box::new(std::io::stderr())),
            said: Mutex::new(Instant::now()),
        };
        if announce {
            step.line(what);
        }
        step
    }
}

/// What is on the terminal.
fn shown() -> MutexGuard<'static, Vec<WeakProgressBar>> {
    static SHOWN: Mutex<Vec<WeakProgressBar>> = Mutex::new(Vec::new());
    SHOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes what is on the terminal away, for a process that is about to end; whether there was a step under way.
pub fn clear() -> bool {
    let bars = shown()
        .drain(..)
        .filter_map(|bar| bar.upgrade())
        .collect::<Vec<_>>();
    let under_way = bars.iter().any(|bar| !bar.is_finished());
    for bar in bars {
        bar.finish_and_clear();
    }
    under_way
}

/// A step under way; what it shows on a terminal goes when it is dropped.
pub struct Step {
    style: Style,
    bar: ProgressBar,
    /// Where lines go.
    out: Mutex<Box<dyn Write + Send>>,
    /// When the last detail was shown as a line.
    said: Mutex<Instant>,
}

impl Step {
    /// A step whose lines go to `out`.
    #[must_use]
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self {
            style: Style::Lines,
            bar: ProgressBar::hidden(),
            out: Mutex::new(Box::new(out)),
            said: Mutex::new(Instant::now()),
        }
    }

    /// A new part of the step begins: a line of its own where lines are shown.
    pub fn part(&self, what: &str) {
        match self.style {
            Style::Terminal => self.bar.set_prefix(what.to_owned()),
            Style::Lines | Style::Quiet => self.line(what),
        }
    }

    /// A detail that changes often: on a terminal each, elsewhere one now and then, as a sign of life.
    pub fn detail(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        if self.style == Style::Lines {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            if said.elapsed() >= SIGN_OF_LIFE {
                *said = Instant::now();
                self.line(what);
            }
        }
    }

    /// A line where lines are shown; a terminal shows it as a detail already.
    pub fn line(&self, what: &str) {
        if self.style == Style::Lines {
            self.write(what);
        }
    }

    /// A line that stays, above the spinner.
    pub fn note(&self, what: &str) {
        match self.style {
            Style::Terminal => self.bar.suspend(|| self.write(what)),
            Style::Lines | Style::Quiet => self.line(what),
        }
    }

    fn write(&self, what: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Progress is no reason to fail when nobody reads it.
        let _ = writeln!(out, "cki-build: {what}");
    }

    /// Takes the spinner away.
    pub fn finish(self) {}
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step")
            .field("style", &self.style)
            .finish_non_exhaustive()
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_the_terminal_can_be_taken_away_once() {
        let terminal = Progress {
            style: Style::Terminal,
        };
        terminal.step("ended").finish();
        assert!(!clear(), "nothing is under way");
        let step = terminal.step("under way");
        assert!(clear());
        assert!(step.bar.is_finished());
        assert!(!clear(), "it has gone already");
    }
}
