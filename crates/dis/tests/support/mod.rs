//! A tiny experiment, runs of `dis` on it, and what they leave behind.

mod averages;
#[cfg(feature = "emulated")]
mod device;
mod evaluation;
mod latents;
mod refusals;
mod sampling;

use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Twelve steps of a network of three blocks on 8x8 pixels.
pub(crate) const TINY: [&str; 12] = [
    "data.image_size=8",
    "data.count=64",
    "model.hidden_size=16",
    "model.depth=2",
    "train.batch_size=4",
    "train.steps=12",
    "train.warmup_steps=2",
    "train.log_every=3",
    "train.sample_every=6",
    "train.checkpoint_every=4",
    "sample.steps=4",
    "sample.count=4",
];

/// Changes of [`TINY`] that leave time to interrupt it.
pub(crate) const LONG: [&str; 3] =
    ["train.steps=300", "train.checkpoint_every=5", "train.sample_every=150"];

/// No wait of a test is longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// `dis` with the arguments, apart from this process's terminal and settings.
pub(crate) fn dis<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dis"));
    // Equal bits are promised for equal numbers of threads, equal texts for equal widths.
    command.env("RAYON_NUM_THREADS", "2").env("COLUMNS", "100").env_remove("RUST_LOG");
    command.env_remove("RUST_BACKTRACE");
    command.args(args).stdin(Stdio::null());
    command
}

/// What a process left behind.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs to the end.
pub(crate) fn finish(mut command: Command) -> Ended {
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|b| String::from_utf8(b).unwrap());
    Ended { code: output.status.code(), stdout, stderr }
}

impl Ended {
    #[track_caller]
    pub(crate) fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }

    /// It refused with that code, on one screen that holds all of `words`.
    #[track_caller]
    pub(crate) fn refuses(&self, code: i32, words: &[&str]) {
        let stderr = &self.stderr;
        assert_eq!(self.code, Some(code), "{stderr}");
        assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{stderr}");
        assert!(stderr.lines().count() < 40, "more than a screen\n{stderr}");
        for bad in ["panicked", "a bug in dis"] {
            assert!(!stderr.contains(bad), "{stderr}");
        }
        for word in words {
            assert!(stderr.contains(word), "no {word:?} in\n{stderr}");
        }
    }
}

/// A folder with a copy of the quickstart, and one run in it.
pub(crate) struct Case {
    folder: TempDir,
    sets: Vec<String>,
}

impl Case {
    /// [`TINY`] with changes.
    pub(crate) fn new(changes: &[&str]) -> Self {
        Self::with(TINY.iter().chain(changes).copied())
    }

    /// The quickstart with changes.
    pub(crate) fn with<'a>(changes: impl Iterator<Item = &'a str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let quickstart =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
        fs::copy(quickstart, folder.path().join("quickstart.toml")).unwrap();
        Self { folder, sets: changes.map(String::from).collect() }
    }

    /// The same after all its steps.
    pub(crate) fn trained(changes: &[&str]) -> Self {
        let case = Self::new(changes);
        finish(case.train(&[])).succeeds();
        case
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.path("run")
    }

    /// The command of the run; it is the same whenever `more` is.
    pub(crate) fn train(&self, more: &[&str]) -> Command {
        let mut command = dis(["train"]);
        command.arg(self.path("quickstart.toml")).arg("--run-dir").arg(self.run_dir());
        for set in &self.sets {
            command.args(["--set", set]);
        }
        command.args(more);
        command
    }

    /// Steps of the checkpoints, oldest first.
    pub(crate) fn checkpoints(&self) -> Vec<u64> {
        let Ok(entries) = fs::read_dir(self.run_dir().join("checkpoints")) else { return vec![] };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut steps: Vec<u64> =
            names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
        steps.sort_unstable();
        steps
    }

    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.run_dir().join(format!("checkpoints/step-{step:09}"))
    }

    /// Starts the run.
    pub(crate) fn start(&self) -> Running {
        self.start_with(&[])
    }

    /// Starts it with more arguments.
    pub(crate) fn start_with(&self, more: &[&str]) -> Running {
        let mut command = self.train(more);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    }

    /// Starts the run and lets it be until it has a checkpoint of `step` or of a later one.
    pub(crate) fn start_until(&self, step: u64) -> Running {
        let mut running = self.start();
        running.wait_for(self, step);
        running
    }

    pub(crate) fn bits(&self) -> Bits {
        let newest = *self.checkpoints().last().unwrap();
        let tensors = ["model", "ema-0.995", "optimizer"].map(|name| {
            let file = self.checkpoint(newest).join(format!("{name}.safetensors"));
            (name.to_string(), fs::read(file).unwrap())
        });
        let metrics = fs::read_to_string(self.run_dir().join("metrics.jsonl")).unwrap();
        let metrics =
            metrics.lines().map(|line| trainer::deterministic_part(line).to_string()).collect();
        Bits { newest, tensors: tensors.into(), metrics }
    }
}

/// What a run must leave behind in the same bits, however it got there.
pub(crate) struct Bits {
    newest: u64,
    tensors: BTreeMap<String, Vec<u8>>,
    metrics: Vec<String>,
}

impl Bits {
    #[track_caller]
    pub(crate) fn assert_equal(&self, reference: &Self) {
        assert_eq!(self.newest, reference.newest);
        for (name, bytes) in &self.tensors {
            assert!(*bytes == reference.tensors[name], "{name}.safetensors differs");
        }
        assert_eq!(self.metrics, reference.metrics);
    }
}

/// A run under way; it does not survive its test.
pub(crate) struct Running(Child);

impl Running {
    /// Lets it be until its case has a checkpoint of `step` or of a later one.
    pub(crate) fn wait_for(&mut self, case: &Case, step: u64) {
        let start = Instant::now();
        while case.checkpoints().last().is_none_or(|&newest| newest < step) {
            assert_eq!(self.0.try_wait().unwrap(), None, "it ended before step {step}");
            assert!(start.elapsed() < PATIENCE, "no checkpoint of step {step}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// The code it ends with after a signal, or the signal that ended it.
    pub(crate) fn end_by(mut self, signal: Signal) -> Result<i32, i32> {
        self.signal(signal);
        let status = self.0.wait().unwrap();
        status.code().ok_or_else(|| status.signal().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
