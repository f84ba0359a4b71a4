// SPDX-License-Identifier: MIT OR Apache-2.0

//! Nobody sees hosted CI before it runs at a host, so what can be seen here is: its files are what they should be, each
//! step is a script of ours or a call of `cki-build` that it understands, and the scripts do what they say.
//! What needs the built machine is in `tests/tests/hosted_ci.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use cki_build::cli::{Cli, Command as Asked};
use cki_house::hosted::{Workflow, gitlab_jobs};
use cki_house::{root, tracked};
use clap::Parser as _;

/// How a step or a script starts the tool.
const TOOL: &str = "cargo run --release -- ";

/// The one that may more than read.
const PAGES: &str = ".github/workflows/pages.yml";

fn workflows() -> Vec<(String, Workflow)> {
    let found: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.starts_with(".github/workflows/"))
        .map(|path| {
            let workflow =
                Workflow::parse(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            (path, workflow)
        })
        .collect();
    assert!(!found.is_empty());
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Scripts of CI and of git's hooks.
fn scripts() -> Vec<String> {
    let found: Vec<_> = tracked()
        .into_iter()
        .filter(|path| path.starts_with(".ci/") || path.starts_with(".githooks/"))
        .collect();
    assert!(found.len() >= 4, "{found:?}");
    found
}

#[test]
fn workflows_may_only_read_use_pinned_actions_and_end() {
    for (path, workflow) in workflows() {
        let permissions = serde_yaml_ng::to_string(&workflow.permissions).expect("YAML");
        assert_eq!(permissions.trim(), "contents: read", "{path}");
        for action in workflow.actions() {
            let (_, revision) = action
                .split_once('@')
                .unwrap_or_else(|| panic!("{path}: {action}"));
            let is_commit =
                revision.len() == 40 && revision.chars().all(|digit| digit.is_ascii_hexdigit());
            assert!(is_commit, "{path}: {action} may change under our feet");
        }
        for (name, job) in workflow.jobs() {
            assert!(
                job.timeout_minutes.is_some_and(|minutes| minutes < 360),
                "{path}: {name} does not end by itself"
            );
            // Who may more runs nothing of ours, and only where a fork has asked for it.
            if job.permissions.is_some() {
                assert_eq!((path.as_str(), name), (PAGES, "publish"));
                assert_eq!(
                    job.condition.as_deref(),
                    Some("vars.CKI_PAGES == 'yes' && github.ref == 'refs/heads/main'")
                );
                assert_eq!(job.lines().next(), None, "{path}: {name}");
            }
        }
    }
}

#[test]
fn the_book_is_copied_so_that_it_can_be_changed() {
    let dir = tempfile::tempdir().expect("a folder");
    let site = dir.path().join("out/share/doc/cki");
    fs::create_dir_all(site.join("try")).expect("made");
    for file in ["index.html", "try/a.html"] {
        let file = site.join(file);
        fs::write(&file, "page").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).expect("set");
    }
    let tool = dir.path().join("tool");
    let text = format!(
        "#!/bin/sh\n[ \"$*\" = 'build cki-docs' ] && echo {}\n",
        dir.path().join("out").display()
    );
    fs::write(&tool, text).expect("written");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("set");
    let copy = dir.path().join("site");
    let run = |tool: &Path| {
        let mut command = Command::new(root().join(".ci/pages"));
        command.arg(&copy).env("CKI_BUILD", tool);
        command.output().expect("it starts").status
    };
    assert!(!run(Path::new("false")).success());
    assert!(!copy.exists());
    assert!(run(&tool).success());
    for file in ["index.html", "try/a.html"] {
        let mode = fs::metadata(copy.join(file)).expect("a file").permissions();
        assert_eq!(mode.mode() & 0o200, 0o200, "{file}");
    }
}

/// Ubuntu from 23.10 on does not let programs mount in user namespaces, which `doctor`, the last step of `.ci/prepare`,
/// takes for missing. A container has its host's kernel.
#[test]
fn jobs_run_where_doctor_finds_nothing_missing() {
    for (path, workflow) in workflows() {
        for (name, job) in workflow.jobs() {
            assert_eq!(job.runs_on, "ubuntu-22.04", "{path}: {name}");
        }
    }
}

