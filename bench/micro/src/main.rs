// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program of `cki-build bench micro`: PID 1 of the machine and of the containers in it, and the
//! measurements.

mod counter;
mod guest;
mod host;
mod machine;
mod work;

use std::io::Write as _;

use anyhow::{Result, bail};
use cki_micro::{Line, VARIABLE, mode};

fn main() -> Result<()> {
    let first = counter::now();
    // For PID 1, a variable: a word of the kernel's command line that it does not know itself.
    let line = std::env::args()
        .nth(1)
        .or_else(|| std::env::var(VARIABLE).ok())
        .unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [mode::WORK] => {
            for sample in work::all()? {
                writeln!(std::io::stdout(), "{}", serde_json::to_string(&sample)?)?;
            }
            Ok(())
        }
        [mode::GUEST] => guest::work(first),
        [mode::FAULTS, faults] => guest::faults(first, faults.parse()?),
        [mode::HOST, memory_mib, ref container @ ..] => {
            let wanted = host::Wanted {
                memory_mib: memory_mib.parse()?,
                words: container.iter().map(|&word| word.to_owned()).collect(),
            };
            if let Err(error) = host::run(first, &wanted) {
                host::say(&Line::Failed {
                    message: format!("{error:#}"),
                })?;
            }
            machine::end_machine()
        }
        _ => bail!("expected work, or to be PID 1 of `cki-build bench micro`"),
    }
}
