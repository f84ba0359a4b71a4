// SPDX-License-Identifier: MIT OR Apache-2.0

//! Paths in the image, as requests name them.

/// An absolute path in the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ImagePath<'a>(&'a str);

/// Why nothing can be mounted at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoMountPoint {
    /// It is no absolute path, or has `..`, which leads out of what is mounted around it.
    Form,
    /// It is the root itself.
    Root,
}

impl<'a> ImagePath<'a> {
    /// The path in `text`; none that is relative or has a NUL.
    pub(crate) fn new(text: &'a str) -> Option<Self> {
        (text.starts_with('/') && !text.contains('\0')).then_some(Self(text))
    }

    /// A path at which something can be mounted.
    ///
    /// # Errors
    /// [`NoMountPoint`].
    pub(crate) fn mount_point(text: &'a str) -> Result<Self, NoMountPoint> {
        let path = Self::new(text).ok_or(NoMountPoint::Form)?;
        if path.names().any(|name| name == "..") {
            return Err(NoMountPoint::Form);
        }
        match path.names().next() {
            Some(_) => Ok(path),
            None => Err(NoMountPoint::Root),
        }
    }

    /// What it goes through, one after the other, but for what changes nothing: two paths with the same names lead to
    /// the same place.
    pub(crate) fn names(self) -> impl Iterator<Item = &'a str> {
        let names = self.0.split('/');
        names.filter(|name| !matches!(*name, "" | "."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_the_image_is_absolute_and_one_for_a_mount_stays_below_the_root() {
        for text in ["", "a", "./a", "a/b", "/a\0", "\0"] {
            assert!(ImagePath::new(text).is_none(), "{text:?}");
            let refused = ImagePath::mount_point(text).unwrap_err();
            assert_eq!(refused, NoMountPoint::Form, "{text:?}");
        }
        for text in ["/..", "/a/..", "/a/../b", "/./../a"] {
            assert!(ImagePath::new(text).is_some(), "{text:?}");
            let refused = ImagePath::mount_point(text).unwrap_err();
            assert_eq!(refused, NoMountPoint::Form, "{text:?}");
        }
        for text in ["/", "//", "/.", "/./"] {
            let refused = ImagePath::mount_point(text).unwrap_err();
            assert_eq!(refused, NoMountPoint::Root, "{text:?}");
        }
        for (text, names) in [("/a", vec!["a"]), ("//a/./..b/", vec!["a", "..b"])] {
            let path = ImagePath::mount_point(text).unwrap();
            assert_eq!(path.names().collect::<Vec<_>>(), names, "{text:?}");
        }
    }
}
