// SPDX-License-Identifier: MIT OR Apache-2.0

//! `nix fmt [-- --check] [PATH...]`: rewrites Nix files in the style of nixpkgs, or names those that are not in it.
//!
//! Of folders, and of the current one when no path is given, it takes the files that end in `.nix`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

fn main() -> ExitCode {
    let (options, mut paths): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|word| word.starts_with('-'));
    let check = match options.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: nix fmt [-- --check] [PATH...]");
            return ExitCode::from(125);
        }
    };
    if paths.is_empty() {
        paths.push(".".to_owned());
    }
    let mut files = Vec::new();
    for path in paths {
        if let Err(error) = collect(Path::new(&path), &mut files) {
            eprintln!("{path}: {error}");
            return ExitCode::from(125);
        }
    }
    files.sort();
    let mut left = false;
    for file in &files {
        match format(file, check) {
            Ok(false) => {}
            Ok(true) if check => {
                println!("{}: not formatted", file.display());
                left = true;
            }
            Ok(true) => println!("{}: formatted", file.display()),
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                return ExitCode::from(125);
            }
        }
    }
    ExitCode::from(u8::from(left))
}

/// Adds `path` if it is a file, and the Nix files below it if it is a folder; hidden ones and what cargo builds are
/// left out.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        if kind.is_dir() {
            if !name.to_string_lossy().starts_with('.') && name != "target" {
                collect(&path, files)?;
            }
        } else if kind.is_file() && path.extension().is_some_and(|end| end == "nix") {
            files.push(path);
        }
    }
    Ok(())
}

/// Whether the file was not in the style; it is now, unless it is only checked.
fn format(file: &Path, check: bool) -> io::Result<bool> {
    let text = fs::read_to_string(file)?;
    let formatted = nixpkgs_fmt::reformat_string(&text);
    let differs = formatted != text;
    if differs && !check {
        fs::write(file, formatted)?;
    }
    Ok(differs)
}
