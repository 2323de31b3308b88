//! What a number was made with: without it no two distances can be compared.

use crate::inception::{CLASSES, POOL, Protocol, SPATIAL};
use crate::resize::Resize;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Version of what a [`Fingerprint`] says. A reader refuses others, because a field that it does not
/// know may be the one that differs.
pub const FORMAT: u32 = 1;

/// How features were made from images. Two sets can be compared when these are equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSpec {
    /// [`FORMAT`].
    pub format: u32,
    /// Which network; only Inception with the published weights gives an FID.
    pub network: Network,
    /// Name of the protocol.
    pub protocol: String,
    /// How images become the network's size.
    pub resize: String,
    /// How bytes become the network's input.
    pub value_map: String,
    /// What FID, precision and recall compare, and its length.
    pub pool: Layer,
    /// What sFID compares, and in which order it is laid out.
    pub spatial: Option<Layer>,
    /// What the Inception Score is made of.
    pub logits: Option<Layer>,
}

/// The network that features come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Network {
    /// Inception-v3 of 2015 with weights of a file.
    Inception {
        /// BLAKE3 of the file.
        weights: String,
        /// Whether the file says that it was made of the published weights.
        published: bool,
    },
    /// The same network with random weights: distances of its features are no FID.
    RandomInception {
        /// Seed of the weights.
        seed: u64,
    },
    /// Means of squares of pixels, no network at all.
    Pixels,
}

impl Network {
    /// Whether distances of its features may be called FID.
    pub fn gives_fid(&self) -> bool {
        matches!(self, Self::Inception { published: true, .. })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inception { weights, published } => {
                let whose = if *published { "published" } else { "unknown" };
                write!(f, "inception, {whose} weights {}", short(weights))
            }
            Self::RandomInception { seed } => write!(f, "random-inception, seed {seed}"),
            Self::Pixels => f.write_str("pixels"),
        }
    }
}

/// The first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..16).unwrap_or(hash)
}

/// One output of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Where it is taken, and in which order its numbers stand.
    pub name: String,
    /// Its length.
    pub dim: usize,
}

/// A field in which two fingerprints differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub field: &'static str,
    /// What the reference says.
    pub reference: String,
    /// What the samples say.
    pub samples: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, reference, samples } = self;
        write!(f, "{field}: {reference} in the reference, {samples} in the samples")
    }
}

impl FeatureSpec {
    /// What a protocol makes with the network of FID.
    pub fn of(protocol: Protocol, network: Network) -> Self {
        let layer = |name: &str, dim| Layer { name: name.into(), dim };
        let all = protocol.has_spatial_and_logits();
        let value_map = match protocol {
            Protocol::Adm | Protocol::Clean => "(x - 128) / 128",
            Protocol::PytorchFid => "x / 127.5 - 1",
        };
        Self {
            format: FORMAT,
            network,
            protocol: protocol.name().into(),
            resize: match protocol.resize() {
                Resize::TensorFlow1 => "bilinear of TensorFlow 1, without antialiasing".into(),
                Resize::HalfPixel => "bilinear, half-pixel centres, without antialiasing".into(),
                Resize::Bicubic => "bicubic of Pillow in floats, clipped to 0 .. 255".into(),
            },
            value_map: value_map.into(),
            pool: layer("mean of Mixed_7c", POOL),
            spatial: all.then(|| layer("Mixed_6d.branch1x1, channels 0 to 6, NHWC", SPATIAL)),
            logits: all.then(|| layer("fc without bias", CLASSES)),
        }
    }