/// Whether a line runs tests or builds, for which `.ci/prepare` installs what is needed, Nix among it, and which need
/// namespaces and mounts.
fn needs_preparation(line: &str) -> bool {
    [".ci/quick", ".ci/run", ".ci/pages", TOOL]
        .iter()
        .any(|start| line.starts_with(start))
}

#[test]
fn jobs_that_test_or_build_are_prepared_and_may_make_namespaces() {
    let is_prepared = |lines: &[&str]| {
        let first = lines.iter().position(|line| needs_preparation(line));
        let prepared = lines.iter().position(|line| *line == ".ci/prepare");
        first.is_none_or(|first| prepared.is_some_and(|prepared| prepared < first))
    };
    let mut seen = 0;
    for (path, workflow) in workflows() {
        for (name, job) in workflow.jobs() {
            let lines: Vec<_> = job.lines().collect();
            assert!(is_prepared(&lines), "{path}: {name}: {lines:?}");
            if lines.iter().any(|line| needs_preparation(line)) {
                let options = job.container.as_ref().and_then(|it| it.options.as_deref());
                assert_eq!(options, Some("--privileged"), "{path}: {name}");
                seen += 1;
            }
        }
    }
    for (name, lines) in gitlab_jobs(&read(".gitlab-ci.yml")).expect("YAML") {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert!(is_prepared(&lines), "{name}: {lines:?}");
        seen += usize::from(lines.iter().any(|line| needs_preparation(line)));
    }
    assert!(seen >= 8, "{seen} jobs");
}

#[test]
fn each_step_is_a_script_of_ours_or_a_call_that_cki_build_understands() {
    let mut lines: Vec<(String, String)> = Vec::new();
    for (path, workflow) in workflows() {
        lines.extend(workflow.lines().map(|line| (path.clone(), line.to_owned())));
    }
    let gitlab = ".gitlab-ci.yml";
    let jobs = gitlab_jobs(&read(gitlab)).expect("YAML");
    let more = jobs.into_values().flatten();
    lines.extend(more.map(|line| (gitlab.to_owned(), line)));
    assert!(lines.len() >= 10, "{lines:?}");
    for (path, line) in lines {
        if let Some(arguments) = line.strip_prefix(TOOL) {
            understood(&path, arguments);
        } else {
            let script = line.split(' ').next().unwrap_or_default();
            assert!(
                scripts().iter().any(|known| known == script),
                "{path}: {line}"
            );
        }
    }
}

