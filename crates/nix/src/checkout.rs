// SPDX-License-Identifier: MIT OR Apache-2.0

//! The CKI checkout: where it is, how Nix is told of it, and what exactly is in it.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest as _, Sha256};

use crate::cache::CacheError;
use crate::foreign::is_foreign;
use cki_process::exec::{Command, ExecError};

/// Why there is no usable checkout.
#[derive(Debug, thiserror::Error)]
pub enum CheckoutError {
    /// No directory above the current one holds the flake.
    #[error("{0} is not in a CKI checkout; go to one, or name it with --flake DIR")]
    NotFound(PathBuf),
    /// The directory given by `--flake` cannot be looked at.
    #[error("the checkout {dir} (of --flake, or the variable CKI_FLAKE): {source}")]
    Named {
        /// The directory.
        dir: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The directory given by `--flake` holds no flake of ours.
    #[error("{0} is not a CKI checkout (no flake.nix beside a cki-build directory)")]
    NotOurs(PathBuf),
    /// Git does not trust the directory because somebody else owns it.
    #[error(
        "git refuses {dir} because another user owns it; run: git config --global --add safe.directory {dir}"
    )]
    Unsafe {
        /// The directory.
        dir: PathBuf,
    },
    /// Somebody else may have written what is there, which would be executed.
    #[error(
        "{dir} is a CKI checkout in which another user may write; name it with --flake {dir} if it is to be used"
    )]
    Foreign {
        /// The directory.
        dir: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// A git command failed.
    #[error(transparent)]
    Git(#[from] ExecError),
    /// There is no place for a copy.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// A CKI checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// Directory with `flake.nix`, absolute.
    pub dir: PathBuf,
    /// The git work tree that holds it, when git manages it.
    pub git: Option<GitTree>,
}

/// The git work tree around a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitTree {
    /// Top of the work tree.
    pub top: PathBuf,
    /// The checkout's path below `top`; empty when they are the same.
    pub prefix: PathBuf,
}

/// What `doctor` and messages say of a git checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitState {
    /// Commit that is checked out; none in a repository without one.
    pub head: Option<String>,
    /// Tracked files differ from it.
    pub dirty: bool,
    /// History is cut (`git clone --depth`).
    pub shallow: bool,
    /// Files that git does not track and does not ignore: Nix does not see them.
    pub untracked: Vec<String>,
}

impl Checkout {
    /// The checkout that the user `named`, or, when `None`, the one around the current directory.
    ///
    /// # Errors
    /// [`CheckoutError`].
    pub fn find(named: Option<&Path>) -> Result<Self, CheckoutError> {
        let dir = match named {
            Some(dir) => {
                let named = |source| CheckoutError::Named {
                    dir: dir.to_owned(),
                    source,
                };
                let absolute = dir.canonicalize().map_err(named)?;
                if !is_ours(&absolute) {
                    return Err(CheckoutError::NotOurs(dir.to_owned()));
                }
                absolute
            }
            None => {
                let here = std::env::current_dir().map_err(|source| CheckoutError::Io {
                    path: ".".into(),
                    source,
                })?;
                let found = here.ancestors().find(|dir| is_ours(dir));
                found
                    .ok_or_else(|| CheckoutError::NotFound(here.clone()))?
                    .to_owned()
            }
        };
        let checkout = Self {
            git: git_tree(&dir)?,
            dir,
        };
        // Git looks for itself at whose its directories are. What the user names, they want.
        if named.is_none() && checkout.git.is_none() && is_foreign(&checkout.dir) {
            return Err(CheckoutError::Foreign { dir: checkout.dir });
        }
        Ok(checkout)
    }

    /// Digest of all that Nix sees of the checkout, as hex: the commit's tree and every change of
    /// tracked files. `None` when git does not manage the checkout, and then nothing may be reused.
    ///
    /// # Errors
    /// [`CheckoutError::Git`].
    pub fn fingerprint(&self) -> Result<Option<String>, CheckoutError> {
        let Some(tree) = &self.git else {
            return Ok(None);
        };
        let head = git(&tree.top).args(["rev-parse", "--verify", "--quiet", "HEAD^{tree}"]);
        let changes = git(&tree.top).args(DIFF);
        let (head, changes) = at_once(|| head.output(), || changes.read());
        let head = head?;
        if !head.status.success() {
            return Ok(None);
        }
        let changes = changes?;
        let mut digest = Sha256::new();
        digest.update(b"cki-checkout-1\0");
        digest.update(tree.prefix.as_os_str().as_encoded_bytes());
        digest.update(b"\0");
        digest.update(&head.stdout);
        digest.update(b"\0");
        digest.update(&changes);
        Ok(Some(format!("{:x}", digest.finalize())))
    }

