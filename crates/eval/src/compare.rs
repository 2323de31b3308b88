//! Two sets of images, compared by the metrics that were asked for.

use crate::bootstrap::frechet_interval;
use crate::collect::Measured;
use crate::fid_infinity::fid_infinity;
use crate::fingerprint::Network;
use crate::frechet::{Frechet, frechet};
use crate::kernel_distance::{kid, kid_subsets};
use crate::metric::Metric;
use crate::precision_recall::{self, PrecisionRecall, per_class, precision_recall};
use crate::statistics::Statistics;
use crate::{EvalError, Rows};
use serde_json::{Map, Value as Json, json};

/// Everything that changes a number.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to compute, in the order of the report.
    pub metrics: Vec<Metric>,
    /// How neighbours are compared.
    pub neighbours: precision_recall::Options,
    /// Kernel distance of that many subsets of that size, rather than of all samples.
    pub kid_subsets: Option<KidSubsets>,
    /// An interval around the Frechet distance.
    pub bootstrap: Option<Bootstrap>,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// Subsets of the kernel distance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KidSubsets {
    /// How many.
    pub count: usize,
    /// Images of each.
    pub size: usize,
}

/// An interval by resampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Sets that are drawn.
    pub replicates: usize,
    /// Probability that the interval is made for, 0.95 for instance.
    pub level: f64,
}

/// One number of a report.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Name in JSON. Of features that are not Inception's it is never `fid`.
    pub key: &'static str,
    /// Name for people.
    pub label: &'static str,
    /// The number.
    pub value: f64,
    /// What else was found: deviations, intervals, counts, ranks.
    pub details: Map<String, Json>,
}

impl Score {
    fn new(key: &'static str, label: &'static str, value: f64) -> Self {
        Self { key, label, value, details: Map::new() }
    }

    fn with(mut self, key: &str, value: Json) -> Self {
        self.details.insert(key.into(), value);
        self
    }

    /// Whether better images have higher values; distances are the others.
    pub fn is_higher_better(&self) -> bool {
        !matches!(
            self.key,
            "fid" | "fd" | "sfid" | "sfd" | "kid" | "kd" | "fid_infinity" | "fd_infinity"
        )
    }
}

/// What a comparison found, and what to know about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scores {
    /// In the order of [`Options::metrics`].
    pub scores: Vec<Score>,
    /// Sentences for people.
    pub warnings: Vec<String>,
}

/// Compares two sets. `progress` is told the metric, and the share of it that is done.
///
/// # Errors
/// [`EvalError::Input`] when a metric needs what was not kept of a set, when their features have
/// different lengths, and for options out of range.
pub fn compare(
    reference: &Measured,
    samples: &Measured,
    options: &Options,
    progress: &(dyn Fn(Metric, f64) + Sync),
) -> Result<Scores, EvalError> {
    let comparison =
        Comparison { reference, samples, options, genuine: genuine(reference, samples) };
    let mut found = Scores::default();
    for &metric in &options.metrics {
        progress(metric, 0.0);
        match metric {
            Metric::Fid => comparison.fid(&mut found)?,
            Metric::Sfid => comparison.sfid(&mut found)?,
            Metric::InceptionScore => comparison.inception_score(&mut found)?,
            Metric::PrecisionRecall | Metric::DensityCoverage => {
                comparison.neighbours(metric, &mut found, &|share| progress(metric, share))?;
            }
            Metric::ClassPrecisionRecall => comparison.classes(&mut found)?,
            Metric::Kid => comparison.kid(&mut found)?,
            Metric::FidInfinity => comparison.fid_infinity(&mut found)?,
        }
    }
    Ok(found)
}

/// Whether distances may be called FID: at least one side says that its features are those of the
/// published weights, and none that they are others.
fn genuine(reference: &Measured, samples: &Measured) -> bool {
    let networks = [reference, samples].map(|side| {
        side.fingerprint.features.as_ref().map(|features| features.network.gives_fid())
    });
    networks.contains(&Some(true)) && !networks.contains(&Some(false))
}

struct Comparison<'a> {
    reference: &'a Measured,
    samples: &'a Measured,
    options: &'a Options,
    genuine: bool,
}

