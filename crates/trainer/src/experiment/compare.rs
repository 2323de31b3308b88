//! How two experiments differ, and whether a run may go on under the second.

use super::schema::shown;
use super::{Experiment, flatten};
use std::fmt;

/// Keys whose change leaves the meaning of the steps made so far alone.
const MAY_CHANGE: [&str; 14] = [
    "train.steps",
    "train.recompute",
    "train.log_every",
    "train.sample_every",
    "train.checkpoint_every",
    "train.ema_snapshot_every",
    "train.keep_checkpoints",
    "data.path",
    "data.workers",
    "vae.path",
    "encode.",
    "sample.",
    "guidance.",
    "eval.",
];

/// Whether a run may be continued under another value of the key: its length, intervals, previews,
/// evaluations, memory, and where the data lie.
///
/// A new `train.steps` also moves the end of a cosine or a linear tail: the steps made so far stay
/// what they are, those to come follow the new curve.
pub fn may_change(key: &str) -> bool {
    MAY_CHANGE.iter().any(|known| match known.strip_suffix('.') {
        Some(_) => key.starts_with(known),
        None => key == *known,
    })
}

/// A key that two experiments give different values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyChange {
    /// The key in full.
    pub key: String,
    /// The value of the first, if it has one.
    pub old: Option<String>,
    /// The value of the second, if it has one.
    pub new: Option<String>,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(none)".into());
        write!(f, "{}: {} -> {}", self.key, text(&self.old), text(&self.new))
    }
}

impl Experiment {
    /// Every key with different values, in the order of the file.
    pub fn differences(&self, newer: &Self) -> Vec<KeyChange> {
        let (old, new) = (self.to_table(), newer.to_table());
        let (old, new) = (flatten(&old), flatten(&new));
        let mut keys: Vec<&String> = old.iter().map(|(key, _)| key).collect();
        keys.extend(new.iter().map(|(key, _)| key).filter(|key| !old.iter().any(|o| o.0 == **key)));
        let value = |leaves: &[(String, &toml::Value)], key: &String| {
            leaves.iter().find(|leaf| leaf.0 == *key).map(|leaf| leaf.1.clone())
        };
        keys.into_iter()
            .map(|key| (key, value(&old, key), value(&new, key)))
            .filter(|(_, old, new)| old != new)
            .map(|(key, old, new)| KeyChange {
                key: key.clone(),
                old: old.as_ref().map(shown),
                new: new.as_ref().map(shown),
            })
            .collect()
    }

    /// Hash of all keys whose change makes another run, in hexadecimal; see [`may_change`].
    pub fn identity(&self) -> String {
        let table = self.to_table();
        let mut hasher = blake3::Hasher::new();
        for (key, value) in flatten(&table).into_iter().filter(|(key, _)| !may_change(key)) {
            hasher.update(format!("{key} = {value}\n").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}
