//! When images of a run are evaluated.

use super::{Run, TrainError};
use crate::Hooks;
use crate::evaluations::{Moment, refusal};
use std::time::Instant;

impl Run<'_> {
    /// Whether the experiment wants images of a step evaluated.
    pub(super) fn is_evaluated(&self, step: u64) -> bool {
        let every = self.experiment.eval.as_ref().map_or(0, |eval| eval.every);
        every > 0 && (step.is_multiple_of(every) || step == self.experiment.train.steps)
    }

    /// Makes up for the evaluation of the step that a run goes on from, where an earlier sitting was
    /// stopped in the middle of it or failed. Returns whether the run is to stop again.
    pub(super) fn evaluate_owed(&mut self, hooks: &mut dyn Hooks) -> Result<bool, TrainError> {
        let step = self.engine.steps();
        if step == 0 || !self.is_evaluated(step) || self.evaluations.has(step) {
            return Ok(false);
        }
        self.evaluate(step, hooks)?;
        Ok(hooks.stop_requested())
    }

    /// Evaluates images of the first average of the weights. A failure is reported, and the run goes on
    /// without a line of this step.
    pub(super) fn evaluate(&mut self, step: u64, hooks: &mut dyn Hooks) -> Result<(), TrainError> {
        let start = Instant::now();
        let state = self.engine.state()?;
        let samples_seen = state.samples_seen;
        let found = match hooks.evaluate(step, &state.averages[0]) {
            Ok(found) => refusal(&found).map_or(Ok(found), Err),
            Err(error) => Err(error.to_string()),
        };
        match found {
            Ok(found) => {
                let seconds = start.elapsed().as_secs_f64();
                let moment = Moment { step, samples_seen, attempt: self.attempt, seconds };
                hooks.evaluated(&self.evaluations.record(moment, found)?);
            }
            Err(reason) => hooks.notice(&format!("no evaluation of step {step}: {reason}")),
        }
        Ok(())
    }
}
