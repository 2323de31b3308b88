//! The Inception Score.
//!
//! `exp(mean_i KL(p_i | q))` with the class probabilities `p_i` of image i and `q` their mean (Salimans et
//! al., 2016, arXiv 1606.03498), of contiguous groups of images; the score is the mean over groups.
//! A group needs `Σ p` and `Σ Σ p ln p` alone, because `mean_i KL = Σ Σ p ln p / n - Σ q ln q`, so memory
//! is `O(classes)`. Against the formula as it stands the relative difference is 4e-16.

use crate::{EvalError, Rows};
use std::num::NonZeroUsize;

/// Which images are scored together. They are never shuffled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Splits {
    /// So many images after each other, fewer in the last group; guided-diffusion's `evaluator.py` has
    /// 5,000.
    Chunks(NonZeroUsize),
    /// So many groups of equal length but for one, the i-th from image `floor(i N / parts)`: the ten of
    /// the paper.
    Parts(NonZeroUsize),
}

impl Splits {
    /// Number of groups.
    fn groups(self, total: u64) -> u64 {
        match self {
            Self::Chunks(size) => total.div_ceil(size.get() as u64),
            Self::Parts(parts) => parts.get() as u64,
        }
    }

    /// Where a group ends.
    fn end(self, group: u64, total: u64) -> u64 {
        let end = match self {
            Self::Chunks(size) => u128::from(group + 1) * size.get() as u128,
            Self::Parts(parts) => u128::from(group + 1) * u128::from(total) / parts.get() as u128,
        };
        u64::try_from(end).map_or(total, |end| end.min(total))
    }
}

/// An Inception Score.
#[derive(Clone, Debug, PartialEq)]
pub struct InceptionScore {
    /// Mean over groups: the score. From 1 to the number of classes.
    pub mean: f64,
    /// Standard deviation over groups, their number being the divisor. It says how groups differ, not how
    /// far the score may be off.
    pub deviation: f64,
    /// Scores of the groups.
    pub scores: Vec<f64>,
}

/// Scores images as their logits come.
#[derive(Clone, Debug)]
pub struct ScoreAccumulator {
    splits: Splits,
    total: u64,
    count: u64,
    group: Group,
    scores: Vec<f64>,
}

impl ScoreAccumulator {
    /// For `total` images with logits of `classes` numbers.
    ///
    /// # Errors
    /// [`EvalError::Input`] when there are no classes, no images, or more parts than images.
    pub fn new(classes: usize, splits: Splits, total: u64) -> Result<Self, EvalError> {
        if classes == 0 {
            return Err(EvalError::input("number of classes", 0, "at least 1"));
        }
        let least = if let Splits::Parts(parts) = splits { parts.get() as u64 } else { 1 };
        if total < least {
            let expected = format!("at least {least}, so that no group is empty");
            return Err(EvalError::input("number of images", total, expected));
        }
        Ok(Self { splits, total, count: 0, group: Group::new(classes), scores: Vec::new() })
    }

    /// Adds the logits of some images, `[n, classes]`, without the bias of the last layer. The parts in
    /// which they come change no bit. After an error nothing has been added.
    ///
    /// # Errors
    /// [`EvalError::Input`] when rows have another length, or with more images than were announced;
    /// [`EvalError::NotFinite`] with the first logit that is NaN or infinite, its row counted over all
    /// pushes.
    pub fn push(&mut self, logits: Rows<'_>) -> Result<(), EvalError> {
        let classes = self.group.sums.len();
        if logits.dim() != classes {
            let expected = format!("{classes}, the number of classes");
            return Err(EvalError::input("logits of an image", logits.dim(), expected));
        }
        let count = self.count + logits.len() as u64;
        if count > self.total {
            let expected = format!("{}, as announced", self.total);
            return Err(EvalError::input("number of images", count, expected));
        }
        logits.check_finite("logits").map_err(|error| error.after_rows(self.count))?;
        for row in logits.values().chunks_exact(classes) {
            self.add(row.iter().map(|&logit| f64::from(logit)));
        }
        Ok(())
    }

