// SPDX-License-Identifier: MIT OR Apache-2.0

//! The names and attributes of a file system that is being written.

use std::collections::BTreeMap;
use std::fmt;

/// Longest name of an entry, in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// Namespaces of extended attributes by the numbers that EROFS has for them; these two are names without a rest.
const NAMESPACES: [(u8, &[u8]); 5] = [
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (1, b"user."),
    (4, b"trusted."),
    (6, b"security."),
];

/// What an entry has beside its contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, with set-user-ID, set-group-ID and sticky bits (`07777`).
    pub permissions: u16,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Time of the last change, in seconds since 1970.
    pub modified: u64,
    /// Extended attributes by their whole names.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Attributes {
    /// Of root, changed in 1970, without extended attributes.
    #[must_use]
    pub const fn of_root(permissions: u16) -> Self {
        Self {
            permissions,
            user: 0,
            group: 0,
            modified: 0,
            xattrs: BTreeMap::new(),
        }
    }

    /// The extended attributes as they stand behind an inode (`struct erofs_xattr_ibody_header` and entries).
    pub(super) fn xattr_bytes(&self) -> Vec<u8> {
        if self.xattrs.is_empty() {
            return Vec::new();
        }
        let mut bytes = vec![0; 12];
        for (name, value) in &self.xattrs {
            let Some((number, rest)) = namespace(name) else {
                continue;
            };
            bytes.extend_from_slice(&[rest.len() as u8, number]);
            bytes.extend_from_slice(&(value.len() as u16).to_le_bytes());
            bytes.extend_from_slice(rest);
            bytes.extend_from_slice(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    /// Bytes of them.
    pub(super) fn xattr_length(&self) -> u64 {
        self.xattr_bytes().len() as u64
    }

    fn check(&self) -> Result<(), TreeError> {
        for (name, value) in &self.xattrs {
            let fits = namespace(name).is_some_and(|(_, rest)| rest.len() <= LONGEST_NAME);
            if !fits || value.len() > usize::from(u16::MAX) {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(TreeError::Xattr(name));
            }
        }
        // The inode counts them in 16 bits, four bytes each.
        if self.xattr_length() > 4 * u64::from(u16::MAX) {
            return Err(TreeError::Xattr("all of them together".to_owned()));
        }
        Ok(())
    }
}

fn namespace(name: &[u8]) -> Option<(u8, &[u8])> {
    NAMESPACES.iter().find_map(|&(number, prefix)| {
        let rest = name.strip_prefix(prefix)?;
        // The first two are whole names.
        (rest.is_empty() == (number == 2 || number == 3)).then_some((number, rest))
    })
}

/// What an entry is; the values are those of directory entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A character device.
    CharacterDevice = 3,
    /// A block device.
    BlockDevice = 4,
    /// A named pipe.
    Fifo = 5,
    /// A symbolic link.
    Symlink = 7,
}

impl Kind {
    /// The type in an inode's mode (`S_IFMT`).
    pub(super) const fn mode(self) -> u16 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::CharacterDevice => 0o020_000,
            Self::BlockDevice => 0o060_000,
            Self::Fifo => 0o010_000,
            Self::Symlink => 0o120_000,
        }
    }
}

/// What is in an entry.
#[derive(Debug)]
pub(super) enum Data {
    /// Bytes: whole blocks from `first` on, and an end beside the inode.
    Bytes {
        size: u64,
        first: u32,
        tail: Vec<u8>,
    },
    /// The number of a device, as an inode has it.
    Device(u32),
    /// Names, and the entry that holds this one.
    Directory {
        entries: BTreeMap<Vec<u8>, usize>,
        parent: usize,
    },
}

/// An inode to be.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) attributes: Attributes,
    pub(super) kind: Kind,
    pub(super) data: Data,
    pub(super) links: u32,
}

impl Node {
    pub(super) const fn new(attributes: Attributes, kind: Kind, data: Data) -> Self {
        Self {
            attributes,
            kind,
            data,
            links: 1,
        }
    }
}

/// Why an entry cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeError {
    /// A name is empty, `.` or `..`, too long, or has a slash or a NUL byte in it.
    Name(String),
    /// A directory on the way to it is something else.
    NoDirectory(String),
    /// A hard link's target is not there, or a directory.
    Link(String),
    /// An extended attribute is of a namespace that file systems do not keep, or too large.
    Xattr(String),
}

impl fmt::Display for TreeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "{name:?} cannot be a file's name"),
            Self::NoDirectory(path) => write!(formatter, "{path} is no directory, but has entries"),
            Self::Link(path) => write!(
                formatter,
                "a hard link to {path}, which is no file before it"
            ),
            Self::Xattr(name) => {
                write!(
                    formatter,
                    "an extended attribute that no file system keeps, or too large: {name}"
                )
            }
        }
    }
}

impl std::error::Error for TreeError {}

/// All entries.
#[derive(Debug)]
pub struct Tree {
    /// The root directory is the first.
    nodes: Vec<Node>,
}

impl Default for Tree {
    fn default() -> Self {
        let root = Data::Directory {
            entries: BTreeMap::new(),
            parent: 0,
        };
        Self {
            nodes: vec![Node::new(Attributes::of_root(0o755), Kind::Directory, root)],
        }
    }
}

