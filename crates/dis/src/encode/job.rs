//! The encoding itself: images are read while others are encoded.

use crate::autoencoder::Autoencoder;
use crate::exit::Failure;
use crate::progress;
use anyhow::Result;
use data::latents::{
    Encoding, Flip, LatentCache, LatentCacheOptions, LatentCacheSpec, LatentRecord, LatentScaling,
    LatentWriter, ShardWriter,
};
use data::{DataError, Dataset, Visit, flip_horizontally};
use indicatif::ProgressBar;
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Instant;
use vae::Posterior;

/// Broken images that are named; the others are counted.
const NAMED: u64 = 20;
/// Data sets that make their images make them from this; files do not ask.
const VISIT: Visit = Visit { seed: 0, position: 0 };

/// Images that stand for all when a source is recognised.
const PROBES: u64 = 256;
/// Seconds between lines of a log.
const LOG_SECONDS: u64 = 60;

/// The kind of a source and the hash of some of its images with their labels, so that nobody goes on
/// with other images under the same name.
pub(super) fn describe(source: &dyn Dataset) -> String {
    let probes = PROBES.min(source.len());
    let images: Vec<_> = (0..probes)
        .into_par_iter()
        .map(|probe| read_image(source, probe * source.len() / probes).ok())
        .map(|image| image.map(|image| (image.label, image.hash())))
        .collect();
    let mut hasher = blake3::Hasher::new();
    for image in images {
        match image {
            Some((label, hash)) => hasher.update(&label.to_le_bytes()).update(&hash),
            None => hasher.update(b"broken"),
        };
    }
    format!("{}, {probes} images with hash {}", source.name(), hasher.finalize().to_hex())
}

fn read_image(source: &dyn Dataset, index: u64) -> Result<Image, (u64, DataError)> {
    let mut pixels = vec![0.0; source.shape().len()];
    match source.load(index, VISIT, &mut pixels) {
        Ok(label) => Ok(Image { index, label, pixels }),
        Err(error) => Err((index, error)),
    }
}

/// What is encoded, and how.
pub(super) struct Job<'a> {
    pub(super) source: &'a dyn Dataset,
    pub(super) folder: &'a Path,
    pub(super) batch: usize,
    pub(super) skip_broken: bool,
    pub(super) checks: u64,
}

/// An image that was read.
struct Image {
    index: u64,
    label: u32,
    /// `[3, H, W]` in [-1, 1].
    pixels: Vec<f32>,
}

impl Image {
    /// BLAKE3 of the pixels, which are what is encoded.
    fn hash(&self) -> [u8; 32] {
        blake3::hash(bytemuck::cast_slice(&self.pixels)).into()
    }
}

/// Images that pass through the encoder together, or what is wrong with them.
type Chunk = Vec<Result<Image, (u64, DataError)>>;

