// SPDX-License-Identifier: MIT OR Apache-2.0

//! A frame that becomes a table of one kind and of another, and one entry elsewhere that can link it.
//!
//! One vCPU uses it, another gives and takes it away, each call stopping anywhere; a third one walks, whenever it may.

use crate::explorer::Model;
use crate::vcpu::{RULER, Rules, USER, Vcpu, WALKER, World, renumber};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Level 1: its entries map memory.
    One,
    /// Level 2: they link tables.
    Two,
}

const KINDS: [Kind; 2] = [Kind::One, Kind::Two];

/// The frame's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Word {
    Free(Option<(Kind, u8)>),
    Claimed,
    Table {
        kind: Kind,
        references: u8,
        pins: u8,
    },
    Ending(Kind),
}

/// The frame's one entry: what it was judged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Entry {
    Nothing,
    Judged(Kind),
}

/// How far a vCPU is with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Call {
    None,
    /// Has a reference and is about to link.
    Link(Kind),
    /// Has overwritten a link.
    GiveUp,
    /// Has judged and is about to store.
    Store(Kind),
    Unpin,
    /// Has asked so many vCPUs.
    Check(Kind, (Kind, u8), u8),
    /// Is about to claim, from this word.
    Claim(Kind, Option<(Kind, u8)>),
    Clear(Kind),
    Become(Kind),
    /// The word is Ending.
    Stamp(Kind),
    Publish(Kind, u8),
    /// Without `claim_before_stamp`: has looked at the word, then has a stamp.
    LateStamp(Kind),
    LateClaim(Kind, u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    rules: Rules,
    clock: u8,
    word: Word,
    entry: Entry,
    /// A count was to be given back that the word has not.
    miscounted: bool,
    /// The entry elsewhere.
    link: Option<Kind>,
    vcpus: [Vcpu; 3],
    calls: [Call; 2],
    /// As what the vCPU that walks has the frame cached.
    cached: [bool; 2],
}

