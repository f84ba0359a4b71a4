// SPDX-License-Identifier: MIT OR Apache-2.0

//! References to what is in a vCPU's area borrow from the one `Vcpu`: it is the compiler that holds this, so it is
//! given code that breaks it, in a file more of this crate, and has to refuse each piece for its reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the pieces use.
const USE: &str =
    "use crate::area::{State, Vcpu};\nuse crate::gates;\nuse cki_ksm_core::Scratch;\n";

/// What is wrong, with a piece of code, and words of what the compiler says of it.
const MISTAKES: [(&str, &str, &str); 6] = [
    (
        "two references into an area at once",
        "pub fn f(vcpu: &mut Vcpu) -> (&mut State, &mut Scratch) { (vcpu.state(), vcpu.scratch()) }",
        "error[E0499]",
    ),
    (
        "a reference that is used when others have run",
        "pub fn f(vcpu: &mut Vcpu) { let state = vcpu.state(); gates::exit(vcpu); state.ready = 0; }",
        "error[E0499]",
    ),
    (
        "what the guest can change, held when others have run",
        "pub fn f(vcpu: &mut Vcpu) -> bool { let info = vcpu.info(); gates::exit(vcpu); info.is_ok() }",
        "error[E0502]",
    ),
    (
        "a reference that nothing ends",
        "pub fn f(vcpu: &mut Vcpu) -> &'static mut State { vcpu.state() }",
        "lifetime may not live long enough",
    ),
    (
        "a second one of a vCPU",
        "pub fn f(vcpu: Vcpu) -> (Vcpu, Vcpu) { (vcpu, vcpu) }",
        "error[E0382]",
    ),
    (
        "one that another CPU has",
        "fn given<T: Send>(_: T) {}\npub fn f(vcpu: Vcpu) { given(vcpu); }",
        "error[E0277]",
    ),
];

/// The same in the right order.
const RIGHT: &str = "pub fn f(vcpu: &mut Vcpu) -> &mut Scratch {
    let state: &mut State = vcpu.state();
    state.ready = 0;
    gates::exit(vcpu);
    vcpu.scratch()
}";

/// What this crate uses, and where it is.
const CRATES: [(&str, &str); 2] = [
    ("cki_abi", "../../abi/src/lib.rs"),
    ("cki_ksm_core", "../core/src/lib.rs"),
];

/// Where crates are compiled.
struct Place(PathBuf);

impl Place {
    fn compile(&self, name: &str, root: &Path) -> Output {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        // What is compiled already.
        let used = CRATES.iter().map(|(name, _)| *name);
        let used = used.take_while(|used| *used != name);
        Command::new(rustc)
            .args([
                "--edition",
                "2024",
                "--crate-type",
                "rlib",
                "--emit",
                "metadata",
            ])
            .args(["--crate-name", name, "-L"])
            .arg(&self.0)
            .arg("--out-dir")
            .arg(&self.0)
            .args(used.flat_map(|used| ["--extern", used]))
            .arg(root)
            .output()
            .expect("the compiler is started")
    }

    /// Compiles this crate with a file more.
    fn with(&self, piece: &str) -> Output {
        let source = self.0.join("src");
        fs::write(source.join("piece.rs"), format!("{USE}{piece}\n")).expect("it is written");
        self.compile("cki_ksm", &source.join("lib.rs"))
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A copy of this crate's source that has a file more, and the two crates that it uses.
fn place() -> Place {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("borrow");
    let source = directory.join("src");
    fs::create_dir_all(&source).expect("a directory");
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(own.join("src")).expect("the source") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            fs::copy(&path, source.join(path.file_name().expect("a name"))).expect("it is copied");
        }
    }
    let root = source.join("lib.rs");
    let text = fs::read_to_string(&root).expect("lib.rs");
    fs::write(&root, format!("{text}mod piece;\n")).expect("it is written");
    let place = Place(directory);
    for (name, root) in CRATES {
        let output = place.compile(name, &own.join(root));
        assert!(output.status.success(), "{name}: {}", words(&output));
    }
    place
}

#[test]
fn the_compiler_refuses_references_that_do_not_borrow_from_the_vcpu() {
    let place = place();
    let right = place.with(RIGHT);
    assert!(right.status.success(), "{}", words(&right));
    for (what, piece, reason) in MISTAKES {
        let output = place.with(piece);
        let said = words(&output);
        assert!(!output.status.success(), "{what} is compiled: {piece}");
        assert!(said.contains(reason), "{what}: not for {reason}: {said}");
        assert!(
            said.contains("aborting due to 1 previous error"),
            "{what}: {said}"
        );
    }
}
