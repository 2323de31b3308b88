//! What a cache is made of.

use crate::DataError;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::Path;

/// Most elements of one latent: 4x1024x1024.
const MOST_ELEMENTS: usize = 1 << 22;
/// Most shards of a cache, each of which is an open file of whoever reads it.
const MOST_SHARDS: u64 = 100_000;
/// Longest description, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Which image was encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flip {
    /// The image as it is.
    None,
    /// The image mirrored left to right.
    Horizontal,
}

/// What a cache is made of: two caches of one specification and one source are the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentCacheSpec {
    /// `[C, H, W]` of a latent.
    pub latent_shape: [usize; 3],
    /// Which encodings are kept: the plain one, or the plain and the mirrored one.
    pub flips: Vec<Flip>,
    /// Fingerprint of the autoencoder's weights.
    pub vae: String,
    /// How images become the autoencoder's input.
    pub crop: String,
    /// Where the images come from.
    pub source: String,
    /// Samples of the source.
    pub source_len: u64,
    /// Classes, 0 where samples have no labels.
    pub num_classes: usize,
    /// Names of the classes, or none.
    pub class_names: Vec<String>,
    /// Samples of the source that one shard covers. 32,768 of 4x32x32 with both flips are 1 GiB.
    pub records_per_shard: u64,
}

/// A field that has a value it may not have.
#[derive(Debug)]
pub(super) struct Problem {
    field: &'static str,
    expected: String,
    got: String,
}

impl Problem {
    fn new(field: &'static str, expected: impl Into<String>, got: impl ToString) -> Self {
        Self { field, expected: expected.into(), got: got.to_string() }
    }

    /// As an argument of a function.
    pub(super) fn of_argument(self) -> DataError {
        DataError::Config { field: self.field, expected: self.expected, got: self.got }
    }

    /// As a field of a file.
    pub(super) fn of_file(self, file: &Path) -> DataError {
        let Self { field, expected, got } = self;
        DataError::Field { file: file.into(), field: field.into(), expected, got }
    }
}

impl LatentCacheSpec {
    /// Elements of one latent.
    pub const fn latent_len(&self) -> usize {
        self.latent_shape[0] * self.latent_shape[1] * self.latent_shape[2]
    }

    /// Shards of the whole cache.
    ///
    /// # Panics
    /// When [`LatentCacheSpec::records_per_shard`] is zero.
    pub const fn shards(&self) -> u64 {
        self.source_len.div_ceil(self.records_per_shard)
    }

    /// Samples of the source that a shard covers.
    pub fn source_range(&self, shard: u64) -> Range<u64> {
        let start = shard * self.records_per_shard;
        start..(start + self.records_per_shard).min(self.source_len)
    }

    /// Bytes of all shards when no sample is left out: what the disk has to hold.
    ///
    /// # Panics
    /// As [`LatentCacheSpec::shards`] does.
    pub fn bytes(&self) -> u64 {
        (0..self.shards())
            .map(|shard| {
                let range = self.source_range(shard);
                super::shard::bytes(self, range.end - range.start)
            })
            .sum()
    }

    /// BLAKE3 of the specification, in hex: what a shard carries.
    pub(super) fn digest(&self) -> String {
        blake3::hash(super::index::json(self).as_bytes()).to_hex().to_string()
    }

    /// Refuses sizes that cannot be, so that all that follows may multiply them.
    pub(super) fn check(&self) -> Result<(), Problem> {
        self.check_latents()?;
        self.check_source()?;
        let texts = [("vae", &self.vae), ("crop", &self.crop), ("source", &self.source)];
        for (field, text) in texts {
            if text.is_empty() || text.len() > LONGEST_TEXT {
                let expected = format!("1 to {LONGEST_TEXT} bytes");
                return Err(Problem::new(field, expected, format!("{} bytes", text.len())));
            }
        }
        Ok(())
    }

    fn check_latents(&self) -> Result<(), Problem> {
        let len = self.latent_shape.iter().try_fold(1usize, |len, &n| len.checked_mul(n));
        if len.is_none_or(|len| len == 0 || len > MOST_ELEMENTS) {
            let expected = format!("[C, H, W] with 1 to {MOST_ELEMENTS} elements");
            return Err(Problem::new("latent_shape", expected, format!("{:?}", self.latent_shape)));
        }
        if !matches!(self.flips[..], [Flip::None] | [Flip::None, Flip::Horizontal]) {
            let expected = r#"["none"] or ["none", "horizontal"]"#;
            return Err(Problem::new("flips", expected, super::index::json(&self.flips)));
        }
        Ok(())
    }

    fn check_source(&self) -> Result<(), Problem> {
        let in_range = |field, got: u64, allowed: std::ops::RangeInclusive<u64>| {
            if allowed.contains(&got) {
                return Ok(());
            }
            let expected = format!("{} to {}", allowed.start(), allowed.end());
            Err(Problem::new(field, expected, got))
        };
        in_range("source_len", self.source_len, 1..=1 << 40)?;
        in_range("records_per_shard", self.records_per_shard, 1..=1 << 20)?;
        in_range("number of shards", self.shards(), 1..=MOST_SHARDS)?;
        in_range("num_classes", self.num_classes as u64, 0..=1 << 20)?;
        let names = self.class_names.len();
        if names != 0 && names != self.num_classes {
            let expected = format!("0 or {}, one a class", self.num_classes);
            return Err(Problem::new("class_names", expected, names));
        }
        Ok(())
    }

    /// The first field in which another specification differs, with both values.
    pub(super) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        macro_rules! compare {
            ($($field:ident),*) => {$(
                if self.$field != other.$field {
                    let value = |spec: &Self| super::index::json(&spec.$field);
                    return Some((stringify!($field), value(self), value(other)));
                }
            )*};
        }
        compare!(vae, crop, latent_shape, flips, source, source_len, num_classes, class_names);
        compare!(records_per_shard);
        None
    }
}
