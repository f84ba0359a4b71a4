// SPDX-License-Identifier: MIT OR Apache-2.0

//! `cki-build run --oci` and `--closure`: images of other container engines, and paths of the Nix store, in a
//! container. What archives may be is tested in `crates/oci`; here the kernel reads what that makes of them.

#[path = "../../crates/oci/tests/make/mod.rs"]
#[allow(dead_code, reason = "made for other tests, too")]
mod make;

#[path = "oci/tools.rs"]
mod tools;

use std::ffi::OsStr;
use std::path::Path;

use cki_nix::Nix;
use cki_tests::{Output, cki};
use make::{Layer, config, gzip, oci};
use serde_json::json;
use tar::EntryType;

/// A static program that is a shell and all else.
fn busybox() -> Vec<u8> {
    let words = [
        "run",
        "--deb",
        "busybox-static",
        "--",
        "cat",
        "/bin/busybox",
    ];
    let output = cki(words.map(OsStr::new));
    assert_eq!(output.status, 0, "{}", output.stderr);
    output.stdout
}

fn run(image: &Path, options: &[&str], command: &[&str]) -> Output {
    let words = [OsStr::new("run"), OsStr::new("--oci"), image.as_os_str()];
    let words = words.into_iter().chain(options.iter().map(OsStr::new));
    let command = command.iter().map(OsStr::new);
    cki(words.chain([OsStr::new("--")]).chain(command))
}

