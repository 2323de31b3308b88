//! Scores of what is drawn, while it is drawn.

use super::Args;
use crate::device::OpenDevice;
use crate::eval::{FeatureArgs, ScoreArgs, Scorer};
use crate::exit::{Failure, check_parent};
use crate::images::QUANTISATION;
use crate::sampling::Plan;
use anyhow::Result;
use eval::fingerprint::Origin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What to compare drawn images with.
#[derive(Debug, clap::Args)]
pub(super) struct EvalArgs {
    /// Score the images against this set while they are drawn, as `dis eval` does; images are then
    /// written only with --out
    #[arg(long, value_name = "SET")]
    eval_reference: Option<PathBuf>,
    /// File for the report: .json
    #[arg(long, value_name = "FILE", requires = "eval_reference")]
    report: Option<PathBuf>,
    #[command(flatten)]
    features: FeatureArgs,
    #[command(flatten)]
    score: ScoreArgs,
}

impl EvalArgs {
    /// Whether images are scored.
    pub(super) fn is_asked_for(&self) -> bool {
        self.eval_reference.is_some()
    }

    /// Where the report goes.
    pub(super) fn report(&self) -> Option<&Path> {
        self.report.as_deref()
    }

    /// Opens the reference, before anything is drawn.
    pub(super) fn open(&self, args: &Args, device: &OpenDevice) -> Result<Option<Scorer>> {
        let Some(reference) = &self.eval_reference else { return Ok(None) };
        if let Some(report) = &self.report {
            check_parent(report)?;
        }
        if args.trajectory && args.out.is_none() {
            let what = "--trajectory: with --eval-reference alone no picture is written";
            return Err(Failure::usage(what).help("give a place for pictures: --out").into());
        }
        if args.count < 2 {
            let what = "--eval-reference: --count is 1, expected 2 or more images";
            return Err(Failure::usage(what).into());
        }
        Scorer::open(reference, args.count, &self.features, &self.score, device).map(Some)
    }
}

/// What the report says of the drawn images.
pub(super) fn origin(file: &Path, side: usize, args: &Args, plan: &Plan) -> Origin {
    let mut sampler = BTreeMap::from([
        ("network", file.display().to_string()),
        ("sampler", plan.sampler.sampler.name().to_string()),
        ("steps", plan.sampler.steps.to_string()),
        ("guidance", plan.guidance.guidance_scale.to_string()),
        ("clip_x0", plan.clip_x0.to_string()),
        ("seed", plan.seed.to_string()),
    ]);
    if let Some(noise) = &args.noise {
        sampler.insert("noise", noise.display().to_string());
    }
    if !args.classes.is_empty() {
        let classes: Vec<String> = args.classes.iter().map(ToString::to_string).collect();
        sampler.insert("classes", classes.join(","));
    }
    Origin {
        source: args.run.display().to_string(),
        stored_as: "sampler".into(),
        count: Some(args.count),
        size: Some([side, side]),
        quantisation: Some(QUANTISATION.into()),
        sampler: sampler.into_iter().map(|(key, value)| (key.to_string(), value)).collect(),
        ..Origin::default()
    }
}
