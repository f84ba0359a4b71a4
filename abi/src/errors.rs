// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a call was refused. Results carry them negated: rax = -error, 0 is success.
//!
//! A refusal changes nothing (except that a batch or a seal keeps what it had done before it). The
//! monitor records the last one in the vCPU's `struct cki_vcpu_switch` for the host to print.

constants! { "Errors (results are negated)";
    /// No such call number.
    E_CALL = 1;
    /// An argument is malformed: misaligned, unknown flag bits, beyond a documented range.
    E_ARGUMENT = 2;
    /// I1: a frame named or mapped lies outside of the container's segments.
    E_RANGE = 3;
    /// I2: the frame's class does not allow it (a writable mapping of Pt, Exec or Ro; a superpage
    /// of mixed classes; a table in a frame that is not Pt).
    E_CLASS = 4;
    /// I3: the entry would make something other than sealed Exec executable at CPL 0, or a user
    /// table's entry lacks U = 1.
    E_EXECUTE = 5;
    /// I4: the frame is not (or is already) a table of the level and half needed.
    E_TYPE = 6;
    /// I5: slot 256, or the frame is no root.
    E_ROOT = 7;
    /// I6: the bytes would let WRPKRS be fetched.
    E_GADGET = 8;
    /// I8: the guest may not return to the state in `vcpu_info.iret`.
    E_RETURN = 9;
    /// The entry sets a bit that guests may not: reserved, G, PAT, PCD, PWT, PS at level 3, ignored
    /// bits 59 to 62 of a table entry, or low address bits of a superpage.
    E_BITS = 10;
    /// The entry's protection key is not 0 on a supervisor page.
    E_KEY = 11;
    /// I4: the table is still linked or loaded, or has too many links itself.
    E_BUSY = 12;
    /// I4: the frame was a table of another kind, and some vCPU has not flushed since. Call
    /// KSM_FLUSH with FLUSH_EVERYWHERE and try again.
    E_STALE = 13;
    /// KSM_ENTRY_COMPARE_EXCHANGE: the entry did not hold the expected value. Nothing was written.
    E_CHANGED = 14;
    /// A counter is full (references of a table: 2^32 - 1).
    E_LIMIT = 15;
    /// The address is not canonical, or lies in slot 256.
    E_ADDRESS = 16;
    /// The call is not available now (a vCPU without its `struct cki_vcpu_info`, or one that does
    /// not run).
    E_STATE = 17;
    /// The host failed or denied the hypercall.
    E_HOST = 18;
    /// The monitor found its own state inconsistent. The container is ended; no call sees this.
    E_MONITOR = 19;
}
