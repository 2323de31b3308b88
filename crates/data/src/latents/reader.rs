//! A cache as a data set.

use super::posterior::{fits, sample, widen};
use super::scaling::ChannelScaling;
use super::shard::{self, Layout};
use super::shard_writer::{describe, store};
use super::verify::{damaged, open_shard, read_index};
use super::{Encoding, Flip, LatentError, LatentIndex, LatentScaling};
use crate::dataset::check_load;
use crate::{DataError, Dataset, ImageShape, Visit};
use philox::Purpose;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How a cache is read.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentCacheOptions {
    /// From stored latents to what the network sees.
    pub scaling: LatentScaling,
    /// Whether mirrored samples will be asked for.
    pub flip: bool,
}

/// A latent cache: [`Dataset::load`] draws a latent from the posterior of a sample.
///
/// Every visit draws anew, from the normals at its address, so a latent depends on the seed of the
/// run, its position and its sample alone. A mirrored sample is drawn from the encoding of the
/// mirrored image.
///
/// It holds one open file a shard and eight bytes a sample, its label and nothing else; the content is
/// what the system keeps in memory of the files.
#[derive(Debug)]
pub struct LatentCache {
    folder: PathBuf,
    index: LatentIndex,
    shards: Vec<OpenShard>,
    labels: Vec<u32>,
    channels: Vec<ChannelScaling>,
}

/// A shard with at least one record.
#[derive(Debug)]
struct OpenShard {
    path: PathBuf,
    file: File,
    /// Index of its first record in the cache.
    first: u64,
    records: u64,
}

/// An encoding as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Means, `[C, H, W]`.
    pub mean: Vec<f32>,
    /// Logarithms of the standard deviations.
    pub logstd: Vec<f32>,
}

thread_local! {
    /// The bits of one encoding, as read.
    static STORED: RefCell<Vec<u16>> = const { RefCell::new(Vec::new()) };
}

impl LatentCache {
    /// Opens a complete cache. Lengths and headers of all shards are compared with the index, and
    /// labels with the number of classes; [`super::verify`] reads the rest.
    ///
    /// # Errors
    /// [`LatentError::Unfinished`] while the cache is being made, [`LatentError::NotMirrored`] for
    /// `flip` without mirrored encodings, [`DataError::Config`] for a scaling of other channels,
    /// those of [`LatentIndex::parse`], [`DataError::Field`] for a shard that is not that of the
    /// index, [`DataError::Io`].
    pub fn open(folder: &Path, options: &LatentCacheOptions) -> Result<Self, DataError> {
        let index = read_index(folder)?;
        let spec = index.spec();
        if options.flip && !spec.flips.contains(&Flip::Horizontal) {
            return Err(LatentError::NotMirrored { folder: folder.into() }.into());
        }
        let channels = options.scaling.channels(spec.latent_shape[0])?;
        let (mut shards, mut labels) = (Vec::new(), Vec::new());
        for (number, record) in index.shards() {
            let path = folder.join(&record.file);
            let file = open_shard(&path, spec, number, record)?;
            let first = labels.len() as u64;
            let shard = OpenShard { path, file, first, records: record.records };
            labels.extend(shard.read_labels(&index)?);
            if record.records > 0 {
                shards.push(shard);
            }
        }
        let folder = folder.to_path_buf();
        Ok(Self { folder, index, shards, labels, channels })
    }

    /// The index.
    pub const fn index(&self) -> &LatentIndex {
        &self.index
    }

    /// Number in the source, and BLAKE3 of its image as it was encoded.
    ///
    /// # Errors
    /// [`DataError::Io`] when they cannot be read.
    ///
    /// # Panics
    /// When there is no such sample.
    pub fn source(&self, index: u64) -> Result<(u64, [u8; shard::HASH_BYTES]), DataError> {
        let (shard, record) = self.locate(index);
        let layout = Layout::new(self.index.spec(), shard.records);
        let (mut number, mut hash) = ([0; shard::INTEGER_BYTES], [0; shard::HASH_BYTES]);
        let number_at = layout.source_index + record * shard::INTEGER_BYTES as u64;
        shard.read(&mut number, number_at)?;
        shard.read(&mut hash, layout.source_hash + record * shard::HASH_BYTES as u64)?;
        Ok((u64::from_le_bytes(number), hash))
    }

    /// An encoding as it is stored, before any scaling.
    ///
    /// # Errors
    /// [`DataError::Field`] for numbers that cannot have been written, [`LatentError::NotMirrored`],
    /// [`DataError::Io`].
    ///
    /// # Panics
    /// When there is no such sample.
    pub fn moments(&self, index: u64, flip: Flip) -> Result<Moments, DataError> {
        let len = self.index.spec().latent_len();
        self.with_stored(index, flip, |stored| {
            let mut moments = Moments { mean: vec![0.0; len], logstd: vec![0.0; len] };
            widen(&stored[..len], &mut moments.mean);
            widen(&stored[len..], &mut moments.logstd);
            let pairs = moments.mean.iter().zip(&moments.logstd);
            let good = pairs.fold(true, |good, (&mean, &logstd)| good & fits(mean, logstd));
            good.then_some(moments)
        })
    }

