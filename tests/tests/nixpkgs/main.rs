// SPDX-License-Identifier: MIT OR Apache-2.0

//! `overlays.default`, the flake and the NixOS modules with a complete nixpkgs, evaluated and never built.
//!
//! `CKI_NIXPKGS` is a directory with nixpkgs (26.11 is what this was written for), `CKI_NIX` the program `nix`, 2.18 or
//! newer. Without both, every test is skipped, which is said and counted. `CKI_WRITE=1` writes the files that are
//! compared with: unit files in `tests/nixos/golden`, and the reference of options.

// What the harness does not run as a test: what is printed is for the reader of its log.
#![allow(clippy::print_stdout)]

mod evaluator;
mod machines;
mod options;
mod packages;

use std::process::ExitCode;
use std::sync::Arc;

use cki_tests::long;
use libtest_mimic::{Arguments, Failed, Trial};

use evaluator::Evaluator;

type Test = fn(&Evaluator) -> Result<(), Failed>;

/// A test by its function's name.
macro_rules! tests {
    ($($module:ident::$name:ident),* $(,)?) => { [$((stringify!($name), $module::$name as Test)),*] };
}

/// Those that copy nixpkgs into the store.
const LONG: [&str; 1] = ["the_flake_takes_another_nixpkgs"];

fn main() -> ExitCode {
    let tests = tests![
        packages::every_package_has_a_derivation,
        packages::the_shell_has_what_the_packages_are_built_with,
        packages::the_module_is_there_for_the_kernels_that_it_compiles_for,
        packages::the_kernel_is_nixpkgs_own_with_our_queue,
        packages::packages_say_what_they_are,
        packages::looking_for_a_package_fetches_no_nixpkgs,
        packages::the_flake_takes_another_nixpkgs,
        packages::the_virtual_machine_test_has_a_derivation,
        packages::the_library_makes_an_image_of_packages,
        machines::what_can_be_is_taken,
        machines::what_cannot_be_is_refused_with_option_and_remedy,
        machines::values_of_another_type_are_refused,
        machines::sizes_are_those_of_the_list,
        machines::example_hosts_are_made_of_these_files,
        machines::the_templates_are_machines,
        options::every_option_says_what_it_is_and_the_reference_has_it,
        options::an_option_by_its_old_name_is_taken_with_a_warning,
    ];
    let mut arguments = Arguments::from_args();
    let evaluator = Evaluator::new().map(Arc::new);
    if evaluator.is_none() {
        println!(
            "skipped: tests with nixpkgs (CKI_NIXPKGS is to be a directory with it, CKI_NIX a nix from 2.18 on)"
        );
        // Not even by --include-ignored.
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    let trials = tests.into_iter().map(|(name, test)| {
        let nix = evaluator.clone();
        let left_out = nix.is_none() || LONG.contains(&name) && !long();
        let run = move || {
            nix.as_deref()
                .map_or_else(|| Err("no nixpkgs".into()), test)
        };
        Trial::test(name, run).with_ignored_flag(left_out)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
