//! The directory of a run.
//!
//! ```text
//! runs/NAME/  config.toml        the experiment, resolved
//!             environment.json   program and machine of the last start
//!             run.lock           who writes here, or did last
//!             metrics.jsonl  evaluations.jsonl  events.out.tfevents.*
//!             samples/step-000005000.png
//!             checkpoints/step-000005000/
//!             ema-snapshots/step-000001000/
//! ```

use crate::experiment::{ConfigError, Experiment, KeyChange, may_change};
use crate::run_lock::{Holder, LockError, RunLock};
use crate::storage::{Disk, TEMPORARY, replace_file};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.toml";
const ENVIRONMENT: &str = "environment.json";
const LOCK: &str = "run.lock";
/// Folder of a run's snapshots of power-function averages.
pub const EMA_SNAPSHOTS: &str = "ema-snapshots";

/// Program and machine that a run was started with. The caller finds them out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the program.
    pub program_version: String,
    /// Name of the machine.
    pub host: String,
    /// Operating system and architecture.
    pub os: String,
    /// Processor.
    pub cpu: String,
    /// Device that trains.
    pub device: String,
    /// Threads that compute.
    pub threads: usize,
    /// Instructions that the kernels use. Equal bits are promised for one set only.
    pub instruction_set: String,
}

/// Why a run directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// The operating system refused a file or folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// Another process writes to it.
    #[error("{}: in use{}", path.display(), by(holder.as_ref()))]
    InUse {
        /// The run directory.
        path: PathBuf,
        /// Who, as far as it can be read.
        holder: Option<Holder>,
    },
    /// It has files, but is no run.
    #[error(
        "{}: no {CONFIG} in it, but {found}, so it is no run directory\n\
         help: choose another one with --run-dir, or an empty folder",
        path.display()
    )]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// One of the names in it.
        found: String,
    },
    /// Its experiment cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It is the run of another experiment.
    #[error(
        "{}: the run in it has other values than this experiment:\n{}\n\
         help: choose another --run-dir, or set the old values",
        path.display(),
        changes.iter().map(|change| format!("  {change}")).collect::<Vec<_>>().join("\n")
    )]
    OtherExperiment {
        /// The run directory.
        path: PathBuf,
        /// Every key that may not change and did: value of the run, value asked for.
        changes: Vec<KeyChange>,
    },
}

impl RunDirError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| {
        format!(" by pid {} on host {} since {}", holder.pid, holder.host, holder.started)
    })
}

/// A run directory that this process alone writes to, until it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    attempt: u64,
    changes: Vec<KeyChange>,
    previous_environment: Option<Environment>,
    _lock: RunLock,
}

