// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build check`

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use crate::check::needs::{Needed, needs};
use crate::check::{self, Count, Counting, NEEDED, Suite};
use crate::cli::Check;
use crate::context::Context;
use crate::error::Error;
use crate::output::{print, print_json};
use crate::resident::OWN;
use cki_nix::Flake;
use cki_process::exec::Command;
use cki_session::Status;

pub(super) fn check(context: &Context, args: &Check) -> Result<Status, Error> {
    let dir = &context.checkout.dir;
    let filter = args.filter.as_deref();
    if args.env {
        return print_environment(context, filter);
    }
    // A copy of us: cargo may replace the file that we were started from while it builds the tests.
    let scratch = context.cache.scratch()?;
    let program = scratch.path().join("cki-build");
    std::fs::copy("/proc/self/exe", &program).map_err(|source| Error::Io {
        path: program.clone(),
        source,
    })?;
    let mut run = Runner {
        output: destination(context.global.json),
        results: Vec::new(),
    };
    for lint in check::lints(dir) {
        if !wanted(lint.name, filter) {
            continue;
        }
        let installed = check::cargo(dir).args([lint.name, "--version"]).output();
        if installed.is_ok_and(|output| output.status.success()) {
            run.suite(&lint)?;
        } else {
            run.say(&format!(
                "skipped: {0} (not installed; rustup component add {0})\n",
                lint.name.replace("fmt", "rustfmt")
            ));
        }
    }
    let documentation = check::documentation(dir);
    if wanted(documentation.name, filter) {
        run.suite(&documentation)?;
    }
    run.suite(&check::unit_tests(dir, filter, args.all))?;
    // What the rest needs is built only now: a mistake that the quick tests find should not wait for it.
    match environment(context, &program, &NEEDED) {
        Ok(mut env) => {
            if args.all {
                env.push(("CKI_LONG".into(), "1".into()));
            }
            if wanted(FLAKE_CHECK, filter) {
                let flake = Flake::of(&context.checkout, &context.cache)?;
                run.suite(&Suite {
                    name: FLAKE_CHECK,
                    command: context.nix.flake_check(flake.as_str()),
                    counting: Counting::One,
                })?;
            }
            run.suite(&check::machine_tests(dir, filter, args.all, env))?;
        }
        Err(error) => run.failure("build of what the tests need", &error),
    }
    run.close(context.global.json, filter)
}

/// Name of `nix flake check` as a test.
const FLAKE_CHECK: &str = "nix flake check";

/// Runs suites and remembers how they ended.
struct Runner {
    output: Box<dyn Write>,
    results: Vec<(&'static str, Count)>,
}

impl Runner {
    fn suite(&mut self, suite: &Suite) -> Result<(), Error> {
        self.say(&format!("\n== {}: {}\n", suite.name, suite.command));
        let count = check::run(suite, &mut *self.output)?;
        if suite.counting == Counting::One {
            let verdict = if count.failed == 0 { "ok" } else { "FAILED" };
            self.say(&format!("test {} ... {verdict}\n", suite.name));
        }
        self.results.push((suite.name, count));
        Ok(())
    }

    /// Something that is no test did not work, and tests could not be run for it.
    fn failure(&mut self, name: &'static str, error: &Error) {
        self.say(&format!("\ntest {name} ... FAILED\n{error}\n"));
        let count = Count {
            failed: 1,
            ..Count::default()
        };
        self.results.push((name, count));
    }

    fn say(&mut self, text: &str) {
        // The tests go on when nobody reads along.
        let _ = self
            .output
            .write_all(text.as_bytes())
            .and_then(|()| self.output.flush());
    }

    fn close(self, json: bool, filter: Option<&str>) -> Result<Status, Error> {
        let mut total = Count::default();
        for (_, count) in &self.results {
            total += *count;
        }
        if json {
            let suites: Vec<_> = self
                .results
                .iter()
                .map(|(name, count)| serde_json::json!({ "name": name, "count": count }))
                .collect();
            print_json(&serde_json::json!({
                "passed": total.passed, "failed": total.failed, "ignored": total.ignored, "suites": suites,
            }))?;
        } else {
            print("")?;
            for (name, count) in self.results.iter().filter(|(_, count)| count.failed > 0) {
                print(&format!("FAILED: {name} ({} failed)", count.failed))?;
            }
            if total.ignored > 0 {
                print(&format!(
                    "{} tests were left out (#[ignore])",
                    total.ignored
                ))?;
            }
            if let (
                Some(filter),
                Count {
                    passed: 0,
                    failed: 0,
                    ..
                },
            ) = (filter, total)
            {
                print(&format!("no test's name contains `{filter}`"))?;
            }
            print(&format!("{} passed, {} failed", total.passed, total.failed))?;
        }
        // No test at all is no success: the filter is wrong, or the tests are gone.
        let passed = total.failed == 0 && total.passed > 0;
        Ok(if passed { Status::OK } else { Status::NO })
    }
}

/// `check --env`: what a test by hand is told, as a shell reads it.
fn print_environment(context: &Context, suite: Option<&str>) -> Result<Status, Error> {
    let needed = needs(&context.checkout.dir, suite)?;
    let program = std::env::current_exe().map_err(|source| Error::Io {
        path: "/proc/self/exe".into(),
        source,
    })?;
    let env = environment(context, &program, &needed)?;
    let texts = env.iter().map(|(variable, value)| {
        let [variable, value] = [variable, value].map(|text| text.to_string_lossy());
        (variable, value)
    });
    if context.global.json {
        let object: serde_json::Map<_, _> = texts
            .map(|(variable, value)| (variable.into_owned(), value.into_owned().into()))
            .collect();
        print_json(&object)?;
    } else {
        for (variable, value) in texts {
            // A command is shown with the quotes that a shell needs.
            let export = Command::new("export").args([format!("{variable}={value}")]);
            print(&export.to_string())?;
        }
    }
    Ok(Status::OK)
}

/// What the machine tests are told: where each output is, and which `cki-build` to test.
fn environment(
    context: &Context,
    program: &Path,
    needed: &[Needed],
) -> Result<Vec<(OsString, OsString)>, Error> {
    let attrs: Vec<_> = needed.iter().map(|(attr, _)| *attr).collect();
    // Some suites need no output, and Nix takes no list of none.
    let outputs = if attrs.is_empty() {
        BTreeMap::new()
    } else {
        context.outputs(&attrs)?
    };
    let mut env: Vec<(OsString, OsString)> = needed
        .iter()
        .filter_map(|(attr, variable)| {
            outputs
                .get(*attr)
                .map(|target| ((*variable).into(), target.out.clone().into()))
        })
        .collect();
    env.push(("CKI_BUILD".into(), program.as_os_str().to_owned()));
    env.push(("CKI_FLAKE".into(), context.checkout.dir.clone().into()));
    env.push(("CKI_CACHE".into(), context.cache.dir().into()));
    // Whatever is published today.
    env.push(("CKI_PINNED".into(), "1".into()));
    // Whatever machine the user has up.
    env.push(("CKI_MACHINE".into(), OWN.into()));
    Ok(env)
}

fn wanted(name: &str, filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| name.contains(filter))
}

/// Where the tests' output goes: standard output, unless that is for JSON.
fn destination(json: bool) -> Box<dyn Write> {
    if json {
        Box::new(std::io::stderr())
    } else {
        Box::new(std::io::stdout())
    }
}