/// Rules without which a table is read as another kind.
pub const NEEDED: &[(&str, Rules)] = &[
    (
        "claim before stamp",
        Rules {
            claim_before_stamp: false,
            ..Rules::ALL
        },
    ),
    (
        "other kinds wait",
        Rules {
            other_kinds_wait: false,
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
    pub fn start(rules: Rules) -> Self {
        State {
            rules,
            clock: 0,
            word: Word::Free(None),
            entry: Entry::Nothing,
            miscounted: false,
            link: None,
            vcpus: [Vcpu::START; 3],
            calls: [Call::None; 2],
            cached: [false; 2],
        }
    }

    fn with(&self, change: impl FnOnce(&mut State)) -> State {
        let mut state = self.clone();
        change(&mut state);
        state
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
        match self.word {
            Word::Table {
                kind,
                references,
                pins,
            } if vcpu == USER => {
                let table = |references, pins| Word::Table {
                    kind,
                    references,
                    pins,
                };
                // Once it is linked, and once about to be.
                if references < 2 {
                    begin(Call::Link(kind), &|state| {
                        state.word = table(references + 1, pins)
                    });
                }
                begin(Call::Store(kind), &|state| {
                    state.word = table(references, pins + u8::from(kind == Kind::Two));
                });
            }
            Word::Table {
                kind,
                references: 0,
                pins: 0,
            } => {
                if self.rules.claim_before_stamp {
                    begin(Call::Stamp(kind), &|state| state.word = Word::Ending(kind));
                } else {
                    begin(Call::LateStamp(kind), &|_| {});
                }
            }
            Word::Free(former) if vcpu == RULER => {
                for kind in KINDS {
                    match former {
                        Some(was) if was.0 != kind && self.rules.other_kinds_wait => {
                            begin(Call::Check(kind, was, 0), &|_| {});
                        }
                        _ => begin(Call::Claim(kind, former), &|_| {}),
                    }
                }
            }
            _ => {}
        }
        if self.link.is_some() && vcpu == USER {
            begin(Call::GiveUp, &|state| state.link = None);
        }
        after
    }

    /// The next step of a call that has begun.
    fn go_on(&self, vcpu: usize) -> State {
        self.with(|state| {
            let next = &mut state.calls[vcpu];
            *next = match *next {
                Call::None => Call::None,
                Call::Link(kind) => match state.link.replace(kind) {
                    Some(_) => Call::GiveUp,
                    None => Call::None,
                },
                Call::GiveUp => {
                    match &mut state.word {
                        Word::Table { references, .. } if *references > 0 => *references -= 1,
                        _ => state.miscounted = true,
                    }
                    Call::None
                }
                Call::Store(kind) => {
                    state.entry = Entry::Judged(kind);
                    if kind == Kind::Two {
                        Call::Unpin
                    } else {
                        Call::None
                    }
                }
                Call::Unpin => {
                    match &mut state.word {
                        Word::Table { pins, .. } if *pins > 0 => *pins -= 1,
                        _ => state.miscounted = true,
                    }
                    Call::None
                }
                Call::Check(kind, was, step) => match state.vcpus.get_mut(step as usize) {
                    None => Call::Claim(kind, Some(was)),
                    Some(other) => match other.has_flushed_since(was.1) {
                        true => Call::Check(kind, was, step + 1),
                        false => Call::None,
                    },
                },
                Call::Claim(kind, former) if state.word == Word::Free(former) => {
                    state.word = Word::Claimed;
                    Call::Clear(kind)
                }
                Call::Claim(..) => Call::None,
                Call::Clear(kind) => {
                    state.entry = Entry::Nothing;
                    Call::Become(kind)
                }
                Call::Become(kind) => {
                    state.word = Word::Table {
                        kind,
                        references: 0,
                        pins: 0,
                    };
                    Call::None
                }
                Call::Stamp(kind) => Call::Publish(kind, state.clock),
                Call::Publish(kind, stamp) => {
                    state.word = Word::Free(Some((kind, stamp)));
                    Call::None
                }
                Call::LateStamp(kind) => Call::LateClaim(kind, state.clock),
                Call::LateClaim(kind, stamp) => {
                    if state.word
                        == (Word::Table {
                            kind,
                            references: 0,
                            pins: 0,
                        })
                    {
                        state.word = Word::Free(Some((kind, stamp)));
                    }
                    Call::None
                }
            };
        })
    }

    fn renumbered(mut self) -> Self {
        let mut others = Vec::new();
        if let Word::Free(Some((_, stamp))) = &mut self.word {
            others.push(stamp);
        }
        for call in &mut self.calls {
            match call {
                Call::Check(_, (_, stamp), _)
                | Call::Claim(_, Some((_, stamp)))
                | Call::Publish(_, stamp)
                | Call::LateClaim(_, stamp) => others.push(stamp),
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
                        if drop && number == WALKER {
                            state.cached = [false; 2];
                        }
                    }));
                }
            }
        }
        if let (true, Some(kind)) = (self.vcpus[WALKER].walks, self.link) {
            after.push(self.with(|state| state.cached[kind as usize] = true));
        }
        after.into_iter().map(State::renumbered).collect()
    }

    fn broken(&self) -> Option<&'static str> {
        if self.miscounted {
            return Some("a count is given back that is not there");
        }
        if let Some(linked) = self.link {
            if !matches!(self.word, Word::Table { kind, .. } if kind == linked) {
                return Some("a link to what is no such table");
            }
        }
        let Entry::Judged(judged) = self.entry else {
            return None;
        };
        let read_as = |kind: Kind| self.vcpus[WALKER].walks && self.cached[kind as usize];
        if KINDS
            .into_iter()
            .any(|kind| kind != judged && read_as(kind))
        {
            return Some("an entry is read as of another kind than it was judged for");
        }
        None
    }
}
