// SPDX-License-Identifier: MIT OR Apache-2.0

//! Which `/dev/cki` this is.

constants! { "Version, and the sizes of structures in the first version that has sizes", u32;
    /// Version of this header; CKI_GET_VERSION returns the module's. A launcher refuses any other.
    UAPI_VERSION = 4;
    /// Bytes of `struct cki_info`.
    INFO_SIZE_LEAST = 56;
    /// Bytes of `struct cki_create`.
    CREATE_SIZE_LEAST = 544;
    /// Bytes of `struct cki_start`.
    START_SIZE_LEAST = 88;
}