impl RunDir {
    /// Creates the directory, or opens the one of an earlier start of the same experiment. Keys that
    /// [`may_change`] may differ; the directory then keeps the new values.
    ///
    /// # Errors
    /// [`RunDirError`]; nothing in the directory is changed then, but for a lock that was free.
    pub fn open(
        path: &Path,
        experiment: &Experiment,
        environment: &Environment,
    ) -> Result<Self, RunDirError> {
        fs::create_dir_all(path).map_err(RunDirError::io(path))?;
        refuse_foreign(path)?;
        let lock_path = path.join(LOCK);
        let (lock, holder) =
            RunLock::take(&lock_path, &environment.host).map_err(|error| match error {
                LockError::Held(holder) => RunDirError::InUse { path: path.into(), holder },
                LockError::Io(source) => RunDirError::Io { path: lock_path, source },
            })?;
        sweep(path)?;
        let changes = reconcile(path, experiment)?;
        let environment_path = path.join(ENVIRONMENT);
        let previous_environment =
            fs::read(&environment_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if previous_environment.as_ref() != Some(environment) {
            let mut text = serde_json::to_string_pretty(environment)
                .map_err(|error| RunDirError::io(&environment_path)(error.into()))?;
            text.push('\n');
            replace_file(&Disk, &environment_path, text.as_bytes())
                .map_err(RunDirError::io(&environment_path))?;
        }
        let run = Self {
            path: path.into(),
            attempt: holder.attempt,
            changes,
            previous_environment,
            _lock: lock,
        };
        for folder in [run.samples(), run.checkpoints()] {
            fs::create_dir_all(&folder).map_err(RunDirError::io(&folder))?;
        }
        Ok(run)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts of the run, this one included.
    pub fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Keys that have another value than at the last start.
    pub fn changes(&self) -> &[KeyChange] {
        &self.changes
    }

    /// Program and machine of the last start, if there was one. Where `instruction_set` is another
    /// one now, the same bits are not promised.
    pub fn previous_environment(&self) -> Option<&Environment> {
        self.previous_environment.as_ref()
    }

    /// Folder of the preview grids.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples")
    }

    /// The preview grid of a step.
    pub fn sample_grid(&self, step: u64) -> PathBuf {
        self.samples().join(format!("step-{step:09}.png"))
    }

    /// Folder of the checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Folder of the snapshots of power-function averages; made with the first.
    pub fn ema_snapshots(&self) -> PathBuf {
        self.path.join(EMA_SNAPSHOTS)
    }

    /// The metrics file.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The file of evaluations; made with the first.
    pub fn evaluations(&self) -> PathBuf {
        self.path.join("evaluations.jsonl")
    }
}

/// The experiment of a run, of which this process need not be the writer.
///
/// # Errors
/// [`ConfigError`] when there is none, or another version of the program wrote it.
pub fn read_experiment(run: &Path) -> Result<Experiment, ConfigError> {
    Experiment::load(run.join(CONFIG), &[])
}

/// Keeps us from strewing files over somebody's folder.
fn refuse_foreign(path: &Path) -> Result<(), RunDirError> {
    if path.join(CONFIG).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(RunDirError::io(path))? {
        let name = entry.map_err(RunDirError::io(path))?.file_name();
        let found = name.to_string_lossy();
        // What is left when the very first start is killed.
        if found != LOCK && !found.starts_with(TEMPORARY) {
            return Err(RunDirError::NotARun { path: path.into(), found: found.into_owned() });
        }
    }
    Ok(())
}

/// Removes files that a killed process left half-written.
fn sweep(path: &Path) -> Result<(), RunDirError> {
    for entry in fs::read_dir(path).map_err(RunDirError::io(path))? {
        let file = entry.map_err(RunDirError::io(path))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(TEMPORARY) && file.is_file() {
            fs::remove_file(&file).map_err(RunDirError::io(&file))?;
        }
    }
    Ok(())
}

/// Compares the experiment with that of the directory, and writes it where it is new.
fn reconcile(path: &Path, experiment: &Experiment) -> Result<Vec<KeyChange>, RunDirError> {
    let config = path.join(CONFIG);
    let mut changes = Vec::new();
    if config.exists() {
        changes = read_experiment(path)?.differences(experiment);
        if changes.is_empty() {
            return Ok(changes);
        }
        let refused: Vec<KeyChange> =
            changes.iter().filter(|change| !may_change(&change.key)).cloned().collect();
        if !refused.is_empty() {
            return Err(RunDirError::OtherExperiment { path: path.into(), changes: refused });
        }
    }
    replace_file(&Disk, &config, experiment.to_toml().as_bytes())
        .map_err(RunDirError::io(&config))?;
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn experiment(sets: &[&str]) -> Experiment {
        let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
        let quickstart =
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/quickstart-resolved.toml");
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

    fn open(path: &Path, sets: &[&str]) -> Result<RunDir, RunDirError> {
        RunDir::open(path, &experiment(sets), &environment())
    }

    #[test]
    fn the_same_experiment_opens_the_same_directory_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runs/quickstart");
        let run = open(&path, &[]).unwrap();
        assert_eq!((run.attempt(), run.changes(), run.previous_environment()), (1, &[][..], None));
        assert_eq!(run.sample_grid(225), path.join("samples/step-000000225.png"));
        assert!(run.checkpoints().is_dir() && run.samples().is_dir());
        assert_eq!(read_experiment(&path).unwrap(), experiment(&[]));
        drop(run);
        let run = open(&path, &[]).unwrap();
        assert_eq!((run.attempt(), run.changes().len()), (2, 0));
        assert_eq!(run.previous_environment(), Some(&environment()));
        assert_eq!(run.path(), path);
    }

    #[test]
    fn keys_that_may_change_are_taken_over_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &[]).unwrap();
        let sets = ["train.steps=2000", "guidance.guidance_scale=3", "data.workers=2"];
        let run = open(folder.path(), &sets).unwrap();
        let changes: Vec<String> = run.changes().iter().map(ToString::to_string).collect();
        let expected = [
            "train.steps: 1200 -> 2000",
            "guidance.guidance_scale: 2.0 -> 3.0",
            "data.workers: (none) -> 2",
        ];
        assert_eq!(changes, expected);
        assert_eq!(read_experiment(folder.path()).unwrap(), experiment(&sets));
    }

    #[test]
    fn another_experiment_is_refused_with_every_key_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), &[]).unwrap();
        let before = fs::read(folder.path().join(CONFIG)).unwrap();
        let sets = ["seed=1", "model.preset=S", "train.steps=1000"];
        let message = open(folder.path(), &sets).unwrap_err().to_string();
        let expected = format!(
            "{}: the run in it has other values than this experiment:\n  seed: 0 -> 1\n  \
             model.hidden_size: 96 -> (none)\n  model.depth: 6 -> (none)\n  \
             model.preset: (none) -> \"S\"\n\
             help: choose another --run-dir, or set the old values",
            folder.path().display()
        );
        assert_eq!(message, expected);
        assert_eq!(fs::read(folder.path().join(CONFIG)).unwrap(), before);
    }

    #[test]
    fn a_directory_in_use_names_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let _run = open(folder.path(), &[]).unwrap();
        let error = open(folder.path(), &[]).unwrap_err();
        let RunDirError::InUse { holder: Some(holder), .. } = &error else { panic!("{error}") };
        assert_eq!((holder.pid, holder.host.as_str()), (std::process::id(), "here"));
        let expected = format!(": in use by pid {} on host here since 20", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
    }

    #[test]
    fn a_folder_of_something_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.tex"), "").unwrap();
        let error = open(folder.path(), &[]).unwrap_err();
        assert!(error.to_string().contains("no config.toml in it, but thesis.tex"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // What a start that was killed at once leaves is no obstacle.
        fs::remove_file(folder.path().join("thesis.tex")).unwrap();
        fs::write(folder.path().join(LOCK), "").unwrap();
        let half = folder.path().join(".tmp-config.toml-7");
        fs::write(&half, "na").unwrap();
        open(folder.path(), &[]).unwrap();
        assert!(!half.exists());
    }

    #[test]
    fn a_config_that_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), "name = 1").unwrap();
        let error = open(folder.path(), &[]).unwrap_err().to_string();
        assert!(error.contains("config.toml:1: name is 1, expected a string"), "{error}");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(open(&file, &[]).unwrap_err(), RunDirError::Io { .. }));
    }
}
