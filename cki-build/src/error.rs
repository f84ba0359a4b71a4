// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why a command could not do what was asked.

use cki_session::Status;

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The cache directory.
    #[error(transparent)]
    Cache(#[from] cki_nix::cache::CacheError),
    /// The checkout.
    #[error(transparent)]
    Checkout(#[from] cki_nix::checkout::CheckoutError),
    /// The inputs.
    #[error(transparent)]
    Inputs(#[from] cki_inputs::InputsError),
    /// Nix.
    #[error(transparent)]
    Nix(#[from] cki_nix::NixError),
    /// The machine.
    #[error(transparent)]
    Session(#[from] cki_machine::MachineError),
    /// A machine that stays up.
    #[error(transparent)]
    Resident(#[from] cki_machine::resident::ResidentError),
    /// What a machine that stays up cannot do.
    #[error("the machine {machine} cannot do it: {why}")]
    Unsuitable {
        /// Its name.
        machine: String,
        /// Why.
        why: String,
    },
    /// A container in a machine of its own has no use for a name.
    #[error(
        "--name is for containers in a machine that stays up, and none is: start one with `cki-build machine start`"
    )]
    Nameless,
    /// It was asked for all the same.
    #[error(
        "--name is for containers in a machine that stays up, and --machine or CKI_MACHINE asks for one of its own \
         (`own`)"
    )]
    NamelessOwn,
    /// What a suite of tests needs.
    #[error(transparent)]
    Needs(#[from] crate::check::needs::NeedsError),
    /// Verifying.
    #[error(transparent)]
    Verify(#[from] cki_verify::VerifyError),
    /// Writing or verifying a release.
    #[error(transparent)]
    Release(#[from] cki_release::error::ReleaseError),
    /// What keeps a host from being asked at all.
    #[error(transparent)]
    Deploy(#[from] cki_deploy::error::Trouble),
    /// Writing an image.
    #[error(transparent)]
    WriteImage(#[from] crate::write_image::WriteImageError),
    /// The layers of an image.
    #[error(transparent)]
    Layers(#[from] cki_layers::LayersError),
    /// A layer of store paths.
    #[error(transparent)]
    Closure(#[from] cki_layers::closure::ClosureError),
    /// An image of another container engine.
    #[error(transparent)]
    Oci(#[from] cki_oci::OciError),
    /// What such an image says of its program.
    #[error(transparent)]
    ImageConfig(#[from] cki_frontend::ImageConfigError),
    /// Such an image ends by another signal than was asked for.
    #[error(
        "the image says that {0} ends its program, and --stopped-by names another signal; for a container of NixOS, \
         set its `stopSignal` to that one, or to the one that you want"
    )]
    StopSignal(String),
    /// A file with an image.
    #[error(transparent)]
    File(#[from] crate::image_file::FileError),
    /// A program that was run.
    #[error(transparent)]
    Exec(#[from] cki_process::exec::ExecError),
    /// A file of ours.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A directory that the program is to find.
    #[error(transparent)]
    Volume(#[from] cki_volume::client::StartError),
    /// Disks of the user's.
    #[error(transparent)]
    Disks(#[from] crate::disks::DisksError),
    /// The user's terminal, which a program with a terminal needs.
    #[error("cannot use the terminal: {0}")]
    Terminal(std::io::Error),
    /// Our standard streams, which are the program's.
    #[error("cannot use the standard streams: {0}")]
    Streams(std::io::Error),
    /// Nobody reads standard output any more.
    #[error("nobody reads the output")]
    BrokenPipe,
    /// A container with more processors than this version gives one.
    #[error(
        "a container has one virtual processor in this version, not {0}; leave --cpus out, or add --runtime native, \
         which isolates nothing"
    )]
    Cpus(u32),
    /// A machine's kernel would not come up.
    #[error("a machine takes at least {least}, not {0}", least = cki_machine::Machine::LEAST_MEMORY)]
    Memory(cki_session::Memory),
    /// All of its containers would have less than one takes.
    #[error(
        "the memory of a machine is that of all its containers, and one takes at least {least}: not {0}",
        least = cki_session::Container::LEAST_MEMORY
    )]
    Pool(cki_session::Memory),
    /// There is nothing to stop.
    #[error("the machine {0} is not up, so there is nothing to stop")]
    NotUp(String),
    /// The demonstration did not show what it should.
    #[error("{0}")]
    Demo(String),
    /// A measurement.
    #[error(transparent)]
    Measure(#[from] cki_measure::Error),
    /// A measurement that makes no sense.
    #[error("{0}")]
    Bench(String),
}

impl Error {
    /// Exit status of `cki-build`.
    #[must_use]
    pub const fn exit_status(&self) -> Status {
        match self {
            Self::BrokenPipe => Status(141),
            _ => Status::FAILED,
        }
    }
}
