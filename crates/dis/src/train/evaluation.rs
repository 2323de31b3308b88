//! Scores of images that are drawn while a run is trained.

use crate::device::OpenDevice;
use crate::eval::{FeatureArgs, FeaturesFrom, ScoreArgs, Scorer};
use crate::exit::Failure;
use crate::info::units::thousands;
use crate::network::Network;
use crate::pictures::Pictures;
use crate::sampling::{Generator, Labels, Plan, usual_batch};
use anyhow::{Context, Result, bail};
use eval::fingerprint::Origin;
use eval::inception::Protocol;
use eval::{Metric, Report};
use indicatif::ProgressBar;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use trainer::{Best, EvalSection, Evaluated, Evaluation, EvaluationScore, Experiment, Goal};

/// The reference of a run, and how images are drawn to be compared with it.
pub(super) struct Evaluator {
    scorer: Scorer,
    plan: Plan,
    labels: Labels,
    count: u64,
    batch: u64,
    /// Warnings that were shown; they are the same every time.
    told: Vec<String>,
}

/// What draws, and who waits for it.
pub(super) struct Drawing<'a> {
    pub(super) network: &'a mut dyn Network,
    pub(super) weak: Option<&'a mut (dyn Network + 'static)>,
    pub(super) pictures: &'a mut Pictures,
    pub(super) stop: &'a AtomicBool,
    /// The bar of the run, which says how far it is.
    pub(super) bar: Option<&'a ProgressBar>,
}

impl Evaluator {
    /// Opens whatever `[eval]` names, and turns a reference of images into features, so that nothing of
    /// it is missed after hours of training. `None` where a run is not evaluated.
    pub(super) fn open(
        experiment: &Experiment,
        previews: &Plan,
        device: &OpenDevice,
    ) -> Result<Option<Self>> {
        let Some(section) = experiment.eval.as_ref().filter(|section| section.every > 0) else {
            return Ok(None);
        };
        let opened = || -> Result<Self> {
            let (features, score) = choices(section)?;
            let scorer =
                Scorer::open(&section.reference, section.count, &features, &score, device)?;
            let evaluator = Self {
                plan: Plan { sampler: section.plan(&experiment.sample)?, ..previews.clone() },
                labels: Labels::all(&experiment.dis_config()),
                count: section.count,
                batch: batch(section, device) as u64,
                told: Vec::new(),
                scorer,
            };
            for warning in evaluator.scorer.warnings() {
                tracing::warn!("{warning}");
            }
            let (count, dim) = (section.count, evaluator.scorer.dim());
            if count <= dim as u64 {
                tracing::warn!(
                    "eval.count is {count}, no more than the {dim} features of an image: distances \
                     will be larger than those of more images"
                );
            }
            Ok(evaluator)
        };
        let help = "the run cannot be evaluated\nhelp: --set eval.every=0 does without it";
        opened().map(Some).context(help)
    }

    /// Draws images and scores them. Gives up between two batches where a stop is asked for.
    pub(super) fn run(&mut self, drawing: Drawing<'_>) -> Result<Report> {
        let Drawing { network, weak, pictures, stop, bar } = drawing;
        let config = network.config().clone();
        let (count, side) = (self.count, pictures.side(&config));
        let mut generator = Generator::new(network, weak, &self.plan)?;
        let mut scoring = self.scorer.start(count)?;
        for first in (0..count).step_by(self.batch as usize) {
            if let Some(bar) = bar {
                bar.set_message(format!("evaluating: {first} of {count} images"));
            }
            if stop.load(Ordering::Relaxed) {
                let (done, all) = (thousands(first), thousands(count));
                bail!("stopped after {done} of {all} images; the same command makes up for it");
            }
            let n = self.batch.min(count - first);
            let (x, labels) = (generator.start_noise(first, n), self.labels.of(first, n));
            let drawn = generator.generate(x, first, labels.as_deref(), &mut |_, _| ())?;
            scoring.push(&pictures.bytes(&drawn, &config)?, side)?;
        }
        // Scores have a bar of their own.
        match bar {
            Some(bar) => bar.suspend(|| scoring.finish(Origin::default())),
            None => scoring.finish(Origin::default()),
        }
    }

    /// What the trainer writes down of a report, and the warnings that were not shown before.
    pub(super) fn take_in(&mut self, report: Report) -> (Evaluation, Vec<String>) {
        let scores = report.scores.iter().map(|score| EvaluationScore {
            name: score.key.into(),
            value: score.value,
            goal: if score.is_higher_better() { Goal::Highest } else { Goal::Lowest },
        });
        let evaluation = Evaluation { count: self.count, scores: scores.collect() };
        let mut new = report.warnings;
        new.retain(|warning| !self.told.contains(warning));
        self.told.extend_from_slice(&new);
        (evaluation, new)
    }
}

/// Images that pass through the network together.
pub(super) fn batch(section: &EvalSection, device: &OpenDevice) -> usize {
    section.batch.unwrap_or(usual_batch(device)).min(section.count as usize)
}

/// The names of `[eval]`, in the words of those who compute the scores.
fn choices(section: &EvalSection) -> Result<(FeatureArgs, ScoreArgs)> {
    fn read<T: FromStr<Err: std::fmt::Display>>(key: &str, text: &str) -> Result<T, Failure> {
        text.parse().map_err(|error| Failure::usage(format!("{key}: {error}")))
    }
    let from: FeaturesFrom = read("eval.features", &section.features)?;
    let protocol: Protocol = read("eval.protocol", &section.protocol)?;
    let names = section.metrics.as_deref().unwrap_or_default();
    let metrics = names.iter().map(|name| read("eval.metrics", name));
    let metrics: Vec<Metric> = metrics.collect::<Result<_, _>>()?;
    Ok((FeatureArgs::new(from, Some(protocol)), ScoreArgs::usual(metrics)))
}

/// `fid 12.31 (best 11.90 at step 4000), precision 0.6612 (best)`.
pub(super) fn in_words(evaluated: &Evaluated) -> String {
    let score = |(score, best): (&EvaluationScore, &Best)| {
        let EvaluationScore { name, value, .. } = score;
        let shown = digits(*value);
        if best.value == *value {
            return format!("{name} {shown} (best)");
        }
        format!("{name} {shown} (best {} at step {})", digits(best.value), best.step)
    };
    let pairs = evaluated.scores.iter().zip(&evaluated.best);
    pairs.map(score).collect::<Vec<_>>().join(", ")
}

/// Four digits that count.
fn digits(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    let before = value.abs().log10().floor() as i32 + 1;
    match before {
        -3.. => format!("{value:.*}", (4 - before).max(0) as usize),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_told_with_the_best_of_the_run() {
        let score =
            |name: &str, value| EvaluationScore { name: name.into(), value, goal: Goal::Lowest };
        let evaluated = Evaluated {
            step: 5000,
            scores: vec![score("fid", 12.3149), score("precision", 0.66123)],
            best: vec![Best { value: 11.9, step: 4000 }, Best { value: 0.66123, step: 5000 }],
            seconds: 1.0,
        };
        assert_eq!(
            in_words(&evaluated),
            "fid 12.31 (best 11.90 at step 4000), precision 0.6612 (best)"
        );
    }

    #[test]
    fn four_digits_of_a_number_are_shown() {
        for (value, text) in [
            (0.0, "0"),
            (1234.56, "1235"),
            (123_456.0, "123456"),
            (9.87654, "9.877"),
            (-0.5, "-0.5000"),
            (0.000_123_456, "0.0001235"),
            (0.000_012_345_6, "1.235e-5"),
        ] {
            assert_eq!(digits(value), text);
        }
    }
}
