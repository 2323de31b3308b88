//! What is said about how to score, by `dis eval` and by whoever scores what it draws.

use super::images::ImagePolicy;
use crate::exit::Failure;
use anyhow::Result;
use eval::compare::{Bootstrap, KidSubsets, Options};
use eval::fingerprint::{FeatureSpec, Network};
use eval::inception::Protocol;
use eval::inception_score::Splits;
use eval::{Metric, precision_recall};
use serde_json::{Map, Value, json};
use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

/// Images of a chunk of the Inception Score, as ADM divides them.
const ADM_CHUNK: NonZeroUsize = NonZeroUsize::new(5000).unwrap();

/// Where features come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FeaturesFrom {
    /// Inception with weights of a file.
    File(PathBuf),
    /// Inception with random weights.
    RandomInception,
    /// No network.
    Pixels,
}

impl FromStr for FeaturesFrom {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "pixels" => Self::Pixels,
            "random-inception" => Self::RandomInception,
            file => Self::File(file.into()),
        })
    }
}

/// How images become features.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct FeatureArgs {
    /// What turns images into features: a safetensors file with the weights of Inception, made by `dis
    /// convert`; `random-inception` or `pixels`, which need no file and give no FID
    #[arg(long, visible_alias = "weights", value_name = "FILE|random-inception|pixels")]
    features_from: Option<FeaturesFrom>,
    /// How images are resized and mapped: adm (ImageNet figures), pytorch-fid or uvit (CIFAR-10 and
    /// CelebA figures), clean [default: that of the other side, or adm]
    #[arg(long, value_name = "NAME")]
    protocol: Option<Protocol>,
    #[command(flatten)]
    pub(crate) policy: ImagePolicy,
}

impl FeatureArgs {
    /// What the flags and an experiment file can say alike.
    pub(crate) fn new(features_from: FeaturesFrom, protocol: Option<Protocol>) -> Self {
        Self { features_from: Some(features_from), protocol, policy: ImagePolicy::default() }
    }

    /// Whether the network is named.
    pub(crate) fn is_given(&self) -> bool {
        self.features_from.is_some()
    }

    /// The protocol, given features that those of images will be compared with.
    pub(crate) fn protocol(&self, other: Option<&FeatureSpec>) -> Protocol {
        let theirs = || other.and_then(|spec| spec.protocol.parse().ok());
        self.protocol.or_else(theirs).unwrap_or(Protocol::Adm)
    }

    /// The network, given features that those of images will be compared with.
    pub(crate) fn features_from(
        &self,
        other: Option<&FeatureSpec>,
    ) -> Result<FeaturesFrom, Failure> {
        match (&self.features_from, other.map(|spec| &spec.network)) {
            (Some(given), _) => Ok(given.clone()),
            (None, Some(Network::Pixels)) => Ok(FeaturesFrom::Pixels),
            (None, Some(Network::RandomInception { .. })) => Ok(FeaturesFrom::RandomInception),
            (None, _) => {
                let what = "images have to become features, and nothing says by which network";
                Err(Failure::usage(what).help(
                    "--features-from inception.safetensors (docs/evaluation.md says where the \
                     weights are to be had); for a trial --features-from random-inception or pixels",
                ))
            }
        }
    }
}

/// What is computed.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ScoreArgs {
    /// What to compute: fid, sfid, is, pr (precision, recall), dc (density, coverage), class-pr (class
    /// by class), kid, fid-inf [default: those of the protocol, as far as the files allow]
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    metrics: Vec<Metric>,
    /// Inception Score over N parts of equal length rather than chunks of 5000, as ADM takes them
    #[arg(long, value_name = "N")]
    is_splits: Option<NonZeroUsize>,
    /// Neighbours of precision, recall, density, coverage
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    neighbours: u16,
    /// A neighbour is nearer than the radius, as in dgm-eval, not at most as far, as in ADM
    #[arg(long)]
    strict: bool,
    /// KID of that many subsets of that size, 100x1000 for instance, rather than of all images
    #[arg(long, value_name = "COUNTxSIZE", value_parser = parse_subsets)]
    kid_subsets: Option<KidSubsets>,
    /// An interval around FID by that many resampled sets, 1000 for instance; needs the features of
    /// each sample, and the time of a few FIDs
    #[arg(long, value_name = "SETS", value_parser = clap::value_parser!(u32).range(20..=100_000))]
    bootstrap: Option<u32>,
    /// Probability that the interval is made for
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    level: f64,
    /// Seed of subsets and resampled sets
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    subset_seed: u64,
    /// Compare features although they were made differently; the report says so
    #[arg(long)]
    pub(crate) force: bool,
}

