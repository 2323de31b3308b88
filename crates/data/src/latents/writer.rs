//! Making a cache, however often that is interrupted.

use super::disk::{Disk, TEMPORARY};
use super::index::{self, INDEX, LatentIndex, PARTIAL};
use super::verify::check_shard;
use super::{LatentCacheSpec, LatentError, ShardWriter, shard};
use crate::DataError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// File name of the lock.
pub(super) const LOCK: &str = "latents.lock";

/// Makes a cache, shard after shard, in any order. One process at a time.
///
/// ```no_run
/// # use data::{DataError, latents::{LatentCacheSpec, LatentRecord, LatentWriter}};
/// # fn make<'a>(
/// #     folder: &std::path::Path,
/// #     spec: LatentCacheSpec,
/// #     encode: impl Fn(u64) -> LatentRecord<'a>,
/// # ) -> Result<(), DataError> {
/// let mut writer = LatentWriter::create_or_resume(folder, spec, &mut |_, _| {})?;
/// writer.check_space()?;
/// for shard in writer.missing() {
///     let samples = writer.spec().source_range(shard);
///     let mut shard = writer.begin_shard(shard)?;
///     for index in samples {
///         shard.push(&encode(index))?; // a sample that cannot be read is left out
///     }
///     shard.commit()?;
/// }
/// println!("{}", writer.finish()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct LatentWriter {
    pub(super) folder: PathBuf,
    pub(super) disk: Disk,
    index: LatentIndex,
    damaged: Vec<DataError>,
    /// Whether `index.json` is there.
    complete: bool,
    // Only held open: the system frees the lock when the process ends, however it ends.
    _lock: File,
}

impl LatentWriter {
    /// Begins a cache, or goes on with one of the same specification.
    ///
    /// Shards that are there are hashed, which takes as long as reading them; `checked` is told how
    /// many bytes of how many are done. Those that are not as they were written are made again.
    ///
    /// # Errors
    /// [`DataError::Config`] for a specification that cannot be, [`LatentError::Differs`] where the
    /// folder holds a cache of another, [`LatentError::InUse`] while another process writes, those of
    /// [`LatentIndex::parse`] for a damaged index, [`DataError::Io`].
    pub fn create_or_resume(
        folder: &Path,
        spec: LatentCacheSpec,
        checked: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DataError> {
        Self::create_or_resume_on(Disk::default(), folder, spec, checked)
    }

    pub(super) fn create_or_resume_on(
        disk: Disk,
        folder: &Path,
        spec: LatentCacheSpec,
        checked: &mut dyn FnMut(u64, u64),
    ) -> Result<Self, DataError> {
        spec.check().map_err(|problem| problem.of_argument())?;
        fs::create_dir_all(folder).map_err(DataError::io(folder))?;
        let lock = take_lock(folder)?;
        sweep(folder)?;
        let complete = index::read(&folder.join(INDEX))?;
        let partial = index::read(&folder.join(PARTIAL))?;
        let (name, found) = match (complete, partial) {
            (Some(bytes), _) => (INDEX, Some(bytes)),
            (None, partial) => (PARTIAL, partial),
        };
        let complete = name == INDEX;
        let path = folder.join(name);
        let index = match found {
            Some(bytes) if complete => LatentIndex::parse(&bytes, &path)?,
            Some(bytes) => LatentIndex::parse_partial(&bytes, &path)?,
            None => {
                refuse_strangers(folder, &spec)?;
                LatentIndex::new(spec.clone())
            }
        };
        if let Some((field, there, wanted)) = index.spec().difference(&spec) {
            return Err(LatentError::Differs { file: path, field, there, wanted }.into());
        }
        let (folder, damaged) = (folder.to_path_buf(), Vec::new());
        let mut writer = Self { folder, disk, index, damaged, complete, _lock: lock };
        writer.check_shards(checked)?;
        Ok(writer)
    }

    /// Hashes the shards that should be there and notes what has to be made again.
    fn check_shards(&mut self, checked: &mut dyn FnMut(u64, u64)) -> Result<(), DataError> {
        let (total, mut before) = (self.index.bytes(), 0);
        let records: Vec<_> = self.index.shards().map(|(shard, r)| (shard, r.clone())).collect();
        for (shard, record) in records {
            let result =
                check_shard(&self.folder, self.index.spec(), shard, &record, &mut |done| {
                    checked(before + done, total);
                });
            before += record.bytes;
            if let Err(error) = result {
                self.index.remove(shard);
                // Noted before its rename and then killed: not damage.
                if self.complete || self.folder.join(&record.file).exists() {
                    self.damaged.push(error);
                }
            }
        }
        let index = self.folder.join(INDEX);
        if self.complete && self.damaged.is_empty() {
            return Ok(());
        }
        self.note()?;
        if self.complete {
            // It is under construction again, and must not be taken for whole meanwhile. The whole
            // shards are noted first, lest they be strangers to whoever goes on.
            self.note()?;
            self.disk.remove(&index).map_err(DataError::io(&index))?;
            self.complete = false;
        }
        Ok(())
    }

    /// What the cache is made of.
    pub const fn spec(&self) -> &LatentCacheSpec {
        self.index.spec()
    }

    /// Numbers of the shards that are not there yet.
    pub fn missing(&self) -> Vec<u64> {
        let mut there = self.index.shards().map(|(shard, _)| shard).peekable();
        (0..self.spec().shards()).filter(|shard| there.next_if_eq(shard).is_none()).collect()
    }

    /// Samples in the shards that are there.
    pub fn records(&self) -> u64 {
        self.index.len()
    }

    /// Shards that were there and not as they were written, with what was wrong.
    pub fn damaged(&self) -> &[DataError] {
        &self.damaged
    }

    /// Bytes of the missing shards when no sample is left out.
    pub fn bytes_missing(&self) -> u64 {
        let bytes = |shard| {
            let range = self.spec().source_range(shard);
            shard::bytes(self.spec(), range.end - range.start)
        };
        self.missing().into_iter().map(bytes).sum()
    }

    /// Refuses to begin what the disk cannot hold.
    ///
    /// # Errors
    /// [`LatentError::Space`], or [`DataError::Io`] where the system does not tell.
    pub fn check_space(&self) -> Result<(), DataError> {
        let available = self.disk.available(&self.folder).map_err(DataError::io(&self.folder))?;
        let needed = self.bytes_missing();
        if needed > available {
            let path = self.folder.clone();
            return Err(LatentError::Space { path, needed, available }.into());
        }
        Ok(())
    }

    /// Begins a shard. Where there is one already, it stays until the new one is complete.
    ///
    /// # Errors
    /// [`DataError::Io`] when its file cannot be made.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn begin_shard(&mut self, shard: u64) -> Result<ShardWriter<'_>, DataError> {
        assert!(shard < self.spec().shards(), "shard {shard} of {}", self.spec().shards());
        assert!(!self.complete, "a shard of a complete cache");
        ShardWriter::begin(self, shard)
    }

