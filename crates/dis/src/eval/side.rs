//! One of the two sets that are compared: statistics, features or images.

use super::images::{ImagePolicy, Images};
use super::network::FeatureSource;
use crate::exit::Failure;
use crate::progress;
use anyhow::Result;
use eval::files::{FeatureFile, Kind, StatisticsFile, has_statistics, kind_of, read_statistics};
use eval::fingerprint::{FeatureSpec, Fingerprint, Origin};
use eval::{Collector, ImageBatch, Keep, Measured, Needs};
use std::path::Path;

/// Images that are read, and rows that are taken in, together.
pub(super) const BATCH: usize = 64;

/// What lies at a path.
pub(crate) enum Side {
    /// Mean and covariance.
    Statistics(StatisticsFile),
    /// A row an image.
    Features(FeatureFile, String),
    /// Images.
    Images(Images),
    /// Mean and covariance of a whole data set, and some of its images, as ADM's references have them.
    Both(StatisticsFile, Images),
}

impl Side {
    /// Looks at what lies at a path; nothing long happens yet.
    pub(crate) fn open(path: &Path, policy: ImagePolicy) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let is_file = path.is_file();
        if is_file && ending == "safetensors" {
            return match kind_of(path)? {
                Some(Kind::Statistics) => Ok(Self::Statistics(read_statistics(path)?)),
                _ => Ok(Self::Features(FeatureFile::open(path)?, path.display().to_string())),
            };
        }
        if is_file && ending == "npz" && has_statistics(path)? {
            let statistics = read_statistics(path)?;
            return Ok(match npz::Archive::open(path)?.has("arr_0") {
                false => Self::Statistics(statistics),
                true => Self::Both(statistics, Images::open(path, policy)?),
            });
        }
        if is_file && ending == "pkl" {
            let what = format!("{}: a pickle is a program, and is not run", path.display());
            let help = "in Python: import pickle, numpy; f = pickle.load(open('in.pkl', 'rb'))['fid']; \
                        numpy.savez('out.npz', mu=f['mu'], sigma=f['sigma'])";
            return Err(Failure::data(what).help(help).into());
        }
        Images::open(path, policy).map(Self::Images)
    }

    /// How its features were made, where that is known without making them.
    pub(crate) fn spec(&self) -> Option<&FeatureSpec> {
        match self {
            Self::Statistics(file) | Self::Both(file, _) => file.fingerprint.features.as_ref(),
            Self::Features(file, _) => file.fingerprint().and_then(|found| found.features.as_ref()),
            Self::Images(_) => None,
        }
    }

    /// Whether it can give what a metric needs; `network` is what images would become.
    pub(crate) fn can_give(&self, needs: Needs, network: Option<&FeatureSpec>) -> bool {
        let network = |what: fn(&FeatureSpec) -> bool| network.is_some_and(what);
        match self {
            Self::Statistics(file) => {
                let beyond = needs.rows || needs.logits || needs.labels;
                !beyond && (!needs.spatial || file.spatial.is_some())
            }
            Self::Features(file, _) => {
                let [_, spatial, logits] = file.layers();
                let spatial = !needs.spatial || spatial > 0;
                spatial && (!needs.logits || logits > 0) && (!needs.labels || file.has_labels())
            }
            Self::Images(images) => {
                let spatial = !needs.spatial || network(|spec| spec.spatial.is_some());
                let logits = !needs.logits || network(|spec| spec.logits.is_some());
                spatial && logits && (!needs.labels || images.is_labelled())
            }
            Self::Both(file, images) => {
                let logits = !needs.logits || network(|spec| spec.logits.is_some());
                let spatial = !needs.spatial || file.spatial.is_some();
                let rows = !needs.rows || network(|_| true);
                spatial && logits && rows && (!needs.labels || images.is_labelled())
            }
        }
    }

    /// Learns what has to be kept.
    pub(crate) fn measure(
        self,
        source: Option<&mut FeatureSource>,
        keep: Keep,
    ) -> Result<Measured> {
        match (self, source) {
            (Self::Statistics(file), _) => Ok(of_statistics(file)),
            (Self::Features(file, path), _) => of_features(&file, path, keep),
            (Self::Images(images), Some(source)) => of_images(images, source, keep),
            (Self::Both(file, images), Some(source)) if keep.rows => {
                let keep = Keep { spatial: false, ..keep };
                let of_images = of_images(images, source, keep)?;
                let StatisticsFile { fingerprint, pool, spatial } = file;
                Ok(Measured { fingerprint, pool, spatial, ..of_images })
            }
            (Self::Both(file, _), _) => Ok(of_statistics(file)),
            (Self::Images(_), None) => {
                Err(Failure::usage("images without a network to make features of them").into())
            }
        }
    }
}

fn of_statistics(file: StatisticsFile) -> Measured {
    Measured::from_statistics(file.fingerprint, file.pool, file.spatial)
}

fn of_features(file: &FeatureFile, path: String, keep: Keep) -> Result<Measured> {
    let count = file.count();
    let mut collector = Collector::of_layers(file.layers(), keep, count as u64)?;
    let bar = progress::bar(count as u64, 0, "features");
    for first in (0..count).step_by(BATCH) {
        collector.push(&file.read(first, BATCH.min(count - first))?)?;
        bar.inc(BATCH as u64);
    }
    bar.finish_and_clear();
    let unknown = || {
        let origin = Origin {
            source: path,
            stored_as: "features".into(),
            count: Some(count as u64),
            ..Origin::default()
        };
        Fingerprint { features: None, origin }
    };
    let fingerprint = file.fingerprint().cloned().unwrap_or_else(unknown);
    Ok(collector.finish(fingerprint, file.labels()?)?)
}

fn of_images(mut images: Images, source: &mut FeatureSource, keep: Keep) -> Result<Measured> {
    let mut collector = Collector::new(source.network.as_ref(), keep, images.count())?;
    let bar = progress::bar(images.count(), 0, "images");
    let mut bytes = Vec::new();
    let [height, width] = images.size();
    loop {
        let read = images.read(BATCH, &mut bytes)?;
        if read == 0 {
            break;
        }
        let batch = ImageBatch::new(&bytes, height, width)?;
        collector.push(&source.network.features(batch)?)?;
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    let (origin, labels) = images.finish();
    Ok(collector.finish(source.fingerprint(origin), labels)?)
}
