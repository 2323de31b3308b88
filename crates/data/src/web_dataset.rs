//! WebDataset: images and labels as members of tar files.

use crate::limits::MAX_CLASSES;
use crate::shard_scan::{Found, ShardScan};
use crate::{DataError, ImageSource};
use npz::{MAX_MEMBERS, Names, SharedFile};
use std::collections::BTreeSet;
use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Shards that stay open; more would reach the limit of open files, which is often 1,024.
const MAX_OPEN_SHARDS: usize = 256;

/// Images in tar files ("shards"), as the WebDataset library writes and reads them.
///
/// Members with the same name up to the first dot of their file name, one after the other, are a
/// sample: one image (`.jpg`, `.jpeg`, `.png`) and its label, an integer in `.cls` or the field
/// `label`, `cls` or `class` of `.json`. Other members are passed over. Where no sample has a label,
/// the folder that a member lies in is its class, numbered by sorted name over all shards; where
/// there is no folder either, images have no labels.
///
/// The shards of a folder are its files `*.tar` in the order of their names; if any begins with
/// `train`, only those. Their headers are read once, then every image with one positioned read.
#[derive(Debug)]
pub struct WebDataset {
    shards: Vec<SharedFile>,
    names: Names,
    images: Vec<Image>,
    num_classes: usize,
    class_names: Vec<String>,
}

/// Where an image is, and its class.
#[derive(Clone, Copy, Debug)]
struct Image {
    offset: u64,
    len: u32,
    shard: u32,
    label: u32,
}

impl WebDataset {
    /// Lists the samples of one shard, or of the shards in a folder.
    ///
    /// # Errors
    /// [`DataError::Missing`] when there is no shard or no image in them; [`DataError::Member`], with
    /// shard, member and offset, when a shard is cut short or damaged or holds what is refused (see
    /// the README of the crate), when a key comes twice in a shard, has two images, a label without
    /// an image or one that is no class, and when only some samples have a label or a folder.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let mut shards: Vec<SharedFile> = Vec::new();
        for path in shards_of(path)? {
            let mut shard = SharedFile::open(&path)?;
            if shards.len() >= MAX_OPEN_SHARDS {
                shard.close();
            }
            shards.push(shard);
        }
        let (names, found) = scan_all(&shards)?;
        if found.is_empty() {
            return Err(DataError::Missing {
                folder: path.to_path_buf(),
                expected: "image (.jpg, .jpeg, .png) in the tar files",
                help: "give uncompressed tar files that hold images",
            });
        }
        let listing = Listing { shards: &shards, names: &names, found: &found };
        let (labels, num_classes, class_names) = listing.classes()?;
        let images =
            found.iter().zip(labels).map(|(&(shard, Found { offset, len, .. }), label)| Image {
                offset,
                len,
                shard,
                label,
            });
        let images = images.collect();
        Ok(Self { shards, names, images, num_classes, class_names })
    }
}

impl ImageSource for WebDataset {
    fn kind(&self) -> &'static str {
        "webdataset"
    }

    fn len(&self) -> u64 {
        self.images.len() as u64
    }

    fn read(&self, index: u64, bytes: &mut Vec<u8>) -> Result<(), DataError> {
        let image = self.images[index as usize];
        let shard = &self.shards[image.shard as usize];
        Ok(shard.read_at(image.offset, image.len as usize, bytes)?)
    }

    fn label(&self, index: u64) -> u32 {
        self.images[index as usize].label
    }

    fn sample_name(&self, index: u64) -> String {
        let image = self.images[index as usize];
        let shard = self.shards[image.shard as usize].path().display();
        format!("{shard}: {}, at byte {}", self.names.text(index as usize), image.offset)
    }

    fn broken(&self, index: u64, reason: String) -> DataError {
        let image = self.images[index as usize];
        let name = self.names.text(index as usize);
        self.shards[image.shard as usize].broken(&name, image.offset, reason).into()
    }

    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        self.class_names.get(label as usize).map(String::as_str)
    }
}

/// The tar files to read, at least one, sorted by name.
fn shards_of(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut shards = Vec::new();
    for entry in fs::read_dir(path).map_err(DataError::io(path))? {
        let path = entry.map_err(DataError::io(path))?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        let is_tar = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar"));
        if is_tar && !name.starts_with(b".") {
            shards.push((name.starts_with(b"train"), path));
        }
    }
    if shards.iter().any(|&(is_train, _)| is_train) {
        shards.retain(|&(is_train, _)| is_train);
    }
    if shards.is_empty() {
        return Err(DataError::Missing {
            folder: path.to_path_buf(),
            expected: "tar file",
            help: "give one uncompressed .tar file, or a folder of them",
        });
    }
    let mut shards: Vec<PathBuf> = shards.into_iter().map(|(_, path)| path).collect();
    shards.sort();
    Ok(shards)
}

