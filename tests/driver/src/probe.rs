// SPDX-License-Identifier: MIT OR Apache-2.0

//! The emulator's device `cki-probe`: an event in front of a chosen instruction
//! (emulator/patches/0014-probe-device.patch has its registers).

use std::arch::asm;

use anyhow::{Result, ensure};

const PORT: u16 = 0x4b0;
const NAME: u64 = u64::from_le_bytes(*b"ckiprobe");

const ARMED: u32 = 0x01;
const ADDRESS: u32 = 0x02;
const ACTIONS: u32 = 0x03;
const FIRST: u32 = 0x04;
const SECOND: u32 = 0x05;
const MCI_STATUS: u32 = 0x06;
const MCG_STATUS: u32 = 0x07;
const EXECUTED: u32 = 0x08;
const RIPS: u32 = 0x09;
const STRUCK: u32 = 0x0b;
const TRACE: u32 = 0x0c;
const TRACE_INDEX: u32 = 0x0d;
const TRACE_ADDRESS: u32 = 0x0e;
const FLUSHES: u32 = 0x0f;
const RANGES: u32 = 0x10;

/// MCG_STATUS: RIPV, MCIP. With no bank that has an error, nothing is broken and everything can go on.
const HARMLESS: u64 = 1 | 4;

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Action {
    Nothing = 0,
    Nmi = 1,
    MachineCheck = 2,
}

/// When what strikes. The counts begin with 1, the next instruction.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The first one, and the second.
    pub actions: [Action; 2],
    /// In front of which instruction in the ranges.
    pub first: u64,
    /// If not 0, only this instruction is counted.
    pub address: u64,
    /// And again in front of the so many-th after that; 0: not.
    pub second: u64,
}

/// What has struck.
#[derive(Clone, Debug, Default)]
pub struct Strikes {
    /// In front of which instructions.
    pub at: Vec<u64>,
    /// As many of them found the same event pending: two become one.
    pub coalesced: u64,
    /// Instructions executed in the ranges since the plan was made.
    pub executed: u64,
}

/// The device.
#[derive(Debug)]
pub struct Probe(());

impl Probe {
    /// Takes it.
    pub fn open() -> Result<Self> {
        // SAFETY: lets this process use ports; it uses those of the device only.
        let result = unsafe { libc::iopl(3) };
        ensure!(
            result == 0,
            "no right to use ports: {}",
            std::io::Error::last_os_error()
        );
        let probe = Probe(());
        ensure!(probe.read(NAME_REGISTER) == NAME, "no device cki-probe");
        probe.write(MCG_STATUS, HARMLESS);
        probe.write(MCI_STATUS, 0);
        Ok(probe)
    }

    /// Watches these ranges.
    pub fn arm(&self, ranges: &[(u64, u64)]) {
        self.write(ARMED, 0);
        for (n, (low, high)) in ranges.iter().enumerate() {
            self.write(RANGES + 2 * n as u32, *low);
            self.write(RANGES + 2 * n as u32 + 1, *high);
        }
        self.plan(&Plan {
            actions: [Action::Nothing; 2],
            first: 0,
            address: 0,
            second: 0,
        });
        self.write(ARMED, 1);
    }

    /// Watches nothing any more.
    pub fn disarm(&self) {
        self.write(ARMED, 0);
    }

    /// Has the next events strike so.
    pub fn plan(&self, plan: &Plan) {
        let [first, second] = plan.actions.map(|action| action as u64);
        self.write(ACTIONS, first | second << 8);
        self.write(ADDRESS, plan.address);
        self.write(SECOND, plan.second);
        self.write(EXECUTED, 0);
        self.write(FIRST, plan.first);
    }

    /// What came of it.
    pub fn strikes(&self) -> Strikes {
        let struck = self.read(STRUCK);
        Strikes {
            at: (0..2)
                .filter(|n| struck >> n & 1 != 0)
                .map(|n| self.read(RIPS + n))
                .collect(),
            coalesced: u64::from((struck >> 8 & 3).count_ones()),
            executed: self.read(EXECUTED),
        }
    }

    /// Records where it goes from now on, up to `limit` instructions.
    pub fn record(&self, limit: u64) {
        self.write(TRACE, limit);
    }

    /// What was recorded.
    pub fn recorded(&self) -> Vec<u64> {
        let length = self.read(TRACE);
        self.write(TRACE_INDEX, 0);
        (0..length).map(|_| self.read(TRACE_ADDRESS)).collect()
    }

    /// How often a whole TLB was to be flushed, ever.
    pub fn flushes(&self) -> u64 {
        self.read(FLUSHES)
    }

    fn read(&self, register: u32) -> u64 {
        out(PORT, register);
        let low = input(PORT + 4);
        u64::from(low) | u64::from(input(PORT + 8)) << 32
    }

    fn write(&self, register: u32, value: u64) {
        out(PORT, register);
        out(PORT + 4, value as u32);
        out(PORT + 8, (value >> 32) as u32);
    }
}

const NAME_REGISTER: u32 = 0;

fn out(port: u16, value: u32) {
    // SAFETY: the device's ports, whose use changes no memory; open() has got the right to.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack, preserves_flags))
    };
}

fn input(port: u16) -> u32 {
    let value;
    // SAFETY: as above.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nostack, preserves_flags))
    };
    value
}
