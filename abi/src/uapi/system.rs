// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a machine provides.

/// Values of [`Info::mode`].
pub mod modes {
    constants! { "What a machine provides: cki_info.mode", u32;
        /// No container can run: see `missing`.
        MODE_NONE = 0;
        /// PKS and the CKI extension: full isolation.
        MODE_CKI = 1;
    }
}

/// Bits of [`Info::missing`].
pub mod missing {
    constants! { "Why no container can run: bits of cki_info.missing", u32;
        /// CPUID 7.0:ECX bit 31, protection keys for supervisor pages.
        MISSING_PKS = 1 << 0;
        /// CPUID 434b4901H:EAX bit 0, the CKI extension, or version 2 of it.
        MISSING_EXTENSION = 1 << 1;
        /// NX, SMEP, SMAP, UMIP, FSGSBASE, XSAVE, or a stable TSC; or it has what it must not: state that guests would
        /// not switch (AMX tiles), the iTLB multihit bug.
        MISSING_CPU = 1 << 2;
        /// The monitor; or the file is not the one that the module was built with.
        MISSING_MONITOR = 1 << 3;
        /// pool= of the module is 0, or nothing was left.
        MISSING_POOL = 1 << 4;
        /// 5-level paging, FRED, memory encryption, Xen or broadcast TLB flushes are in the way, or PKS is in use.
        MISSING_KERNEL = 1 << 5;
        /// KVM has the CPUs in VMX operation, at this moment.
        MISSING_VMX = 1 << 6;
        /// The CPU has L1TF or Meltdown: a guest kernel could read the host's memory.
        MISSING_NO_LEAKS = 1 << 7;
    }
}

structure! {
    /// CKI_GET_INFO.
    Info as "info", size 56 {
        /// In: of the caller's structure. Out: of the module's.
        size: u32,
        /// CKI_MODE_*.
        mode: u32,
        /// CKI_MISSING_*, 0 unless `mode` is CKI_MODE_NONE.
        missing: u32,
        /// CKI_ABI_VERSION of module and monitor.
        abi_version: u32,
        /// vCPUs that a container can have.
        vcpus_max: u32,
        /// Number of containers now.
        containers: u32,
        /// Bytes of the pool, used or not.
        pool_size: u64,
        /// Bytes that a new container can have.
        pool_free: u64,
        /// Frequency of the time-stamp counter, kHz.
        tsc_khz: u64,
        /// Pages of 4 KiB that the monitors of all containers take, with page tables and frame words; outside of the
        /// pool.
        monitor_pages: u32,
        /// Out: 0.
        reserved: u32,
    }
}