    /// Commit, changes and depth of the git checkout; `None` without git.
    ///
    /// # Errors
    /// [`CheckoutError::Git`].
    pub fn state(&self) -> Result<Option<GitState>, CheckoutError> {
        let Some(tree) = &self.git else {
            return Ok(None);
        };
        let head = git(&tree.top)
            .args(["rev-parse", "--verify", "--quiet", "HEAD"])
            .output()?;
        let shallow = git(&tree.top)
            .args(["rev-parse", "--is-shallow-repository"])
            .read_text()?;
        let status = git(&tree.top)
            .args(["status", "--porcelain=v1", "-z", "--no-renames"])
            .read()?;
        let (mut dirty, mut untracked) = (false, Vec::new());
        for entry in String::from_utf8_lossy(&status).split_terminator('\0') {
            match entry.strip_prefix("?? ") {
                Some(path) => untracked.push(path.to_owned()),
                None => dirty = true,
            }
        }
        Ok(Some(GitState {
            head: head
                .status
                .success()
                .then(|| String::from_utf8_lossy(&head.stdout).trim().to_owned()),
            dirty,
            shallow: shallow == "true",
            untracked,
        }))
    }

    /// When the commit that is checked out was made, as `2026-07-11T10:16:37Z`; `None` without git.
    ///
    /// # Errors
    /// [`CheckoutError::Git`], also in a repository without a commit.
    pub fn commit_time(&self) -> Result<Option<String>, CheckoutError> {
        let Some(tree) = &self.git else {
            return Ok(None);
        };
        let time = git(&tree.top)
            .env("TZ", "UTC")
            .args(["show", "--no-patch", "--format=%cd"])
            .arg("--date=format-local:%Y-%m-%dT%H:%M:%SZ")
            .read_text()?;
        Ok(Some(time))
    }

    /// Copies what Nix sees of the checkout to `to`, an empty directory, as a git repository of its
    /// own with another name, history and owner. Outputs must not depend on any of these. Without git,
    /// that is everything but what `.gitignore` names, such as what cargo builds.
    ///
    /// # Errors
    /// [`CheckoutError`].
    pub fn copy_to(&self, to: &Path) -> Result<Self, CheckoutError> {
        let Some(tree) = &self.git else {
            git(to).args(["init", "--quiet"]).read()?;
            git(&self.dir)
                .arg("--git-dir")
                .arg(to.join(".git"))
                .args(["--work-tree", "."])
                .args(OUR_RULES_ALONE)
                .args(["add", "--all"])
                .read()?;
            git(to)
                .args(OUR_RULES_ALONE)
                .args(["checkout-index", "--all"])
                .read()?;
            return Self::find(Some(to));
        };
        let list = git(&self.dir).args(["ls-files", "-z", "--cached"]).read()?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| CheckoutError::Io { path, source }
        };
        for name in list
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty())
        {
            use std::os::unix::ffi::OsStrExt as _;
            let name = Path::new(std::ffi::OsStr::from_bytes(name));
            let (from, target) = (self.dir.join(name), to.join(name));
            let Ok(meta) = from.symlink_metadata() else {
                continue; // Deleted in the work tree: Nix does not see it either.
            };
            if let Some(parent) = target.parent() {
                std::fs::create_dir_all(parent).map_err(io(parent))?;
            }
            if meta.is_symlink() {
                let link = std::fs::read_link(&from).map_err(io(&from))?;
                std::os::unix::fs::symlink(link, &target).map_err(io(&target))?;
            } else {
                std::fs::copy(&from, &target).map_err(io(&from))?;
            }
        }
        tracing::debug!(from = %tree.top.display(), to = %to.display(), "copied the checkout");
        git(to).args(["init", "--quiet"]).read()?;
        git(to).args(["add", "--all", "--force"]).read()?;
        Self::find(Some(to))
    }
}

/// What is left out or converted does not depend on the user's configuration.
const OUR_RULES_ALONE: [&str; 4] = ["-c", "core.excludesFile=", "-c", "core.autocrlf=false"];

/// Every change of tracked files against the commit, independent of the user's configuration.
const DIFF: [&str; 8] = [
    "diff",
    "--binary",
    "--full-index",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "HEAD",
];

/// `git -C dir`, unaffected by variables that a hook may have set.
fn git(dir: &Path) -> Command {
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"]
        .into_iter()
        .fold(Command::new("git").arg("-C").arg(dir), Command::env_remove)
}

fn git_tree(dir: &Path) -> Result<Option<GitTree>, CheckoutError> {
    let command = git(dir).args(["rev-parse", "--show-toplevel", "--show-prefix"]);
    // A tarball unpacked inside somebody else's repository is no part of that repository.
    let tracked = git(dir).args(["ls-files", "--error-unmatch", "flake.nix"]);
    let (output, tracked) = at_once(|| command.output(), || tracked.output());
    let output = output?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        if message.contains("safe.directory") {
            return Err(CheckoutError::Unsafe {
                dir: dir.to_owned(),
            });
        }
        if dir.join(".git").exists() {
            return Err(command.failure(output.status, &output.stderr).into());
        }
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    let top = PathBuf::from(lines.next().unwrap_or_default());
    let prefix = PathBuf::from(lines.next().unwrap_or_default().trim_end_matches('/'));
    Ok(tracked?.status.success().then_some(GitTree { top, prefix }))
}

/// What two questions to git give: every start of a program waits for them.
fn at_once<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        (
            one.join().unwrap_or_else(|panic| resume_unwind(panic)),
            other,
        )
    })
}