/// Every image of every shard, with the number of its shard, and their names.
type AllFound = (Names, Vec<(u32, Found)>);

/// Scans shards side by side, since a scan mostly waits for the disk; the result is in their order.
fn scan_all(shards: &[SharedFile]) -> Result<AllFound, DataError> {
    let others = thread::available_parallelism().map_or(1, NonZero::get).min(shards.len()) - 1;
    let next = AtomicUsize::new(0);
    let (sender, scans) = mpsc::channel();
    let scan = || {
        while let Some(shard) = shards.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Nobody stops listening before all have sent.
            let _ = sender.send((shard.path(), ShardScan::of(shard)));
        }
    };
    thread::scope(|scope| {
        (0..others).for_each(|_| drop(scope.spawn(scan)));
        scan();
    });
    drop(sender);
    let mut scans: Vec<_> = scans.into_iter().collect();
    scans.sort_by_key(|&(path, _)| path);
    let (mut names, mut images) = (Names::default(), Vec::new());
    for (number, (path, scan)) in (0..).zip(scans) {
        let scan = scan?;
        names.append(&scan.names);
        images.extend(scan.images.into_iter().map(|image| (number, image)));
        if images.len() as u64 > MAX_MEMBERS {
            return Err(DataError::Field {
                file: path.to_path_buf(),
                field: "number of images up to here".into(),
                expected: format!("at most {MAX_MEMBERS}"),
                got: images.len().to_string(),
            });
        }
    }
    Ok((names, images))
}

/// What was found in all shards.
struct Listing<'a> {
    shards: &'a [SharedFile],
    names: &'a Names,
    found: &'a [(u32, Found)],
}

impl Listing<'_> {
    /// The label of every image, the number of classes, and their names where they have any.
    fn classes(&self) -> Result<(Vec<u32>, usize, Vec<String>), DataError> {
        let labels = self.found.iter().map(|(_, image)| image.label);
        if let Some(labels) = self.all_or_none(labels, "label", ".cls or .json")? {
            let num_classes = labels.iter().max().map_or(0, |&label| label as usize + 1);
            return Ok((labels, num_classes, Vec::new()));
        }
        let folders = (0..self.found.len()).map(|i| folder_of(self.names.get(i)));
        let Some(folders) = self.all_or_none(folders, "folder", "one a class")? else {
            return Ok((vec![0; self.found.len()], 0, Vec::new()));
        };
        let classes: BTreeSet<&[u8]> = folders.iter().copied().collect();
        let classes: Vec<&[u8]> = classes.into_iter().collect();
        if classes.len() > MAX_CLASSES as usize {
            let (expected, got) = (format!("at most {MAX_CLASSES}"), classes.len().to_string());
            let file = self.shards[0].path().to_path_buf();
            return Err(DataError::Field {
                file,
                field: "number of folders".into(),
                expected,
                got,
            });
        }
        let labels = folders.iter().map(|&folder| classes.partition_point(|&c| c < folder) as u32);
        let names = classes.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        Ok((labels.collect(), classes.len(), names.collect()))
    }

    /// What every image has, or nothing where none has it.
    fn all_or_none<T>(
        &self,
        of_images: impl Iterator<Item = Option<T>>,
        what: &str,
        expected: &str,
    ) -> Result<Option<Vec<T>>, DataError> {
        let (mut all, mut lacking) = (Vec::new(), None);
        for (index, one) in of_images.enumerate() {
            match one {
                Some(one) => all.push(one),
                None => lacking = lacking.or(Some(index)),
            }
        }
        let Some(index) = lacking else { return Ok(Some(all)) };
        if all.is_empty() {
            return Ok(None);
        }
        let (shard, image) = self.found[index];
        let reason = format!("it has no {what} ({expected}), but others have");
        let (shard, name) = (&self.shards[shard as usize], self.names.text(index));
        Err(shard.broken(&name, image.offset, reason).into())
    }
}

/// The folder that a member lies in directly.
fn folder_of(name: &[u8]) -> Option<&[u8]> {
    let folders = &name[..name.iter().rposition(|&byte| byte == b'/')?];
    let folder = folders.rsplit(|&byte| byte == b'/').next()?;
    (!folder.is_empty() && folder != b".").then_some(folder)
}
