// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the machine's apt gets its packages from (sources.list(5)).
//!
//! Only `http`, `https`, `file` and `mirror+file` URIs are used; `cdrom:` and other entries are passed over, as are
//! disabled ones. `mirror+file` names a list of mirrors (apt-transport-mirror(1)); Debian's cloud images are configured
//! so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::control::{self, ControlError};

/// One archive that apt is configured for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Base URI without a slash at the end; `dists/` and `pool/` are below it.
    pub uri: String,
    /// Name of the suite.
    pub suite: String,
    /// Components (`main`, ...); empty for a flat archive.
    pub components: Vec<String>,
    /// Keyring file that apt checks this archive with.
    pub signed_by: Option<PathBuf>,
    /// The file that configures it.
    pub file: PathBuf,
}

/// Why apt's configuration cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum AptSourcesError {
    /// A file or directory cannot be read.
    #[error("cannot read apt's configuration {file}: {cause}")]
    Read {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// A `.sources` file is not made of paragraphs.
    #[error("cannot understand apt's configuration {file}: {cause}")]
    Control {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        cause: ControlError,
    },
    /// A line of a `.list` file that apt would refuse.
    #[error("cannot understand apt's configuration {file}, line {line}: '{text}'")]
    Line {
        /// The file.
        file: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
}

/// Reads `sources.list` and `sources.list.d/*.{list,sources}` of a directory such as `/etc/apt`, in the order in which
/// apt reads them. A missing directory has no sources.
///
/// # Errors
/// See [`AptSourcesError`].
pub fn read_directory(directory: &Path) -> Result<Vec<Source>, AptSourcesError> {
    let mut files = vec![directory.join("sources.list")];
    let parts = directory.join("sources.list.d");
    let mut more = match fs::read_dir(&parts) {
        Ok(entries) => entries
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|cause| AptSourcesError::Read { file: parts, cause })?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(AptSourcesError::Read { file: parts, cause }),
    };
    more.sort();
    files.extend(more);
    let mut sources = Vec::new();
    for file in files {
        let is_deb822 = match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => true,
            Some("list") => false,
            _ => continue,
        };
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(cause) => return Err(AptSourcesError::Read { file, cause }),
        };
        let found = if is_deb822 {
            parse_deb822(&text, &file)?
        } else {
            parse_one_line(&text, &file)?
        };
        for source in found {
            match source.uri.strip_prefix(MIRROR_LIST) {
                Some(list) => sources.extend(expand(&source, Path::new(list))?),
                None => sources.push(source),
            }
        }
    }
    Ok(sources)
}

/// How the URI of a list of mirrors begins; the list's path follows.
const MIRROR_LIST: &str = "mirror+file:";

/// The sources that a list of mirrors stands for: one URI a line, perhaps followed by a tab and properties.
fn expand(source: &Source, list: &Path) -> Result<Vec<Source>, AptSourcesError> {
    let read = |cause| AptSourcesError::Read {
        file: list.into(),
        cause,
    };
    let text = fs::read_to_string(list).map_err(read)?;
    let uris = text.lines().filter(|line| !line.starts_with('#'));
    let uris = uris.filter_map(|line| line.split_whitespace().next());
    let usable = uris.filter(|uri| has_usable_scheme(uri));
    let with_uri = |uri: &str| Source {
        uri: uri.trim_end_matches('/').into(),
        ..source.clone()
    };
    Ok(usable.map(with_uri).collect())
}

fn has_usable_scheme(uri: &str) -> bool {
    let schemes = ["http://", "https://", "file:"];
    schemes.iter().any(|scheme| uri.starts_with(scheme))
}

fn source(
    uri: &str,
    suite: &str,
    components: &[String],
    signed_by: Option<&str>,
    file: &Path,
) -> Option<Source> {
    let uri = uri.trim_end_matches('/');
    if !has_usable_scheme(uri) && !uri.starts_with(MIRROR_LIST) {
        return None;
    }
    // Suites that end in a slash are flat archives without dists/: nothing of Debian's is there.
    if suite.ends_with('/') {
        return None;
    }
    // Fingerprints and keys inside the file are possible too; only keyring files can be given to gpgv.
    let signed_by = signed_by
        .filter(|s| s.starts_with('/') && !s.contains(char::is_whitespace))
        .map(PathBuf::from);
    Some(Source {
        uri: uri.into(),
        suite: suite.into(),
        components: components.to_vec(),
        signed_by,
        file: file.into(),
    })
}