impl<'a> Comparison<'a> {
    /// Key and label of a distance, by what its features are.
    fn named(
        &self,
        genuine: (&'static str, &'static str),
        other: (&'static str, &'static str),
        value: f64,
    ) -> Score {
        let (key, label) = if self.genuine { genuine } else { other };
        Score::new(key, label, value)
    }

    fn fid(&self, found: &mut Scores) -> Result<(), EvalError> {
        let distance = frechet(&self.reference.pool, &self.samples.pool)?;
        let score = self.named(("fid", "FID"), ("fd", "FD"), distance.value());
        let mut score = with_ranks(score, &distance);
        if let Some(Bootstrap { replicates, level }) = self.options.bootstrap {
            let rows = rows(self.samples, "the samples", Metric::Fid)?;
            let seed = self.options.seed;
            let around = frechet_interval(rows, &self.reference.pool, replicates, level, seed)?;
            score = score
                .with("interval", json!([around.low, around.high]))
                .with("level", json!(level))
                .with("replicates", json!(replicates));
        }
        found.scores.push(score);
        self.warn_of_ranks("", &distance, &self.reference.pool, &self.samples.pool, found);
        Ok(())
    }

    fn sfid(&self, found: &mut Scores) -> Result<(), EvalError> {
        let [reference, samples] =
            [(self.reference, "the reference"), (self.samples, "the samples")].map(
                |(side, name)| {
                    let missing =
                        || lacks(name, "mean and covariance of spatial features", Metric::Sfid);
                    side.spatial.as_ref().ok_or_else(missing)
                },
            );
        let (reference, samples) = (reference?, samples?);
        let distance = frechet(reference, samples)?;
        let score = self.named(("sfid", "sFID"), ("sfd", "sFD"), distance.value());
        found.scores.push(with_ranks(score, &distance));
        self.warn_of_ranks("spatial ", &distance, reference, samples, found);
        Ok(())
    }

    /// Says where a covariance does not have all its dimensions, for want of images.
    fn warn_of_ranks(
        &self,
        which: &str,
        distance: &Frechet,
        reference: &Statistics,
        samples: &Statistics,
        found: &mut Scores,
    ) {
        let sides = [("reference", reference), ("samples", samples)];
        for ((name, statistics), rank) in sides.into_iter().zip(distance.ranks) {
            let dim = statistics.dim();
            let Some(count) = statistics.count.filter(|&count| count <= dim as u64) else {
                continue;
            };
            found.warnings.push(format!(
                "{name}: {count} images for {dim} {which}features, so their covariance has rank \
                 {rank}; the distance is exact but larger than that of more images: {} are needed \
                 for full rank, and published figures have 50,000",
                dim + 1
            ));
        }
    }

    fn inception_score(&self, found: &mut Scores) -> Result<(), EvalError> {
        let Some(score) = &self.samples.score else {
            return Err(lacks("the samples", "logits", Metric::InceptionScore));
        };
        let other = ("score", "class score");
        let value = self.named(("is", "IS"), other, score.mean);
        let value = value.with("chunks", json!(score.scores.len()));
        found.scores.push(value.with("deviation_over_chunks", json!(score.deviation)));
        Ok(())
    }

