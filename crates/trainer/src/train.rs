//! The loop: batches to steps, steps to metrics, previews and checkpoints.
//!
//! The loop computes nothing and draws nothing on a screen. What a person sees, and the pictures, are
//! [`Hooks`] that the binary supplies. The same call resumes: the only state is what the newest
//! whole checkpoint holds, so a run that was killed makes the same bits as one that was not.

mod clock;
mod evaluate;
mod save;

use crate::checkpoint::{self, CheckpointError, Loaded, TrainState};
use crate::engine::{Engine, engine};
use crate::evaluations::Evaluations;
use crate::feedback::Feedback;
use crate::hooks::{Hooks, Start};
use crate::json_lines::{MetricsError, Trimmed};
use crate::metrics::{IntervalSums, LossParts, MetricsFile, MetricsLine, StepMetrics};
use crate::step::{RunState, StepConfig, StepError, StepReport};
use crate::{Compute, EmaSet, Experiment, LrSchedule, RunDir};
use clock::{Clock, Starvation};
use data::{DataError, Dataset, Loader, LoaderConfig};
use diffusion::DiffusionError;
use dis_model::init::{InitOptions, init};
use dis_model::{ModelError, ParamLayout};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The last step is made and saved.
    Finished,
    /// Saved on request; the same call goes on from there.
    Interrupted,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A step could not be made.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The network could not be built.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The noise schedule could not be built.
    #[error(transparent)]
    Diffusion(#[from] DiffusionError),
    /// A sample could not be loaded.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// Metrics could not be written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// A checkpoint without what its objective learns from the losses.
    #[error(
        "{}: it does not hold the loss history or log variances of this objective\n\
         help: choose another run directory",
        checkpoint.display()
    )]
    Feedback {
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// The data set does not fit the experiment.
    #[error("data.{field}: the {dataset} data have {got}, the experiment says {expected}")]
    DataShape {
        /// Name of the data set.
        dataset: String,
        /// What differs.
        field: &'static str,
        /// In the data.
        got: String,
        /// In the experiment.
        expected: String,
    },
    /// More averages of the weights than a device keeps.
    #[error(
        "train.ema_decay and train.ema_power ask for {got} averages of the weights, and a device \
         keeps up to {most}\n\
         help: leave some out, or train on the CPU"
    )]
    Averages {
        /// In the experiment.
        got: usize,
        /// On a device.
        most: usize,
    },
}

/// Trains an experiment in its directory, from its newest checkpoint or from the start, up to
/// `train.steps` or `max_steps` if that is less.
///
/// # Errors
/// [`TrainError`]; checkpoints written before stay.
pub fn train(
    experiment: &Experiment,
    run_dir: &RunDir,
    dataset: Arc<dyn Dataset>,
    compute: &Compute,
    max_steps: Option<u64>,
    hooks: &mut dyn Hooks,
) -> Result<Outcome, TrainError> {
    check_dataset(experiment, dataset.as_ref())?;
    let mut run = Run::open(experiment, run_dir, compute, max_steps, hooks)?;
    let stop = run.evaluate_owed(hooks)?;
    if stop && run.engine.steps() < run.end {
        return Ok(Outcome::Interrupted);
    }
    let mut loader = run.loader(dataset)?;
    while run.engine.steps() < run.end {
        let batch = loader.next_batch()?;
        let step = run.engine.steps() + 1;
        run.engine.step(&batch, run.lr.at(step), &run.ema.decays(step))?;
        loader.recycle(batch);
        let stop = run.after_step(step, loader.waited(), hooks)?;
        if stop && step < run.end {
            return Ok(Outcome::Interrupted);
        }
    }
    Ok(Outcome::Finished)
}

/// A run under way.
struct Run<'a> {
    experiment: &'a Experiment,
    checkpoints: PathBuf,
    snapshots: PathBuf,
    engine: Box<dyn Engine>,
    /// Before the first step of this sitting.
    samples_seen: u64,
    lr: LrSchedule,
    ema: EmaSet,
    end: u64,
    attempt: u64,
    interval: IntervalSums,
    metrics: MetricsFile,
    evaluations: Evaluations,
    failed_saves: u32,
    clock: Clock,
    starvation: Starvation,
}

