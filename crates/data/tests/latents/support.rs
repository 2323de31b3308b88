//! Caches to look at.

use data::DataError;
use data::latents::{
    Encoding, Flip, LatentCacheOptions, LatentCacheSpec, LatentRecord, LatentScaling, LatentWriter,
};
use std::path::Path;

pub(crate) fn spec() -> LatentCacheSpec {
    LatentCacheSpec {
        latent_shape: [2, 3, 5],
        flips: vec![Flip::None, Flip::Horizontal],
        vae: "0123456789abcdef".into(),
        crop: "centre 40x24".into(),
        source: "generated".into(),
        source_len: 23,
        num_classes: 4,
        class_names: ["north", "east", "south", "west"].map(String::from).into(),
        records_per_shard: 10,
    }
}

/// Elements of a latent of [`spec`].
pub(crate) const LEN: usize = 30;
/// Samples of the source that cannot be encoded.
pub(crate) const SKIPPED: [u64; 2] = [4, 17];

/// Mean, in [-4, 4), and log standard deviation, in [-3, -1), of a sample of the source. Quotients of
/// integers, so the same on every machine.
pub(crate) fn encoding(source_index: u64, flip: Flip) -> (Vec<f32>, Vec<f32>) {
    let first = 31 * (2 * source_index + u64::from(flip == Flip::Horizontal));
    let fraction = |i: u64, prime: u64| ((first + i) * prime % 1009) as f32 / 1009.0;
    let mean = (0..LEN as u64).map(|i| 8.0 * fraction(i, 773) - 4.0).collect();
    let logstd = (0..LEN as u64).map(|i| 2.0 * fraction(i, 541) - 3.0).collect();
    (mean, logstd)
}

pub(crate) fn source_hash(source_index: u64) -> [u8; 32] {
    [source_index as u8 ^ 0x5A; 32]
}

/// Writes one shard.
pub(crate) fn write_shard(writer: &mut LatentWriter, shard: u64) -> Result<(), DataError> {
    let samples = writer.spec().source_range(shard);
    let flips = writer.spec().flips.clone();
    let mut shard = writer.begin_shard(shard)?;
    for source_index in samples.filter(|index| !SKIPPED.contains(index)) {
        let encodings: Vec<_> = flips.iter().map(|&flip| encoding(source_index, flip)).collect();
        let encodings: Vec<_> =
            encodings.iter().map(|(mean, logstd)| Encoding { mean, logstd }).collect();
        let (label, source_hash) = ((source_index % 4) as u32, source_hash(source_index));
        shard.push(&LatentRecord { source_index, label, source_hash, encodings: &encodings })?;
    }
    shard.commit()
}

/// Makes a cache, or what is missing of it, and returns its hash.
pub(crate) fn make(folder: &Path, spec: LatentCacheSpec) -> Result<String, DataError> {
    let mut writer = LatentWriter::create_or_resume(folder, spec, &mut |_, _| {})?;
    for shard in writer.missing() {
        write_shard(&mut writer, shard)?;
    }
    writer.finish()
}

pub(crate) fn options() -> LatentCacheOptions {
    LatentCacheOptions { scaling: LatentScaling::constant(1.0), flip: true }
}