fn parse_subsets(text: &str) -> Result<KidSubsets, String> {
    let parts = text.split_once('x').and_then(|(count, size)| {
        Some(KidSubsets { count: count.parse().ok()?, size: size.parse().ok()? })
    });
    parts
        .filter(|subsets| (1..=100_000).contains(&subsets.count) && subsets.size > 1)
        .ok_or_else(|| "expected COUNTxSIZE, such as 100x1000: 1 to 100000 of two or more".into())
}

impl ScoreArgs {
    /// These metrics, and everything else as usual.
    pub(crate) fn usual(metrics: Vec<Metric>) -> Self {
        Self {
            metrics,
            is_splits: None,
            neighbours: 3,
            strict: false,
            kid_subsets: None,
            bootstrap: None,
            level: 0.95,
            subset_seed: 0,
            force: false,
        }
    }

    /// The metrics that are asked for by name.
    pub(crate) fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// Images that some metrics cannot do without.
    pub(crate) fn least_images(&self, metrics: &[Metric]) -> u64 {
        let neighbours = u64::from(self.neighbours) + 1;
        let least = metrics.iter().map(|metric| match metric {
            Metric::PrecisionRecall | Metric::DensityCoverage | Metric::ClassPrecisionRecall => {
                neighbours
            }
            Metric::FidInfinity => 3,
            Metric::Fid | Metric::Sfid | Metric::InceptionScore | Metric::Kid => 2,
        });
        least.max().unwrap_or(2)
    }

    /// How images are divided for the Inception Score.
    pub(crate) fn splits(&self) -> Splits {
        self.is_splits.map_or(Splits::Chunks(ADM_CHUNK), Splits::Parts)
    }

    /// Whether the interval needs the features of each sample.
    pub(crate) fn resamples(&self) -> bool {
        self.bootstrap.is_some()
    }

    /// What the library is asked for.
    pub(crate) fn options(&self, metrics: Vec<Metric>) -> Result<Options, Failure> {
        if !(self.level > 0.0 && self.level < 1.0) {
            let what = format!("--level {}: expected a number between 0 and 1", self.level);
            return Err(Failure::usage(what));
        }
        let bootstrap =
            self.bootstrap.map(|sets| Bootstrap { replicates: sets as usize, level: self.level });
        let comparison = if self.strict {
            precision_recall::Comparison::Below
        } else {
            precision_recall::Comparison::AtMost
        };
        let neighbours = precision_recall::Options {
            k: self.neighbours.into(),
            comparison,
            ..precision_recall::Options::ADM
        };
        let (kid_subsets, seed) = (self.kid_subsets, self.subset_seed);
        Ok(Options { metrics, neighbours, kid_subsets, bootstrap, seed })
    }

    /// For the report.
    pub(crate) fn record(&self) -> Map<String, Value> {
        let splits = match self.splits() {
            Splits::Chunks(size) => format!("chunks of {size}"),
            Splits::Parts(parts) => format!("{parts} parts"),
        };
        let comparison = if self.strict { "<" } else { "<=" };
        Map::from_iter([
            ("inception_score".to_string(), json!(splits)),
            ("neighbours".to_string(), json!(self.neighbours)),
            ("comparison".to_string(), json!(comparison)),
            ("subset_seed".to_string(), json!(self.subset_seed)),
            ("covariance".to_string(), json!("divided by N - 1")),
            ("arithmetic".to_string(), json!("features f32 without TF32, statistics f64")),
        ])
    }
}