impl<'a> Run<'a> {
    /// Loads the newest checkpoint, or draws initial weights.
    fn open(
        experiment: &'a Experiment,
        run_dir: &RunDir,
        compute: &Compute,
        max_steps: Option<u64>,
        hooks: &mut dyn Hooks,
    ) -> Result<Self, TrainError> {
        compute.check(experiment)?;
        let model = experiment.dis_config();
        model.validate()?;
        let layout = ParamLayout::new(&model);
        let (checkpoints, snapshots) = (run_dir.checkpoints(), run_dir.ema_snapshots());
        checkpoint::sweep(&checkpoints)?;
        checkpoint::sweep(&snapshots)?;
        let loaded = checkpoint::load_newest(&checkpoints, &layout)?;
        let end = max_steps.map_or(experiment.train.steps, |max| max.min(experiment.train.steps));
        let parameters = layout.len();
        let ema = EmaSet::new(&experiment.train);
        let (objective, lr) =
            (experiment.diffusion.objective()?, experiment.diffusion.log_variance_lr());
        let mut start = Start {
            step: 0,
            end,
            checkpoint: None,
            rejected: Vec::new(),
            trimmed: Trimmed::default(),
            parameters,
        };
        let (state, interval) = match loaded {
            Some(mut loaded) => {
                let averages = ema
                    .iter()
                    .map(|average| loaded.take_average(average.name()))
                    .collect::<Result<Vec<_>, _>>()?;
                let Loaded { path, rejected, state: counters, params, m, v, .. } = loaded;
                for rejected in rejected {
                    let aside = rejected.set_aside()?;
                    start.rejected.push((rejected, aside));
                }
                let TrainState { step, samples_seen, interval, feedback, .. } = counters;
                let kept = feedback.unwrap_or_default();
                let feedback = Feedback::restore(&objective, lr, &kept)
                    .ok_or_else(|| TrainError::Feedback { checkpoint: path.clone() })?;
                start.checkpoint = Some(path);
                (RunState { step, samples_seen, params, m, v, averages, feedback }, interval)
            }
            None => {
                let params = init(&model, &layout, &init_options(experiment), experiment.seed);
                let feedback = Feedback::new(&objective, lr);
                let state = RunState { feedback, ..RunState::new(params, ema.len()) };
                (state, IntervalSums::default())
            }
        };
        let (metrics, mut trimmed) = MetricsFile::resume(&run_dir.metrics(), state.step)?;
        let (evaluations, of_them) = Evaluations::resume(&run_dir.evaluations(), state.step)?;
        trimmed += of_them;
        (start.step, start.trimmed) = (state.step, trimmed);
        hooks.started(&start);
        let samples_seen = state.samples_seen;
        Ok(Self {
            engine: engine(compute, model, objective, step_config(experiment), state)?,
            samples_seen,
            lr: LrSchedule::new(&experiment.train),
            ema,
            experiment,
            checkpoints,
            snapshots,
            end,
            attempt: run_dir.attempt(),
            interval,
            metrics,
            evaluations,
            failed_saves: 0,
            clock: Clock::start(),
            starvation: Starvation::default(),
        })
    }

    fn loader(&self, dataset: Arc<dyn Dataset>) -> Result<Loader, TrainError> {
        let (data, batch_size) = (&self.experiment.data, self.experiment.train.batch_size);
        let config = LoaderConfig {
            seed: self.experiment.seed,
            batch_size,
            stride: batch_size,
            start_position: self.samples_seen,
            flip: data.flip,
            workers: data.workers.unwrap_or(1),
            prefetch: 2,
        };
        Ok(Loader::new(dataset, config)?)
    }

    /// Whatever is due after a step was asked for. Returns whether the run is to stop there.
    fn after_step(
        &mut self,
        step: u64,
        waited: Duration,
        hooks: &mut dyn Hooks,
    ) -> Result<bool, TrainError> {
        let mut stop = hooks.stop_requested();
        let train = &self.experiment.train;
        let last = step == self.end;
        let every = |steps: u64| step.is_multiple_of(steps) || step == train.steps;
        let log = every(train.log_every);
        let preview = train.sample_every > 0 && every(train.sample_every);
        let snapshot = train.ema_snapshot_every.is_some_and(every);
        let evaluate = self.is_evaluated(step);
        let save = step.is_multiple_of(train.checkpoint_every) || last || stop;
        self.clock.stepped(waited);
        if self.engine.reports_at_once() || log || preview || snapshot || evaluate || save {
            self.take_reports(hooks)?;
        }
        let mut clock = std::mem::replace(&mut self.clock, Clock::start());
        let result = clock.pause_for(|| {
            if preview {
                let drawn = hooks.preview(step, &self.engine.state()?.averages[0]);
                if let Err(error) = drawn {
                    hooks.notice(&format!("no preview of step {step}: {error}"));
                }
            }
            // Before the checkpoint of the step, after which a run would not come by it again.
            if snapshot {
                self.save_snapshot(hooks)?;
            }
            let saved = save && self.save(last || stop, hooks)?;
            // After the checkpoint, because it may take hours. What is not done, a resumed run makes up
            // for.
            if evaluate && stop {
                hooks.notice(&format!("step {step} is not evaluated; the same command does so"));
            } else if evaluate {
                self.evaluate(step, hooks)?;
                stop = hooks.stop_requested();
                if stop && !saved {
                    self.save(true, hooks)?;
                }
            }
            Ok(stop)
        });
        self.clock = clock;
        result
    }

