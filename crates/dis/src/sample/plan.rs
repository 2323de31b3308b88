//! How images are drawn: flags over the run's configuration over the official choices.

use crate::exit::Failure;
use crate::sampling::Plan;
use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use diffusion::{
    DiffusionForm, Guidance, GuidanceSchedule, NoiseSchedule, ObjectiveKind, Process, Respacing,
    SamplerKind, SamplerPlan, Spacing,
};
use dis_model::DisConfig;
use std::path::{Path, PathBuf};
use trainer::Experiment;

/// Sampler and guidance.
#[derive(Debug, clap::Args)]
pub(crate) struct PlanArgs {
    /// Sampling algorithm
    #[arg(long, value_name = "NAME", value_parser = sampler_names())]
    sampler: Option<SamplerKind>,
    /// Steps from noise to image: a number; on a noise schedule with --spacing uniform also "a,b,c" for
    /// parts of it, "ddimN" or "full". heun, midpoint, dpmpp_sde, dpmpp_2s_a and heun_sde evaluate the network
    /// nearly twice a step, the others once
    #[arg(long)]
    steps: Option<Respacing>,
    /// Spacing of the noise levels: uniform, quadratic, log_snr, "karras(7)", "shifted(3)". Default:
    /// what is usual for the sampler
    #[arg(long)]
    spacing: Option<Spacing>,
    /// Fresh noise in DDIM, 0 (none) to 1
    #[arg(long)]
    eta: Option<f64>,
    /// Fresh noise in heun over the whole run, as EDM's S_churn; at most 0.41 of a level in a step
    #[arg(long)]
    churn: Option<f64>,
    /// Diffusion of euler_maruyama and heun_sde
    #[arg(long, value_name = "NAME", value_parser = form_names())]
    diffusion_form: Option<DiffusionForm>,
    /// Guidance away from the unconditional (or the weaker) output: 1 is none
    #[arg(long)]
    guidance: Option<f64>,
    /// Noise per data, least and most, between which guidance acts, such as 0.2,3
    #[arg(long, value_name = "LEAST,MOST", value_delimiter = ',', num_args = 1)]
    guidance_interval: Option<Vec<f64>>,
    /// Share of the guided image that keeps the deviation of the conditional one, 0 to 1
    #[arg(long, value_name = "SHARE")]
    guidance_rescale: Option<f64>,
    /// How guidance changes over a run: constant, linear or cosine, both rising
    #[arg(long, value_name = "NAME", value_parser = schedule_names())]
    guidance_schedule: Option<GuidanceSchedule>,
    /// Autoguidance: a run, checkpoint or weight file of a weaker network, in place of the
    /// unconditional output; trained on the same images with the same objective
    #[arg(long, value_name = "RUN")]
    weak_model: Option<PathBuf>,
}

fn sampler_names() -> impl TypedValueParser<Value = SamplerKind> {
    named(SamplerKind::ALL.map(|kind| (kind.name(), kind)))
}

fn form_names() -> impl TypedValueParser<Value = DiffusionForm> {
    named(DiffusionForm::ALL.map(|form| (form.name(), form)))
}

fn schedule_names() -> impl TypedValueParser<Value = GuidanceSchedule> {
    named([
        ("constant", GuidanceSchedule::Constant),
        ("linear", GuidanceSchedule::Linear),
        ("cosine", GuidanceSchedule::Cosine),
    ])
}

/// A parser of the given names.
fn named<T, const N: usize>(choices: [(&'static str, T); N]) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(choices.map(|(name, _)| name)).map(move |given| {
        let found = choices.iter().find(|(name, _)| *name == given);
        found.expect("clap accepts the given names only").1
    })
}

impl PlanArgs {
    /// The plan for weights of `config`; `run` is where they are from.
    pub(crate) fn plan(
        &self,
        experiment: Option<&Experiment>,
        config: &DisConfig,
        run: &Path,
        seed: u64,
    ) -> Result<Plan> {
        let (objective, process) = trained(experiment, config, run)?;
        let plan = Plan {
            sampler: self.sampler(experiment)?,
            clip_x0: experiment.is_some_and(|e| e.sample.clip_x0),
            guidance: self.guidance(experiment, config)?,
            objective,
            process,
            seed,
        };
        plan.sampler.evaluations(objective, &plan.process)?;
        Ok(plan)
    }

