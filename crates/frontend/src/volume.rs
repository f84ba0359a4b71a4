// SPDX-License-Identifier: MIT OR Apache-2.0

//! A directory of the user's, as the command line names it.

use std::path::PathBuf;
use std::str::FromStr;

use cki_session::Volume;

/// `DIR:PATH[:OPTIONS]`: what the program is to find, where, and whether it may change it (`ro` or `rw`). `z` and `Z`,
/// by which other engines have files labelled for SELinux, change nothing: a process of the user's own serves the
/// directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOption {
    /// The user's directory.
    pub directory: PathBuf,
    /// Where the program finds it.
    pub path: String,
    /// Whether nothing in it can be changed.
    pub is_read_only: bool,
}

impl VolumeOption {
    /// What a request says of it; `index` tells the volumes of a program apart.
    #[must_use]
    pub fn volume(&self, index: usize) -> Volume {
        Volume {
            name: format!("volume{index}"),
            path: self.path.clone(),
            read_only: self.is_read_only,
        }
    }
}

impl FromStr for VolumeOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A place in the image is absolute, and so no option begins as it does.
        let (rest, options) = match text.rsplit_once(':') {
            Some((rest, options)) if rest.contains(':') && !options.starts_with('/') => {
                (rest, options)
            }
            _ => (text, "rw"),
        };
        let mut is_read_only = false;
        for option in options.split(',') {
            match option {
                "ro" => is_read_only = true,
                "rw" | "z" | "Z" => {}
                _ => {
                    return Err(format!(
                        "a volume has no option {option:?}; there are ro, rw, z and Z"
                    ));
                }
            }
        }
        let Some((directory, path)) = rest.rsplit_once(':').filter(|(dir, _)| !dir.is_empty())
        else {
            return Err("expected DIR:PATH or DIR:PATH:ro".to_owned());
        };
        // What begins as no place does is a second list of options.
        let listed = |word: &str| {
            let mut words = word.split(',');
            words.all(|word| matches!(word, "ro" | "rw" | "z" | "Z"))
        };
        if directory.contains(':') && listed(path) {
            return Err(format!(
                "the options of a volume are one list, with commas: {directory}:{path},{options}"
            ));
        }
        let option = VolumeOption {
            directory: directory.into(),
            path: path.to_owned(),
            is_read_only,
        };
        option
            .volume(0)
            .check()
            .map_err(|error| error.to_string())?;
        Ok(option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_a_directory_a_place_and_perhaps_read_only() {
        for (text, directory, path, is_read_only) in [
            (".:/work", ".", "/work", false),
            ("/home/a:b:/data:ro", "/home/a:b", "/data", true),
            ("x:/ro", "x", "/ro", false),
            ("x:/y:rw", "x", "/y", false),
            (".:/work:Z", ".", "/work", false),
            (".:/work:ro,z", ".", "/work", true),
        ] {
            let expected = VolumeOption {
                directory: directory.into(),
                path: path.to_owned(),
                is_read_only,
            };
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_option_that_other_engines_have_is_named() {
        for (text, option) in [(".:/work:U", "U"), (".:/work:ro,rslave", "rslave")] {
            let error = text.parse::<VolumeOption>().unwrap_err();
            assert!(error.contains(&format!("{option:?}")), "{error}");
        }
    }

    #[test]
    fn options_with_colons_between_them_are_put_right() {
        let error = "x:/m:ro:z".parse::<VolumeOption>().unwrap_err();
        assert!(error.ends_with("commas: x:/m:ro,z"), "{error}");
        // A directory may be called so, and a colon be part of its name.
        assert!("ro:/m:ro".parse::<VolumeOption>().is_ok());
        assert!("a:b:/m:z".parse::<VolumeOption>().is_ok());
    }

    #[test]
    fn what_is_no_volume_is_refused() {
        for text in [
            "", "x", "/data", ":/data", "x:", "x:data", "x:/", "x:/..", "x:ro", "x:/a:rx",
        ] {
            assert!(text.parse::<VolumeOption>().is_err(), "{text}");
        }
    }
}
