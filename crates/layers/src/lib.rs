// SPDX-License-Identifier: MIT OR Apache-2.0

//! Layers of an image as one disk: a GUID partition table (UEFI 2.10, chapter 5), whose partitions are the
//! layers, the lowest first. Each is a file system (EROFS) that stays in its own file, so that images share
//! what they have in common:
//!
//! ```text
//! head (table) | layer 1 | layer 2 | ... | tail (the table again)
//! ```
//!
//! The emulator shows the pieces as one disk from a VMDK descriptor of flat extents, which names them; written one
//! after the other they are a raw disk. Kernels find the layers as partitions, and init mounts them by overlayfs.
//!
//! [`closure`] makes a layer of paths of the Nix store.
//!
//! Used by: `cki-build`. May use: `cki-erofs`.

#![forbid(unsafe_code)]

pub mod closure;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::LINUX_FS;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// Sectors before the first layer and after the last: the table takes 34 and 33, and layers begin at a multiple
/// of 4096 bytes.
const MARGIN: u64 = 40;

/// Most layers of a disk. A table has 128 entries, of which images of containers need 127.
pub const MOST_LAYERS: usize = 127;

/// Longest name of a file in a descriptor that QEMU reads (block/vmdk.c), in bytes.
const LONGEST_NAME: usize = 511;

/// Why files make no disk.
#[derive(Debug, thiserror::Error)]
pub enum LayersError {
    /// None, or more than the table has place for.
    #[error("an image has 1 to {MOST_LAYERS} layers, not {0}")]
    Count(usize),
    /// A layer is no whole number of blocks of 4096 bytes, as file systems are.
    #[error("the layer {path} has {size} bytes, which is no multiple of 4096; it is damaged")]
    Size {
        /// The layer.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// A descriptor has no way to say such a name.
    #[error(
        "the name {0:?} is too long for a disk's descriptor, or has a quotation mark or a line end in it"
    )]
    Name(PathBuf),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The table could not be made.
    #[error("cannot make the partition table: {0}")]
    Table(String),
}

/// A disk of layers whose descriptor is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerDisk {
    /// The descriptor, for the emulator.
    pub descriptor: PathBuf,
    /// All pieces in their order: head, layers, tail.
    pub pieces: Vec<PathBuf>,
}

impl LayerDisk {
    /// Composes `layers`, the lowest first, and writes head, tail and descriptor to `dir`, where equal disks have
    /// equal names. What is there already is used.
    ///
    /// # Errors
    /// [`LayersError`].
    pub fn compose(layers: &[PathBuf], dir: &Path) -> Result<Self, LayersError> {
        if !(1..=MOST_LAYERS).contains(&layers.len()) {
            return Err(LayersError::Count(layers.len()));
        }
        let mut sectors = Vec::new();
        let mut digest = Sha256::new();
        for path in layers {
            let size = path.metadata().map_err(at(path))?.len();
            if size == 0 || size % 4096 != 0 {
                let path = path.clone();
                return Err(LayersError::Size { path, size });
            }
            sectors.push(size / SECTOR);
            digest.update(format!("{size} {}\n", name(path)?));
        }
        let id = format!("{:x}", digest.finalize());
        let file = |end: &str| dir.join(format!("{id}.{end}"));
        let (head, tail, descriptor) = (file("head"), file("tail"), file("vmdk"));
        let mut pieces = vec![head.clone()];
        pieces.extend_from_slice(layers);
        pieces.push(tail.clone());
        let disk = Self { descriptor, pieces };
        let description = disk.describe(&sectors)?;
        // It is written last. What is there may be of a machine that lost its power meanwhile.
        let is_whole = [&head, &tail].iter().all(|margin| {
            let found = margin.metadata();
            found.is_ok_and(|found| found.len() == MARGIN * SECTOR)
        });
        let described = fs::read(&disk.descriptor);
        let is_described = described.is_ok_and(|text| text == description.as_bytes());
        if !is_whole || !is_described {
            fs::create_dir_all(dir).map_err(at(dir))?;
            let (first, last) = table(&sectors, dir)?;
            write(&head, &first)?;
            write(&tail, &last)?;
            write(&disk.descriptor, description.as_bytes())?;
        }
        Ok(disk)
    }

