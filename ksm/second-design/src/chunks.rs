// SPDX-License-Identifier: MIT OR Apache-2.0

//! A chunk that leaves, one or two tables of one entry that can map it, and its place, which another chunk gets.
//!
//! One vCPU uses it, another gives and takes it away, each call stopping anywhere; a third one walks, whenever it may.

use crate::explorer::Model;
use crate::vcpu::{Rules, USER, Vcpu, WALKER, World, renumber};

/// The chunk's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Live,
    Busy,
    Closing(u8),
    Shut(u8),
    /// It is somebody else's.
    Gone,
    /// And its place is another chunk's, whose frames are Data.
    Reused,
}

/// How far a vCPU is with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    None,
    /// Has the place from the index, then has judged the frame's word; is about to store this entry.
    Found(usize),
    Store(usize),
    /// Has claimed the chunk.
    Mark,
    StampClosing,
    Close(u8),
    Unmark,
    Open,
    Forget,
    StampShut,
    Shut(u8),
    /// Without `forget_before_stamp`.
    LateForget,
    /// Has asked so many vCPUs for the beginning of a scan: whether all have flushed since the stamp of the closing
    /// that
    /// it found.
    Floor(u8, Option<u8>, bool),
    /// Has asked so many whether the chunk can go.
    Drop(u8, u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    rules: Rules,
    clock: u8,
    phase: Phase,
    marked: bool,
    indexed: bool,
    /// Which tables' entries map the chunk.
    leaves: [bool; 2],
    tables: usize,
    /// A scan that is under way: whether it covers the closing that there is, and which entry is next.
    scan: Option<(bool, usize)>,
    /// Whether one that is over has.
    covered: bool,
    /// Without `new_stamp_each_time`: the first one.
    first_stamp: Option<u8>,
    vcpus: [Vcpu; 3],
    calls: [Call; 2],
    /// Whether the vCPU that walks has a translation to it.
    cached: bool,
}

/// Rules without which there is a way to a chunk that went.
pub const NEEDED: &[(&str, Rules)] = &[
    (
        "scan after the first flush",
        Rules {
            scan_after_first_flush: false,
            ..Rules::ALL
        },
    ),
    (
        "floor when the scan begins",
        Rules {
            floor_when_the_scan_begins: false,
            ..Rules::ALL
        },
    ),
    (
        "forget before stamp",
        Rules {
            forget_before_stamp: false,
            ..Rules::ALL
        },
    ),
    (
        "second flush",
        Rules {
            second_flush: false,
            ..Rules::ALL
        },
    ),
    (
        "a new stamp each time",
        Rules {
            new_stamp_each_time: false,
            ..Rules::ALL
        },
    ),
    (
        "debts are paid",
        Rules {
            debts_are_paid: false,
            ..Rules::ALL
        },
    ),
    (
        "bridge before out",
        Rules {
            bridge_before_out: false,
            ..Rules::ALL
        },
    ),
    (
        "flushes count from their beginning",
        Rules {
            flushes_count_from_their_beginning: false,
            ..Rules::ALL
        },
    ),
];

impl State {
    pub fn start(rules: Rules, tables: usize) -> Self {
        State {
            rules,
            clock: 0,
            phase: Phase::Live,
            marked: false,
            indexed: true,
            leaves: [false; 2],
            tables,
            scan: None,
            covered: false,
            first_stamp: None,
            vcpus: [Vcpu::START; 3],
            calls: [Call::None; 2],
            cached: false,
        }
    }

    fn with(&self, change: impl FnOnce(&mut State)) -> State {
        let mut state = self.clone();
        change(&mut state);
        state
    }

    /// Whether all that are in have flushed since the closing, for a scan that ends.
    fn all_flushed_by_now(&self) -> bool {
        let flushed = |stamp| {
            self.vcpus
                .iter()
                .all(|vcpu| !vcpu.inside || vcpu.time > stamp)
        };
        matches!(self.phase, Phase::Closing(stamp) if flushed(stamp))
    }

    /// What calls a vCPU can begin.
    fn begin(&self, vcpu: usize) -> Vec<State> {
        let mut after = Vec::new();
        let mut begin = |call: Call, change: &dyn Fn(&mut State)| {
            after.push(self.with(|state| {
                change(state);
                state.calls[vcpu] = call;
            }));
        };
        if vcpu == USER {
            for (number, leaf) in self.leaves.iter().take(self.tables).enumerate() {
                if *leaf {
                    begin(Call::None, &|state| state.leaves[number] = false);
                } else if self.indexed {
                    begin(Call::Found(number), &|_| {});
                }
            }
            return after;
        }
        match self.phase {
            Phase::Live => begin(Call::Mark, &|state| state.phase = Phase::Busy),
            Phase::Closing(_) => {
                begin(Call::Unmark, &|state| {
                    state.phase = Phase::Busy;
                    if state.rules.new_stamp_each_time {
                        // The next stamp will be younger than all that was looked at so far.
                        state.covered = false;
                        state.scan = state.scan.map(|(_, next)| (false, next));
                    }
                });
                if self.covered {
                    begin(Call::Forget, &|state| state.phase = Phase::Busy);
                }
            }
            Phase::Shut(stamp) if self.rules.second_flush => {
                begin(Call::Drop(stamp, 0), &|_| {});
            }
            Phase::Shut(_) => begin(Call::None, &|state| state.phase = Phase::Gone),
            Phase::Gone => begin(Call::None, &|state| state.phase = Phase::Reused),
            Phase::Busy | Phase::Reused => {}
        }
        let stamp = match self.phase {
            Phase::Live => None,
            Phase::Closing(stamp) => Some(stamp),
            _ => return after,
        };
        match self.scan {
            None => begin(Call::Floor(0, stamp, true), &|_| {}),
            Some((covers, next)) => match self.leaves.iter().take(self.tables).nth(next) {
                Some(false) => begin(Call::None, &|state| state.scan = Some((covers, next + 1))),
                Some(true) => {}
                None => begin(Call::None, &|state| {
                    state.scan = None;
                    state.covered |= match state.rules {
                        Rules {
                            scan_after_first_flush: false,
                            ..
                        } => stamp.is_some(),
                        Rules {
                            floor_when_the_scan_begins: false,
                            ..
                        } => state.all_flushed_by_now(),
                        _ => covers,
                    };
                }),
            },
        }
        after
    }

