//! Images that an autoencoder has encoded once, kept on the disk and sampled anew on every visit.
//!
//! A cache holds the posterior of every image, mean and log standard deviation in f16, of the image
//! and of its mirror image, because the encoding of a mirrored image is not the mirrored encoding.
//! [`LatentWriter`] makes it, [`LatentCache`] is the [`crate::Dataset`] of it, [`verify`] hashes it.
//!
//! # The folder
//!
//! ```text
//! index.json                      what the cache is and the hash of every shard; written last
//! index.partial.json              the same of what there is so far; gone once index.json is there
//! latents-00000.safetensors  ..   the shards
//! latents.lock                    held by the process that writes
//! ```
//!
//! Shard k holds the samples `k R .. (k + 1) R` of the source that could be encoded, R being
//! [`LatentCacheSpec::records_per_shard`]. Its n records are, in this order and without a gap:
//!
//! | tensor | type | shape | holds |
//! |---|---|---|---|
//! | `moments` | F16 | `[n, F, 2, C, H, W]` | F encodings (plain, mirrored), each mean then log standard deviation |
//! | `source_index` | I64 | `[n]` | number of the sample in the source, ascending |
//! | `label` | I64 | `[n]` | its class, 0 where there are none |
//! | `source_hash` | U8 | `[n, 32]` | BLAKE3 of its image as it was encoded, `[C, H, W]` floats |
//!
//! Any reader of safetensors reads it: `f.get_slice("moments")[i, 0, 0]` is the mean of record i. The
//! header is padded to 4096 bytes, so an encoding of 4x32x32 is four whole pages, read at once.
//!
//! # What is promised
//!
//! - Equal inputs give equal bytes and so an equal [`LatentIndex::hash`], however often the work was
//!   interrupted: no time, machine or order of events is written down.
//! - A cache is complete where `index.json` is. A shard appears by one rename after all of it is on
//!   the disk, and its hash is noted before; to go on, each is hashed and only the others are made.
//! - The header of a shard is a function of the index, and is compared with it byte for byte. Nothing
//!   in it is believed, so no header can make the reader allocate or read out of place.
//! - A visit is read with one positioned read. The files are not mapped: that needs unsafe code, which
//!   this crate does without, and a mapped file that is cut later kills the process.
//!   `benches/record/2026-11-23-latents.md` has what reads cost.

mod disk;
mod error;
mod index;
mod posterior;
mod reader;
mod scaling;
mod shard;
mod shard_writer;
mod spec;
mod verify;
mod writer;

pub use error::LatentError;
pub use index::{LatentIndex, ShardRecord};
pub use reader::{LatentCache, LatentCacheOptions, Moments};
pub use scaling::LatentScaling;
pub use shard_writer::{Encoding, LatentRecord, ShardWriter};
pub use spec::{Flip, LatentCacheSpec};
pub use verify::{LatentReport, verify};
pub use writer::LatentWriter;

#[cfg(test)]
mod tests;

#[cfg(target_endian = "big")]
compile_error!("shards are little-endian and are read in place");

/// Least and largest log standard deviation. Autoencoders clamp log variances to [-30, 20].
pub const LOGSTD_RANGE: std::ops::RangeInclusive<f32> = -15.0..=10.0;