    /// The descriptor's text (VMware, Virtual Disk Format 5.0). No line is empty: QEMU would take the extent after one
    /// twice.
    fn describe(&self, layers: &[u64]) -> Result<String, LayersError> {
        let mut text = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
                        createType=\"twoGbMaxExtentFlat\"\n# Extent description\n"
            .to_owned();
        let margin = std::iter::once(&MARGIN);
        let sizes = margin.clone().chain(layers).chain(margin);
        for (path, sectors) in self.pieces.iter().zip(sizes) {
            // QEMU passes over extents that are not called writable; a read-only disk is opened as one all the same.
            text.push_str(&format!("RW {sectors} FLAT \"{}\" 0\n", name(path)?));
        }
        Ok(text)
    }
}

/// `path` as a descriptor can name it.
fn name(path: &Path) -> Result<&str, LayersError> {
    let sayable = |name: &&str| name.len() <= LONGEST_NAME && !name.contains(['"', '\n', '\r']);
    let name = path.to_str().filter(sayable);
    name.ok_or_else(|| LayersError::Name(path.to_owned()))
}

/// The first and the last sectors of a disk with layers of these sizes.
fn table(layers: &[u64], dir: &Path) -> Result<(Vec<u8>, Vec<u8>), LayersError> {
    let wrong = |error: &dyn std::fmt::Display| LayersError::Table(error.to_string());
    let total = 2 * MARGIN + layers.iter().sum::<u64>();
    // A hole, but for the table.
    let mut file = tempfile::tempfile_in(dir).map_err(at(dir))?;
    file.set_len(total * SECTOR).map_err(at(dir))?;
    let span = u32::try_from(total - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(span)
        .overwrite_lba0(&mut file)
        .map_err(|error| wrong(&error))?;
    let mut partitions = BTreeMap::new();
    let mut first = MARGIN;
    for (number, sectors) in (1_u32..).zip(layers) {
        let partition = Partition {
            part_type_guid: LINUX_FS,
            part_guid: Uuid::from_u128(u128::from(number)),
            first_lba: first,
            last_lba: first + sectors - 1,
            flags: 0,
            name: format!("layer {number}"),
        };
        partitions.insert(number, partition);
        first += sectors;
    }
    let disk = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(file, Some(Uuid::from_u128(0)))
        .and_then(|mut disk| disk.update_partitions(partitions).map(|()| disk));
    let mut file = disk
        .and_then(|disk| disk.write())
        .map_err(|error| wrong(&error))?;
    let mut read = |from: SeekFrom| {
        let mut bytes = vec![0; (MARGIN * SECTOR) as usize];
        let read = file.seek(from).and_then(|_| file.read_exact(&mut bytes));
        read.map(|()| bytes).map_err(at(dir))
    };
    let head = read(SeekFrom::Start(0))?;
    let tail = read(SeekFrom::End(-((MARGIN * SECTOR) as i64)))?;
    Ok((head, tail))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LayersError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(at(path))?;
    file.write_all(bytes).map_err(at(path))?;
    file.as_file().sync_data().map_err(at(path))?;
    let written = file.persist(path).map_err(|error| error.error);
    written.map(|_: File| ()).map_err(at(path))
}

fn at(path: &Path) -> impl Fn(io::Error) -> LayersError + use<> {
    let path = path.to_owned();
    move |source| LayersError::Io {
        path: path.clone(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(dir: &Path, sizes: &[usize]) -> Vec<PathBuf> {
        let write = |(number, &size): (usize, &usize)| {
            let path = dir.join(format!("layer{number}"));
            fs::write(&path, vec![b'a' + number as u8; size]).expect("written");
            path
        };
        sizes.iter().enumerate().map(write).collect()
    }

    fn raw(disk: &LayerDisk) -> Vec<u8> {
        let read = |piece| fs::read(piece).expect("read");
        disk.pieces.iter().flat_map(read).collect()
    }

    #[test]
    fn the_pieces_in_their_order_are_a_disk_whose_partitions_are_the_layers() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = layers(dir.path(), &[8192, 4096, 16384]);
        let disk = LayerDisk::compose(&files, &dir.path().join("disks")).expect("composed");
        let bytes = raw(&disk);
        // A reader that insists on both copies of the table.
        let config = gpt::GptConfig::new().only_valid_headers(true);
        let read = config
            .open_from_device(io::Cursor::new(bytes.clone()))
            .expect("a table");
        assert_eq!(read.partitions().len(), 3);
        for (number, file) in (1..).zip(&files) {
            let partition = &read.partitions()[&number];
            let (first, last) = (partition.first_lba, partition.last_lba);
            assert_eq!(first * SECTOR % 4096, 0);
            let found = &bytes[(first * SECTOR) as usize..((last + 1) * SECTOR) as usize];
            assert!(found == fs::read(file).expect("read"), "{number}");
        }
    }

    #[test]
    fn the_descriptor_names_every_piece_with_its_sectors() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = layers(dir.path(), &[8192, 4096]);
        let disk = LayerDisk::compose(&files, dir.path()).expect("composed");
        let text = fs::read_to_string(&disk.descriptor).expect("read");
        let extents: Vec<_> = text.lines().filter(|l| l.starts_with("RW ")).collect();
        assert!(text.lines().all(|line| !line.is_empty()), "{text}");
        let expected: Vec<_> = disk
            .pieces
            .iter()
            .zip([40, 16, 8, 40])
            .map(|(path, sectors)| format!("RW {sectors} FLAT \"{}\" 0", path.display()))
            .collect();
        assert_eq!(extents, expected);
    }

    #[test]
    fn equal_layers_make_equal_bits_and_another_order_another_disk() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = layers(dir.path(), &[8192, 4096]);
        let one = LayerDisk::compose(&files, &dir.path().join("1")).expect("composed");
        let two = LayerDisk::compose(&files, &dir.path().join("2")).expect("composed");
        assert!(raw(&one) == raw(&two));
        assert_eq!(one.descriptor.file_name(), two.descriptor.file_name());
        let turned: Vec<_> = files.iter().rev().cloned().collect();
        let other = LayerDisk::compose(&turned, &dir.path().join("1")).expect("composed");
        assert_ne!(one.descriptor, other.descriptor);
    }

    #[test]
    fn what_a_cut_of_the_power_left_is_written_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = layers(dir.path(), &[8192]);
        let disk = LayerDisk::compose(&files, dir.path()).expect("composed");
        let whole = raw(&disk);
        let text = fs::read(&disk.descriptor).expect("read");
        let [head, _, tail] = &disk.pieces[..] else {
            panic!("{disk:?}");
        };
        for broken in [&disk.descriptor, head, tail] {
            fs::write(broken, "").expect("written");
            LayerDisk::compose(&files, dir.path()).expect("composed");
            assert!(raw(&disk) == whole, "{}", broken.display());
            assert!(fs::read(&disk.descriptor).expect("read") == text);
        }
    }

    #[test]
    fn what_makes_no_disk_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let compose = |files: &[PathBuf]| {
            let error = LayerDisk::compose(files, dir.path()).expect_err("refused");
            error.to_string()
        };
        assert!(compose(&[]).contains("not 0"));
        let many = vec![layers(dir.path(), &[4096])[0].clone(); MOST_LAYERS + 1];
        assert!(compose(&many).contains("not 128"));
        assert!(LayerDisk::compose(&many[1..], dir.path()).is_ok());
        let odd = compose(&layers(dir.path(), &[5000]));
        assert!(odd.contains("layer0 has 5000 bytes"), "{odd}");
        assert!(compose(&layers(dir.path(), &[0])).contains("0 bytes"));
        let quoted = dir.path().join("a\"b");
        fs::write(&quoted, vec![0; 4096]).expect("written");
        assert!(compose(&[quoted]).contains("quotation mark"));
        assert!(compose(&[dir.path().join("missing")]).contains("missing"));
    }
}
