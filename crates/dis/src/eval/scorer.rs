//! A reference, a network and metrics, made once for any number of sets that are scored.

use super::args::{FeatureArgs, ScoreArgs};
use super::network::FeatureSource;
use super::side::Side;
use crate::device::OpenDevice;
use crate::exit::Failure;
use crate::progress;
use anyhow::{Context, Result};
use eval::compare::{Options, compare};
use eval::fingerprint::{FeatureSpec, Fingerprint, Origin};
use eval::statistics::Statistics;
use eval::{Collector, ImageBatch, Keep, Measured, Metric, Needs, Report, check_fingerprints};
use std::path::Path;
use std::time::Instant;

/// What a protocol's papers report, in the order of a report.
fn usual(spec: Option<&FeatureSpec>) -> &'static [Metric] {
    const ALL: &[Metric] =
        &[Metric::Fid, Metric::Sfid, Metric::InceptionScore, Metric::PrecisionRecall];
    match spec.map(|spec| spec.protocol.as_str()) {
        Some("pytorch-fid" | "clean") => &[Metric::Fid],
        _ => ALL,
    }
}

/// The metrics of a comparison: those asked for, which both sides have to allow, or the usual ones
/// as far as they do.
pub(super) fn metrics(
    asked: &[Metric],
    network: Option<&FeatureSpec>,
    can_give: impl Fn(usize, Needs) -> bool,
) -> Result<Vec<Metric>, Failure> {
    let lacking = |metric: &Metric| (0..2).find(|&side| !can_give(side, metric.needs()[side]));
    let mut wanted: Vec<Metric> = Vec::new();
    asked.iter().for_each(|metric| match wanted.contains(metric) {
        true => {}
        false => wanted.push(*metric),
    });
    if wanted.is_empty() {
        return Ok(usual(network).iter().copied().filter(|m| lacking(m).is_none()).collect());
    }
    for metric in &wanted {
        let Some(side) = lacking(metric) else { continue };
        let (needs, name) = (metric.needs()[side], ["reference", "samples"][side]);
        let parts = [
            (needs.spatial, "spatial features"),
            (needs.logits, "logits"),
            (needs.rows, "features of each image"),
            (needs.labels, "a class of each image"),
        ];
        let parts: Vec<&str> =
            parts.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, what)| what).collect();
        let what = format!("{metric} needs {} of the {name}, which has not all", parts.join(", "));
        let help = "leave it out of the metrics, or give images or a file of features; of the protocols \
                    adm alone has spatial features and logits";
        return Err(Failure::usage(what).help(help));
    }
    Ok(wanted)
}

/// Scores what is drawn against one reference.
pub(crate) struct Scorer {
    reference: Measured,
    source: FeatureSource,
    options: Options,
    keep: Keep,
    score: ScoreArgs,
    warnings: Vec<String>,
}

impl Scorer {
    /// Opens the reference and the network, and turns a reference of images into features. `count` images
    /// will be scored at a time, and nothing but those images can then be wrong.
    pub(crate) fn open(
        reference: &Path,
        count: u64,
        features: &FeatureArgs,
        score: &ScoreArgs,
        device: &OpenDevice,
    ) -> Result<Self> {
        let opened = || -> Result<Self> {
            let side = Side::open(reference, features.policy)?;
            let mut source = FeatureSource::open(features, side.spec(), device)?;
            let spec = source.spec.clone();
            // Of drawn images nothing says which class they should be like.
            let drawn = |needs: Needs| {
                !needs.labels
                    && (!needs.spatial || spec.spatial.is_some())
                    && (!needs.logits || spec.logits.is_some())
            };
            let metrics = metrics(score.metrics(), Some(&spec), |at, needs| match at {
                0 => side.can_give(needs, Some(&spec)),
                _ => drawn(needs),
            })?;
            let samples = source.fingerprint(Origin::default());
            if let Some(known) = side.spec() {
                let known =
                    Fingerprint { features: Some(known.clone()), origin: Origin::default() };
                check_fingerprints(&known, &samples, score.force)?;
            }
            let [of_reference, keep] = keep(&metrics, score);
            let least = score.least_images(&metrics);
            if count < least {
                let what = format!("{count} images are too few for the metrics, expected {least}");
                return Err(Failure::usage(what)
                    .help("ask for more images or fewer metrics")
                    .into());
            }
            let reference = side.measure(Some(&mut source), of_reference)?;
            check_lengths(&reference, &source, &metrics)?;
            let warnings = check_fingerprints(&reference.fingerprint, &samples, score.force)?;
            let options = score.options(metrics)?;
            Ok(Self { reference, source, options, keep, score: score.clone(), warnings })
        };
        opened().with_context(|| format!("the reference {} cannot be used", reference.display()))
    }