    /// The weaker network of autoguidance, if guidance acts at all.
    pub(crate) fn weak_model<'a>(
        &'a self,
        experiment: Option<&'a Experiment>,
        guidance: &Guidance,
    ) -> Result<Option<&'a Path>> {
        let of_run = || experiment.and_then(|e| e.sample.weak_model.as_deref());
        if self.weak_model.is_some() && !guidance.is_active() {
            let what = "--weak-model: guidance is 1 and guides nothing";
            return Err(Failure::usage(what).help("give a guidance, such as --guidance 2").into());
        }
        Ok(self.weak_model.as_deref().or_else(of_run).filter(|_| guidance.is_active()))
    }

    fn sampler(&self, experiment: Option<&Experiment>) -> Result<SamplerPlan> {
        let mut plan = match experiment {
            Some(experiment) => experiment.sample.plan()?,
            None => SamplerPlan::new(SamplerKind::Ddpm, Respacing::evenly(250)?),
        };
        if let Some(sampler) = self.sampler.filter(|&sampler| sampler != plan.sampler) {
            // The spacing of the configuration is that of its own sampler.
            plan = SamplerPlan { sampler, spacing: None, ..plan };
        }
        let steps = self.steps.clone().unwrap_or(plan.steps);
        let eta = self.eta.unwrap_or(plan.eta);
        if !(0.0..=1.0).contains(&eta) {
            return Err(Failure::usage(format!("--eta {eta}, expected 0 to 1")).into());
        }
        let churn = self.churn.unwrap_or(plan.churn);
        if !(churn >= 0.0 && churn.is_finite()) {
            return Err(Failure::usage(format!("--churn {churn}, expected 0 or more")).into());
        }
        self.refuse_flags_of_others(plan.sampler)?;
        let diffusion_form = self.diffusion_form.unwrap_or(plan.diffusion_form);
        let spacing = self.spacing.or(plan.spacing);
        Ok(SamplerPlan { steps, eta, churn, diffusion_form, spacing, ..plan })
    }

    /// Refuses flags that the sampler does not read.
    fn refuse_flags_of_others(&self, sampler: SamplerKind) -> Result<()> {
        let flow_sde = matches!(sampler, SamplerKind::EulerMaruyama | SamplerKind::HeunSde);
        for (given, read, flag, readers) in [
            (self.eta.is_some(), sampler == SamplerKind::Ddim, "--eta", "ddim"),
            (self.churn.is_some(), sampler == SamplerKind::Heun, "--churn", "heun"),
            (
                self.diffusion_form.is_some(),
                flow_sde,
                "--diffusion-form",
                "euler_maruyama and heun_sde",
            ),
        ] {
            if given && !read {
                let what =
                    format!("{flag}: it is for {readers}, the sampler is {}", sampler.name());
                return Err(Failure::usage(what).help("leave it out, or give --sampler").into());
            }
        }
        Ok(())
    }

    fn guidance(&self, experiment: Option<&Experiment>, config: &DisConfig) -> Result<Guidance> {
        let mut guidance = experiment.map_or_else(Guidance::none, |e| e.guidance);
        if let Some(guidance_scale) = self.guidance {
            if guidance_scale != 1.0 && config.num_classes == 0 && self.weak_model.is_none() {
                let what = format!("--guidance {guidance_scale}: the network is unconditional");
                let help = "leave it out, or give a weaker network: --weak-model RUN";
                return Err(Failure::usage(what).help(help).into());
            }
            guidance.guidance_scale = guidance_scale;
        }
        if let Some(interval) = &self.guidance_interval {
            let &[least, most] = interval.as_slice() else {
                let what = "--guidance-interval: expected two numbers, such as 0.2,3";
                return Err(Failure::usage(what).into());
            };
            guidance.interval = Some([least, most]);
        }
        guidance.rescale = self.guidance_rescale.or(guidance.rescale);
        guidance.schedule = self.guidance_schedule.or(guidance.schedule);
        guidance.validate()?;
        let shapes = self.guidance_interval.is_some()
            || self.guidance_rescale.is_some()
            || self.guidance_schedule.is_some();
        if shapes && !guidance.is_active() {
            let what =
                "--guidance-interval, -rescale and -schedule: guidance is 1 and does nothing";
            return Err(Failure::usage(what).help("give a guidance, such as --guidance 2").into());
        }
        Ok(guidance)
    }
}

/// What the network predicts, and on which process it was trained.
fn trained(
    experiment: Option<&Experiment>,
    config: &DisConfig,
    run: &Path,
) -> Result<(ObjectiveKind, Process)> {
    match experiment {
        Some(experiment) => {
            let diffusion = &experiment.diffusion;
            Ok((diffusion.kind(), diffusion.process()?))
        }
        // Only the official objective has a second half of output channels.
        None if config.learned_variance => {
            let process = Process::Discrete(NoiseSchedule::linear(1000)?);
            Ok((ObjectiveKind::EpsHybrid, process))
        }
        None => {
            let what = format!("{}: the weights do not say what they predict", run.display());
            Err(Failure::usage(what).help("give the run's configuration: --config F").into())
        }
    }
}
