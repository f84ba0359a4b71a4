// SPDX-License-Identifier: MIT OR Apache-2.0

//! A Nix store of its own for each test.

use std::path::Path;
use std::process::Command;

use cki_nix::Nix;
use cki_nix::settings::Situation;

/// A store below `root`, which must exist. The store is not the machine's, so a test can neither see nor change that.
pub fn isolated(root: &Path) -> Nix {
    let found = Command::new("nix-store").arg("--version").output();
    assert!(
        found.is_ok(),
        "this test needs Nix: install it with `apt-get install nix-bin`"
    );
    let root = root.canonicalize().unwrap();
    let store = root.join("store");
    let mut nix = Nix {
        store: store.clone(),
        ..Nix::new(&Situation {
            root: true,
            ..Situation::default()
        })
    };
    for (name, directory) in [
        ("NIX_STORE_DIR", store),
        ("NIX_STATE_DIR", root.join("var")),
        ("NIX_LOG_DIR", root.join("log")),
        ("NIX_CONF_DIR", root.join("etc")),
    ] {
        nix.env.insert(name.into(), directory.into());
    }
    nix.env.insert("NIX_REMOTE".into(), "".into());
    nix
}

/// What a `nix-store` command prints.
pub fn query(nix: &Nix, args: &[&str]) -> String {
    let output = Command::new(&nix.nix_store)
        .args(args)
        .envs(&nix.env)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
