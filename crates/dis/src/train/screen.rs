//! What a person sees of a training run: a bar, log lines, and preview grids.

use super::evaluation::{Drawing, Evaluator, in_words};
use crate::device::OpenDevice;
use crate::network::Network;
use crate::pictures::Pictures;
use crate::sampling::{Generator, Plan};
use crate::{images, progress};
use anyhow::{Result, bail};
use dis_model::DisConfig;
use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use trainer::{
    Environment, Evaluated, Evaluation, EventError, EventFile, EventImage, Experiment, Hooks,
    MetricsLine, RunDir, Start, StepReport,
};

/// Images of a preview that pass through the network together.
pub(super) const BATCH: usize = 32;

/// What previews and evaluations need, opened before anything is written.
pub(super) struct Tools {
    /// How previews are drawn.
    pub(super) plan: Plan,
    /// The weaker network of autoguidance.
    pub(super) weak: Option<Box<dyn Network>>,
    /// What becomes of drawn images.
    pub(super) pictures: Pictures,
    /// What scores them.
    pub(super) evaluator: Option<Evaluator>,
}

/// The hooks of `dis train`.
pub(super) struct Screen {
    bar: Option<ProgressBar>,
    is_terminal: bool,
    loss: Option<f64>,
    run: PathBuf,
    host: String,
    /// TensorBoard's file; opened when the first step is known, given up when it cannot be written.
    events: Option<EventFile>,
    samples: PathBuf,
    tools: Tools,
    count: usize,
    device: OpenDevice,
    config: DisConfig,
    /// Made for the first preview or evaluation, and kept for the others.
    network: Option<Box<dyn Network>>,
    stop: Arc<AtomicBool>,
    told_to_stop: AtomicBool,
}

impl Screen {
    pub(super) fn new(
        experiment: &Experiment,
        run: &RunDir,
        environment: &Environment,
        device: &OpenDevice,
        tools: Tools,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            bar: None,
            is_terminal: std::io::stderr().is_terminal(),
            loss: None,
            run: run.path().to_path_buf(),
            host: environment.host.clone(),
            events: None,
            samples: run.samples(),
            tools,
            count: experiment.sample.count,
            device: device.clone(),
            config: experiment.dis_config(),
            network: None,
            stop,
            told_to_stop: AtomicBool::new(false),
        }
    }

    /// Takes the bar off the screen.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Prints without tearing the bar.
    fn say(&self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tracing::info!("{message}")),
            None => tracing::info!("{message}"),
        }
    }

    /// Writes to TensorBoard's file; the first failure is reported and ends the writing.
    fn record(&mut self, write: impl FnOnce(&mut EventFile) -> Result<(), EventError>) {
        let Some(events) = &mut self.events else { return };
        if let Err(error) = write(events) {
            self.events = None;
            self.say(&format!("TensorBoard's file is given up: {error}"));
        }
    }

    /// The network with these weights.
    fn network(&mut self, weights: &[f32]) -> Result<Box<dyn Network>> {
        match self.network.take() {
            Some(mut network) => {
                network.load(weights)?;
                Ok(network)
            }
            None => self.device.network(self.config.clone(), weights),
        }
    }

    fn draw(&mut self, step: u64, ema: &[f32]) -> Result<()> {
        let (mut network, mut weak) = (self.network(ema)?, self.tools.weak.take());
        let drawn = self.images(network.as_mut(), weak.as_deref_mut());
        (self.network, self.tools.weak) = (Some(network), weak);
        let bytes = self.tools.pictures.bytes(&drawn?, &self.config)?;
        self.show(step, &bytes)
    }

    fn score(&mut self, ema: &[f32]) -> Result<Evaluation> {
        let mut network = self.network(ema)?;
        let Tools { weak, pictures, evaluator, .. } = &mut self.tools;
        let Some(evaluator) = evaluator else { bail!("nothing says what to compare images with") };
        let (bar, weak) = (self.bar.as_ref(), weak.as_deref_mut());
        let drawing = Drawing { network: network.as_mut(), weak, pictures, stop: &self.stop, bar };
        let report = evaluator.run(drawing);
        self.network = Some(network);
        let (evaluation, warnings) = evaluator.take_in(report?);
        for warning in warnings {
            self.notice(&warning);
        }
        Ok(evaluation)
    }

    /// The images of a preview, one after the other.
    fn images(
        &self,
        network: &mut dyn Network,
        weak: Option<&mut (dyn Network + 'static)>,
    ) -> Result<Vec<f32>> {
        let c = &self.config;
        let (count, classes) = (self.count, c.num_classes);
        let mut generator = Generator::new(network, weak, &self.tools.plan)?;
        let mut images = Vec::new();
        for first in (0..count).step_by(BATCH) {
            let n = BATCH.min(count - first);
            let labels: Option<Vec<u32>> = (classes > 0).then(|| {
                // Equal classes stand side by side.
                (first..first + n).map(|i| (i * classes / count) as u32).collect()
            });
            let x = generator.start_noise(first as u64, n as u64);
            let drawn = generator.generate(x, first as u64, labels.as_deref(), &mut |_, _| ())?;
            images.extend(drawn);
        }
        Ok(images)
    }

    /// Writes the grid of a preview.
    fn show(&mut self, step: u64, bytes: &[u8]) -> Result<()> {
        let (count, classes) = (self.count, self.config.num_classes);
        let size = self.tools.pictures.side(&self.config);
        let columns = match classes {
            n if n > 0 && count.is_multiple_of(n) && count / n > 1 => count / n,
            _ => images::columns_for(count),
        };
        let file = self.samples.join(format!("step-{step:09}.png"));
        let picture = images::grid(bytes, size, columns);
        images::save_png(&picture, &file)?;
        let png = std::fs::read(&file)?;
        let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
        self.record(|events| {
            events.image(step, "samples", EventImage { width, height, png: &png })
        });
        self.say(&format!("step {step}: {count} samples in {}", file.display()));
        Ok(())
    }
}

