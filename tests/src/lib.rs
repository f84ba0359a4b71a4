//! CKI.
