//! `metrics.jsonl`: what a run measured, one line for each log interval.
//!
//! ```json
//! {"step":10,"samples_seen":320,"loss":0.91,"grad_norm":0.4,"lr":0.0004,"attempt":1,"images_per_second":410.0,"step_seconds":0.078,"data_wait_seconds":0.0001}
//! ```
//!
//! The fields before `attempt` depend on the experiment alone and are the same, to the last digit,
//! however often the run was interrupted; `attempt` and what follows depend on the machine and the
//! moment. [`deterministic_part`](crate::deterministic_part) cuts there, and so does `sed 's/,"attempt".*//'`.
//!
//! On resuming, lines of steps after the checkpoint are removed: those steps are made again.

use crate::json_lines::{self, MetricsError, Trimmed};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsLine {
    /// The last step of the interval.
    pub step: u64,
    /// Samples seen up to it.
    pub samples_seen: u64,
    /// Mean loss over the interval.
    pub loss: f64,
    /// Mean squared error in it, where the loss has parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mse: Option<f64>,
    /// Mean variational bound in it, where the loss has parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vb: Option<f64>,
    /// Mean gradient norm over the interval, before clipping.
    pub grad_norm: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// Start of the run that wrote the line.
    pub attempt: u64,
    /// Training speed over what this process saw of the interval.
    pub images_per_second: f64,
    /// Mean time of a step in it.
    pub step_seconds: f64,
    /// What of that the loop waited for a batch. Beside a device it may cost nothing, because the
    /// device is at work meanwhile.
    #[serde(default)]
    pub data_wait_seconds: f64,
}

/// What one step measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepMetrics {
    /// Loss.
    pub loss: f64,
    /// Its squared error and variational bound, where it has parts.
    pub parts: Option<LossParts>,
    /// Gradient norm, before clipping.
    pub grad_norm: f64,
}

/// The parts of a hybrid loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossParts {
    /// Mean squared error.
    pub mse: f64,
    /// Variational bound.
    pub vb: f64,
}

/// Sums over the log interval that is under way.
///
/// They are part of a checkpoint, so that a line whose interval was interrupted is the one of a run
/// that was not. Numbers are kept as text that reads back as the same bits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntervalSums {
    steps: u64,
    #[serde(with = "exact")]
    loss: f64,
    #[serde(with = "exact")]
    mse: f64,
    #[serde(with = "exact")]
    vb: f64,
    has_parts: bool,
    #[serde(with = "exact")]
    grad_norm: f64,
}

/// Means over a log interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntervalMeans {
    /// Steps of the interval.
    pub steps: u64,
    /// The means.
    pub mean: StepMetrics,
}

impl IntervalSums {
    /// Adds a step.
    pub fn add(&mut self, step: &StepMetrics) {
        self.steps += 1;
        self.loss += step.loss;
        self.grad_norm += step.grad_norm;
        if let Some(parts) = step.parts {
            self.has_parts = true;
            self.mse += parts.mse;
            self.vb += parts.vb;
        }
    }

    /// The means, and a new interval; `None` when there was no step.
    pub fn finish(&mut self) -> Option<IntervalMeans> {
        let sums = std::mem::take(self);
        if sums.steps == 0 {
            return None;
        }
        let mean = |sum: f64| sum / sums.steps as f64;
        let parts = sums.has_parts.then(|| LossParts { mse: mean(sums.mse), vb: mean(sums.vb) });
        let mean = StepMetrics { loss: mean(sums.loss), parts, grad_norm: mean(sums.grad_norm) };
        Some(IntervalMeans { steps: sums.steps, mean })
    }
}

/// A number as text that reads back as the same bits; JSON readers may be off by one.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{x:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no number")))
    }
}

/// The file of a run that is under way.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
}

impl MetricsFile {
    /// Opens the file of a run that goes on after `step`, 0 for a new one, and removes the lines of
    /// later steps and torn ones. Whenever the process dies, the file is the old or the new.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<(Self, Trimmed), MetricsError> {
        let trimmed = json_lines::trim(path, step)?;
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(MetricsError::at(path))?;
        Ok((Self { path: path.into(), file }, trimmed))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, line: &MetricsLine) -> Result<(), MetricsError> {
        let text = json_lines::to_line(&self.path, line)?;
        self.file.write_all(&text).map_err(MetricsError::at(&self.path))
    }

    /// Forces the lines to the disk. To be called before a checkpoint is saved: after a power
    /// failure the lines up to its step would otherwise be missing for ever.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), MetricsError> {
        self.file.sync_all().map_err(MetricsError::at(&self.path))
    }
}

