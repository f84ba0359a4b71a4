// SPDX-License-Identifier: MIT OR Apache-2.0

//! Several hosts: how many at a time, which first, and what is undone if one fails.

use std::num::NonZeroUsize;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::host::SshHost;
use super::outcome::{Did, HostOutcome};

/// How hosts go together.
#[derive(Debug, Clone, Copy)]
pub struct Many {
    /// How many at a time.
    pub jobs: NonZeroUsize,
    /// The first one alone.
    pub canary: bool,
    /// All or none.
    pub atomic: bool,
}

/// Does it on each host, and gives what became of each, in their order. `act` does it on one, `undo` takes it back.
pub fn each(
    hosts: &[SshHost],
    many: Many,
    act: &(dyn Fn(&SshHost) -> HostOutcome + Sync),
    undo: &(dyn Fn(&SshHost) -> HostOutcome + Sync),
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<HostOutcome> {
    let (first, rest) = hosts.split_at(usize::from(many.canary && hosts.len() > 1));
    let mut outcomes = together(first, many.jobs, act, stop);
    if outcomes.iter().all(|outcome| outcome.good) {
        outcomes.extend(together(rest, many.jobs, act, stop));
    } else {
        let why = "all was not well on the first host";
        outcomes.extend(
            rest.iter()
                .map(|host| HostOutcome::left_out(host.to_string(), why)),
        );
    }
    let all_good = outcomes.iter().all(|outcome| outcome.good);
    // Whoever asked for the end does not wait for more restarts.
    if all_good || !many.atomic || stop() {
        return outcomes;
    }
    let changed: Vec<usize> = (0..hosts.len())
        .filter(|&at| outcomes[at].good)
        .filter(|&at| matches!(outcomes[at].did, Did::Switched | Did::OnTrial | Did::Armed))
        .collect();
    let names: Vec<SshHost> = changed.iter().map(|&at| hosts[at].clone()).collect();
    let undone = together(&names, many.jobs, undo, stop);
    for (at, undone) in changed.into_iter().zip(undone) {
        let how = if undone.good { "undone" } else { "NOT undone" };
        outcomes[at] = HostOutcome {
            good: false,
            did: if undone.good { Did::Undone } else { undone.did },
            text: format!("{how}, since it did not work everywhere: {}", undone.text),
            ..undone
        };
    }
    outcomes
}

fn together(
    hosts: &[SshHost],
    jobs: NonZeroUsize,
    act: &(dyn Fn(&SshHost) -> HostOutcome + Sync),
    stop: &(dyn Fn() -> bool + Sync),
) -> Vec<HostOutcome> {
    let next = AtomicUsize::new(0);
    let outcomes: Vec<_> = hosts.iter().map(|_| Mutex::new(None)).collect();
    thread::scope(|scope| {
        for _ in 0..jobs.get().min(hosts.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(host) = hosts.get(at) else { return };
                    let outcome = if stop() {
                        HostOutcome::left_out(host.to_string(), "interrupted before")
                    } else {
                        // A mistake of ours, at one host, is not to keep what is done on the others from being told.
                        panic::catch_unwind(AssertUnwindSafe(|| act(host))).unwrap_or_else(|_| {
                            HostOutcome {
                                did: Did::Failed,
                                text: "the tool itself failed, as said above: `deploy status` asks what it runs now"
                                    .to_owned(),
                                ..HostOutcome::left_out(host.to_string(), "")
                            }
                        })
                    };
                    *outcomes[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
                }
            });
        }
    });
    let taken = outcomes.into_iter().zip(hosts).map(|(outcome, host)| {
        let outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcome.unwrap_or_else(|| HostOutcome::left_out(host.to_string(), "nobody came to it"))
    });
    taken.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(host: &SshHost, good: bool) -> HostOutcome {
        HostOutcome {
            host: host.to_string(),
            good,
            did: if good { Did::Switched } else { Did::Failed },
            text: "it".to_owned(),
            state: None,
            changes: None,
        }
    }

    /// What becomes of hosts of which those with a name in `bad` fail, and those in `stuck` cannot be undone.
    fn run(hosts: &str, bad: &str, stuck: &str, canary: bool, atomic: bool) -> (Vec<Did>, usize) {
        let hosts: Vec<SshHost> = hosts
            .split(' ')
            .map(|host| host.parse().expect("a host"))
            .collect();
        let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let act = |host: &SshHost| {
            let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            thread::sleep(std::time::Duration::from_millis(20));
            at_once.fetch_sub(1, Ordering::SeqCst);
            outcome(host, !bad.contains(&host.destination))
        };
        let undo = |host: &SshHost| outcome(host, !stuck.contains(&host.destination));
        let many = Many {
            jobs: NonZeroUsize::new(2).expect("not none"),
            canary,
            atomic,
        };
        let outcomes = each(&hosts, many, &act, &undo, &|| false);
        let names: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.host.clone())
            .collect();
        let expected: Vec<_> = hosts.iter().map(SshHost::to_string).collect();
        assert_eq!(names, expected);
        assert!(outcomes.iter().all(|o| o.good == (o.did == Did::Switched)));
        (
            outcomes.iter().map(|outcome| outcome.did).collect(),
            most.into_inner(),
        )
    }

    #[test]
    fn one_that_fails_stops_nobody_and_no_more_than_the_limit_go_at_once() {
        let (did, most) = run("a b c d", "b", "", false, false);
        assert_eq!(
            did,
            [Did::Switched, Did::Failed, Did::Switched, Did::Switched]
        );
        assert_eq!(most, 2);
    }

    #[test]
    fn a_mistake_at_one_host_keeps_nothing_from_the_others() {
        let hosts: Vec<SshHost> = ["a", "b", "c"]
            .map(|host| host.parse().expect("a host"))
            .into();
        let undone = AtomicUsize::new(0);
        let act = |host: &SshHost| match host.destination.as_str() {
            "b" => panic!("a mistake"),
            _ => outcome(host, true),
        };
        let undo = |host: &SshHost| {
            undone.fetch_add(1, Ordering::Relaxed);
            outcome(host, true)
        };
        let many = Many {
            jobs: NonZeroUsize::new(2).expect("not none"),
            canary: false,
            atomic: true,
        };
        let outcomes = each(&hosts, many, &act, &undo, &|| false);
        let did: Vec<_> = outcomes.iter().map(|outcome| outcome.did).collect();
        assert_eq!(did, [Did::Undone, Did::Failed, Did::Undone]);
        // Nobody knows how it is.
        assert!(
            !outcomes[1].text.contains("left as it is"),
            "{}",
            outcomes[1].text
        );
        assert_eq!(undone.into_inner(), 2);
    }

    #[test]
    fn the_others_wait_for_the_canary_and_are_left_if_it_dies() {
        assert_eq!(
            run("a b c", "a", "", true, false).0,
            [Did::Failed, Did::LeftOut, Did::LeftOut]
        );
        assert_eq!(
            run("a b c", "c", "", true, false).0,
            [Did::Switched, Did::Switched, Did::Failed]
        );
    }

    #[test]
    fn all_or_none_undoes_what_worked_and_says_what_it_could_not_undo() {
        assert_eq!(
            run("a b c", "b", "", false, true).0,
            [Did::Undone, Did::Failed, Did::Undone]
        );
        let hosts: Vec<SshHost> = vec!["a".parse().expect("a host"), "b".parse().expect("a host")];
        let many = Many {
            jobs: NonZeroUsize::MIN,
            canary: false,
            atomic: true,
        };
        let act = |host: &SshHost| outcome(host, host.destination == "a");
        let outcomes = each(&hosts, many, &act, &|host| outcome(host, false), &|| false);
        assert_eq!(outcomes[0].did, Did::Failed);
        assert!(
            outcomes[0].text.starts_with("NOT undone"),
            "{}",
            outcomes[0].text
        );
    }

    #[test]
    fn hosts_that_were_not_begun_are_left_when_somebody_asks_for_the_end() {
        let hosts: Vec<SshHost> = vec!["a".parse().expect("a host")];
        let many = Many {
            jobs: NonZeroUsize::MIN,
            canary: false,
            atomic: true,
        };
        let act = |host: &SshHost| outcome(host, true);
        let outcomes = each(&hosts, many, &act, &act, &|| true);
        assert_eq!(outcomes[0].did, Did::LeftOut);
    }
}