    /// Writes the index, which makes the cache complete, and returns its hash.
    ///
    /// # Errors
    /// [`LatentError::Unfinished`] while shards are missing, [`DataError::Missing`] when every sample
    /// of the source was left out, [`DataError::Io`].
    pub fn finish(self) -> Result<String, DataError> {
        if let Some(unfinished) = self.index.unfinished(&self.folder) {
            return Err(unfinished.into());
        }
        if self.index.is_empty() {
            return Err(DataError::Missing {
                folder: self.folder,
                expected: "sample in any shard",
                help: "every sample of the source was left out: see why before making a cache",
            });
        }
        if !self.complete {
            self.replace(INDEX, &self.index)?;
        }
        let partial = self.folder.join(PARTIAL);
        if partial.exists() {
            self.disk.remove(&partial).map_err(DataError::io(&partial))?;
        }
        Ok(self.index.hash())
    }

    /// Notes a shard whose content is on the disk under another name, and then renames it.
    pub(super) fn commit(
        &mut self,
        shard: u64,
        record: index::ShardRecord,
        temporary: &Path,
    ) -> Result<(), DataError> {
        let path = self.folder.join(&record.file);
        // Should the process end between the two, the hash is that of a file that is not there, and
        // the shard is made again.
        self.index.insert(shard, record);
        let result = self.note().and_then(|()| {
            self.disk.rename(temporary, &path).map_err(|error| self.disk_error(&path, error))
        });
        if result.is_err() {
            self.index.remove(shard);
        }
        result
    }

    /// Writes down which shards are there.
    fn note(&self) -> Result<(), DataError> {
        self.replace(PARTIAL, &self.index)
    }

    fn replace(&self, name: &str, index: &LatentIndex) -> Result<(), DataError> {
        let path = self.folder.join(name);
        self.disk.replace(&path, &index.to_bytes()).map_err(|error| self.disk_error(&path, error))
    }

    /// An error of writing a file, which for a full disk says how much is missing.
    pub(super) fn disk_error(&self, path: &Path, error: std::io::Error) -> DataError {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        if !matches!(error.kind(), StorageFull | QuotaExceeded) {
            return DataError::io(path)(error);
        }
        let available = self.disk.available(&self.folder).unwrap_or(0);
        LatentError::Space { path: path.into(), needed: self.bytes_missing(), available }.into()
    }
}

/// Takes the lock of a folder and writes down who has it.
fn take_lock(folder: &Path) -> Result<File, DataError> {
    let path = folder.join(LOCK);
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = open.map_err(DataError::io(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Whatever it says is for a person to read; a torn note is no reason to hide the error.
            let _ = file.take(20).read_to_string(&mut holder);
            let (folder, holder) = (folder.to_path_buf(), holder.trim().to_string());
            return Err(LatentError::InUse { folder, holder }.into());
        }
        Err(TryLockError::Error(error)) => return Err(DataError::io(&path)(error)),
    }
    let written = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    written.map_err(DataError::io(&path))?;
    Ok(file)
}

/// Removes what an earlier process left unfinished.
fn sweep(folder: &Path) -> Result<(), DataError> {
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = entry.map_err(DataError::io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let own = name
            .strip_prefix(TEMPORARY)
            .is_some_and(|name| [INDEX, PARTIAL].contains(&name) || shard::number(name).is_some());
        if own {
            fs::remove_file(&path).map_err(DataError::io(&path))?;
        }
    }
    Ok(())
}

/// Refuses shards without an index: they are days of somebody's work, and would be overwritten.
fn refuse_strangers(folder: &Path, spec: &LatentCacheSpec) -> Result<(), DataError> {
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let name = entry.map_err(DataError::io(folder))?.file_name();
        if shard::number(&name.to_string_lossy()).is_some_and(|number| number < spec.shards()) {
            return Err(DataError::Missing {
                folder: folder.into(),
                expected: "index.json beside the shards that are there",
                help: "bring the index back, or encode to another folder; the shards would be \
                       overwritten",
            });
        }
    }
    Ok(())
}
