//! `evaluations.jsonl`: what the images of a run were worth, one line for each evaluation.
//!
//! ```json
//! {"step":5000,"samples_seen":640000,"count":10000,"fid":12.31,"precision":0.66,"attempt":1,"seconds":412.0}
//! ```
//!
//! As in `metrics.jsonl`, what stands before `attempt` depends on the experiment alone, and lines of
//! steps that will be made again are removed on resuming. A step of the interval that has no line when
//! the run goes on from its checkpoint is evaluated then: an evaluation that was interrupted, or failed.

use crate::json_lines::{self, MetricsError, Trimmed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What an evaluation found.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Images that were judged.
    pub count: u64,
    /// The numbers, in the order in which they are shown.
    pub scores: Vec<EvaluationScore>,
}

/// One number of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationScore {
    /// Name, its key in the file.
    pub name: String,
    /// The number, finite.
    pub value: f64,
    /// Which values are good.
    pub goal: Goal,
}

/// Which values of a score are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Low ones: distances.
    Lowest,
    /// High ones.
    Highest,
}

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvaluationLine {
    /// The step whose averaged weights drew the images.
    pub step: u64,
    /// Samples seen up to it.
    pub samples_seen: u64,
    /// Images that were judged.
    pub count: u64,
    /// Numbers by name.
    #[serde(flatten)]
    pub scores: Map<String, Value>,
    /// Start of the run that wrote the line.
    pub attempt: u64,
    /// Time it took.
    pub seconds: f64,
}

impl EvaluationLine {
    /// The score of a name.
    pub fn score(&self, name: &str) -> Option<f64> {
        self.scores.get(name).and_then(Value::as_f64)
    }
}

/// Keys of a line that are no scores.
const FIELDS: [&str; 5] = ["step", "samples_seen", "count", "attempt", "seconds"];

/// The best value that a score of a run has had.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The value.
    pub value: f64,
    /// The first step that had it.
    pub step: u64,
}

/// An evaluation that is written, and how it compares with those before.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluated {
    /// The step whose averaged weights drew the images.
    pub step: u64,
    /// What was found.
    pub scores: Vec<EvaluationScore>,
    /// For each score the best of the run, this evaluation included.
    pub best: Vec<Best>,
    /// Time it took.
    pub seconds: f64,
}

/// When an evaluation was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) step: u64,
    pub(crate) samples_seen: u64,
    pub(crate) attempt: u64,
    pub(crate) seconds: f64,
}

/// The file of a run that is under way.
#[derive(Debug)]
pub(crate) struct Evaluations {
    path: PathBuf,
    lines: Vec<EvaluationLine>,
}

impl Evaluations {
    /// The evaluations of a run that goes on after `step`, without those of later steps.
    pub(crate) fn resume(path: &Path, step: u64) -> Result<(Self, Trimmed), MetricsError> {
        let trimmed = json_lines::trim(path, step)?;
        Ok((Self { path: path.into(), lines: json_lines::read(path)? }, trimmed))
    }

    /// Whether a step has a line.
    pub(crate) fn has(&self, step: u64) -> bool {
        self.lines.iter().any(|line| line.step == step)
    }

    /// Writes a line and waits until it is on the disk; [`refusal`] has nothing against it.
    pub(crate) fn record(
        &mut self,
        moment: Moment,
        evaluation: Evaluation,
    ) -> Result<Evaluated, MetricsError> {
        let Moment { step, samples_seen, attempt, seconds } = moment;
        let Evaluation { count, scores } = evaluation;
        let by_name = scores.iter().map(|score| (score.name.clone(), Value::from(score.value)));
        let by_name = by_name.collect();
        let line = EvaluationLine { step, samples_seen, count, scores: by_name, attempt, seconds };
        let text = json_lines::to_line(&self.path, &line)?;
        let file = OpenOptions::new().create(true).append(true).open(&self.path);
        file.and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
            .map_err(MetricsError::at(&self.path))?;
        self.lines.push(line);
        let best = scores.iter().map(|score| self.best(step, score)).collect();
        Ok(Evaluated { step, scores, best, seconds })
    }

    /// The best value under the name of a score of `step`.
    fn best(&self, step: u64, score: &EvaluationScore) -> Best {
        let values = self
            .lines
            .iter()
            .filter_map(|line| Some(Best { value: line.score(&score.name)?, step: line.step }));
        let now = Best { value: score.value, step };
        values.fold(now, |best, other| {
            let is_better = match score.goal {
                Goal::Lowest => other.value < best.value,
                Goal::Highest => other.value > best.value,
            };
            let is_earlier = other.value == best.value && other.step < best.step;
            if is_better || is_earlier { other } else { best }
        })
    }
}