    /// What a reader should know of every report.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Features of an image, than which more images are needed for a covariance of full rank.
    pub(crate) fn dim(&self) -> usize {
        self.source.network.dim()
    }

    /// Begins to score a set of `count` images.
    pub(crate) fn start(&mut self, count: u64) -> Result<Scoring<'_>> {
        let collector = Collector::new(self.source.network.as_ref(), self.keep, count)?;
        Ok(Scoring { scorer: self, collector, start: Instant::now() })
    }
}

/// Refuses a reference whose features have other lengths than those of the network.
fn check_lengths(
    reference: &Measured,
    source: &FeatureSource,
    metrics: &[Metric],
) -> Result<(), Failure> {
    let spatial = reference.spatial.as_ref().filter(|_| metrics.contains(&Metric::Sfid));
    let lengths = [
        ("features", Some(reference.pool.dim()), source.network.dim()),
        ("spatial features", spatial.map(Statistics::dim), source.network.spatial_dim()),
    ];
    for (what, got, expected) in lengths {
        if let Some(got) = got.filter(|&got| got != expected) {
            let what = format!("it has {got} {what} an image, expected {expected} of the network");
            return Err(Failure::data(what));
        }
    }
    Ok(())
}

/// What to keep of both sides.
pub(super) fn keep(metrics: &[Metric], score: &ScoreArgs) -> [Keep; 2] {
    let [reference, mut samples] = Needs::keep(metrics, score.splits());
    samples.rows |= score.resamples() && metrics.contains(&Metric::Fid);
    [reference, samples]
}

/// A set that is being scored.
pub(crate) struct Scoring<'a> {
    scorer: &'a mut Scorer,
    collector: Collector,
    start: Instant,
}

impl Scoring<'_> {
    /// Takes in images `[N, side, side, 3]`.
    pub(crate) fn push(&mut self, bytes: &[u8], side: usize) -> Result<()> {
        let batch = ImageBatch::new(bytes, side, side)?;
        Ok(self.collector.push(&self.scorer.source.network.features(batch)?)?)
    }

    /// The report, when all images are in.
    pub(crate) fn finish(self, origin: Origin) -> Result<Report> {
        let Scorer { reference, source, options, score, warnings, .. } = self.scorer;
        let samples = self.collector.finish(source.fingerprint(origin), Vec::new())?;
        report(reference, &samples, options, score, warnings.clone(), self.start)
    }
}

/// Compares two measured sets.
pub(super) fn report(
    reference: &Measured,
    samples: &Measured,
    options: &Options,
    score: &ScoreArgs,
    warnings: Vec<String>,
    start: Instant,
) -> Result<Report> {
    let spinner = progress::bar(100, 0, "%");
    let found = compare(reference, samples, options, &|metric, share| {
        spinner.set_message(metric.name());
        spinner.set_position((100.0 * share) as u64);
    })?;
    spinner.finish_and_clear();
    let mut report = Report::new(reference, samples, found);
    report.warnings.splice(0..0, warnings);
    report.options = score.record();
    report.command = std::env::args().collect();
    report.program = format!("dis {}", env!("CARGO_PKG_VERSION"));
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}
