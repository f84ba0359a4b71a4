// SPDX-License-Identifier: MIT OR Apache-2.0

//! From the request and the lock file to files in the Nix store.
//!
//! - [`request`] is what people write, [`lock_json`] what they get, [`locking`] turns one into the other: [`archive`]
//!   has a suite's indexes, [`pin`] pins them, [`signature`] checks release files, by the machine's `clock`;
//! - [`app`] resolves the packages of an application image, with the security updates of [`updates`]; [`order`] is that
//!   in which they are installed, [`plan`] what comes out, [`image_lock`] pins it in a file;
//! - [`provide`] brings what is missing into the store: it is downloaded ([`fetch`]), verified and added (`import`);
//!   [`seed`] is the one program that the build begins with;
//! - [`provide_crates`] does the same for the crates that [`cargo`] names; [`licence`] is what each of them states;
//! - [`own_mirror`] fills a directory with all of it, for others to download from.
//!
//! Downloads: [`mirrors`] says where from, [`apt_proxy`] and `proxy` by way of whom, `transport` opens a file there,
//! [`downloads`] keeps what has come, [`shown`] shows it, [`fetch_error`] says what went wrong.
//!
//! [`Inputs`] (`inputs`) holds what they all need, `error` all that can go wrong.
//!
//! Used by: `cki-build`, `cki-release`. May use: `cki-debian`, `cki-nix`, `cki-process`, `cki-wording`.

pub mod app;
pub mod apt_proxy;
pub mod archive;
pub mod cargo;
mod clock;
pub mod downloads;
mod error;
pub mod fetch;
pub mod fetch_error;
pub mod image_lock;
mod import;
mod inputs;
pub mod licence;
pub mod lock_json;
pub mod locking;
pub mod mirrors;
pub mod order;
pub mod own_mirror;
pub mod pin;
pub mod plan;
pub mod provide;
pub mod provide_crates;
mod proxy;
pub mod request;
pub mod seed;
pub mod shown;
pub mod signature;
mod transport;
pub mod updates;

pub use error::InputsError;
pub use import::ProvideReport;
pub use inputs::Inputs;
pub use proxy::Through;