impl Tree {
    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Adds a directory, or gives one that is there these attributes. The path of the root is empty.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn directory(&mut self, path: &[&[u8]], attributes: Attributes) -> Result<(), TreeError> {
        attributes.check()?;
        let there = self.find(path);
        let id = match there {
            Some(id) if self.nodes[id].kind == Kind::Directory => id,
            _ => self.new_directory(path)?,
        };
        self.nodes[id].attributes = attributes;
        Ok(())
    }

    /// Adds a device or a named pipe, whose numbers do not count.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn device(
        &mut self,
        path: &[&[u8]],
        attributes: Attributes,
        kind: Kind,
        (major, minor): (u32, u32),
    ) -> Result<(), TreeError> {
        // As the kernel's new_encode_dev has it.
        let number = (minor & 0xff) | (major & 0xfff) << 8 | (minor & !0xff) << 12;
        self.add(path, Node::new(attributes, kind, Data::Device(number)))
    }

    /// Adds another name of the file `target`.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn hard_link(&mut self, path: &[&[u8]], target: &[&[u8]]) -> Result<(), TreeError> {
        let found = self.find(target);
        let id = found.filter(|&id| self.nodes[id].kind != Kind::Directory);
        let id = id.ok_or_else(|| TreeError::Link(shown(target)))?;
        self.insert(path, id)?;
        self.nodes[id].links += 1;
        Ok(())
    }

    /// Sets an extended attribute of a directory, which is made when it is not there.
    ///
    /// # Errors
    /// [`TreeError`].
    pub fn mark(&mut self, path: &[&[u8]], name: &[u8], value: &[u8]) -> Result<(), TreeError> {
        let there = self.find(path);
        let id = match there {
            Some(id) if self.nodes[id].kind == Kind::Directory => id,
            _ => self.new_directory(path)?,
        };
        let xattrs = &mut self.nodes[id].attributes.xattrs;
        xattrs.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// How many files, directories and others there are, with directories that were made because something is in them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a directory has this name.
    #[must_use]
    pub fn is_directory(&self, path: &[&[u8]]) -> bool {
        let found = self.find(path);
        found.is_some_and(|id| self.nodes[id].kind == Kind::Directory)
    }

    /// Whether something has this name.
    #[must_use]
    pub fn contains(&self, path: &[&[u8]]) -> bool {
        self.find(path).is_some()
    }

    /// Whether something on the way to this name is no directory, so that nothing can have the name.
    #[must_use]
    pub fn is_below_a_file(&self, path: &[&[u8]]) -> bool {
        let mut above = (1..path.len()).map(|count| &path[..count]);
        above.any(|path| self.contains(path) && !self.is_directory(path))
    }

    pub(super) fn add(&mut self, path: &[&[u8]], node: Node) -> Result<(), TreeError> {
        node.attributes.check()?;
        self.nodes.push(node);
        self.insert(path, self.nodes.len() - 1)
    }

    fn find(&self, path: &[&[u8]]) -> Option<usize> {
        path.iter()
            .try_fold(0, |id, &name| match &self.nodes[id].data {
                Data::Directory { entries, .. } => entries.get(name).copied(),
                _ => None,
            })
    }

    fn new_directory(&mut self, path: &[&[u8]]) -> Result<usize, TreeError> {
        let parent = self.parent(path)?;
        let data = Data::Directory {
            entries: BTreeMap::new(),
            parent,
        };
        let node = Node::new(Attributes::of_root(0o755), Kind::Directory, data);
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.insert(path, id)?;
        Ok(id)
    }

    /// The directory that `path` is in; made, with those above, when it is not there.
    fn parent(&mut self, path: &[&[u8]]) -> Result<usize, TreeError> {
        let [above @ .., _] = path else {
            return Err(TreeError::Name(String::new()));
        };
        match self.find(above) {
            None => self.new_directory(above),
            Some(id) if self.nodes[id].kind == Kind::Directory => Ok(id),
            Some(_) => Err(TreeError::NoDirectory(shown(above))),
        }
    }

    /// Gives `id` a name, in the place of what had it.
    fn insert(&mut self, path: &[&[u8]], id: usize) -> Result<(), TreeError> {
        let name = *path.last().ok_or(TreeError::Name(String::new()))?;
        let odd = |byte: &u8| *byte == 0 || *byte == b'/';
        if matches!(name, b"" | b"." | b"..") || name.len() > LONGEST_NAME || name.iter().any(odd) {
            return Err(TreeError::Name(String::from_utf8_lossy(name).into_owned()));
        }
        let parent = self.parent(path)?;
        let mut before = None;
        if let Data::Directory { entries, .. } = &mut self.nodes[parent].data {
            before = entries.insert(name.to_owned(), id);
        }
        // What has no name left is written all the same: it is rare, and a few bytes.
        if let Some(before) = before {
            self.nodes[before].links = self.nodes[before].links.saturating_sub(1);
        }
        Ok(())
    }
}

fn shown(path: &[&[u8]]) -> String {
    String::from_utf8_lossy(&path.join(&b'/')).into_owned()
}
