// SPDX-License-Identifier: MIT OR Apache-2.0

//! What both models have: vCPUs that are in or out, their words, and the clock of flushes.

/// The rules of the design; each can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// A vCPU says that it is out when the bridge is in CR3, not before.
    pub bridge_before_out: bool,
    /// A vCPU that enters pays the flush that it owes.
    pub debts_are_paid: bool,
    /// A flush counts from when it began, not from when it ended.
    pub flushes_count_from_their_beginning: bool,
    /// Release refuses newcomers before it takes its stamp.
    pub claim_before_stamp: bool,
    /// Another kind waits until every vCPU has flushed since the release.
    pub other_kinds_wait: bool,
    /// A scan covers what every vCPU had flushed since when it began.
    pub scan_after_first_flush: bool,
    /// And not what they have flushed since when it ends.
    pub floor_when_the_scan_begins: bool,
    /// The index forgets before the second stamp is taken.
    pub forget_before_stamp: bool,
    /// A chunk goes when every vCPU has flushed since that stamp.
    pub second_flush: bool,
    /// A chunk that closes again has a new stamp.
    pub new_stamp_each_time: bool,
}

impl Rules {
    pub const ALL: Rules = Rules {
        bridge_before_out: true,
        debts_are_paid: true,
        flushes_count_from_their_beginning: true,
        claim_before_stamp: true,
        other_kinds_wait: true,
        scan_after_first_flush: true,
        floor_when_the_scan_begins: true,
        forget_before_stamp: true,
        second_flush: true,
        new_stamp_each_time: true,
    };
}

/// vCPU 0 maps, links and stores. It has nothing cached, so leaving and entering are a step each.
pub const USER: usize = 0;
/// vCPU 1 makes the calls that take something away. It flushes, and does not leave.
pub const RULER: usize = 1;
/// vCPU 2 walks, whenever it may, and makes no calls.
pub const WALKER: usize = 2;

/// How far a vCPU is with leaving, entering or flushing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum World {
    /// In the container; calls can be made.
    In,
    /// A flush has begun at this time.
    Flushing(u8),
    /// The CPU has nothing cached; the word does not say so yet.
    Flushed(u8),
    /// Half way out.
    Leaving,
    Out,
    /// Half way in.
    Entering,
    /// The same, in the flush that was owed.
    EnteringFlushing(u8),
    EnteringFlushed(u8),
}

/// A vCPU, but for what it has cached and which call it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Vcpu {
    pub world: World,
    /// Its word.
    pub inside: bool,
    pub owes: bool,
    pub time: u8,
    /// The guest's root is in CR3: the CPU may walk, at any time.
    pub walks: bool,
}

impl Vcpu {
    pub const START: Vcpu = Vcpu {
        world: World::In,
        inside: true,
        owes: false,
        time: 0,
        walks: true,
    };

    /// One look, with a locked instruction: whether it has flushed since the stamp.
    pub fn has_flushed_since(&mut self, stamp: u8) -> bool {
        if self.inside {
            self.time > stamp
        } else {
            self.owes = true;
            true
        }
    }

    /// The next step of leaving, entering or flushing, of all that there can be, with the clock behind it, and whether
    /// what is cached is dropped.
    pub fn steps(&self, number: usize, clock: u8, rules: Rules) -> Vec<(Vcpu, u8, bool)> {
        if number == WALKER {
            return self.walker_steps(clock, rules);
        }
        let mut after = *self;
        match self.world {
            World::In => {
                after.world = World::Flushed(clock + 1);
                let mut out = *self;
                out.world = World::Out;
                out.inside = false;
                let flush = (after, clock + 1, false);
                match number {
                    USER => vec![(out, clock, false), flush],
                    _ => vec![flush],
                }
            }
            World::Flushed(begun) => {
                after.time = begun;
                after.world = World::In;
                vec![(after, clock, false)]
            }
            _ => {
                after.inside = true;
                after.world = World::In;
                let owed = std::mem::take(&mut after.owes);
                after.time = if owed { clock + 1 } else { after.time };
                vec![(after, clock + u8::from(owed), false)]
            }
        }
    }

    fn walker_steps(&self, clock: u8, rules: Rules) -> Vec<(Vcpu, u8, bool)> {
        let mut after = *self;
        let one = |vcpu, clock, drop| vec![(vcpu, clock, drop)];
        let counts = |begun| {
            if rules.flushes_count_from_their_beginning {
                begun
            } else {
                clock
            }
        };
        match self.world {
            World::In => {
                let mut leaving = *self;
                leaving.world = World::Leaving;
                if rules.bridge_before_out {
                    leaving.walks = false;
                } else {
                    leaving.inside = false;
                }
                after.world = World::Flushing(clock + 1);
                vec![(leaving, clock, false), (after, clock + 1, false)]
            }
            World::Flushing(begun) => {
                after.world = World::Flushed(begun);
                one(after, clock, true)
            }
            World::Flushed(begun) => {
                after.time = counts(begun);
                after.world = World::In;
                one(after, clock, false)
            }
            World::Leaving => {
                after.walks = false;
                after.inside = false;
                after.world = World::Out;
                one(after, clock, false)
            }
            World::Out => {
                let owed = self.owes && rules.debts_are_paid;
                after.inside = true;
                after.owes = false;
                if owed {
                    after.world = World::EnteringFlushing(clock + 1);
                    one(after, clock + 1, false)
                } else {
                    after.world = World::Entering;
                    one(after, clock, false)
                }
            }
            World::EnteringFlushing(begun) => {
                after.world = World::EnteringFlushed(begun);
                one(after, clock, true)
            }
            World::EnteringFlushed(begun) => {
                after.time = counts(begun);
                after.world = World::Entering;
                one(after, clock, false)
            }
            World::Entering => {
                after.walks = true;
                after.world = World::In;
                one(after, clock, false)
            }
        }
    }

    fn times(&mut self) -> impl Iterator<Item = &mut u8> {
        let begun = match &mut self.world {
            World::Flushing(begun)
            | World::Flushed(begun)
            | World::EnteringFlushing(begun)
            | World::EnteringFlushed(begun) => Some(begun),
            _ => None,
        };
        std::iter::once(&mut self.time).chain(begun)
    }
}

/// Renumbers times so that their order stays and they are as small as can be: without this there would be no end of
/// states. Only order matters to the rules.
pub fn renumber<'t>(vcpus: &'t mut [Vcpu], clock: &'t mut u8, others: Vec<&'t mut u8>) {
    let mut all: Vec<&mut u8> = vcpus.iter_mut().flat_map(Vcpu::times).collect();
    all.push(clock);
    all.extend(others);
    let mut values: Vec<u8> = all.iter().map(|time| **time).collect();
    values.sort_unstable();
    values.dedup();
    for time in all {
        *time = values
            .iter()
            .position(|value| value == time)
            .expect("one of them") as u8;
    }
}