#[test]
fn what_scripts_ask_of_cki_build_it_understands() {
    let mut seen = 0;
    for path in scripts() {
        for line in read(&path)
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
        {
            let Some((_, arguments)) = line.split_once(TOOL) else {
                continue;
            };
            if !arguments.starts_with("\"$@\"") {
                understood(&path, arguments);
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "check and doctor, at least");
}

/// Whether the tool's own parser takes the arguments, and the flake has the outputs that they name.
fn understood(path: &str, arguments: &str) {
    let words = shell_words::split(arguments)
        .unwrap_or_else(|error| panic!("{path}: {arguments}: {error}"));
    let all = ["cki-build".to_owned()].into_iter().chain(words);
    let cli =
        Cli::try_parse_from(all).unwrap_or_else(|error| panic!("{path}: {arguments}: {error}"));
    let packages = read("nix/packages.nix");
    let attrs = match cli.command {
        Asked::Verify(verify) => verify.attrs,
        Asked::Build(build) => build.attrs,
        _ => Vec::new(),
    };
    for attr in attrs {
        assert!(
            packages.contains(&format!("\n  {attr} = ")),
            "{path}: the flake has no {attr}"
        );
    }
}

#[test]
fn scripts_are_executable_and_bash_reads_them() {
    for path in scripts() {
        let file = root().join(&path);
        let mode = file.metadata().expect("a file").permissions().mode();
        assert!(mode & 0o111 == 0o111, "{path} is not executable");
        assert!(read(&path).starts_with("#!/usr/bin/env bash\n"), "{path}");
        let output = Command::new("bash")
            .arg("-n")
            .arg(&file)
            .output()
            .expect("bash starts");
        assert!(output.status.success(), "{path}: {}", text(&output.stderr));
    }
}

/// The script calls what a fresh machine has; here stand-ins write down how.
#[test]
fn prepare_installs_what_is_needed_and_asks_doctor() {
    let scratch = tempfile::tempdir().expect("a folder");
    let log = scratch.path().join("log");
    for name in ["apt-get", "rustup", "git", "cargo"] {
        let stand_in = scratch.path().join(name);
        let script = format!("#!/bin/sh\necho {name} \"$@\" >> {}\n", log.display());
        fs::write(&stand_in, script).expect("a stand-in");
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let path = format!("{}:/usr/bin:/bin", scratch.path().display());
    let output = Command::new(root().join(".ci/prepare"))
        .env("PATH", path)
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let calls = fs::read_to_string(log).expect("what was called");
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(calls[0], "apt-get update");
    let installed: Vec<_> = calls[1].split(' ').collect();
    assert_eq!(installed[..2], ["apt-get", "install"]);
    for package in ["gcc", "git", "gpgv", "nix-bin"] {
        assert!(installed.contains(&package), "{calls:?}");
    }
    assert_eq!(calls[2], "rustup component add clippy rustfmt");
    assert_eq!(
        calls[3],
        format!(
            "git config --global --add safe.directory {}",
            root().display()
        )
    );
    assert_eq!(calls[4], "cargo run --release -- doctor");
}

/// By stand-ins for cargo and a database: the first is told where the second is, as long as it is there.
#[test]
fn advisories_are_looked_for_in_a_folder_or_in_a_clone() {
    let scratch = tempfile::tempdir().expect("a folder");
    let log = scratch.path().join("log");
    let stand_in = scratch.path().join("cargo");
    let script = format!(
        "#!/bin/sh\nls \"$CKI_ADVISORIES\" > {0}\necho \"$@\" >> {0}\n",
        log.display()
    );
    fs::write(&stand_in, script).expect("a stand-in");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("a mode");
    let database = scratch.path().join("database");
    fs::create_dir_all(database.join("crates")).expect("a folder");
    fs::write(database.join("crates/README"), "").expect("a file");
    let path = format!("{}:/usr/bin:/bin", scratch.path().display());
    let run = |program: &Path, arguments: &[&str], folder: &Path| {
        Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env("PATH", &path)
            .env("TMPDIR", scratch.path())
            .output()
            .expect("it starts")
    };
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "crates"],
        &[
            "-c",
            "user.name=A",
            "-c",
            "user.email=a@example.org",
            "-c",
            "commit.gpgsign=false",
            "commit",
            "--quiet",
            "--message",
            "a: b",
        ],
    ] {
        let output = run(Path::new("git"), arguments, &database);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let look = |database: &str| {
        let _ = fs::remove_file(&log);
        run(&root().join(".ci/advisories"), &[database], scratch.path())
    };
    let address = format!("file://{}", database.display());
    for place in ["database", &address] {
        let output = look(place);
        assert!(output.status.success(), "{place}: {}", text(&output.stderr));
        assert_eq!(
            fs::read_to_string(&log).expect("it was called"),
            "crates\ntest -p cki-house --test advisories\n"
        );
    }
    let nowhere = look(&format!("{address}-not"));
    assert!(!nowhere.status.success() && !log.exists(), "{nowhere:?}");
    // What was cloned is gone.
    let left = fs::read_dir(scratch.path()).expect("a folder").count();
    assert_eq!(left, ["cargo", "database"].len());
}

/// What nobody asks for is not seen: crates and actions that have newer versions, advisories about crates.
#[test]
fn newer_versions_and_advisories_are_looked_for_every_week() {
    let found: Dependabot =
        serde_yaml_ng::from_str(&read(".github/dependabot.yml")).expect("what was expected");
    assert_eq!(found.version, 2);
    let of = |ecosystem: &str| {
        let mut updates = found
            .updates
            .iter()
            .filter(|one| one.package_ecosystem == ecosystem);
        let update = updates.next().unwrap_or_else(|| panic!("no {ecosystem}"));
        assert_eq!(update.schedule.interval, "weekly", "{ecosystem}");
        update
    };
    assert_eq!(of("github-actions").directory.as_deref(), Some("/"));
    let locks: Vec<_> = tracked()
        .into_iter()
        .filter_map(|path| {
            let folder = path.strip_suffix("Cargo.lock")?;
            Some(format!("/{}", folder.trim_end_matches('/')))
        })
        .collect();
    assert_eq!(of("cargo").directories, locks);

    let weekly: Vec<_> = workflows()
        .into_iter()
        .filter(|(path, _)| read(path).contains("\n  schedule:\n"))
        .collect();
    let looks = weekly.iter().any(|(_, workflow)| {
        workflow
            .lines()
            .any(|line| line.starts_with(".ci/advisories "))
    });
    assert!(looks, "no workflow that runs by itself");
}

#[derive(serde::Deserialize)]
struct Dependabot {
    version: u32,
    updates: Vec<Update>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Update {
    package_ecosystem: String,
    directory: Option<String>,
    #[serde(default)]
    directories: Vec<String>,
    schedule: Schedule,
}

#[derive(serde::Deserialize)]
struct Schedule {
    interval: String,
}

/// The hook of git runs the quick checks of what is staged; cargo is a stand-in that writes down how it is called.
#[test]
fn the_hook_checks_the_crates_that_are_touched_and_refuses_blanks() {
    let scratch = tempfile::tempdir().expect("a folder");
    let log = scratch.path().join("log");
    let stand_in = scratch.path().join("cargo");
    let script = format!("#!/bin/sh\necho \"$@\" >> {}\n", log.display());
    fs::write(&stand_in, script).expect("a stand-in");
    fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).expect("a mode");
    let repository = scratch.path().join("repository");
    fs::create_dir_all(repository.join("init/src")).expect("a folder");
    let write = |path: &str, text: &str| fs::write(repository.join(path), text).expect("a file");
    write("Cargo.toml", "[workspace]\nmembers = [\"init\"]\n");
    write("init/Cargo.toml", "[package]\nname = \"cki-init\"\n");
    write("init/src/main.rs", "fn main() {}\n");
    let run = |program: &std::ffi::OsStr, arguments: &[&str]| {
        let path = format!("{}:/usr/bin:/bin", scratch.path().display());
        let mut command = Command::new(program);
        let command = command.current_dir(&repository).args(arguments);
        command.env("PATH", path).output().expect("it starts")
    };
    let hook = root().join(".githooks/pre-commit");
    let staged = |arguments: &[&str]| {
        assert!(
            run("git".as_ref(), arguments).status.success(),
            "{arguments:?}"
        );
        run(hook.as_os_str(), &[])
    };
    assert!(run("git".as_ref(), &["init", "--quiet"]).status.success());
    let nothing = run(hook.as_os_str(), &[]);
    assert!(
        nothing.status.success() && !log.exists(),
        "{}",
        text(&nothing.stderr)
    );

    let good = staged(&["add", "init/src/main.rs"]);
    assert!(good.status.success(), "{}", text(&good.stderr));
    let calls = fs::read_to_string(&log).expect("what was called");
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(
        calls,
        [
            "fmt --all --check",
            "clippy --quiet --all-targets --package=cki-init -- --deny warnings",
            "test --quiet --package cki-house --test licences --test files --test walls",
        ]
    );

    // What stands apart is looked at by itself, and a patch has blanks where others must not.
    fs::create_dir_all(repository.join("apart/src")).expect("a folder");
    write(
        "apart/Cargo.toml",
        "[package]\nname = \"apart\"\n\n[workspace]\n",
    );
    write("apart/src/main.rs", "fn main() {}\n");
    write(
        "one.patch",
        "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n \n-x\n+y\n",
    );
    fs::copy(
        root().join(".gitattributes"),
        repository.join(".gitattributes"),
    )
    .expect("a copy");
    fs::remove_file(&log).expect("it was there");
    let apart = staged(&["add", "apart", "one.patch", ".gitattributes"]);
    assert!(apart.status.success(), "{}", text(&apart.stdout));
    let calls = fs::read_to_string(&log).expect("what was called");
    let manifest = "--manifest-path apart/Cargo.toml";
    for call in [
        format!("fmt {manifest} --check"),
        format!("clippy --quiet {manifest} --all-targets -- --deny warnings"),
    ] {
        assert!(calls.lines().any(|line| line == call), "{calls}");
    }

    write("init/src/main.rs", "fn main() {} \n");
    let blank = staged(&["add", "init/src/main.rs"]);
    assert!(!blank.status.success(), "{}", text(&blank.stdout));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