fn is_ours(dir: &Path) -> bool {
    dir.join("flake.nix").is_file() && dir.join("cki-build").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn repository() -> (tempfile::TempDir, Checkout) {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("a path").join("a b");
        fs::create_dir_all(root.join("cki-build")).expect("created");
        fs::write(root.join("flake.nix"), "{ }").expect("written");
        fs::write(root.join("cki-build/run"), "#!/bin/sh").expect("written");
        git(&root)
            .args(["init", "--quiet"])
            .read()
            .expect("git init");
        git(&root).args(["add", "."]).read().expect("git add");
        git(&root)
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@t",
                "commit",
                "--quiet",
                "-m",
                "t",
            ])
            .read()
            .expect("git commit");
        let checkout = Checkout::find(Some(&root)).expect("a checkout");
        (dir, checkout)
    }

    #[test]
    fn a_directory_without_git_is_copied_without_what_cargo_builds_and_never_reused() {
        let dir = tempfile::tempdir().expect("a directory");
        let from = dir.path().join("unpacked");
        fs::create_dir_all(from.join("cki-build")).expect("created");
        fs::create_dir_all(from.join("target/release")).expect("created");
        fs::write(from.join("flake.nix"), "{ }").expect("written");
        fs::write(from.join("cki-build/lines"), "a\r\n").expect("written");
        fs::write(from.join(".gitignore"), "/target\n").expect("written");
        fs::write(from.join("target/release/big"), "").expect("written");
        let checkout = Checkout::find(Some(&from)).expect("a checkout");
        assert_eq!(checkout.fingerprint().expect("no error"), None);

        let to = dir.path().join("copy");
        fs::create_dir(&to).expect("created");
        let copy = checkout.copy_to(&to).expect("copied");
        assert_eq!(
            fs::read(to.join("cki-build/lines")).expect("read"),
            b"a\r\n"
        );
        assert!(!to.join("target").exists());
        assert!(copy.git.is_some(), "Nix reads it with git");
        assert!(!from.join(".git").exists(), "nothing is written there");
    }

    #[test]
    fn the_fingerprint_follows_content_and_nothing_else() {
        let (_keep, checkout) = repository();
        let print = || {
            checkout
                .fingerprint()
                .expect("git works")
                .expect("a commit")
        };
        let clean = print();
        fs::write(checkout.dir.join("untracked.nix"), "{ }").expect("written");
        assert_eq!(print(), clean, "an untracked file is invisible to Nix");
        fs::write(checkout.dir.join("flake.nix"), "{ a = 1; }").expect("written");
        let dirty = print();
        assert_ne!(dirty, clean);
        fs::write(checkout.dir.join("flake.nix"), "{ a = 2; }").expect("written");
        assert_ne!(print(), dirty, "same size, other content");
        fs::write(checkout.dir.join("flake.nix"), "{ }").expect("written");
        assert_eq!(print(), clean);
        git(&checkout.dir)
            .args(["add", "untracked.nix"])
            .read()
            .expect("git add");
        assert_ne!(print(), clean, "a staged file is visible to Nix");
    }

    #[test]
    fn the_state_tells_dirty_untracked_and_shallow() {
        let (keep, checkout) = repository();
        let state = checkout.state().expect("git works").expect("a repository");
        assert!(!state.dirty && !state.shallow && state.untracked.is_empty());
        fs::write(checkout.dir.join("flake.nix"), "{ a = 1; }").expect("written");
        fs::write(checkout.dir.join("new.nix"), "").expect("written");
        let state = checkout.state().expect("git works").expect("a repository");
        assert!(state.dirty);
        assert_eq!(state.untracked, ["new.nix"]);

        let clone = keep.path().join("clone");
        Command::new("git")
            .args(["clone", "--quiet", "--depth", "1"])
            .arg(format!("file://{}", checkout.dir.display()))
            .arg(&clone)
            .read()
            .expect("git clone");
        let clone = Checkout::find(Some(&clone)).expect("a checkout");
        assert!(
            clone
                .state()
                .expect("git works")
                .expect("a repository")
                .shallow
        );
    }

    #[test]
    fn a_copy_has_the_changed_files_and_not_the_untracked_ones() {
        let (keep, checkout) = repository();
        fs::write(checkout.dir.join("flake.nix"), "{ changed = 1; }").expect("written");
        fs::write(checkout.dir.join("untracked"), "").expect("written");
        let to = keep.path().join("copy");
        fs::create_dir(&to).expect("created");
        let copy = checkout.copy_to(&to).expect("copied");
        assert_eq!(
            fs::read_to_string(to.join("flake.nix")).expect("read"),
            "{ changed = 1; }"
        );
        assert!(to.join("cki-build/run").exists());
        assert!(!to.join("untracked").exists());
        assert!(copy.git.is_some());
    }

    #[test]
    fn outside_a_checkout_the_message_says_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let message = Checkout::find(Some(dir.path()))
            .expect_err("no flake")
            .to_string();
        assert!(message.contains("is not a CKI checkout"), "{message}");
    }
}