    fn neighbours(
        &self,
        metric: Metric,
        found: &mut Scores,
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<(), EvalError> {
        // Both metrics come of one pass over all pairs.
        let is_there = |key: &str| found.scores.iter().any(|score| score.key == key);
        let keys = match metric {
            Metric::PrecisionRecall => ["precision", "recall"],
            _ => ["density", "coverage"],
        };
        let asked = |other: Metric| self.options.metrics.contains(&other);
        if is_there(keys[0]) {
            return Ok(());
        }
        let reference = rows(self.reference, "the reference", metric)?;
        let samples = rows(self.samples, "the samples", metric)?;
        let all = precision_recall(reference, samples, &self.options.neighbours, progress)?;
        let score = |key, value| {
            Score::new(key, key, value)
                .with("k", json!(all.k))
                .with("reference", json!(all.reference))
                .with("samples", json!(all.generated))
        };
        if asked(Metric::PrecisionRecall) {
            found.scores.push(score("precision", all.precision));
            found.scores.push(score("recall", all.recall));
        }
        if asked(Metric::DensityCoverage) {
            found.scores.push(score("density", all.density));
            found.scores.push(score("coverage", all.coverage));
        }
        Ok(())
    }

    /// Means over the classes that both sets have enough images of, and the scores of each.
    fn classes(&self, found: &mut Scores) -> Result<(), EvalError> {
        let metric = Metric::ClassPrecisionRecall;
        let reference = rows(self.reference, "the reference", metric)?;
        let samples = rows(self.samples, "the samples", metric)?;
        let labels = [&self.reference.labels, &self.samples.labels];
        let classes =
            per_class(reference, labels[0], samples, labels[1], &self.options.neighbours)?;
        let scored =
            || classes.iter().filter_map(|class| Some((class.label, class.scores.as_ref()?)));
        let count = scored().count();
        if count == 0 {
            let expected =
                format!("one or more with over {} images of each set", self.options.neighbours.k);
            return Err(EvalError::input("number of classes that can be scored", 0, expected));
        }
        if count < classes.len() {
            found.warnings.push(format!(
                "{} of {} classes have too few images, or are in one set alone, and are left out of \
                 precision and recall by class",
                classes.len() - count,
                classes.len()
            ));
        }
        type Part = fn(&PrecisionRecall) -> f64;
        let parts: [(&'static str, &'static str, Part); 2] = [
            ("class_precision", "precision by class", |scores| scores.precision),
            ("class_recall", "recall by class", |scores| scores.recall),
        ];
        for (key, label, part) in parts {
            let mean = scored().map(|(_, scores)| part(scores)).sum::<f64>() / count as f64;
            let each: Vec<Json> =
                scored().map(|(class, scores)| json!([class, part(scores)])).collect();
            let score = Score::new(key, label, mean).with("k", json!(self.options.neighbours.k));
            found.scores.push(score.with("classes", json!(each)));
        }
        Ok(())
    }

    fn kid(&self, found: &mut Scores) -> Result<(), EvalError> {
        let reference = rows(self.reference, "the reference", Metric::Kid)?;
        let samples = rows(self.samples, "the samples", Metric::Kid)?;
        let (genuine, other) = (("kid", "KID"), ("kd", "KD"));
        found.scores.push(match self.options.kid_subsets {
            None => self.named(genuine, other, kid(reference, samples)?),
            Some(KidSubsets { count, size }) => {
                let subsets = kid_subsets(reference, samples, count, size, self.options.seed)?;
                self.named(genuine, other, subsets.mean)
                    .with("deviation_over_subsets", json!(subsets.deviation))
                    .with("subsets", json!(count))
                    .with("subset_size", json!(size))
            }
        });
        Ok(())
    }

    fn fid_infinity(&self, found: &mut Scores) -> Result<(), EvalError> {
        let samples = rows(self.samples, "the samples", Metric::FidInfinity)?;
        let fit = fid_infinity(samples, &self.reference.pool, self.options.seed)?;
        let names = (("fid_infinity", "FID at infinity"), ("fd_infinity", "FD at infinity"));
        let score = self.named(names.0, names.1, fit.intercept);
        found.scores.push(
            score
                .with("slope", json!(fit.slope))
                .with("sizes", json!(fit.sizes))
                .with("distances", json!(fit.distances)),
        );
        Ok(())
    }
}

fn with_ranks(score: Score, distance: &Frechet) -> Score {
    score
        .with("ranks", json!(distance.ranks))
        .with("mean_term", json!(distance.mean_term))
        .with("traces", json!(distance.traces))
}

/// The features of each image of a set.
fn rows<'a>(side: &'a Measured, name: &str, metric: Metric) -> Result<Rows<'a>, EvalError> {
    match &side.rows {
        Some(rows) => rows.view(),
        None => Err(lacks(name, "features of each image", metric)),
    }
}

fn lacks(side: &str, what: &str, metric: Metric) -> EvalError {
    EvalError::input(format!("{what} of {side}"), "absent", format!("given, for {metric}"))
}

impl Network {
    /// What its distances are, for people who may take them for FID.
    pub fn caution(&self) -> Option<&'static str> {
        match self {
            Self::Inception { published: true, .. } => None,
            Self::Inception { published: false, .. } => Some(
                "nothing says that the weights are the published ones: not FID, and no paper's number",
            ),
            Self::RandomInception { .. } => {
                Some("features of a network with random weights: not FID, and no paper's number")
            }
            Self::Pixels => Some("features are means of pixels: not FID, and no paper's number"),
        }
    }
}