    /// Every field as text, for people and for comparing.
    pub fn fields(&self) -> [(&'static str, String); 8] {
        let layer = |layer: Option<&Layer>| {
            layer.map_or_else(|| "none".into(), |layer| format!("{} [{}]", layer.name, layer.dim))
        };
        [
            ("format", self.format.to_string()),
            ("network", self.network.to_string()),
            ("protocol", self.protocol.clone()),
            ("resize", self.resize.clone()),
            ("value map", self.value_map.clone()),
            ("pool", layer(Some(&self.pool))),
            ("spatial", layer(self.spatial.as_ref())),
            ("logits", layer(self.logits.as_ref())),
        ]
    }

    /// The fields in which `samples` differ from `self`, a reference. Layers that one of them lacks
    /// do not count: what is there can still be compared.
    pub fn differences(&self, samples: &Self) -> Vec<Difference> {
        let lacks = |field| match field {
            "spatial" => self.spatial.is_none() || samples.spatial.is_none(),
            "logits" => self.logits.is_none() || samples.logits.is_none(),
            _ => false,
        };
        let both = self.fields().into_iter().zip(samples.fields());
        both.filter(|((field, reference), (_, samples))| reference != samples && !lacks(field))
            .map(|((field, reference), (_, samples))| Difference { field, reference, samples })
            .collect()
    }
}

/// Where images come from. It is recorded and not compared, since comparing two origins is what an
/// evaluation is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Path, or what drew them.
    pub source: String,
    /// How they were stored: `png`, `jpeg`, `npz`, `sampler`.
    pub stored_as: String,
    /// Number of images, where it is known.
    pub count: Option<u64>,
    /// Rows and columns.
    pub size: Option<[usize; 2]>,
    /// How numbers became bytes, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<String>,
    /// Network, sampler, steps, guidance and seed, where images were drawn here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sampler: BTreeMap<String, String>,
    /// What features were computed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What a reader should know, such as grey images among them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What is said of a set of features: how they were made, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// How they were made; unknown of files of others.
    pub features: Option<FeatureSpec>,
    /// Of what.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> FeatureSpec {
        let layer = |name: &str, dim| Layer { name: name.into(), dim };
        FeatureSpec {
            format: FORMAT,
            network: Network::Inception { weights: "0123456789abcdef0123".into(), published: true },
            protocol: "adm".into(),
            resize: "TF1 bilinear".into(),
            value_map: "(x - 128) / 128".into(),
            pool: layer("mean of Mixed_7c", 2048),
            spatial: Some(layer("Mixed_6d.branch1x1, NHWC", 2023)),
            logits: None,
        }
    }

    #[test]
    fn every_field_that_differs_is_named_with_both_values() {
        let reference = spec();
        assert!(reference.differences(&spec()).is_empty());
        type Change = (&'static str, fn(&mut FeatureSpec));
        let changes: [Change; 7] = [
            ("format", |s| s.format += 1),
            ("network", |s| s.network = Network::Pixels),
            ("protocol", |s| s.protocol = "clean".into()),
            ("resize", |s| s.resize = "half-pixel".into()),
            ("value map", |s| s.value_map = "x / 255".into()),
            ("pool", |s| s.pool.dim = 768),
            ("spatial", |s| s.spatial.as_mut().unwrap().name = "Mixed_6e, NCHW".into()),
        ];
        for (field, change) in changes {
            let mut samples = spec();
            change(&mut samples);
            let [ref found] = reference.differences(&samples)[..] else { panic!("{field}") };
            assert_eq!(found.field, field);
            assert_ne!(found.reference, found.samples, "{field}");
        }
    }

    #[test]
    fn a_layer_that_one_side_lacks_is_no_difference() {
        let mut samples = spec();
        samples.spatial = None;
        samples.logits = Some(Layer { name: "pool times fc".into(), dim: 1008 });
        assert!(spec().differences(&samples).is_empty());
    }

    #[test]
    fn what_is_written_reads_back_and_unknown_fields_are_refused() {
        let origin =
            Origin { source: "samples.npz".into(), count: Some(50_000), ..Origin::default() };
        let written = Fingerprint { features: Some(spec()), origin };
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&text).unwrap(), written);
        let more = text.replacen("{\"features\":{", "{\"features\":{\"sharpen\":true,", 1);
        assert!(
            serde_json::from_str::<Fingerprint>(&more).unwrap_err().to_string().contains("sharpen")
        );
    }
}