    /// The next step of a call that has begun.
    fn go_on(&self, vcpu: usize) -> State {
        self.with(|state| {
            let next = &mut state.calls[vcpu];
            *next = match *next {
                Call::None => Call::None,
                // Another chunk's frames are not leaving; what is nobody's has no words.
                Call::Found(entry) => match state.phase {
                    Phase::Reused => Call::Store(entry),
                    Phase::Gone => Call::None,
                    _ if state.marked => Call::None,
                    _ => Call::Store(entry),
                },
                Call::Store(entry) => {
                    state.leaves[entry] = true;
                    Call::None
                }
                Call::Mark => {
                    state.marked = true;
                    Call::StampClosing
                }
                Call::StampClosing => {
                    let stamp = match state.first_stamp {
                        Some(first) if !state.rules.new_stamp_each_time => first,
                        _ => state.clock,
                    };
                    if !state.rules.new_stamp_each_time {
                        state.first_stamp = Some(stamp);
                    }
                    Call::Close(stamp)
                }
                Call::Close(stamp) => {
                    state.phase = Phase::Closing(stamp);
                    Call::None
                }
                Call::Unmark => {
                    state.marked = false;
                    Call::Open
                }
                Call::Open => {
                    state.phase = Phase::Live;
                    Call::None
                }
                Call::Forget => {
                    if state.rules.forget_before_stamp {
                        state.indexed = false;
                    }
                    Call::StampShut
                }
                Call::StampShut => Call::Shut(state.clock),
                Call::Shut(stamp) => {
                    state.phase = Phase::Shut(stamp);
                    if state.rules.forget_before_stamp {
                        Call::None
                    } else {
                        Call::LateForget
                    }
                }
                Call::LateForget => {
                    state.indexed = false;
                    Call::None
                }
                Call::Floor(step, stamp, all) => match state.vcpus.get_mut(step as usize) {
                    Some(other) => {
                        let flushed = stamp.is_some_and(|stamp| other.has_flushed_since(stamp));
                        Call::Floor(step + 1, stamp, all && flushed)
                    }
                    None => {
                        // Nobody else closes or scans: it is the closing of then.
                        state.scan = Some((all, 0));
                        Call::None
                    }
                },
                Call::Drop(stamp, step) => match state.vcpus.get_mut(step as usize) {
                    Some(other) => match other.has_flushed_since(stamp) {
                        true => Call::Drop(stamp, step + 1),
                        false => Call::None,
                    },
                    None => {
                        if state.phase == Phase::Shut(stamp) {
                            state.phase = Phase::Gone;
                        }
                        Call::None
                    }
                },
            };
        })
    }

    fn renumbered(mut self) -> Self {
        let mut others = Vec::new();
        if let Phase::Closing(stamp) | Phase::Shut(stamp) = &mut self.phase {
            others.push(stamp);
        }
        others.extend(self.first_stamp.as_mut());
        for call in &mut self.calls {
            match call {
                Call::Close(stamp) | Call::Shut(stamp) | Call::Drop(stamp, _) => others.push(stamp),
                Call::Floor(_, Some(stamp), _) => others.push(stamp),
                _ => {}
            }
        }
        renumber(&mut self.vcpus, &mut self.clock, others);
        self
    }
}

impl Model for State {
    fn steps(&self) -> Vec<Self> {
        let mut after = Vec::new();
        for (number, vcpu) in self.vcpus.iter().enumerate() {
            let call = self.calls.get(number).copied();
            match call {
                Some(Call::None) if vcpu.world == World::In => after.extend(self.begin(number)),
                Some(Call::None) | None => {}
                Some(_) => after.push(self.go_on(number)),
            }
            if matches!(call, Some(Call::None) | None) {
                for (vcpu, clock, drop) in vcpu.steps(number, self.clock, self.rules) {
                    after.push(self.with(|state| {
                        state.vcpus[number] = vcpu;
                        state.clock = clock;
                        state.cached &= !(drop && number == WALKER);
                    }));
                }
            }
        }
        if self.vcpus[WALKER].walks && self.leaves.contains(&true) {
            after.push(self.with(|state| state.cached = true));
        }
        after.into_iter().map(State::renumbered).collect()
    }

    fn broken(&self) -> Option<&'static str> {
        if !matches!(self.phase, Phase::Gone | Phase::Reused) {
            return None;
        }
        if self.leaves.contains(&true) {
            return Some("an entry maps a chunk that went");
        }
        (self.vcpus[WALKER].walks && self.cached)
            .then_some("a translation leads to a chunk that went")
    }
}
