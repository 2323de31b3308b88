//! Whether a cache is what was written.

use super::index::{self, INDEX, LatentIndex, PARTIAL, ShardRecord};
use super::writer::LOCK;
use super::{LatentCacheSpec, shard};
use crate::DataError;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// What [`verify`] found.
#[derive(Debug)]
pub struct LatentReport {
    /// The index.
    pub index: LatentIndex,
    /// Every shard that is not as it was written, with what is wrong, in their order.
    pub problems: Vec<DataError>,
    /// Files that are no part of the cache, sorted. They do no harm.
    pub extra: Vec<String>,
}

impl LatentReport {
    /// Whether every byte of every shard is as it was written.
    pub const fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Reads every byte of a cache and compares it with the index.
///
/// `progress` is told how many bytes of how many are done.
///
/// # Errors
/// Those of [`LatentIndex::parse`] when there is no complete and undamaged index; what is wrong with
/// shards is in the report.
pub fn verify(
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<LatentReport, DataError> {
    let index = read_index(folder)?;
    let (total, mut before) = (index.bytes(), 0);
    let mut problems = Vec::new();
    for (number, record) in index.shards() {
        let result = check_shard(folder, index.spec(), number, record, &mut |done| {
            progress(before + done, total);
        });
        problems.extend(result.err());
        before += record.bytes;
        progress(before, total);
    }
    let mut extra = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let name = entry.map_err(DataError::io(folder))?.file_name();
        let name = name.to_string_lossy().into_owned();
        let known = [INDEX, PARTIAL, LOCK].contains(&name.as_str())
            || shard::number(&name).is_some_and(|number| number < index.spec().shards());
        if !known {
            extra.push(name);
        }
    }
    extra.sort();
    Ok(LatentReport { index, problems, extra })
}

/// Reads the index of a complete cache.
pub(super) fn read_index(folder: &Path) -> Result<LatentIndex, DataError> {
    let path = folder.join(INDEX);
    if let Some(bytes) = index::read(&path)? {
        return LatentIndex::parse(&bytes, &path);
    }
    let path = folder.join(PARTIAL);
    if let Some(bytes) = index::read(&path)? {
        let partial = LatentIndex::parse_partial(&bytes, &path)?;
        let whole = partial.shards().count();
        let (folder, shards) = (folder.to_path_buf(), partial.spec().shards());
        return Err(super::LatentError::Unfinished { folder, whole, shards }.into());
    }
    Err(DataError::Missing {
        folder: folder.to_path_buf(),
        expected: "index.json of a latent cache",
        help: "give the folder that `dis encode` made",
    })
}

/// Reads every byte of a shard and compares it with its record.
pub(super) fn check_shard(
    folder: &Path,
    spec: &LatentCacheSpec,
    number: u64,
    record: &ShardRecord,
    progress: &mut dyn FnMut(u64),
) -> Result<(), DataError> {
    let path = folder.join(&record.file);
    open_shard(&path, spec, number, record)?;
    let got = hash_file(&path, record.bytes, progress)?;
    if got != record.blake3 {
        return Err(damaged(&path, "BLAKE3", &record.blake3, &got));
    }
    Ok(())
}

/// Opens a shard whose length and header are those of its record.
pub(super) fn open_shard(
    path: &Path,
    spec: &LatentCacheSpec,
    number: u64,
    record: &ShardRecord,
) -> Result<File, DataError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(damaged(path, "file", "there", "missing"));
        }
        Err(error) => return Err(DataError::io(path)(error)),
    };
    let len = file.metadata().map_err(DataError::io(path))?.len();
    if len != record.bytes {
        return Err(damaged(path, "length", &record.bytes.to_string(), &len.to_string()));
    }
    let expected = shard::header(spec, number, record.records);
    let mut got = vec![0; expected.len()];
    file.read_exact_at(&mut got, 0).map_err(DataError::io(path))?;
    if let Some(at) = got.iter().zip(&expected).position(|(got, expected)| got != expected) {
        let excerpt = |bytes: &[u8]| {
            let from = at.saturating_sub(16);
            format!("{:?}", String::from_utf8_lossy(&bytes[from..(from + 40).min(bytes.len())]))
        };
        let field = format!("header around byte {at}");
        return Err(damaged(path, &field, &excerpt(&expected), &excerpt(&got)));
    }
    Ok(file)
}

/// BLAKE3 of a file that has to be `bytes` long, in hex.
pub(super) fn hash_file(
    path: &Path,
    bytes: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(DataError::io(path))?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK];
    let mut done = 0;
    loop {
        let len = match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(DataError::io(path)(error)),
        };
        hasher.update(&chunk[..len]);
        done += len as u64;
        if done > bytes {
            break;
        }
        progress(done);
    }
    if done != bytes {
        return Err(damaged(path, "length", &bytes.to_string(), &format!("{done} or more")));
    }
    Ok(hasher.finalize().to_hex().to_string())
}

pub(super) fn damaged(file: &Path, field: &str, expected: &str, got: &str) -> DataError {
    let (field, expected, got) = (field.into(), expected.into(), got.into());
    DataError::Field { file: file.into(), field, expected, got }
}