/// Reads the contents of a `.sources` file.
///
/// # Errors
/// [`AptSourcesError::Control`].
pub fn parse_deb822(text: &str, file: &Path) -> Result<Vec<Source>, AptSourcesError> {
    let paragraphs = control::parse(text).map_err(|cause| AptSourcesError::Control {
        file: file.into(),
        cause,
    })?;
    let mut sources = Vec::new();
    for p in &paragraphs {
        // Values as in apt's StringToBool.
        let disabled = p.get("Enabled").is_some_and(|v| {
            ["no", "false", "without", "off", "disable", "0"]
                .contains(&v.to_ascii_lowercase().as_str())
        });
        let architecture_fits =
            p.get("Architectures").is_none() || p.words("Architectures").any(|w| w == "amd64");
        if disabled || !architecture_fits || !p.words("Types").any(|w| w == "deb" || w == "deb-src")
        {
            continue;
        }
        let components: Vec<String> = p.words("Components").map(str::to_owned).collect();
        for uri in p.words("URIs") {
            let per_suite = |suite| source(uri, suite, &components, p.get("Signed-By"), file);
            sources.extend(p.words("Suites").filter_map(per_suite));
        }
    }
    Ok(sources)
}

/// Reads the contents of a `.list` file: `deb [option=value...] URI suite [component...]`.
///
/// # Errors
/// [`AptSourcesError::Line`].
pub fn parse_one_line(text: &str, file: &Path) -> Result<Vec<Source>, AptSourcesError> {
    let mut sources = Vec::new();
    for (number, whole) in text.lines().enumerate() {
        let line = whole.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let refused = || AptSourcesError::Line {
            file: file.into(),
            line: number + 1,
            text: whole.into(),
        };
        let (kind, rest) = line.split_once(char::is_whitespace).ok_or_else(refused)?;
        if kind != "deb" && kind != "deb-src" {
            return Err(refused());
        }
        let (options, rest) = match rest.trim_start().strip_prefix('[') {
            Some(rest) => rest.split_once(']').ok_or_else(refused)?,
            None => ("", rest),
        };
        // Options may have spaces around the brackets, but not around the equals sign.
        let option = |name: &str| {
            options.split_whitespace().find_map(|o| {
                o.split_once('=')
                    .filter(|(n, _)| *n == name)
                    .map(|(_, v)| v)
            })
        };
        let words: Vec<&str> = rest.split_whitespace().collect();
        let [uri, suite, components @ ..] = &words[..] else {
            return Err(refused());
        };
        if option("arch").is_some_and(|list| !list.split(',').any(|a| a == "amd64")) {
            continue;
        }
        let components: Vec<String> = components.iter().map(ToString::to_string).collect();
        sources.extend(source(uri, suite, &components, option("signed-by"), file));
    }
    Ok(sources)
}

/// The suite that a backports, updates or proposed suite belongs to: `bookworm` for `bookworm-backports`.
#[must_use]
pub fn main_suite(suite: &str) -> &str {
    const SUFFIXES: [&str; 4] = [
        "-backports-sloppy",
        "-backports",
        "-proposed-updates",
        "-updates",
    ];
    SUFFIXES
        .iter()
        .find_map(|suffix| suite.strip_suffix(suffix))
        .unwrap_or(suite)
}

/// Names of suites that only the Debian archive itself uses. An archive that serves one of them serves the others too,
/// so a machine with another release of Debian needs no further configuration.
const DEBIAN_SUITES: &[&str] = &[
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
];

/// The archives to try for a component of a suite, best first, without repetition: those configured for it; else those
/// configured for the suite it belongs to; else those configured for any release of Debian.
#[must_use]
pub fn archives_for<'a>(sources: &'a [Source], suite: &str, component: &str) -> Vec<&'a Source> {
    let serving = |fits: &dyn Fn(&str) -> bool| {
        let mut found: Vec<&Source> = Vec::new();
        for source in sources
            .iter()
            .filter(|s| s.components.iter().any(|c| c == component) && fits(&s.suite))
        {
            if !found.iter().any(|f| f.uri == source.uri) {
                found.push(source);
            }
        }
        found
    };
    [
        serving(&|its| its == suite),
        serving(&|its| its == main_suite(suite)),
        serving(&|its| DEBIAN_SUITES.contains(&main_suite(its))),
    ]
    .into_iter()
    .find(|found| !found.is_empty())
    .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# The usual file
