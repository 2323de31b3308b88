//! The list of what a checkpoint consists of.

use super::CheckpointError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// File name of the manifest.
pub(super) const MANIFEST: &str = "manifest.json";
/// Version of the layout of checkpoint directories that is written, and the newest that is read.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Longest manifest that is read: that of the largest network with a few averages has a tenth.
pub(super) const LONGEST_MANIFEST: u64 = 16_000_000;

/// What a checkpoint consists of. Written last: where it is whole, so is the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format_version: u32,
    pub(super) program_version: String,
    pub(super) step: u64,
    pub(super) config_hash: String,
    pub(super) files: Vec<FileRecord>,
    pub(super) tensors: Vec<TensorRecord>,
    /// BLAKE3 of this file with this field empty.
    pub(super) digest: String,
}

/// A file and how to recognise it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRecord {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) blake3: String,
}

/// A tensor and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TensorRecord {
    pub(super) file: String,
    pub(super) name: String,
    pub(super) dtype: String,
    pub(super) shape: Vec<usize>,
}

impl Manifest {
    /// The file, with its digest.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let digest = blake3::hash(&encode(&Self { digest: String::new(), ..self.clone() }));
        encode(&Self { digest: digest.to_hex().to_string(), ..self.clone() })
    }

    /// Reads a file; anything that is not exactly as written is refused.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let damaged = |expected: &str, got: String| CheckpointError::Damaged {
            file: path.into(),
            field: "content".into(),
            expected: expected.into(),
            got,
        };
        let version = VersionOnly::read(bytes).map_err(|e| damaged("JSON", e.to_string()))?;
        if version > FORMAT_VERSION {
            return Err(CheckpointError::NewerFormat {
                path: path.into(),
                got: version,
                known: FORMAT_VERSION,
            });
        }
        let manifest: Self =
            serde_json::from_slice(bytes).map_err(|e| damaged("a manifest", e.to_string()))?;
        if manifest.to_bytes() != bytes {
            return Err(damaged("what its digest says", "something else".into()));
        }
        Ok(manifest)
    }

    /// The record of a file.
    pub(super) fn file(&self, name: &str) -> Option<&FileRecord> {
        self.files.iter().find(|file| file.name == name)
    }
}

/// The one field that every version has.
#[derive(Deserialize)]
struct VersionOnly {
    format_version: u32,
}

impl VersionOnly {
    fn read(bytes: &[u8]) -> serde_json::Result<u32> {
        serde_json::from_slice::<Self>(bytes).map(|version| version.format_version)
    }
}

/// One line for each item of a list, so that it can be read and compared.
fn encode(manifest: &Manifest) -> Vec<u8> {
    let files: Vec<String> = manifest.files.iter().map(json).collect();
    let tensors: Vec<String> = manifest.tensors.iter().map(json).collect();
    let text = format!(
        r#"{{
  "format_version": {},
  "program_version": {},
  "step": {},
  "config_hash": {},
  "files": [
    {}
  ],
  "tensors": [
    {}
  ],
  "digest": {}
}}
"#,
        manifest.format_version,
        json(&manifest.program_version),
        manifest.step,
        json(&manifest.config_hash),
        files.join(",\n    "),
        tensors.join(",\n    "),
        json(&manifest.digest),
    );
    text.into_bytes()
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("strings and integers are always JSON")
}
