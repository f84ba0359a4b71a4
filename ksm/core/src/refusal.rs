// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a call is refused.

use core::fmt;

use cki_abi::errors::*;

macro_rules! refusals {
    ($( $(#[doc = $doc:literal])+ $name:ident = $code:ident: $message:literal; )+) => {
        /// A rule that a call would have broken. `docs/understand/threat-model.md` names the invariants.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Refusal {
            $( $(#[doc = $doc])+ $name = $code, )+
        }

        impl Refusal {
            /// All of them.
            pub const ALL: &'static [Refusal] = &[$( Refusal::$name ),+];

            /// The ABI's number (`E_*`, positive).
            #[must_use]
            pub const fn code(self) -> u64 {
                self as u64
            }
        }

        impl fmt::Display for Refusal {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $( Refusal::$name => $message, )+
                })
            }
        }
    };
}

refusals! {
    /// No such call.
    Call = E_CALL: "no such call";
    /// Misaligned, unknown bits, or outside of a documented range.
    Argument = E_ARGUMENT: "malformed argument";
    /// I1.
    Range = E_RANGE: "outside of the container's segments (I1)";
    /// I2.
    Class = E_CLASS: "not allowed for the frame's class (I2)";
    /// I3.
    Execute = E_EXECUTE: "would execute at CPL 0, or a user entry without U (I3)";
    /// I4.
    Type = E_TYPE: "not a table of the kind needed (I4)";
    /// I5.
    Root = E_ROOT: "slot 256, or no root (I5)";
    /// I6.
    Gadget = E_GADGET: "would let WRPKRS be fetched (I6)";
    /// I8.
    Return = E_RETURN: "not a state that the guest may return to (I8)";
    /// A bit that guests may not set.
    Bits = E_BITS: "reserved or forbidden bits in the entry";
    /// A protection key on a supervisor page.
    Key = E_KEY: "protection key on a supervisor page";
    /// I4: linked or loaded, or with too many links of its own to give up in one call.
    Busy = E_BUSY: "the table is in use (I4)";
    /// I4: some vCPU may still have it cached as something else.
    Stale = E_STALE: "not every vCPU has flushed since the release (I4)";
    /// The entry holds another value.
    Changed = E_CHANGED: "the entry has changed";
    /// A counter is full.
    Limit = E_LIMIT: "a counter is full";
    /// Not canonical, or in slot 256.
    Address = E_ADDRESS: "not an address the guest may be entered at";
    /// Not now.
    State = E_STATE: "not in this state of the vCPU";
    /// The module's answer to a hypercall; the core never gives it.
    Host = E_HOST: "the host failed or denied the hypercall";
    /// Bookkeeping contradicts itself: a defect of the monitor. The shell ends the container.
    Monitor = E_MONITOR: "the monitor's state is inconsistent";
}

impl core::error::Error for Refusal {}
