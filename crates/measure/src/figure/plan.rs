// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is to be measured, and in which order.

use cki_figures::{Figure, Key};

use super::server::Server;
use crate::args::{CLIENTS, FigureRuntime, MeasureArgs};
use crate::error::Error;
use crate::work::{FIG12, word};
use cki_workload_names::{Size, Workload};

/// What is done on a runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Job {
    /// A program works.
    Work(Workload),
    /// A server is asked by so many clients.
    Serve(Server, u32),
}

impl Job {
    /// What is done, or the server that is asked.
    fn name(self) -> String {
        match self {
            Self::Work(workload) => word(&workload),
            Self::Serve(server, _) => server.name().to_owned(),
        }
    }
}

/// One measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Measurement {
    pub job: Job,
    pub size: Size,
    pub runtime: FigureRuntime,
    /// From 1.
    pub round: u32,
}

impl Measurement {
    /// As records name it.
    pub(super) fn key(self) -> Key {
        let clients = match self.job {
            Job::Work(_) => None,
            Job::Serve(_, clients) => Some(clients),
        };
        Key {
            workload: self.job.name(),
            size: word(&self.size),
            runtime: word(&self.runtime),
            clients,
            round: self.round,
        }
    }
}

/// What of a figure is measured.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Which figure.
    pub figure: Figure,
    /// Names of work; all that there is, if there are none.
    pub only: &'a [String],
    /// How many clients ask a server.
    pub clients: &'a [u32],
}

impl Choice<'_> {
    /// All of a figure.
    #[must_use]
    pub const fn all(figure: Figure) -> Self {
        Self {
            figure,
            only: &[],
            clients: &CLIENTS,
        }
    }

    /// All jobs of the figure, in the order of its bars.
    fn all_jobs(&self) -> Vec<Job> {
        match self.figure {
            Figure::Fig12 => FIG12.map(Job::Work).into(),
            Figure::Fig14 => vec![Job::Work(Workload::SqliteBench)],
            Figure::Fig16 => [Server::Memcached, Server::Redis]
                .into_iter()
                .flat_map(|server| self.clients.iter().map(move |&n| Job::Serve(server, n)))
                .collect(),
        }
    }

    /// Those that are chosen.
    fn jobs(&self) -> Result<Vec<Job>, Error> {
        let Self { figure, only, .. } = self;
        let mut jobs = self.all_jobs();
        let mut names: Vec<_> = jobs.iter().map(|job| job.name()).collect();
        names.dedup();
        if let Some(odd) = only.iter().find(|name| !names.contains(name)) {
            return Err(Error::Failed(format!(
                "{} has no work {odd:?}; its work is {}",
                figure.name(),
                names.join(", ")
            )));
        }
        jobs.retain(|job| only.is_empty() || only.contains(&job.name()));
        Ok(jobs)
    }
}

/// All of it, in an order in which nothing that changes with time falls on one runtime alone: each round has everything
/// once, and every other round begins with the last runtime.
///
/// # Errors
/// If the figure does not have the work that is asked for.
pub(super) fn plan(choice: &Choice<'_>, args: &MeasureArgs) -> Result<Vec<Measurement>, Error> {
    let jobs = choice.jobs()?;
    let mut all = Vec::new();
    for round in 1..=args.repeat {
        let mut runtimes = args.runtimes.clone();
        if round % 2 == 0 {
            runtimes.reverse();
        }
        for &size in &args.sizes {
            for &job in &jobs {
                all.extend(runtimes.iter().map(|&runtime| Measurement {
                    job,
                    size,
                    runtime,
                    round,
                }));
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(repeat: u32) -> MeasureArgs {
        MeasureArgs {
            runtimes: vec![FigureRuntime::Native, FigureRuntime::Cki],
            sizes: vec![Size::Tiny],
            repeat,
            log: "log".into(),
            plots: "plots".into(),
        }
    }

    #[test]
    fn runtimes_take_turns_and_each_begins_a_round() {
        let all = plan(&Choice::all(Figure::Fig12), &args(2)).expect("a plan");
        assert_eq!(all.len(), 6 * 2 * 2);
        let order: Vec<_> = all.iter().map(|one| one.key().runtime).collect();
        assert_eq!(order[..4], ["native", "cki", "native", "cki"]);
        assert_eq!(order[12..16], ["cki", "native", "cki", "native"]);
        assert_eq!(all[0].job, all[1].job);
    }

    #[test]
    fn work_can_be_chosen_and_what_a_figure_does_not_have_is_refused() {
        let only = |figure, name: &str| {
            let only = &[name.to_owned()];
            let all = Choice::all(figure);
            plan(&Choice { only, ..all }, &args(1))
        };
        assert_eq!(only(Figure::Fig12, "sph").expect("a plan").len(), 2);
        assert_eq!(only(Figure::Fig16, "redis").expect("a plan").len(), 6);
        let error = only(Figure::Fig16, "sph")
            .expect_err("not of it")
            .to_string();
        assert!(error.ends_with("its work is memcached, redis"), "{error}");
    }

    #[test]
    fn figures_have_the_papers_bars() {
        let keys = |figure| {
            let all = plan(&Choice::all(figure), &args(1))
                .expect("a plan")
                .into_iter();
            let keys = all.map(Measurement::key).filter(|key| key.runtime == "cki");
            keys.map(|key| (key.workload, key.clients))
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(Figure::Fig14), [("sqlite-bench".to_owned(), None)]);
        let servers = ["memcached", "redis"]
            .map(|name| [1, 6, 12].map(|clients| (name.to_owned(), Some(clients))));
        assert_eq!(keys(Figure::Fig16), servers.concat());
    }
}