    /// Takes in what the steps since the last call measured.
    fn take_reports(&mut self, hooks: &mut dyn Hooks) -> Result<(), TrainError> {
        for report in self.engine.reports()? {
            hooks.stepped(&report);
            let parts = report.vb.map(|vb| LossParts { mse: report.mse, vb });
            let StepReport { step, loss, grad_norm, .. } = report;
            self.interval.add(&StepMetrics { loss, parts, grad_norm });
            let train = &self.experiment.train;
            if step.is_multiple_of(train.log_every) || step == train.steps {
                self.log(&report, hooks)?;
            }
        }
        Ok(())
    }

    fn log(&mut self, report: &StepReport, hooks: &mut dyn Hooks) -> Result<(), TrainError> {
        let Some(means) = self.interval.finish() else { return Ok(()) };
        let lap = self.clock.lap();
        let batch_size = self.experiment.train.batch_size;
        let line = MetricsLine {
            step: report.step,
            samples_seen: report.samples_seen,
            loss: means.mean.loss,
            mse: means.mean.parts.map(|parts| parts.mse),
            vb: means.mean.parts.map(|parts| parts.vb),
            grad_norm: means.mean.grad_norm,
            lr: report.lr,
            attempt: self.attempt,
            images_per_second: batch_size as f64 / lap.step_seconds,
            step_seconds: lap.step_seconds,
            data_wait_seconds: lap.data_wait_seconds,
        };
        self.metrics.append(&line)?;
        hooks.logged(&line);
        // Waiting beside a device that is at work costs nothing until it is as long as the work.
        let most = if self.engine.reports_at_once() { 0.1 } else { 0.9 };
        if let Some(notice) = self.starvation.notice(lap, most) {
            hooks.notice(&notice);
        }
        Ok(())
    }
}

fn step_config(experiment: &Experiment) -> StepConfig {
    let (model, train) = (&experiment.model, &experiment.train);
    StepConfig {
        seed: experiment.seed,
        micro_batch: train.micro_batch(),
        recompute: train.recompute.unwrap_or_default(),
        label_dropout: model.label_dropout,
        drop_path: model.drop_path,
        beta1: train.beta1,
        beta2: train.beta2,
        adam_eps: train.adam_eps,
        weight_decay: train.weight_decay,
        grad_clip: train.grad_clip,
    }
}

fn init_options(experiment: &Experiment) -> InitOptions {
    let model = &experiment.model;
    InitOptions {
        delta_bias: model.delta_bias_init,
        zero_head: model.zero_head,
        position_std: model.position_std,
        label_std: model.label_std,
    }
}

/// Refuses data of another size, or with fewer classes than the network has labels for. [`train`]
/// does so too; before a run directory is made, it costs nobody anything.
///
/// # Errors
/// [`TrainError::DataShape`].
pub fn check_dataset(experiment: &Experiment, dataset: &dyn Dataset) -> Result<(), TrainError> {
    let (shape, model) = (dataset.shape(), &experiment.model);
    let size = experiment.data.image_size;
    let differs = |field, got: String, expected: String| {
        let dataset = dataset.name().to_string();
        Err(TrainError::DataShape { dataset, field, got, expected })
    };
    let expected = (model.channels, size, size);
    if (shape.channels, shape.height, shape.width) != expected {
        let words = |(c, h, w): (usize, usize, usize)| format!("{c} channels of {h}x{w} pixels");
        let got = words((shape.channels, shape.height, shape.width));
        return differs("image_size", got, words(expected));
    }
    if model.num_classes > 0 && dataset.num_classes() != model.num_classes {
        let got = format!("{} classes", dataset.num_classes());
        return differs("kind", got, format!("model.num_classes = {}", model.num_classes));
    }
    Ok(())
}