impl Hooks for Screen {
    fn started(&mut self, start: &Start) {
        for (rejected, aside) in &start.rejected {
            tracing::warn!("a damaged checkpoint is not used: {rejected}");
            tracing::warn!("it was put aside as {}", aside.display());
        }
        if let Some(checkpoint) = &start.checkpoint {
            tracing::info!("resuming after step {} from {}", start.step, checkpoint.display());
        }
        if start.step >= start.end {
            tracing::info!("all {} steps are made; raise train.steps to go on", start.step);
        }
        if start.trimmed.superseded + start.trimmed.damaged > 0 {
            tracing::info!(
                "{} metrics lines beyond the checkpoint and {} torn ones are removed",
                start.trimmed.superseded,
                start.trimmed.damaged
            );
        }
        self.bar = Some(progress::bar(start.end, start.step, "steps"));
        match EventFile::start(&self.run, &self.host, start.step) {
            Ok(events) => self.events = Some(events),
            Err(error) => tracing::warn!("no TensorBoard file: {error}"),
        }
    }

    fn stepped(&mut self, report: &StepReport) {
        let loss = self.loss.map_or(report.loss, |mean| 0.97 * mean + 0.03 * report.loss);
        self.loss = Some(loss);
        if let Some(bar) = &self.bar {
            bar.set_message(format!("loss {loss:.4}  lr {:.1e}", report.lr));
            bar.set_position(report.step);
        }
    }

    fn logged(&mut self, line: &MetricsLine) {
        self.record(|events| {
            events.scalar(line.step, "train/loss", line.loss)?;
            events.scalar(line.step, "train/grad_norm", line.grad_norm)?;
            events.scalar(line.step, "train/lr", line.lr)?;
            events.scalar(line.step, "speed/images_per_second", line.images_per_second)
        });
        if !self.is_terminal {
            tracing::info!(
                "step {}: loss {:.4}, gradient norm {:.3}, lr {:.2e}, {:.2} steps/s",
                line.step,
                line.loss,
                line.grad_norm,
                line.lr,
                1.0 / line.step_seconds
            );
        }
    }

    fn notice(&mut self, message: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tracing::warn!("{message}")),
            None => tracing::warn!("{message}"),
        }
    }

    fn preview(
        &mut self,
        step: u64,
        ema: &[f32],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.draw(step, ema).map_err(|error| format!("{error:#}").into())
    }

    fn evaluate(
        &mut self,
        _step: u64,
        ema: &[f32],
    ) -> Result<Evaluation, Box<dyn std::error::Error + Send + Sync>> {
        self.score(ema).map_err(|error| format!("{error:#}").into())
    }

    fn evaluated(&mut self, evaluated: &Evaluated) {
        let step = evaluated.step;
        self.record(|events| {
            evaluated.scores.iter().try_for_each(|score| {
                events.scalar(step, &format!("eval/{}", score.name), score.value)
            })
        });
        self.say(&format!("step {step}: {}", in_words(evaluated)));
    }

    fn stop_requested(&self) -> bool {
        let stop = self.stop.load(Ordering::Relaxed);
        if stop && !self.told_to_stop.swap(true, Ordering::Relaxed) {
            self.say("stopping: saving a checkpoint");
        }
        stop
    }
}
