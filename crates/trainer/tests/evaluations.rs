//! Runs that are evaluated as they go on: when, what is kept, and what an interruption changes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use trainer::{
    Compute, Environment, Evaluated, Evaluation, EvaluationScore, Experiment, Goal, Hooks,
    MetricsLine, Outcome, RunDir, Start, StepReport, deterministic_part, open_dataset, train,
};

/// Twelve steps of a network of three blocks, evaluated after 5, 10 and 12.
const TINY: [&str; 14] = [
    "data.image_size=8",
    "data.count=64",
    "model.hidden_size=16",
    "model.depth=2",
    "train.batch_size=4",
    "train.steps=12",
    "train.warmup_steps=2",
    "train.sample_every=0",
    "train.checkpoint_every=4",
    "eval.every=5",
    "eval.count=10",
    "eval.reference=nowhere.npz",
    "eval.features=pixels",
    "eval.protocol=adm",
];

/// What an evaluation of this test does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    /// Scores that follow from the weights.
    Finds,
    /// An error.
    Fails,
    /// A score that is no number.
    FindsNan,
    /// Is asked to stop in its middle, and gives up.
    IsStopped,
    /// Is asked to stop in its middle, and finds its scores all the same.
    FindsAndStops,
}

/// Writes down what is asked of it.
struct Watcher {
    /// What the evaluation of a step does; the others find scores.
    special: Option<(u64, Does)>,
    /// The step in whose successor a person wants to stop.
    stop_after: Option<u64>,
    now: u64,
    stop: Cell<bool>,
    asked: Vec<u64>,
    written: Vec<Evaluated>,
    notices: Vec<String>,
    superseded: usize,
}

impl Watcher {
    fn new(special: Option<(u64, Does)>) -> Self {
        let (stop_after, now, stop) = (None, 0, Cell::new(false));
        let (asked, written, notices) = (Vec::new(), Vec::new(), Vec::new());
        Self { special, stop_after, now, stop, asked, written, notices, superseded: 0 }
    }
}

impl Hooks for Watcher {
    fn started(&mut self, start: &Start) {
        self.superseded = start.trimmed.superseded;
    }

    fn stepped(&mut self, report: &StepReport) {
        self.now = report.step;
    }

    fn logged(&mut self, _line: &MetricsLine) {}

    fn notice(&mut self, message: &str) {
        self.notices.push(message.into());
    }

    fn preview(&mut self, _step: u64, _ema: &[f32]) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    fn evaluate(
        &mut self,
        step: u64,
        ema: &[f32],
    ) -> Result<Evaluation, Box<dyn Error + Send + Sync>> {
        self.asked.push(step);
        let does = self.special.filter(|(at, _)| *at == step).map_or(Does::Finds, |(_, does)| does);
        self.stop.set(matches!(does, Does::IsStopped | Does::FindsAndStops));
        if matches!(does, Does::Fails | Does::IsStopped) {
            return Err("the disk is on fire".into());
        }
        let sum = ema.iter().map(|x| f64::from(x.abs())).sum::<f64>();
        let fid = if does == Does::FindsNan { f64::NAN } else { 1.0 / sum };
        let score = |name: &str, value, goal| EvaluationScore { name: name.into(), value, goal };
        let scores = vec![score("fid", fid, Goal::Lowest), score("is", sum, Goal::Highest)];
        Ok(Evaluation { count: 10, scores })
    }

    fn evaluated(&mut self, evaluated: &Evaluated) {
        self.written.push(evaluated.clone());
    }

    fn stop_requested(&self) -> bool {
        self.stop.get() || self.stop_after.is_some_and(|step| self.now >= step)
    }
}

/// A folder with a run.
struct Case(TempDir);