/// Reads all whole lines, also of a run that is under way; none where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn read_metrics(path: &Path) -> Result<Vec<MetricsLine>, MetricsError> {
    json_lines::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_lines::deterministic_part;
    use std::fs;

    fn line(step: u64, attempt: u64) -> MetricsLine {
        MetricsLine {
            step,
            samples_seen: 32 * step,
            loss: 1.0 / step as f64,
            mse: None,
            vb: None,
            grad_norm: 0.1 * step as f64,
            lr: 1e-4,
            attempt,
            images_per_second: 100.0 + attempt as f64,
            step_seconds: 0.25,
            data_wait_seconds: 0.0,
        }
    }

    fn text(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_interrupted_run_leaves_the_lines_of_an_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, broken) = (folder.path().join("whole"), folder.path().join("broken"));
        let (mut file, trimmed) = MetricsFile::resume(&whole, 0).unwrap();
        assert_eq!(trimmed, Trimmed::default());
        (1..=8).for_each(|step| file.append(&line(step, 1)).unwrap());

        let (mut file, _) = MetricsFile::resume(&broken, 0).unwrap();
        (1..=5).for_each(|step| file.append(&line(step, 1)).unwrap());
        file.sync().unwrap();
        file.file.write_all(b"{\"step\":6,\"samples_s").unwrap();
        assert_eq!(read_metrics(&broken).unwrap().len(), 5, "a reader passes over the torn line");
        let (mut file, trimmed) = MetricsFile::resume(&broken, 3).unwrap();
        assert_eq!(trimmed, Trimmed { kept: 3, superseded: 2, damaged: 1 });
        (4..=8).for_each(|step| file.append(&line(step, 2)).unwrap());

        let (whole, broken) = (text(&whole), text(&broken));
        assert_ne!(whole, broken);
        let part = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| deterministic_part(line).to_owned()).collect()
        };
        assert_eq!(part(&whole), part(&broken));
        assert_eq!(
            deterministic_part(&broken[3]),
            r#"{"step":4,"samples_seen":128,"loss":0.25,"grad_norm":0.4,"lr":0.0001"#
        );
        let speed = r#"{"images_per_second":102.0,"step_seconds":0.25,"data_wait_seconds":0.0}"#;
        assert!(broken[3].ends_with(&format!(r#","attempt":2,{}"#, &speed[1..])));
    }

    #[test]
    fn a_last_line_without_its_end_is_kept_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        fs::write(&path, "{\"step\":1}\n\0\0\0\n{\"step\":2}").unwrap();
        let (mut file, trimmed) = MetricsFile::resume(&path, 2).unwrap();
        assert_eq!(trimmed, Trimmed { kept: 2, superseded: 0, damaged: 1 });
        file.append(&line(3, 1)).unwrap();
        assert_eq!(text(&path)[..2], ["{\"step\":1}", "{\"step\":2}"]);
        assert_eq!(text(&path).len(), 3);
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 1, "no temporary file stays");
    }

    #[test]
    fn hybrid_losses_write_their_parts() {
        let with_parts = MetricsLine { mse: Some(0.5), vb: Some(0.25), ..line(1, 1) };
        let json = serde_json::to_string(&with_parts).unwrap();
        assert!(json.contains(r#""loss":1.0,"mse":0.5,"vb":0.25,"grad_norm""#), "{json}");
        assert_eq!(serde_json::from_str::<MetricsLine>(&json).unwrap(), with_parts);
    }

    #[test]
    fn sums_survive_a_checkpoint_to_the_last_bit() {
        let step = |i: u32| StepMetrics {
            loss: 0.1 / f64::from(i),
            parts: Some(LossParts { mse: (f64::from(i)).sqrt(), vb: 1e-300 }),
            grad_norm: 1.0 / 3.0 + f64::from(i),
        };
        let mut whole = IntervalSums::default();
        (1..=10).for_each(|i| whole.add(&step(i)));
        let mut sums = IntervalSums::default();
        for i in 1..=10 {
            sums.add(&step(i));
            sums = serde_json::from_str(&serde_json::to_string(&sums).unwrap()).unwrap();
        }
        assert_eq!(sums, whole);
        let means = sums.finish().unwrap();
        assert_eq!((means, sums.finish()), (whole.finish().unwrap(), None));
        assert_eq!(means.steps, 10);
        assert!((means.mean.loss - 0.029_289_682_539_682_54).abs() < 1e-17);
        assert_eq!(means.mean.parts.unwrap().vb, 1e-300);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = MetricsFile::resume(folder.path(), 0).unwrap_err();
        assert!(error.to_string().starts_with(&folder.path().display().to_string()), "{error}");
    }
}
