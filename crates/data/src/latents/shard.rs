//! One shard: where its bytes are.

use super::index::{FORMAT, FORMAT_VERSION};
use super::spec::LatentCacheSpec;
use serde_json::json;

/// Bytes before the first record: the length of the JSON, the JSON, and spaces up to a whole page.
pub(super) const HEADER_BYTES: u64 = 4096;
/// Bytes of a source's hash.
pub(super) const HASH_BYTES: usize = 32;
/// Bytes of a number of a sample, and of a label.
pub(super) const INTEGER_BYTES: usize = 8;

/// File name of a shard.
pub(super) fn file_name(shard: u64) -> String {
    format!("latents-{shard:05}.safetensors")
}

/// Which shard a file is, by its name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("latents-")?.strip_suffix(".safetensors")?;
    let number = digits.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

/// Bytes of one encoding: mean and log standard deviation.
pub(super) const fn encoding_bytes(spec: &LatentCacheSpec) -> u64 {
    (2 * spec.latent_len() * size_of::<u16>()) as u64
}

/// Where the tensors of a shard begin, and where the last ends.
pub(super) struct Layout {
    pub(super) source_index: u64,
    pub(super) label: u64,
    pub(super) source_hash: u64,
    pub(super) end: u64,
}

impl Layout {
    /// Of that many records. No product overflows where the specification was checked.
    pub(super) fn new(spec: &LatentCacheSpec, records: u64) -> Self {
        let source_index = HEADER_BYTES + records * spec.flips.len() as u64 * encoding_bytes(spec);
        let label = source_index + records * INTEGER_BYTES as u64;
        let source_hash = label + records * INTEGER_BYTES as u64;
        Self { source_index, label, source_hash, end: source_hash + records * HASH_BYTES as u64 }
    }
}

/// Length of a shard.
pub(super) fn bytes(spec: &LatentCacheSpec, records: u64) -> u64 {
    Layout::new(spec, records).end
}

/// Place of one encoding of a record.
pub(super) fn encoding_offset(spec: &LatentCacheSpec, record: u64, flip: usize) -> u64 {
    HEADER_BYTES + (record * spec.flips.len() as u64 + flip as u64) * encoding_bytes(spec)
}

/// The first [`HEADER_BYTES`] of a shard.
pub(super) fn header(spec: &LatentCacheSpec, shard: u64, records: u64) -> Vec<u8> {
    let layout = Layout::new(spec, records);
    let [channels, height, width] = spec.latent_shape;
    let tensor = |dtype: &str, shape: serde_json::Value, start: u64, end: u64| {
        let offsets = [start - HEADER_BYTES, end - HEADER_BYTES];
        json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets })
    };
    let moments = json!([records, spec.flips.len(), 2, channels, height, width]);
    let text = json!({
        "__metadata__": {
            "format": FORMAT,
            "format_version": FORMAT_VERSION.to_string(),
            "shard": shard.to_string(),
            "spec": spec.digest(),
        },
        "moments": tensor("F16", moments, HEADER_BYTES, layout.source_index),
        "source_index": tensor("I64", json!([records]), layout.source_index, layout.label),
        "label": tensor("I64", json!([records]), layout.label, layout.source_hash),
        "source_hash": tensor("U8", json!([records, HASH_BYTES]), layout.source_hash, layout.end),
    });
    let mut header = (HEADER_BYTES - 8).to_le_bytes().to_vec();
    header.extend(text.to_string().into_bytes());
    assert!(header.len() as u64 <= HEADER_BYTES, "a header of {} bytes", header.len());
    header.resize(HEADER_BYTES as usize, b' ');
    header
}