/// What keeps an evaluation out of the file.
pub(crate) fn refusal(evaluation: &Evaluation) -> Option<String> {
    let scores = &evaluation.scores;
    if scores.is_empty() {
        return Some("it found no score".into());
    }
    scores.iter().enumerate().find_map(|(i, EvaluationScore { name, value, .. })| {
        if !value.is_finite() {
            return Some(format!("{name} is {value}, expected a finite number"));
        }
        let is_taken = FIELDS.contains(&name.as_str())
            || scores[..i].iter().any(|before| before.name == *name);
        is_taken.then(|| format!("{name} is the name of two fields"))
    })
}

/// Reads all whole lines, also of a run that is under way; none where there is no file.
///
/// # Errors
/// When it cannot be read.
pub fn read_evaluations(path: &Path) -> Result<Vec<EvaluationLine>, MetricsError> {
    json_lines::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn evaluation(fid: f64, precision: f64) -> Evaluation {
        let score = |name: &str, value, goal| EvaluationScore { name: name.into(), value, goal };
        let scores =
            vec![score("fid", fid, Goal::Lowest), score("precision", precision, Goal::Highest)];
        Evaluation { count: 100, scores }
    }

    fn moment(step: u64) -> Moment {
        Moment { step, samples_seen: 4 * step, attempt: 1, seconds: 2.5 }
    }

    #[test]
    fn a_line_has_what_the_experiment_decides_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluations.jsonl");
        let (mut file, trimmed) = Evaluations::resume(&path, 0).unwrap();
        assert_eq!((trimmed, path.exists()), (Trimmed::default(), false));
        file.record(moment(5), evaluation(12.25, 0.5)).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "{\"step\":5,\"samples_seen\":20,\"count\":100,\"fid\":12.25,\"precision\":0.5,\
             \"attempt\":1,\"seconds\":2.5}\n"
        );
        let lines = read_evaluations(&path).unwrap();
        assert_eq!((lines.len(), lines[0].score("fid")), (1, Some(12.25)));
        assert_eq!((lines[0].scores.len(), lines[0].score("recall")), (2, None));
        assert!(file.has(5) && !file.has(4));
    }

    #[test]
    fn the_best_is_the_first_of_its_value_also_after_resuming() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evaluations.jsonl");
        let (mut file, _) = Evaluations::resume(&path, 0).unwrap();
        let best = |found: Evaluated| -> Vec<(f64, u64)> {
            found.best.iter().map(|best| (best.value, best.step)).collect()
        };
        let mut record = |step, fid, precision| {
            best(file.record(moment(step), evaluation(fid, precision)).unwrap())
        };
        assert_eq!(record(1, 9.0, 0.5), [(9.0, 1), (0.5, 1)]);
        assert_eq!(record(2, 8.0, 0.25), [(8.0, 2), (0.5, 1)]);
        assert_eq!(record(3, 8.0, 0.75), [(8.0, 2), (0.75, 3)]);
        assert_eq!(record(4, 7.0, 0.75), [(7.0, 4), (0.75, 3)]);
        let (mut file, trimmed) = Evaluations::resume(&path, 2).unwrap();
        assert_eq!(trimmed, Trimmed { kept: 2, superseded: 2, damaged: 0 });
        let again = best(file.record(moment(3), evaluation(8.5, 0.1)).unwrap());
        assert_eq!(again, [(8.0, 2), (0.5, 1)]);
    }

    #[test]
    fn what_is_no_number_or_has_no_name_of_its_own_is_refused() {
        assert_eq!(refusal(&evaluation(1.0, 0.5)), None);
        let words = |evaluation: &Evaluation| refusal(evaluation).unwrap();
        assert_eq!(words(&evaluation(f64::NAN, 0.5)), "fid is NaN, expected a finite number");
        assert!(words(&evaluation(1.0, f64::INFINITY)).starts_with("precision is inf"));
        assert_eq!(words(&Evaluation { count: 1, scores: vec![] }), "it found no score");
        for name in ["attempt", "fid"] {
            let mut twice = evaluation(1.0, 0.5);
            twice.scores[1].name = name.into();
            assert_eq!(words(&twice), format!("{name} is the name of two fields"));
        }
    }
}
