// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line of `image`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use cki_session::Signal;

use crate::contents::Packages;

/// `image`
#[derive(Debug, Args)]
pub struct Image {
    /// Which image
    #[command(subcommand)]
    pub kind: ImageKind,
}

/// The images that can be written.
#[derive(Debug, Subcommand)]
pub enum ImageKind {
    /// A bootable disk image (qcow2) with the host system
    ///
    /// It comes up with a root shell on the screen and on the first serial port. Give it to the machine as a
    /// virtio disk, and the machine CKI's processor, or there is no `cki run` in it:
    /// qemu-system-x86_64 -cpu max,cki=on -m 1G -nic none -drive file=FILE,if=virtio (the emulator of
    /// `nix build .#cki-qemu`)
    CkiHost {
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// A bootable disk image (qcow2) with a host that runs systemd
    ///
    /// Debian's kernel, systemd, udev, networkd, sshd and nftables, with the launcher and the module. Its root file
    /// system cannot be written, and the kernel checks each block of it. Nobody has a password: an SSH key for root
    /// is given from outside. In the emulator of `nix build .#cki-qemu`, with your key:
    /// qemu-system-x86_64 -M q35 -cpu max,cki=on -m 1G -drive file=FILE,if=virtio -nic
    /// user,model=virtio,hostfwd=tcp:127.0.0.1:2222-:22 -nographic -fw_cfg
    /// name=opt/io.systemd.credentials/ssh.authorized_keys.root,file=.ssh/id_ed25519.pub
    CkiSystem {
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// A read-only file system (erofs) with Debian packages and their dependencies
    #[command(mut_arg("deb", |deb| deb.required(true)))]
    App {
        /// The packages.
        #[command(flatten)]
        packages: Packages,
        /// File to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// The image of another container engine, as a disk for `cki run` on a host, or for a NixOS machine
    Oci(OciImage),
}

/// `image oci`
#[derive(Debug, Args)]
pub struct OciImage {
    /// The image: an archive or directory of podman, docker, buildah or skopeo
    #[arg(value_name = "PATH")]
    pub image: PathBuf,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write here what the image says of its program, for `cki run --image-config`
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Refuse another image than this: the digest of its manifest, by which registries name it, or of its
    /// configuration, the image's ID
    #[arg(long, value_name = "sha256:HEX", value_parser = digest)]
    pub digest: Option<String>,
    /// Refuse an image that says that another signal ends its program; one that says nothing means TERM
    #[arg(long, value_name = "SIGNAL")]
    pub stopped_by: Option<Signal>,
}

/// Reads a digest.
fn digest(text: &str) -> Result<String, String> {
    let is_digest = text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    match is_digest {
        true => Ok(text.to_owned()),
        false => Err("expected sha256: and 64 digits from 0 to f, in lower case".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_sha256_and_whole() {
        let hex = "0123456789abcdef".repeat(4);
        let whole = format!("sha256:{hex}");
        assert_eq!(digest(&whole), Ok(whole.clone()));
        for text in [
            hex.as_str(),
            "sha512:0",
            "sha256:",
            &whole[..70],
            &whole.to_uppercase(),
        ] {
            assert!(digest(text).is_err(), "{text}");
        }
    }
}