impl Case {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Starts the run, or goes on with it.
    fn run(&self, sets: &[&str], max_steps: Option<u64>, watcher: &mut Watcher) -> Outcome {
        let experiment = experiment(sets);
        let dir = RunDir::open(self.0.path(), &experiment, &environment()).unwrap();
        let dataset = open_dataset(&experiment).unwrap();
        train(&experiment, &dir, dataset, &Compute::Cpu, max_steps, watcher).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    /// What the experiment decides of every line.
    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("evaluations.jsonl")).unwrap();
        text.lines().map(|line| deterministic_part(line).to_owned()).collect()
    }

    fn has_checkpoint(&self, step: u64) -> bool {
        self.path(&format!("checkpoints/step-{step:09}")).is_dir()
    }
}

fn experiment(sets: &[&str]) -> Experiment {
    let quickstart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Experiment::load(quickstart, &sets).unwrap()
}

fn environment() -> Environment {
    Environment {
        program_version: "0.1.0".into(),
        host: "here".into(),
        os: "linux x86_64".into(),
        cpu: "a processor".into(),
        device: "cpu".into(),
        threads: 2,
        instruction_set: "avx2".into(),
    }
}

/// The lines of a run that nothing happened to.
fn uninterrupted() -> Vec<String> {
    let case = Case::new();
    case.run(&TINY, None, &mut Watcher::new(None));
    case.lines()
}

#[test]
fn the_interval_and_the_last_step_are_evaluated_and_written() {
    let (case, mut watcher) = (Case::new(), Watcher::new(None));
    assert_eq!(case.run(&TINY, None, &mut watcher), Outcome::Finished);
    assert_eq!(watcher.asked, [5, 10, 12]);
    assert!(watcher.notices.is_empty(), "{:?}", watcher.notices);
    let lines = trainer::read_evaluations(&case.path("evaluations.jsonl")).unwrap();
    let heads: Vec<(u64, u64, u64, u64)> =
        lines.iter().map(|line| (line.step, line.samples_seen, line.count, line.attempt)).collect();
    assert_eq!(heads, [(5, 20, 10, 1), (10, 40, 10, 1), (12, 48, 10, 1)]);
    for (line, written) in lines.iter().zip(&watcher.written) {
        assert_eq!((line.step, line.seconds), (written.step, written.seconds));
        for score in &written.scores {
            // What reads JSON may be off by one digit of the last.
            let read = line.score(&score.name).unwrap();
            assert!((read / score.value - 1.0).abs() < 1e-15, "{read} and {}", score.value);
        }
    }
    // The weights of each step are its own, and the best is found among them.
    let found: Vec<f64> = lines.iter().map(|line| line.score("fid").unwrap()).collect();
    assert!(found[0] != found[1] && found[1] != found[2], "{found:?}");
    let least = found.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(watcher.written[2].best[0].value, least);
}

#[test]
fn without_the_table_or_with_an_interval_of_zero_nothing_is_evaluated() {
    for sets in [&TINY[..9], &[&TINY[..], &["eval.every=0"]].concat()] {
        let (case, mut watcher) = (Case::new(), Watcher::new(None));
        case.run(sets, None, &mut watcher);
        assert!(watcher.asked.is_empty() && !case.path("evaluations.jsonl").exists());
    }
}

#[test]
fn a_run_that_was_killed_leaves_the_lines_of_one_that_was_not() {
    let case = Case::new();
    case.run(&TINY, Some(11), &mut Watcher::new(None));
    assert_eq!(case.lines().len(), 2);
    // As after a kill between the checkpoints of steps 8 and 11, in the middle of a line.
    fs::remove_dir_all(case.path("checkpoints/step-000000011")).unwrap();
    let file = case.path("evaluations.jsonl");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "{\"step\":12,\"sam").unwrap();
    let mut watcher = Watcher::new(None);
    case.run(&TINY, None, &mut watcher);
    assert_eq!((watcher.asked, watcher.superseded > 0), (vec![10, 12], true));
    assert_eq!(case.lines(), uninterrupted());
    let attempts: Vec<u64> =
        trainer::read_evaluations(&file).unwrap().iter().map(|line| line.attempt).collect();
    assert_eq!(attempts, [1, 2, 2]);
}