Types: deb deb-src
URIs: http://mirror.example.org/debian/
Suites: bookworm bookworm-updates
Components: main
# a comment inside
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example.org/debian-security
Suites: bookworm-security
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: http://disabled.example.org/debian
Suites: bookworm
Components: main
";

    const ONE_LINE: &str = "\
# deb http://comment.example.org/debian bookworm main
deb [arch=amd64 signed-by=/etc/k.gpg] https://a.example.org/debian bookworm main contrib # why
deb-src https://b.example.org/debian/ bookworm main
deb [ arch=arm64 ] https://arm.example.org/debian bookworm main
deb cdrom:[Debian]/ bookworm main
deb https://flat.example.org/ ./
deb file:/srv/mirror bookworm-backports main
";

    fn deb822() -> Vec<Source> {
        parse_deb822(DEB822, Path::new("t.sources")).unwrap()
    }

    fn one_line() -> Vec<Source> {
        parse_one_line(ONE_LINE, Path::new("t.list")).unwrap()
    }

    fn uris<'a>(sources: &'a [Source], suite: &str) -> Vec<&'a str> {
        archives_for(sources, suite, "main")
            .iter()
            .map(|s| s.uri.as_str())
            .collect()
    }

    #[test]
    fn both_formats_are_read_without_what_is_disabled_or_of_no_use() {
        let suites: Vec<_> = deb822().into_iter().map(|s| s.suite).collect();
        assert_eq!(
            suites,
            ["bookworm", "bookworm-updates", "bookworm-security"]
        );
        assert_eq!(
            deb822()[0].signed_by.as_deref(),
            Some(Path::new("/usr/share/keyrings/debian-archive-keyring.gpg"))
        );
        assert_eq!(deb822()[2].signed_by, None);
        let sources = one_line();
        let found: Vec<_> = sources.iter().map(|s| s.uri.as_str()).collect();
        assert_eq!(
            found,
            [
                "https://a.example.org/debian",
                "https://b.example.org/debian",
                "file:/srv/mirror"
            ]
        );
        assert_eq!(sources[0].components, ["main", "contrib"]);
        assert_eq!(
            sources[0].signed_by.as_deref(),
            Some(Path::new("/etc/k.gpg"))
        );
    }

    #[test]
    fn a_suite_that_is_not_configured_comes_from_the_archive_of_its_release() {
        assert_eq!(
            uris(&deb822(), "bookworm"),
            ["http://mirror.example.org/debian"]
        );
        assert_eq!(
            uris(&deb822(), "bookworm-backports"),
            ["http://mirror.example.org/debian"]
        );
        assert_eq!(
            uris(&one_line(), "bookworm-backports"),
            ["file:/srv/mirror"]
        );
        assert_eq!(
            uris(&one_line(), "bookworm"),
            [
                "https://a.example.org/debian",
                "https://b.example.org/debian"
            ]
        );
    }

    #[test]
    fn another_release_of_debian_serves_too_but_another_distribution_does_not() {
        let list = |suite: &str| {
            parse_one_line(
                &format!("deb http://x.example.org/debian {suite} main"),
                Path::new("t"),
            )
            .unwrap()
        };
        assert_eq!(
            uris(&list("trixie"), "bookworm"),
            ["http://x.example.org/debian"]
        );
        assert_eq!(uris(&list("jammy"), "bookworm"), [""; 0]);
        // The security archive has no releases in it.
        assert_eq!(uris(&list("trixie-security"), "bookworm"), [""; 0]);
    }

    #[test]
    fn what_apt_would_refuse_is_refused_with_its_place() {
        let error = parse_one_line(
            "\ndebian http://example.org x main\n",
            Path::new("/etc/apt/sources.list"),
        )
        .unwrap_err();
        assert!(
            error.to_string().contains("/etc/apt/sources.list, line 2"),
            "{error}"
        );
        assert!(
            parse_one_line("deb [arch=amd64 http://example.org x main", Path::new("t")).is_err()
        );
        assert!(parse_one_line("deb http://example.org", Path::new("t")).is_err());
        assert!(parse_deb822("Types deb\n", Path::new("t")).is_err());
    }

    #[test]
    fn a_directory_is_read_in_apts_order_with_its_lists_of_mirrors() {
        let dir = tempfile::tempdir().unwrap();
        let parts = dir.path().join("sources.list.d");
        fs::create_dir(&parts).unwrap();
        let line = |host: &str| format!("deb http://{host}.example.org/debian bookworm main\n");
        fs::write(dir.path().join("sources.list"), line("first")).unwrap();
        fs::write(parts.join("b.list"), line("third")).unwrap();
        fs::write(parts.join("a.sources"), DEB822).unwrap();
        fs::write(parts.join("c.list.save"), "not for apt").unwrap();
        let found = read_directory(dir.path()).unwrap();
        assert_eq!(
            uris(&found, "bookworm"),
            [
                "http://first.example.org/debian",
                "http://mirror.example.org/debian",
                "http://third.example.org/debian"
            ]
        );
        fs::write(
            dir.path().join("mirrors"),
            "# near\nhttp://near.example.org/debian/\tpriority:1\nftp://x\n",
        )
        .unwrap();
        let list = format!(
            "deb mirror+file:{}/mirrors bookworm main\n",
            dir.path().display()
        );
        fs::write(dir.path().join("sources.list"), list).unwrap();
        let found = read_directory(dir.path()).unwrap();
        assert_eq!(
            uris(&found, "bookworm")[0],
            "http://near.example.org/debian"
        );
        fs::remove_file(dir.path().join("mirrors")).unwrap();
        assert!(matches!(
            read_directory(dir.path()),
            Err(AptSourcesError::Read { .. })
        ));
        assert!(
            read_directory(Path::new("/nonexistent"))
                .unwrap()
                .is_empty()
        );
    }
}
