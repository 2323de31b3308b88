//! What a run writes besides metrics: checkpoints, and snapshots of averages.

use super::{Run, TrainError};
use crate::Hooks;
use crate::checkpoint::{self, Average, PowerAverage, PowerSnapshot, Snapshot, TrainState};
use crate::ema::EmaKind;

/// Saves that may fail one after the other before the run stops.
const MAX_FAILED_SAVES: u32 = 3;

impl Run<'_> {
    /// Keeps the power-function averages of now. A failure is reported, and the run goes on without
    /// this snapshot.
    pub(super) fn save_snapshot(&mut self, hooks: &mut dyn Hooks) -> Result<(), TrainError> {
        let (dis_config, layout) = (self.engine.config().clone(), self.engine.layout().clone());
        let state = self.engine.state()?;
        let step = state.step;
        let averages: Vec<PowerAverage<'_>> = self
            .ema
            .iter()
            .zip(&state.averages)
            .filter_map(|(ema, values)| match ema.kind() {
                EmaKind::Power { std, .. } => {
                    Some(PowerAverage { std, average: Average { name: ema.name(), values } })
                }
                EmaKind::Fixed { .. } => None,
            })
            .collect();
        let snapshot = PowerSnapshot {
            step,
            images_seen: state.samples_seen,
            config_hash: self.experiment.identity(),
            dis_config: &dis_config,
            layout: &layout,
            averages: &averages,
        };
        match checkpoint::save_snapshot(&self.snapshots, &snapshot) {
            Ok(saved) => saved.not_removed.iter().for_each(|error| {
                hooks.notice(&format!("what a snapshot replaced stays: {error}"));
            }),
            Err(error) => hooks.notice(&format!("no snapshot of step {step}: {error}")),
        }
        Ok(())
    }

    /// Saves, and returns whether it could. A failure in the middle of a run is reported and tried again
    /// at the next interval; the older checkpoint stays.
    pub(super) fn save(&mut self, must: bool, hooks: &mut dyn Hooks) -> Result<bool, TrainError> {
        self.metrics.sync()?;
        let computed_on = self.engine.name();
        let (dis_config, layout) = (self.engine.config().clone(), self.engine.layout().clone());
        let state = self.engine.state()?;
        let step = state.step;
        let pairs = self.ema.iter().zip(&state.averages);
        let averages: Vec<Average<'_>> =
            pairs.map(|(ema, values)| Average { name: ema.name(), values }).collect();
        let snapshot = Snapshot {
            state: TrainState {
                step,
                samples_seen: state.samples_seen,
                seed: self.experiment.seed,
                attempt: self.attempt,
                instruction_set: computed_on,
                interval: self.interval.clone(),
                feedback: state.feedback.state(),
            },
            config_hash: self.experiment.identity(),
            dis_config: &dis_config,
            layout: &layout,
            params: &state.params,
            averages: &averages,
            m: &state.m,
            v: &state.v,
        };
        match checkpoint::save(&self.checkpoints, &snapshot, self.experiment.train.keep_checkpoints)
        {
            Ok(saved) => {
                self.failed_saves = 0;
                for error in saved.not_removed {
                    hooks.notice(&format!("an old checkpoint stays: {error}"));
                }
                Ok(true)
            }
            Err(error) => {
                self.failed_saves += 1;
                if must || self.failed_saves >= MAX_FAILED_SAVES {
                    return Err(error.into());
                }
                hooks.notice(&format!(
                    "step {step} is not saved, the older checkpoint stays: {error}"
                ));
                Ok(false)
            }
        }
    }
}
