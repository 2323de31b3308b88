//! `index.json`: what a cache is, and the hash of every shard.

use super::spec::LatentCacheSpec;
use super::{LatentError, shard};
use crate::DataError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// File name of the index of a complete cache.
pub(super) const INDEX: &str = "index.json";
/// File name of the index of what there is so far.
pub(super) const PARTIAL: &str = "index.partial.json";
/// What the index says that it is.
pub(super) const FORMAT: &str = "dis-latents";
/// Version of the layout of caches that is written, and the newest that is read.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Longest index that is read, in bytes: one of the most shards and the usual class names.
const LONGEST_INDEX: u64 = 32_000_000;

/// A shard and how to recognise it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRecord {
    /// Its file name.
    pub file: String,
    /// Samples in it.
    pub records: u64,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its content, in hex.
    pub blake3: String,
}

/// What a cache consists of. The content of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LatentIndex {
    spec: LatentCacheSpec,
    /// Numbers and records of shards, ascending.
    shards: Vec<(u64, ShardRecord)>,
}

/// The fields of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "format_version")]
    _format_version: u32,
    spec: LatentCacheSpec,
    count: u64,
    skipped: u64,
    shards: Vec<ShardRecord>,
    digest: String,
}

/// The fields that every version has.
#[derive(Deserialize)]
struct Version {
    format: String,
    format_version: u32,
}

