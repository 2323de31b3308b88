//! What is said before a run starts.

use crate::info::plan::{self, Place};
use crate::info::units;
use data::Dataset;
use dis_model::counts;
use trainer::{Environment, Experiment, RunDir};

/// What is about to happen, before anything large is allocated.
pub(super) fn describe(
    experiment: &Experiment,
    run: &RunDir,
    environment: &Environment,
    dataset: &dyn Dataset,
    place: Place,
) {
    let (c, train) = (experiment.dis_config(), &experiment.train);
    let epochs = (train.steps * train.batch_size as u64) as f64 / dataset.len().max(1) as f64;
    let averages = train.averages();
    let state = units::bytes(plan::state_bytes(&c, place, averages));
    tracing::info!(
        "{}: {} parameters, {:.2} GFLOP an image, {state} of weights, gradients, moments and {}",
        experiment.name,
        units::thousands(counts::parameters(&c)),
        counts::flops(&c) * 1e-9,
        plan::averages_in_words(averages),
    );
    tracing::info!(
        "{} images of {} ({}x{}), batch {}, {} steps = {epochs:.1} epochs, in {}",
        units::thousands(dataset.len()),
        dataset.name(),
        c.image_size,
        c.image_size,
        train.batch_size,
        units::thousands(train.steps),
        run.path().display(),
    );
    for change in run.changes() {
        tracing::info!("changed since the last start: {change}");
    }
    if let Some(old) = run.previous_environment() {
        warn_of_changes(old, environment);
    }
}

/// Says what else than the experiment decides the bits and is not as it was.
fn warn_of_changes(old: &Environment, now: &Environment) {
    let was = |old: &str, now: &str| {
        tracing::warn!("this run was made {old}, now it is {now}: the last bits may differ");
    };
    if old.device != now.device {
        was(&format!("on {}", old.device), &format!("on {}", now.device));
    } else if now.device == "cpu"
        && (&old.instruction_set, old.threads) != (&now.instruction_set, now.threads)
    {
        was(
            &format!("with {} on {} threads", old.instruction_set, old.threads),
            &format!("{} on {}", now.instruction_set, now.threads),
        );
    }
}