#[test]
fn an_image_of_two_layers_runs_as_its_configuration_says() {
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    let mut lower = Layer::new()
        .entry(EntryType::Regular, "bin/busybox", 0o755, &busybox())
        .link(EntryType::Symlink, "bin/sh", "busybox")
        .file(
            "etc/passwd",
            b"root:x:0:0::/:/bin/sh\napp:x:1000:1001::/srv:/bin/sh\n",
        )
        .file("etc/group", b"root:x:0:\napp:x:1001:\n")
        .file("etc/gone", b"lower")
        .file("etc/changed", b"lower")
        .file("dir/lower", b"")
        .file("shared/lower", b"")
        .entry(EntryType::Regular, "large", 0o4750, &large)
        .link(EntryType::Link, "also-large", "large")
        .pax("SCHILY.xattr.user.note", b"kept")
        .file("noted", b"")
        .entry(EntryType::Directory, "srv/", 0o1777, b"");
    for n in 0..500 {
        lower = lower.file(&format!("many/file-{n}"), n.to_string().as_bytes());
    }
    let upper = Layer::new()
        .file("etc/.wh.gone", b"")
        .file("etc/changed", b"upper")
        .file("dir/.wh..wh..opq", b"")
        .file("dir/upper", b"")
        .file("shared/upper", b"");
    let layers = [lower.bytes(), upper.bytes()];
    let script = "/bin/busybox id -u; /bin/busybox id -g; /bin/busybox pwd; echo $X; \
        B=/bin/busybox; $B ls /dir /shared; $B cat /etc/changed; echo; $B test -e /etc/gone || echo gone; \
        $B stat -c '%a %h %s' /large /also-large; $B ls /many | $B wc -l; $B cat /many/file-499; echo; \
        echo x > /data/x && echo written; $B touch /srv/x && echo too";
    let mut config = config(&layers);
    config["config"] = json!({
        "User": "app", "Env": ["X=image"], "WorkingDir": "/srv", "Volumes": {"/data": {}},
        "Entrypoint": ["/bin/sh", "-c"], "Cmd": [script], "ExposedPorts": {"80/tcp": {}},
    });
    let dir = tempfile::tempdir().expect("a directory");
    let image = dir.path().join("image.tar");
    oci(&config, &layers.clone().map(|layer| gzip(&layer))).archive(&image);

    let output = run(&image, &[], &[]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let expected = "1000\n1001\n/srv\nimage\n/dir:\nupper\n\n/shared:\nlower\nupper\nupper\ngone\n\
                    4750 2 3000000\n4750 2 3000000\n500\n499\nwritten\ntoo\n";
    assert_eq!(output.text(), expected, "{}", output.stderr);

    // The layers are there now, so there is nothing to say of them; of the port there is, which nobody has published.
    let output = run(&image, &[], &[]);
    let port =
        "cki-build: the image says that its program listens on 80/tcp; -p publishes a port\n";
    assert_eq!(output.stderr, port);

    // What the user says wins; the contents of a large file come back whole.
    let output = run(
        &image,
        &[
            "--user",
            "root",
            "--entrypoint",
            "/bin/busybox",
            "--env",
            "X=user",
            "--workdir",
            "/",
        ],
        &[
            "sh",
            "-c",
            "/bin/busybox pwd; echo $X; exec /bin/busybox cat /large",
        ],
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    let expected = [b"/\nuser\n", &large[..]].concat();
    assert!(output.stdout == expected, "{} bytes", output.stdout.len());

    // A program that the image does not have, and a user.
    let output = run(&image, &["--entrypoint", "/bin/nosuch"], &[]);
    assert_eq!(output.status, 127, "{}", output.stderr);
    let output = run(&image, &["--user", "nosuch"], &["true"]);
    assert_eq!(output.status, 125, "{}", output.stderr);
}

#[test]
fn the_stop_signal_of_an_image_is_what_its_program_gets_when_its_time_is_over() {
    let layer = Layer::new()
        .entry(EntryType::Regular, "bin/busybox", 0o755, &busybox())
        .link(EntryType::Symlink, "bin/sh", "busybox");
    let layers = [layer.bytes()];
    let script = "for name in HUP INT QUIT USR1 USR2 TERM; do trap \"echo $name; exit\" $name; done; \
        while :; do /bin/busybox sleep 0.1; done";
    let mut config = config(&layers);
    config["config"] = json!({ "Cmd": ["/bin/sh", "-c", script], "StopSignal": "SIGUSR2" });
    let dir = tempfile::tempdir().expect("a directory");
    let image = dir.path().join("image.tar");
    oci(&config, &layers.clone().map(|layer| gzip(&layer))).archive(&image);
    for (options, name) in [(&[][..], "USR2\n"), (&["--stop-signal", "QUIT"], "QUIT\n")] {
        let options = [&["--timeout", "3s"], options].concat();
        let output = run(&image, &options, &[]);
        assert_eq!(
            (output.status, output.text()),
            (124, name),
            "{}",
            output.stderr
        );
    }
}

/// A store path with a program that needs another store path.
fn built(dir: &Path) -> String {
    let tools = dir.join("tools");
    let shell = tools.join("busybox");
    std::fs::create_dir(&tools).expect("made");
    std::fs::write(&shell, busybox()).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&shell, mode).expect("set");
    let script = "$builder mkdir -p $out/bin; \
        printf '#!%s sh\\necho \"hello from $0\"\\n%s ls /nix/store\\n' $builder $builder > $out/bin/hello; \
        $builder chmod 755 $out/bin/hello";
    // A program that is busybox by its name, which a store path of its own would not have.
    let expression = format!(
        "derivation {{
          name = \"hello\"; system = \"x86_64-linux\"; builder = \"${{{}}}/busybox\";
          args = [ \"sh\" \"-c\" {} ];
        }}",
        tools.display(),
        cki_nix::eval::string(script)
    );
    let words = ["build", "--impure", "--no-link", "--json", "--expr"];
    let json = Nix::current().nix().args(words).arg(expression);
    let json = json.read().expect("it is built");
    let built: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let out = built[0]["outputs"]["out"].as_str();
    out.expect("an output").to_owned()
}

#[test]
fn a_path_of_the_nix_store_runs_with_what_it_needs_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = built(dir.path());
    let link = dir.path().join("result");
    std::os::unix::fs::symlink(&path, &link).expect("linked");
    let run = |path: &Path, command: &str| {
        let words = [OsStr::new("run"), OsStr::new("--closure"), path.as_os_str()];
        cki(words.into_iter().chain(["--", command].map(OsStr::new)))
    };
    let output = run(&link, "hello");
    assert_eq!(output.status, 0, "{}", output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("hello from /usr/bin/hello"));
    let seen: Vec<&str> = lines.collect();
    assert_eq!(seen.len(), 2, "{text}");
    assert!(seen.iter().any(|name| path.ends_with(name)), "{text}");
    assert!(seen.iter().any(|name| name.ends_with("-tools")), "{text}");
    let output = run(&link, "cat");
    assert_eq!(output.status, 127, "{}", output.stderr);
    let output = run(dir.path(), "hello");
    assert_eq!(output.status, 125);
    assert!(
        output.stderr.contains("no path in the Nix store"),
        "{}",
        output.stderr
    );
}
