//! The table that says how a run is evaluated while it is trained.

use super::sections::SampleSection;
use diffusion::{DiffusionError, Respacing, SamplerKind, SamplerPlan};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[eval]`: images of the averaged weights against a reference, every so many steps. Without the
/// table nothing is evaluated.
///
/// What networks, protocols and metrics there are is for those to say who compute them, so these are
/// texts here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalSection {
    /// Steps from one evaluation to the next; the last step is evaluated too. 0 for none.
    pub every: u64,
    /// Images that are drawn for an evaluation.
    pub count: u64,
    /// What they are compared with: statistics, features, an `.npz`, or images.
    pub reference: PathBuf,
    /// What turns images into features: a file with the weights of Inception, `random-inception` or
    /// `pixels`.
    pub features: String,
    /// How images are resized and mapped: `adm`, `pytorch-fid`, `clean`.
    pub protocol: String,
    /// What to compute, by name. Without the key what the protocol's papers report.
    pub metrics: Option<Vec<String>>,
    /// The sampler; without the key that of `[sample]`.
    pub sampler: Option<SamplerKind>,
    /// Sampling steps; without the key those of `[sample]`.
    pub steps: Option<usize>,
    /// Images that pass through the network together. A matter of the machine: on the CPU no result
    /// depends on it.
    pub batch: Option<usize>,
}

impl EvalSection {
    /// The sampler with its choices, given those of previews.
    ///
    /// # Errors
    /// [`DiffusionError::RespacingSyntax`] for no steps.
    pub fn plan(&self, sample: &SampleSection) -> Result<SamplerPlan, DiffusionError> {
        let previews = sample.plan()?;
        let sampler = self.sampler.unwrap_or(previews.sampler);
        // A spacing is that of its own sampler.
        let spacing = previews.spacing.filter(|_| sampler == previews.sampler);
        let steps = match self.steps {
            Some(steps) => Respacing::evenly(steps)?,
            None => previews.steps.clone(),
        };
        Ok(SamplerPlan { sampler, spacing, steps, ..previews })
    }
}
