//! Writing one shard.

use super::disk::temporary;
use super::index::ShardRecord;
use super::posterior::{fits, narrow, widen};
use super::verify::hash_file;
use super::{Flip, LOGSTD_RANGE, LatentCacheSpec, LatentError, LatentWriter, shard};
use crate::DataError;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;

/// Bytes handed to the disk at once.
const CHUNK: usize = 1 << 20;

/// One posterior, as the autoencoder gives it, in the order `[C, H, W]`.
#[derive(Clone, Copy, Debug)]
pub struct Encoding<'a> {
    /// Means.
    pub mean: &'a [f32],
    /// Logarithms of the standard deviations.
    pub logstd: &'a [f32],
}

/// A sample to be stored.
#[derive(Clone, Copy, Debug)]
pub struct LatentRecord<'a> {
    /// Its number in the source.
    pub source_index: u64,
    /// Its class, 0 where samples have no labels.
    pub label: u32,
    /// BLAKE3 of its image as it was encoded.
    pub source_hash: [u8; shard::HASH_BYTES],
    /// One encoding for each of [`LatentCacheSpec::flips`].
    pub encodings: &'a [Encoding<'a>],
}

/// A shard that is being written. Dropped before [`ShardWriter::commit`], it leaves nothing.
#[derive(Debug)]
pub struct ShardWriter<'a> {
    writer: &'a mut LatentWriter,
    shard: u64,
    /// Samples of the source that may still come.
    rest: Range<u64>,
    temporary: PathBuf,
    file: File,
    /// Bytes that are not in the file yet.
    pending: Vec<u8>,
    /// One encoding as it will be stored.
    stored: Vec<u16>,
    source_indices: Vec<u64>,
    labels: Vec<u64>,
    hashes: Vec<u8>,
    /// Whether the file has its final name.
    committed: bool,
}

impl<'a> ShardWriter<'a> {
    pub(super) fn begin(writer: &'a mut LatentWriter, shard: u64) -> Result<Self, DataError> {
        let temporary = temporary(&writer.folder.join(shard::file_name(shard)));
        let created = writer.disk.create(&temporary);
        let file = created.map_err(|error| writer.disk_error(&temporary, error))?;
        let rest = writer.spec().source_range(shard);
        let stored = vec![0; 2 * writer.spec().latent_len()];
        // The header comes when the number of records is known.
        let pending = vec![0; shard::HEADER_BYTES as usize];
        let (source_indices, labels, hashes) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self {
            writer,
            shard,
            rest,
            temporary,
            file,
            pending,
            stored,
            source_indices,
            labels,
            hashes,
            committed: false,
        })
    }

    /// Appends a sample. After an error about its content the shard is as it was before.
    ///
    /// # Errors
    /// [`LatentError::Value`] for a number that is not finite in f16 or a log standard deviation
    /// beyond [`LOGSTD_RANGE`], [`LatentError::Label`] for a label that is no class,
    /// [`LatentError::Space`] and [`DataError::Io`] when it cannot be written.
    ///
    /// # Panics
    /// When the sample is not of this shard or does not come after the one before, or when its
    /// encodings are not those of the specification.
    pub fn push(&mut self, record: &LatentRecord<'_>) -> Result<(), DataError> {
        let LatentRecord { source_index, label, source_hash, encodings } = *record;
        let spec = self.writer.spec();
        assert!(self.rest.contains(&source_index), "sample {source_index}, not {:?}", self.rest);
        assert_eq!(encodings.len(), spec.flips.len(), "encodings of sample {source_index}");
        let num_classes = spec.num_classes;
        if label as usize >= num_classes.max(1) {
            return Err(LatentError::Label { source_index, label, num_classes }.into());
        }
        let before = self.pending.len();
        for (encoding, &flip) in encodings.iter().zip(&spec.flips) {
            if let Err(error) = store(spec, source_index, flip, *encoding, &mut self.stored) {
                self.pending.truncate(before);
                return Err(error.into());
            }
            self.pending.extend_from_slice(bytemuck::cast_slice(&self.stored));
        }
        self.rest.start = source_index + 1;
        self.source_indices.push(source_index);
        self.labels.push(u64::from(label));
        self.hashes.extend_from_slice(&source_hash);
        if self.pending.len() >= CHUNK { self.write_pending() } else { Ok(()) }
    }

    /// Completes the shard: it appears under its name when all of it is on the disk.
    ///
    /// # Errors
    /// [`LatentError::Space`] and [`DataError::Io`]; nothing is left of the shard then.
    pub fn commit(mut self) -> Result<(), DataError> {
        self.write_pending()?;
        for numbers in [&self.source_indices, &self.labels] {
            self.pending.extend_from_slice(bytemuck::cast_slice(numbers));
        }
        self.pending.extend_from_slice(&self.hashes);
        self.write_pending()?;
        let records = self.source_indices.len() as u64;
        let header = shard::header(self.writer.spec(), self.shard, records);
        let disk = &self.writer.disk;
        let finished = self.file.seek(SeekFrom::Start(0)).and_then(|_| {
            disk.write(&mut self.file, &header)?;
            disk.sync(&self.file)
        });
        finished.map_err(|error| self.error(error))?;
        let bytes = shard::bytes(self.writer.spec(), records);
        // Of the file, not of what was meant to be written.
        let blake3 = hash_file(&self.temporary, bytes, &mut |_| {})?;
        let record = ShardRecord { file: shard::file_name(self.shard), records, bytes, blake3 };
        self.writer.commit(self.shard, record, &self.temporary)?;
        self.committed = true;
        Ok(())
    }

    fn write_pending(&mut self) -> Result<(), DataError> {
        let written = self.writer.disk.write(&mut self.file, &self.pending);
        written.map_err(|error| self.error(error))?;
        self.pending.clear();
        Ok(())
    }

    fn error(&self, error: io::Error) -> DataError {
        self.writer.disk_error(&self.temporary, error)
    }
}

impl Drop for ShardWriter<'_> {
    fn drop(&mut self) {
        if !self.committed {
            // Where even this fails, the next start sweeps it away.
            let _ = self.writer.disk.remove(&self.temporary);
        }
    }
}

/// Rounds an encoding to what is stored, or says which number of it cannot be.
pub(super) fn store(
    spec: &LatentCacheSpec,
    source_index: u64,
    flip: Flip,
    encoding: Encoding<'_>,
    stored: &mut [u16],
) -> Result<(), LatentError> {
    let len = spec.latent_len();
    let (mean, logstd) = stored.split_at_mut(len);
    for (name, values, stored) in
        [("mean", encoding.mean, mean), ("logstd", encoding.logstd, logstd)]
    {
        assert_eq!(values.len(), len, "elements of the {name} of sample {source_index}");
        narrow(values, stored);
        let mut rounded = vec![0.0; len];
        widen(stored, &mut rounded);
        let bad = |x: f32| if name == "mean" { !fits(x, 0.0) } else { !fits(0.0, x) };
        if let Some(element) = rounded.iter().position(|&x| bad(x)) {
            let expected = match name {
                "mean" => "at most 65504 in magnitude, what f16 can hold".into(),
                _ => format!("{} to {}", LOGSTD_RANGE.start(), LOGSTD_RANGE.end()),
            };
            let (what, got) = (describe(name, flip), values[element]);
            return Err(LatentError::Value { source_index, what, element, got, expected });
        }
    }
    Ok(())
}

/// `mean`, or `mirrored mean`.
pub(super) fn describe(name: &str, flip: Flip) -> String {
    match flip {
        Flip::None => name.into(),
        Flip::Horizontal => format!("mirrored {name}"),
    }
}
