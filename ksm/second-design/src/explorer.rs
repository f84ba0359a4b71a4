// SPDX-License-Identifier: MIT OR Apache-2.0

//! All states that can be reached.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What is explored.
pub trait Model: Clone + Hash + fmt::Debug {
    /// All states that are one step on, whoever takes it.
    fn steps(&self) -> Vec<Self>;
    /// What does not hold in this state.
    fn broken(&self) -> Option<&'static str>;
}

/// A state in which something does not hold.
#[derive(Debug)]
pub struct Broken {
    /// What does not hold.
    pub what: &'static str,
    steps: usize,
    state: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} after {} steps: {}",
            self.what, self.steps, self.state
        )
    }
}

/// A state is remembered by this. Of a million states, two have the same with a probability of some 10^-8.
fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// Goes through all states, those that are reached first at first; how many there are.
///
/// # Errors
///
/// The first one that is broken, with the fewest steps.
pub fn explore<M: Model>(start: &M) -> Result<usize, Box<Broken>> {
    let mut seen = HashSet::from([fingerprint(start)]);
    let mut frontier = vec![start.clone()];
    let mut steps = 0;
    while !frontier.is_empty() {
        let mut next = Vec::new();
        for state in &frontier {
            if let Some(what) = state.broken() {
                let state = format!("{state:?}");
                return Err(Box::new(Broken { what, steps, state }));
            }
            for after in state.steps() {
                if seen.insert(fingerprint(&after)) {
                    next.push(after);
                }
            }
        }
        frontier = next;
        steps += 1;
    }
    Ok(seen.len())
}
