// SPDX-License-Identifier: MIT OR Apache-2.0

//! What has happened in a container so far: counts of its vCPU, which are the module's and the monitor's, and of its
//! devices, which are ours. Each has one name, from where it is counted to JSON (docs/reference/counts.md).
//!
//! A container's launcher tells them to whoever may connect to its socket, the container's user and root, and nobody
//! else: neither the guest nor another container finds them anywhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cki_abi::uapi::run::RunPage;
use serde::{Deserialize, Serialize};

/// Counts by their names.
pub type Named = BTreeMap<String, u64>;

/// All of a container's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Of each vCPU, by its number.
    pub vcpus: Vec<Named>,
    /// Of each device, by the number of its slot.
    pub devices: Vec<OfDevice>,
}

/// Those of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfDevice {
    /// What it is: `disk`, `network`, ...
    pub kind: String,
    /// Which one, where a container may have several: a disk's serial number, a volume's tag.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The counts.
    #[serde(flatten)]
    pub counts: Named,
}

/// A count that one thread adds to and others read.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there are.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a device counts.
pub trait Tally: Send + Sync {
    /// What sort of device it is.
    fn kind(&self) -> &'static str;
    /// The counts, each with its name.
    fn counts(&self) -> Vec<(&'static str, u64)>;
}

/// What a device counts, and its name if a container may have several of its kind.
#[derive(Clone)]
pub struct Tallied {
    /// The counts.
    pub tally: Arc<dyn Tally>,
    /// The name, or nothing.
    pub name: String,
}

impl Tallied {
    /// The counts as they are, and others of the same device.
    #[must_use]
    pub fn read(&self, others: &[(&'static str, u64)]) -> OfDevice {
        let counts = self.tally.counts();
        let all = counts.iter().chain(others);
        OfDevice {
            kind: self.tally.kind().to_owned(),
            name: self.name.clone(),
            counts: all.map(|&(name, n)| (name.to_owned(), n)).collect(),
        }
    }
}

/// Defines what a device of a kind counts: a structure of [`Count`]s, whose fields are the names.
macro_rules! tally {
    ($(#[doc = $doc:literal])+ $name:ident, $kind:literal { $( $(#[doc = $of:literal])+ $field:ident, )+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Default)]
        pub struct $name { $( $(#[doc = $of])+ pub $field: $crate::counts::Count, )+ }

        impl $crate::counts::Tally for $name {
            fn kind(&self) -> &'static str {
                $kind
            }

            fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$( (stringify!($field), self.$field.get()) ),+]
            }
        }
    };
}
pub(crate) use tally;

macro_rules! of_page {
    ($($field:ident)+) => {
        /// What the run page of a vCPU says.
        #[must_use]
        pub fn of_vcpu(page: &RunPage) -> Named {
            [$( (stringify!($field), page.$field) ),+]
                .map(|(name, count)| (name.to_owned(), count))
                .into()
        }
    };
}
of_page! {
    exits_hypercall exits_interrupt exits_other idle_ns monitor_calls monitor_returns monitor_refusals entries
    exits_nmi exits_machine_check hypercalls_console hypercalls_timer_set hypercalls_idle hypercalls_yield
    hypercalls_mmio_read hypercalls_mmio_write hypercalls_event_send page_table_frames page_table_frames_used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_counts_of_the_run_page_are_told_by_the_names_that_they_have_there() {
        let fields = RunPage::C.fields.iter().map(|field| field.name);
        let mut counts: Vec<_> = fields
            .skip_while(|name| *name != "exits_hypercall")
            .collect();
        counts.sort_unstable();
        let page = RunPage {
            monitor_refusals: 7,
            ..RunPage::default()
        };
        let told = of_vcpu(&page);
        assert_eq!(told.keys().collect::<Vec<_>>(), counts);
        assert_eq!(told["monitor_refusals"], 7);
        assert_eq!(told.values().sum::<u64>(), 7);
    }

    #[test]
    fn what_a_later_launcher_counts_is_passed_on_and_what_is_no_count_is_refused() {
        let text = r#"{"vcpus":[{"entries":1,"new":2}],"devices":[{"kind":"disk","name":"app","read_bytes":3}]}"#;
        let counts: Counts = serde_json::from_str(text).unwrap();
        assert_eq!(counts.vcpus[0]["new"], 2);
        assert_eq!(counts.devices[0].counts["read_bytes"], 3);
        assert_eq!(serde_json::to_string(&counts).unwrap(), text);
        let text = r#"{"vcpus":[{"entries":"many"}],"devices":[]}"#;
        assert!(serde_json::from_str::<Counts>(text).is_err());
    }
}