impl Job<'_> {
    /// Makes what is missing, and returns the hash of the index.
    pub(super) fn run(
        &self,
        mut writer: LatentWriter,
        vae: &mut dyn Autoencoder,
    ) -> Result<String> {
        let missing = writer.missing();
        let flips = writer.spec().flips.clone();
        let rest: u64 = missing.iter().map(|&k| count(&writer.spec().source_range(k))).sum();
        let total = writer.spec().source_len;
        let bar = progress::bar(total, total - rest, "images");
        let mut skipped = 0;
        let mut logged = Instant::now();
        for shard in missing {
            let samples = writer.spec().source_range(shard);
            let mut out = writer.begin_shard(shard)?;
            self.encode_shard(samples, &flips, vae, &mut out, &mut skipped, &bar)?;
            out.commit()?;
            if bar.is_hidden() && logged.elapsed().as_secs() >= LOG_SECONDS {
                tracing::info!("{} of {total} images", bar.position());
                logged = Instant::now();
            }
        }
        bar.finish_and_clear();
        let hash = writer.finish()?;
        self.check(&flips, vae)?;
        Ok(hash)
    }

    fn encode_shard(
        &self,
        samples: Range<u64>,
        flips: &[Flip],
        vae: &mut dyn Autoencoder,
        out: &mut ShardWriter<'_>,
        skipped: &mut u64,
        bar: &ProgressBar,
    ) -> Result<()> {
        std::thread::scope(|scope| {
            let (send, chunks) = sync_channel(1);
            scope.spawn(move || self.read(samples, &send));
            for chunk in chunks {
                let read = chunk.len() as u64;
                let images = self.whole(chunk, skipped, bar)?;
                if !images.is_empty() {
                    push(out, &images, &self.encode(&images, flips, vae)?)?;
                }
                bar.inc(read);
            }
            Ok(())
        })
    }

    /// Reads samples, chunk by chunk, until nobody wants them.
    fn read(&self, samples: Range<u64>, send: &SyncSender<Chunk>) {
        for first in samples.clone().step_by(self.batch) {
            let chunk = first..(first + self.batch as u64).min(samples.end);
            if send.send(chunk.into_par_iter().map(|index| self.image(index)).collect()).is_err() {
                return;
            }
        }
    }

    fn image(&self, index: u64) -> Result<Image, (u64, DataError)> {
        read_image(self.source, index)
    }

    /// The images that could be read; the others are an error unless they are to be skipped.
    fn whole(&self, chunk: Chunk, skipped: &mut u64, bar: &ProgressBar) -> Result<Vec<Image>> {
        let mut images = Vec::with_capacity(chunk.len());
        for result in chunk {
            match result {
                Ok(image) => images.push(image),
                Err((index, error)) if self.skip_broken => {
                    *skipped += 1;
                    if *skipped <= NAMED {
                        bar.suspend(|| tracing::warn!("left out: sample {index}: {error}"));
                    }
                }
                Err((index, error)) => {
                    let what = format!("sample {index}: {error}");
                    let help = "--skip-broken leaves out what cannot be read; `dis data check` \
                                lists it";
                    return Err(Failure::data(what).help(help).into());
                }
            }
        }
        Ok(images)
    }

    /// The posteriors of images, for each flip.
    fn encode(
        &self,
        images: &[Image],
        flips: &[Flip],
        vae: &mut dyn Autoencoder,
    ) -> Result<Vec<Moments>> {
        let shape = self.source.shape();
        flips
            .iter()
            .map(|flip| {
                let mut pixels: Vec<f32> =
                    images.iter().flat_map(|image| &image.pixels).copied().collect();
                if *flip == Flip::Horizontal {
                    pixels
                        .chunks_exact_mut(shape.len())
                        .for_each(|image| flip_horizontally(image, shape));
                }
                Ok(Moments::of(&vae.encode(&pixels, shape.height)?))
            })
            .collect()
    }

    /// Encodes some samples again and compares them with the cache. Each is encoded with those that
    /// it was with, because a device's sums may follow the batch.
    fn check(&self, flips: &[Flip], vae: &mut dyn Autoencoder) -> Result<()> {
        let options = LatentCacheOptions {
            scaling: LatentScaling::constant(1.0),
            flip: flips.contains(&Flip::Horizontal),
        };
        let cache = LatentCache::open(self.folder, &options)?;
        match cache.index().skipped() {
            0 => {}
            skipped => tracing::warn!("{skipped} images could not be read and are left out"),
        }
        let checks = self.checks.min(cache.len());
        for check in 0..checks {
            let index = check * cache.len() / checks;
            let (source_index, hash) = cache.source(index)?;
            let images = self.companions(cache.index().spec(), source_index);
            let place = images.iter().position(|image| image.index == source_index);
            let Some(place) = place.filter(|&place| images[place].hash() == hash) else {
                let what = format!("sample {source_index} has changed since it was encoded");
                return Err(Failure::data(what).help("encode to a new folder").into());
            };
            let moments = self.encode(&images, flips, vae)?;
            let encodings: Vec<Encoding<'_>> =
                moments.iter().map(|m| m.encoding(place, images.len())).collect();
            cache.compare(index, &encodings)?;
        }
        Ok(())
    }

    /// The images that a sample was encoded with, itself among them.
    fn companions(&self, spec: &LatentCacheSpec, source_index: u64) -> Vec<Image> {
        let shard = spec.source_range(source_index / spec.records_per_shard);
        let batch = self.batch as u64;
        let first = source_index - (source_index - shard.start) % batch;
        let chunk = first..(first + batch).min(shard.end);
        chunk.into_par_iter().filter_map(|index| self.image(index).ok()).collect()
    }
}

fn count(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// Mean and log standard deviation of several images.
struct Moments {
    mean: Vec<f32>,
    logstd: Vec<f32>,
}

impl Moments {
    fn of(posterior: &Posterior) -> Self {
        let logstd = posterior.log_variance().iter().map(|v| 0.5 * v).collect();
        Self { mean: posterior.mean().to_vec(), logstd }
    }

    /// Those of image `i` of `n`.
    fn encoding(&self, i: usize, n: usize) -> Encoding<'_> {
        let len = self.mean.len() / n;
        let part = i * len..(i + 1) * len;
        Encoding { mean: &self.mean[part.clone()], logstd: &self.logstd[part] }
    }
}

/// Appends encoded images to a shard.
fn push(out: &mut ShardWriter<'_>, images: &[Image], flips: &[Moments]) -> Result<()> {
    for (i, image) in images.iter().enumerate() {
        let encodings: Vec<Encoding<'_>> =
            flips.iter().map(|moments| moments.encoding(i, images.len())).collect();
        out.push(&LatentRecord {
            source_index: image.index,
            label: image.label,
            source_hash: image.hash(),
            encodings: &encodings,
        })?;
    }
    Ok(())
}
