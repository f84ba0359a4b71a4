// SPDX-License-Identifier: MIT OR Apache-2.0

//! PID 1 of a machine that tests monitor and module: loads the module, runs bare-metal guests through
//! /dev/cki, prints one line a case, and ends the machine through the emulator's exit port
//! (0x10: all passed, 0x11: not). With `bench` on the kernel's command line it counts instructions
//! instead; with `every` events strike in front of every instruction. With `races` it runs the cases that want two
//! CPUs, with `kicked` and `woken` those whose time is that of instructions, with `memory_error` those that want
//! machine checks, with `faults` those that want allocations to fail, with `random` those that try things at random,
//! with `stock` those that want a kernel of another configuration, with `nodes` those that want two NUMA nodes, with
//! `locked` those that want lockdown, with `witness` those that want another module in the kernel, with `plugged`
//! those that plug memory in, with `unplugged` those that take it out, with `vmx` those of a CPU in VMX operation.

// `address | rights` is how an entry reads.
// PID 1 of a machine that tests start: its output is the machine's console, which takes everything.
#![allow(clippy::print_stdout, clippy::print_stderr)]
#![allow(clippy::precedence)]

mod alarm;
mod alias;
mod attack;
mod attacks;
mod case;
mod cases;
mod counter;
mod counts;
mod device;
mod eventfds;
mod every_instruction;
mod faults;
mod guest;
mod guests;
mod hits;
mod kicked;
mod leftovers;
mod lives;
mod lockdown;
mod machine;
mod memory_error;
mod module;
mod moved;
mod nodes;
mod observed;
mod operations;
mod page;
mod plugged;
mod probe;
mod races;
mod random;
mod refusals;
mod script;
mod step;
mod stock;
mod sweep;
mod unplugged;
mod user;
mod witness;
mod woken;

use std::panic::{AssertUnwindSafe, catch_unwind};

use case::Case;

/// What is done instead of cases.
type Work = fn() -> anyhow::Result<()>;
/// Makes cases, each with its name.
type Cases = fn() -> Vec<(&'static str, Case)>;

fn main() {
    let first = std::process::id() == 1;
    if first {
        machine::set_up().expect("the machine is set up");
    }
    // A word of the kernel's command line that nobody knows is an argument of PID 1.
    let given = |word: &str| std::env::args().any(|argument| argument == word);
    let works: [(&str, Work); 2] = [("bench", counts::print), ("every", every_instruction::run)];
    if let Some((word, work)) = works.into_iter().find(|&(word, _)| given(word)) {
        let result = work();
        if let Err(error) = &result {
            println!("{word} FAILED: {error:#}");
        }
        if first {
            machine::end(result.is_ok());
        }
        std::process::exit(i32::from(result.is_err()));
    }
    // `case=WORD` (and `repeat=N`) on the kernel's command line becomes an environment variable of PID 1.
    let filter = std::env::var("case").ok();
    let (mut run, mut failed) = (0, 0);
    // Those that want more than a machine with the module, or take their time.
    let special: [(&str, Cases); 16] = [
        ("races", races::all),
        ("races", moved::all),
        ("races", eventfds::races),
        ("races", leftovers::races),
        ("kicked", kicked::all),
        ("woken", woken::all),
        ("memory_error", memory_error::all),
        ("faults", faults::all),
        ("stock", stock::all),
        ("nodes", nodes::all),
        ("locked", lockdown::all),
        ("random", random::all),
        ("witness", witness::all),
        ("plugged", plugged::all),
        ("unplugged", unplugged::all),
        ("vmx", module::vmx),
    ];
    let mut cases: Vec<_> = special
        .into_iter()
        .filter(|(word, _)| given(word))
        .flat_map(|(_, cases)| cases())
        .map(|(name, case)| (name.to_owned(), case))
        .collect();
    if cases.is_empty() {
        cases = cases::all();
    }
    let repeat: usize = std::env::var("repeat")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(1);
    for (name, case) in cases.iter().cycle().take(cases.len() * repeat) {
        if filter
            .as_ref()
            .is_some_and(|filter| !name.contains(filter.as_str()))
        {
            continue;
        }
        run += 1;
        match catch_unwind(AssertUnwindSafe(case)) {
            Ok(Ok(())) => println!("case {name} ok"),
            Ok(Err(error)) => {
                failed += 1;
                println!("case {name} FAILED: {error:#}");
            }
            Err(_) => {
                failed += 1;
                println!("case {name} FAILED: panic");
            }
        }
    }
    println!("cases: {run} run, {failed} failed");
    if first {
        machine::end(failed == 0);
    }
    std::process::exit(i32::from(failed != 0));
}
