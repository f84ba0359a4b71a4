// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each command does.

mod bench;
mod build;
mod check;
mod compare;
mod demo;
mod deploy;
mod docs;
mod doctor;
mod exec;
mod image;
mod inputs;
mod lock;
mod machine;
mod mirror;
mod prune;
mod release;
mod run;
mod verify;

use crate::cli::{Cli, Command, ImageKind};
use crate::context::Context;
use crate::error::Error;
use crate::resident::What;
use cki_session::Status;

/// Does what the command line says and gives the exit status.
///
/// # Errors
/// [`Error`].
pub fn dispatch(cli: &Cli) -> Result<Status, Error> {
    let global = &cli.global;
    match &cli.command {
        Command::Run(args) => run::run(&Context::new(global)?, args),
        Command::Machine(args) => {
            let context = match &args.what {
                What::Start(_) => Context::new(global)?,
                _ => Context::of_the_cache(global)?,
            };
            machine::machine(&context, &args.what)
        }
        Command::Exec(args) => exec::exec(&Context::of_the_cache(global)?, args),
        Command::List(args) => exec::list(&Context::of_the_cache(global)?, args),
        Command::Stats(args) => exec::stats(&Context::of_the_cache(global)?, args),
        Command::Kill(args) => exec::kill(&Context::of_the_cache(global)?, args),
        Command::Demo(args) => demo::demo(&Context::new(global)?, args),
        Command::Build(args) => build::build(&Context::new(global)?, args),
        Command::Fetch(args) => inputs::fetch(&Context::new(global)?, args),
        Command::Lock(args) => lock::lock(&Context::new(global)?, args),
        Command::Mirror { directory } => mirror::mirror(&Context::new(global)?, directory),
        Command::Image(args) => {
            // What is in a file already takes no checkout.
            let context = match &args.kind {
                ImageKind::Oci(_) => Context::of_the_cache(global)?,
                _ => Context::new(global)?,
            };
            image::image(&context, args)
        }
        Command::Prune(args) => prune::prune(&Context::of_the_cache(global)?, args),
        Command::Release(args) => release::release(&Context::new(global)?, args),
        Command::Deploy(args) => deploy::deploy(global, args),
        Command::Verify(args) => verify::verify(&Context::new(global)?, args),
        Command::Doctor => doctor::doctor(global),
        Command::Check(args) => check::check(&Context::new(global)?, args),
        Command::Bench(args) => bench::bench(&Context::new(global)?, args),
        Command::Completions { shell } => docs::completions(*shell),
        Command::Man { out } => docs::man(out.as_deref()),
    }
}