#[test]
fn a_failure_is_told_and_the_run_goes_on() {
    for (does, reason) in [
        (Does::Fails, "no evaluation of step 5: the disk is on fire"),
        (Does::FindsNan, "no evaluation of step 5: fid is NaN, expected a finite number"),
    ] {
        let (case, mut watcher) = (Case::new(), Watcher::new(Some((5, does))));
        assert_eq!(case.run(&TINY, None, &mut watcher), Outcome::Finished);
        assert_eq!((watcher.asked, watcher.notices), (vec![5, 10, 12], vec![reason.to_owned()]));
        assert_eq!(case.lines(), uninterrupted()[1..]);
    }
}

#[test]
fn an_evaluation_that_was_stopped_is_made_up_for() {
    // Step 10 has no checkpoint of its own, step 5 of the second case has.
    for (every, at) in [("train.checkpoint_every=4", 10), ("train.checkpoint_every=5", 5)] {
        let sets = [&TINY[..], &[every]].concat();
        let (case, mut watcher) = (Case::new(), Watcher::new(Some((at, Does::IsStopped))));
        assert_eq!(case.run(&sets, None, &mut watcher), Outcome::Interrupted);
        assert_eq!(watcher.asked.last(), Some(&at));
        assert!(case.has_checkpoint(at) && !case.has_checkpoint(at + 1));
        let mut watcher = Watcher::new(None);
        assert_eq!(case.run(&sets, None, &mut watcher), Outcome::Finished);
        assert_eq!(watcher.asked[0], at);
        assert_eq!(case.lines(), uninterrupted());
    }
}

#[test]
fn a_run_stopped_while_it_makes_up_for_an_evaluation_still_owes_it() {
    let case = Case::new();
    case.run(&TINY, None, &mut Watcher::new(Some((10, Does::IsStopped))));
    let mut again = Watcher::new(Some((10, Does::IsStopped)));
    assert_eq!(case.run(&TINY, None, &mut again), Outcome::Interrupted);
    assert_eq!((again.asked, again.now), (vec![10], 0));
    case.run(&TINY, None, &mut Watcher::new(None));
    assert_eq!(case.lines(), uninterrupted());
}

#[test]
fn who_stops_does_not_wait_for_an_evaluation_and_one_that_is_done_is_kept() {
    let mut before = Watcher::new(None);
    before.stop_after = Some(9);
    for (mut watcher, asked) in
        [(before, vec![5]), (Watcher::new(Some((10, Does::FindsAndStops))), vec![5, 10])]
    {
        let case = Case::new();
        assert_eq!(case.run(&TINY, None, &mut watcher), Outcome::Interrupted);
        assert_eq!((watcher.asked.len(), case.lines().len()), (asked.len(), asked.len()));
        assert_eq!(watcher.notices.len(), 2 - asked.len(), "{:?}", watcher.notices);
        assert!(case.has_checkpoint(10) && !case.has_checkpoint(11));
        let mut watcher = Watcher::new(None);
        case.run(&TINY, None, &mut watcher);
        assert_eq!(watcher.asked, [5, 10, 12][asked.len()..]);
        assert_eq!(case.lines(), uninterrupted());
    }
}

#[test]
fn a_run_that_is_over_can_still_be_evaluated() {
    let case = Case::new();
    case.run(&TINY[..9], None, &mut Watcher::new(None));
    let mut watcher = Watcher::new(None);
    assert_eq!(case.run(&TINY, None, &mut watcher), Outcome::Finished);
    assert_eq!(watcher.asked, [12]);
    assert_eq!(case.lines(), uninterrupted()[2..]);
    // Once is enough.
    let mut watcher = Watcher::new(None);
    case.run(&TINY, None, &mut watcher);
    assert!(watcher.asked.is_empty());
}