impl LatentIndex {
    /// Reads the index of a complete cache. `path` is where the bytes come from, for errors.
    ///
    /// # Errors
    /// [`DataError::Field`] for the first field that is not as a cache could have it, down to the
    /// digest of the whole; [`LatentError::NewerFormat`] for what a later program wrote;
    /// [`LatentError::Unfinished`] where shards are missing.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        let index = Self::parse_partial(bytes, path)?;
        match index.unfinished(path.parent().unwrap_or(path)) {
            Some(error) => Err(error.into()),
            None => Ok(index),
        }
    }

    /// The same where shards may be missing.
    pub(super) fn parse_partial(bytes: &[u8], path: &Path) -> Result<Self, DataError> {
        let bad = |field: &str, expected: String, got: String| DataError::Field {
            file: path.into(),
            field: field.into(),
            expected,
            got,
        };
        let version: Version = serde_json::from_slice(bytes)
            .map_err(|e| bad("content", "the index of a latent cache".into(), e.to_string()))?;
        if version.format != FORMAT {
            return Err(bad("format", FORMAT.into(), version.format));
        }
        if version.format_version > FORMAT_VERSION {
            let (path, got) = (path.into(), version.format_version);
            return Err(LatentError::NewerFormat { path, got, known: FORMAT_VERSION }.into());
        }
        let fields: Fields = serde_json::from_slice(bytes)
            .map_err(|e| bad("content", "the index of a latent cache".into(), e.to_string()))?;
        fields.spec.check().map_err(|problem| problem.of_file(path))?;
        let mut index = Self { spec: fields.spec, shards: Vec::new() };
        for (i, record) in fields.shards.into_iter().enumerate() {
            index.push(record).map_err(|(field, expected, got)| {
                bad(&format!("{field} of shards[{i}]"), expected, got)
            })?;
        }
        for (field, got, expected) in
            [("count", fields.count, index.len()), ("skipped", fields.skipped, index.skipped())]
        {
            if got != expected {
                return Err(bad(field, expected.to_string(), got.to_string()));
            }
        }
        if index.hash() != fields.digest {
            return Err(bad("digest", index.hash(), fields.digest));
        }
        if index.to_bytes() != bytes {
            return Err(bad("layout", "what was written".into(), "spaces or order changed".into()));
        }
        Ok(index)
    }

    pub(super) const fn new(spec: LatentCacheSpec) -> Self {
        Self { spec, shards: Vec::new() }
    }

    /// Appends a shard, or says which field of it is wrong, what was expected and what it is.
    fn push(&mut self, record: ShardRecord) -> Result<(), (&'static str, String, String)> {
        let shard = shard::number(&record.file).filter(|&shard| shard < self.spec.shards());
        let next = self.shards.last().map_or(0, |(last, _)| last + 1);
        let Some(shard) = shard.filter(|&shard| shard >= next) else {
            let expected = format!("{} or later, below {}", next, self.spec.shards());
            return Err(("file", format!("the name of shard {expected}"), record.file));
        };
        let range = self.spec.source_range(shard);
        if record.records > range.end - range.start {
            let expected = format!("at most {}", range.end - range.start);
            return Err(("records", expected, record.records.to_string()));
        }
        let bytes = shard::bytes(&self.spec, record.records);
        if record.bytes != bytes {
            return Err(("bytes", bytes.to_string(), record.bytes.to_string()));
        }
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if record.blake3.len() != 64 || !record.blake3.bytes().all(hex) {
            return Err(("blake3", "64 hexadecimal digits".into(), record.blake3));
        }
        self.shards.push((shard, record));
        Ok(())
    }

    /// Puts a shard in its place.
    pub(super) fn insert(&mut self, shard: u64, record: ShardRecord) {
        self.remove(shard);
        let place = self.shards.partition_point(|&(there, _)| there < shard);
        self.shards.insert(place, (shard, record));
    }

    /// Takes a shard out.
    pub(super) fn remove(&mut self, shard: u64) {
        self.shards.retain(|&(there, _)| there != shard);
    }

    /// What the cache is made of.
    pub const fn spec(&self) -> &LatentCacheSpec {
        &self.spec
    }

    /// Samples.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|(_, record)| record.records).sum()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples of the source that were left out of the shards that are there.
    pub fn skipped(&self) -> u64 {
        let covered = |shard| {
            let range = self.spec.source_range(shard);
            range.end - range.start
        };
        self.shards.iter().map(|&(shard, ref record)| covered(shard) - record.records).sum()
    }

    /// Numbers and records of the shards, ascending.
    pub fn shards(&self) -> impl Iterator<Item = (u64, &ShardRecord)> {
        self.shards.iter().map(|(shard, record)| (*shard, record))
    }

    /// Bytes of the shards.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|(_, record)| record.bytes).sum()
    }

    /// BLAKE3 of the file with an empty digest, in hex: it names the cache, because every byte of
    /// every shard takes part in it through the shard's own hash.
    pub fn hash(&self) -> String {
        blake3::hash(self.encode("").as_bytes()).to_hex().to_string()
    }

    /// The file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.encode(&self.hash()).into_bytes()
    }

    /// An error unless all shards are there.
    pub(super) fn unfinished(&self, folder: &Path) -> Option<LatentError> {
        let (whole, shards) = (self.shards.len(), self.spec.shards());
        let folder = folder.to_path_buf();
        (whole as u64 != shards).then_some(LatentError::Unfinished { folder, whole, shards })
    }

    /// One line for each field and each shard, so that it can be read and compared.
    fn encode(&self, digest: &str) -> String {
        let spec = match serde_json::to_value(&self.spec) {
            Ok(Value::Object(fields)) => fields,
            _ => unreachable!("a struct is a JSON object"),
        };
        let line = |(name, value): (&String, &Value)| format!("{}: {value}", json(name));
        let spec: Vec<String> = spec.iter().map(line).collect();
        let shards: Vec<String> = self.shards.iter().map(|(_, record)| json(record)).collect();
        format!(
            r#"{{
  "format": {},
  "format_version": {FORMAT_VERSION},
  "spec": {{
    {}
  }},
  "count": {},
  "skipped": {},
  "shards": [
    {}
  ],
  "digest": {}
}}
"#,
            json(&FORMAT),
            spec.join(",\n    "),
            self.len(),
            self.skipped(),
            shards.join(",\n    "),
            json(&digest),
        )
    }
}

/// The bytes of an index, or nothing where there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, DataError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(DataError::io(path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_INDEX + 1).read_to_end(&mut bytes).map_err(DataError::io(path))?;
    if bytes.len() as u64 > LONGEST_INDEX {
        return Err(DataError::Field {
            file: path.into(),
            field: "length".into(),
            expected: format!("at most {LONGEST_INDEX} bytes"),
            got: "more".into(),
        });
    }
    Ok(Some(bytes))
}

pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and integers are always JSON")
}