    /// Compares a sample with new encodings of its source, rounded to what is stored.
    ///
    /// # Errors
    /// [`LatentError::Stale`] for the first number that is not equal, and those of
    /// [`LatentCache::moments`] and [`super::ShardWriter::push`].
    ///
    /// # Panics
    /// When there is no such sample, or when the encodings are not those of the specification.
    pub fn compare(&self, index: u64, encodings: &[Encoding<'_>]) -> Result<(), DataError> {
        let spec = self.index.spec();
        let len = spec.latent_len();
        assert_eq!(encodings.len(), spec.flips.len(), "encodings of sample {index}");
        let (source_index, _) = self.source(index)?;
        for (encoding, &flip) in encodings.iter().zip(&spec.flips) {
            let (mut bits, mut fresh) = (vec![0; 2 * len], vec![0.0; 2 * len]);
            store(spec, source_index, flip, *encoding, &mut bits)?;
            widen(&bits, &mut fresh);
            let Moments { mut mean, logstd } = self.moments(index, flip)?;
            mean.extend(logstd);
            // Zero and minus zero are one number to whoever samples.
            let Some(i) = mean.iter().zip(&fresh).position(|(a, b)| a != b) else { continue };
            return Err(LatentError::Stale {
                folder: self.folder.clone(),
                index,
                what: describe(if i < len { "mean" } else { "logstd" }, flip),
                element: i % len,
                stored: mean[i],
                fresh: fresh[i],
            }
            .into());
        }
        Ok(())
    }

    /// The shard that holds a sample, and which of its records it is.
    fn locate(&self, index: u64) -> (&OpenShard, u64) {
        assert!(index < self.len(), "sample {index} of a cache of {}", self.len());
        let shard = &self.shards[self.shards.partition_point(|shard| shard.first <= index) - 1];
        (shard, index - shard.first)
    }

    /// Reads the bits of one encoding, and refuses them when `f` returns nothing.
    fn with_stored<T>(
        &self,
        index: u64,
        flip: Flip,
        f: impl FnOnce(&[u16]) -> Option<T>,
    ) -> Result<T, DataError> {
        let spec = self.index.spec();
        let Some(flip) = spec.flips.iter().position(|&there| there == flip) else {
            return Err(LatentError::NotMirrored { folder: self.folder.clone() }.into());
        };
        let (shard, record) = self.locate(index);
        STORED.with_borrow_mut(|stored| {
            stored.resize(2 * spec.latent_len(), 0);
            let offset = shard::encoding_offset(spec, record, flip);
            shard.read(bytemuck::cast_slice_mut(stored), offset)?;
            f(stored).ok_or_else(|| {
                let field = format!("record {record} at byte {offset}");
                let expected = "finite means and log deviations of -15 to 10";
                damaged(&shard.path, &field, expected, "out of range")
            })
        })
    }

    fn draw(
        &self,
        index: u64,
        flip: Flip,
        visit: Visit,
        out: &mut [f32],
    ) -> Result<u32, DataError> {
        check_load(self, index, out);
        self.with_stored(index, flip, |stored| {
            visit.draws(Purpose::VaePosteriorNoise).fill_normal(out);
            sample(stored, &self.channels, out).then_some(self.labels[index as usize])
        })
    }
}

impl OpenShard {
    fn read(&self, out: &mut [u8], offset: u64) -> Result<(), DataError> {
        self.file.read_exact_at(out, offset).map_err(DataError::io(&self.path))
    }

    fn read_labels(&self, index: &LatentIndex) -> Result<Vec<u32>, DataError> {
        let at = Layout::new(index.spec(), self.records).label;
        let mut labels = vec![0u64; self.records as usize];
        self.read(bytemuck::cast_slice_mut(&mut labels), at)?;
        let classes = index.spec().num_classes.max(1) as u64;
        let label = |(record, &label): (usize, &u64)| {
            u32::try_from(label).ok().filter(|_| label < classes).ok_or_else(|| {
                let (field, expected) = (format!("label of record {record}"), classes - 1);
                damaged(&self.path, &field, &format!("0 to {expected}"), &label.to_string())
            })
        };
        labels.iter().enumerate().map(label).collect()
    }
}

impl Dataset for LatentCache {
    fn name(&self) -> &str {
        "latents"
    }

    fn len(&self) -> u64 {
        self.labels.len() as u64
    }

    fn shape(&self) -> ImageShape {
        let [channels, height, width] = self.index.spec().latent_shape;
        ImageShape { channels, height, width }
    }

    fn num_classes(&self) -> usize {
        self.index.spec().num_classes
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        self.index.spec().class_names.get(label as usize).map(String::as_str)
    }

    fn sample_name(&self, index: u64) -> String {
        let (shard, record) = self.locate(index);
        format!("{}, record {record}", shard.path.display())
    }

    /// Draws a latent from the posterior of the image. Latents are not in [-1, 1].
    fn load(&self, index: u64, visit: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        self.draw(index, Flip::None, visit, out)
    }

    /// Draws a latent from the posterior of the mirrored image.
    fn load_mirrored(&self, index: u64, visit: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        self.draw(index, Flip::Horizontal, visit, out)
    }
}