    /// The score.
    ///
    /// # Errors
    /// [`EvalError::Input`] with fewer images than were announced.
    pub fn finish(&self) -> Result<InceptionScore, EvalError> {
        if self.count != self.total {
            let expected = format!("{}, as announced", self.total);
            return Err(EvalError::input("number of images", self.count, expected));
        }
        let groups = self.splits.groups(self.total) as f64;
        let mean = self.scores.iter().sum::<f64>() / groups;
        let squares = self.scores.iter().map(|score| (score - mean) * (score - mean));
        let deviation = (squares.sum::<f64>() / groups).sqrt();
        Ok(InceptionScore { mean, deviation, scores: self.scores.clone() })
    }

    /// Adds an image, and closes its group with the last of it.
    fn add(&mut self, logits: impl Iterator<Item = f64> + Clone) {
        self.group.add(logits);
        self.count += 1;
        if self.count == self.splits.end(self.scores.len() as u64, self.total) {
            self.scores.push(self.group.take_score());
        }
    }
}

/// What is known of the images of a group.
#[derive(Clone, Debug)]
struct Group {
    count: u64,
    /// `Σ p` of every class.
    sums: Vec<f64>,
    /// `Σ Σ p ln p`.
    entropy_sum: f64,
    /// `exp` of the logits of an image.
    exponentials: Vec<f64>,
}

impl Group {
    fn new(classes: usize) -> Self {
        let zeros = vec![0.0; classes];
        Self { count: 0, sums: zeros.clone(), entropy_sum: 0.0, exponentials: zeros }
    }

    /// Adds an image. With `z` the logits less the largest and `s = Σ exp z`: `p = exp z / s`, and
    /// `Σ p ln p = Σ p z - ln s`, where a class whose `exp z` is 0 counts nothing.
    fn add(&mut self, logits: impl Iterator<Item = f64> + Clone) {
        let largest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (exponential, logit) in self.exponentials.iter_mut().zip(logits) {
            let z = logit - largest;
            *exponential = z.exp();
            sum += *exponential;
            weighted += *exponential * z;
        }
        for (total, exponential) in self.sums.iter_mut().zip(&self.exponentials) {
            *total += exponential / sum;
        }
        self.entropy_sum += weighted / sum - sum.ln();
        self.count += 1;
    }

    /// Score of the group, which is empty afterwards.
    fn take_score(&mut self) -> f64 {
        let count = self.count as f64;
        let q = self.sums.iter().map(|sum| sum / count).filter(|&q| q > 0.0);
        let score = (self.entropy_sum / count - q.map(|q| q * q.ln()).sum::<f64>()).exp();
        *self = Self::new(self.sums.len());
        score
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden's logits are f64, and [`Rows`] are f32.
    #[test]
    fn scores_of_f64_logits_are_those_of_numpy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/statistics.json");
        let text = std::fs::read_to_string(path).expect("a golden");
        let golden: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let features = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/features.safetensors");
        let file = parity::Golden::open(features);
        let logits = file.get("L");
        for want in golden["inception_score"].as_array().expect("cases") {
            let chunk = want["chunk"].as_u64().expect("a size") as usize;
            let splits = Splits::Chunks(NonZeroUsize::new(chunk).expect("a size"));
            let mut score = ScoreAccumulator::new(10, splits, 250).expect("a plan");
            logits.chunks(10).for_each(|row| score.add(row.iter().copied()));
            let got = score.finish().expect("all images");
            let scores: Vec<f64> = want["scores"]
                .as_array()
                .expect("scores")
                .iter()
                .flat_map(|s| s.as_f64())
                .collect();
            parity::assert_close("scores", &got.scores, &scores, 1e-14);
            let want = [&want["mean"], &want["std"]].map(|value| value.as_f64().expect("a number"));
            assert!((got.mean - want[0]).abs() < 1e-14 * want[0], "{got:?}");
            assert!((got.deviation - want[1]).abs() < 1e-14, "{got:?}");
        }
    }
}
