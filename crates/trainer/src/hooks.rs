//! What the binary supplies to the loop: everything a person sees.

use crate::checkpoint::Rejected;
use crate::evaluations::{Evaluated, Evaluation};
use crate::json_lines::Trimmed;
use crate::metrics::MetricsLine;
use crate::step::StepReport;
use std::path::PathBuf;

/// What a run shows and what it asks, supplied by the binary.
pub trait Hooks {
    /// Before the first step: where the run starts.
    fn started(&mut self, start: &Start);
    /// After every step.
    fn stepped(&mut self, report: &StepReport);
    /// At every log interval.
    fn logged(&mut self, line: &MetricsLine);
    /// Something a person should know that does not end the run.
    fn notice(&mut self, message: &str);
    /// Draws a preview from the averaged weights of `step`. A failure is reported and the run goes on.
    ///
    /// # Errors
    /// Whatever kept the preview from being drawn.
    fn preview(
        &mut self,
        step: u64,
        ema: &[f32],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
    /// Evaluates images drawn from the averaged weights of `step`; asked for only where the experiment
    /// has `[eval]`. A failure is reported and the run goes on. Where a stop is requested meanwhile, it
    /// should give up: a step without an evaluation is evaluated when the run goes on from it.
    ///
    /// # Errors
    /// Whatever kept the images from being evaluated.
    fn evaluate(
        &mut self,
        step: u64,
        ema: &[f32],
    ) -> Result<Evaluation, Box<dyn std::error::Error + Send + Sync>>;
    /// After an evaluation was written.
    fn evaluated(&mut self, evaluated: &Evaluated);
    /// Whether to save and stop after this step.
    fn stop_requested(&self) -> bool;
}

/// Where a run starts.
#[derive(Debug)]
pub struct Start {
    /// Steps already made.
    pub step: u64,
    /// Step at which this call ends.
    pub end: u64,
    /// The checkpoint resumed from.
    pub checkpoint: Option<PathBuf>,
    /// Newer checkpoints that could not be believed, and where they were put.
    pub rejected: Vec<(Rejected, PathBuf)>,
    /// What became of metrics and evaluations beyond the checkpoint.
    pub trimmed: Trimmed,
    /// Parameters of the network.
    pub parameters: usize,
}
