//! Which choices of an objective go together.

use super::{ObjectiveKind, ObjectiveOptions};
use crate::{DiffusionError, PredictionKind, Process, TimestepDensity, Weighting};

/// Refuses what does not go together.
pub(super) fn check(
    kind: ObjectiveKind,
    process: &Process,
    options: &ObjectiveOptions,
) -> Result<(), DiffusionError> {
    let refuse = |what: &str, help: &str| {
        Err(DiffusionError::Combination { what: what.into(), help: help.into() })
    };
    match (kind, process) {
        (ObjectiveKind::Flow(path), Process::Flow { path: trained, .. }) if path == *trained => {}
        (ObjectiveKind::Edm { sigma_data }, Process::Edm { sigma_data: trained, .. })
            if sigma_data == *trained => {}
        (kind, Process::Discrete(schedule)) if kind.is_discrete() => {
            if schedule.has_zero_terminal_snr() && kind.prediction() == PredictionKind::Eps {
                return refuse(
                    "a noise schedule of zero terminal SNR with a network that predicts noise",
                    "there is nothing but noise at its end; predict \"v\" or \"x0\"",
                );
            }
        }
        _ => {
            return refuse(
                "this objective with that process",
                "\"flow\" and \"edm\" have a process of their own, the others a noise schedule",
            );
        }
    }
    if options.density == TimestepDensity::LossAware && !kind.is_discrete() {
        return refuse(
            "timestep density \"loss_aware\" without timesteps",
            "it counts losses by timestep; the nearest for continuous time is \"logit_normal(0, 1)\"",
        );
    }
    if options.weighting == Weighting::Learned && kind.learns_variance() {
        return refuse(
            "loss weighting \"learned\" with the bound of \"eps_hybrid\"",
            "use objective \"eps\", or \"min_snr(5)\" for its squared error",
        );
    }
    if options.cosine_direction != 0.0 && !kind.predicts_velocity() {
        return refuse(
            "a direction term for an objective that predicts no velocity",
            "it is for \"v\" and \"flow\"",
        );
    }
    Ok(())
}
