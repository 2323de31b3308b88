//! How images are drawn, for previews and for evaluations.

use super::Experiment;
use super::validate::Checks;
use diffusion::SamplerKind;

impl Experiment {
    /// `[sample]` and `[guidance]`.
    pub(super) fn check_sampling(&self, checks: &mut Checks) {
        let sample = &self.sample;
        self.check_sampling_steps(checks, "sample.steps", sample.steps);
        let is_share = (0.0..=1.0).contains(&sample.eta);
        checks.that(is_share, "sample.eta", sample.eta, "0 (deterministic) to 1");
        checks.not_negative("sample.churn", sample.churn.unwrap_or(0.0));
        let heun = "sample.sampler \"heun\"";
        checks.belongs(sample.sampler == SamplerKind::Heun, "sample.churn", sample.churn, heun);
        let form = sample.diffusion_form.map(|form| format!("{:?}", form.name()));
        let takes_form =
            matches!(sample.sampler, SamplerKind::EulerMaruyama | SamplerKind::HeunSde);
        let stochastic = "sample.sampler \"euler_maruyama\" or \"heun_sde\"";
        checks.belongs(takes_form, "sample.diffusion_form", form, stochastic);
        checks.whole("sample.count", sample.count, 1..=4096);
        // What is left is for the crate of the samplers to judge, once its numbers are numbers.
        if checks.is_clean()
            && let (Ok(process), Ok(plan)) = (self.diffusion.process(), sample.plan())
            && let Err(error) = plan.evaluations(self.diffusion.kind(), &process)
        {
            checks.refused("sample.sampler", &error);
        }
        self.check_guidance(checks);
    }

    /// Steps from noise to image.
    fn check_sampling_steps(&self, checks: &mut Checks, key: &'static str, steps: usize) {
        let timesteps = self.diffusion.timesteps;
        if self.diffusion.kind().is_discrete() {
            let expected = format!("1 to diffusion.timesteps {timesteps}");
            checks.that((1..=timesteps).contains(&steps), key, steps, expected);
        } else {
            checks.whole(key, steps, 1..=100_000);
        }
    }

    fn check_guidance(&self, checks: &mut Checks) {
        let sample = &self.sample;
        let (key, factor) = ("guidance.guidance_scale", self.guidance.guidance_scale);
        checks.that(factor.is_finite(), key, factor, "a finite number, 1 for none");
        if let Some([least, most]) = self.guidance.interval {
            let expected = "noise per data, the least before the most, such as [0.2, 3.0]";
            let holds = least >= 0.0 && most > least;
            checks.that(holds, "guidance.interval", format!("[{least}, {most}]"), expected);
        }
        let rescale = self.guidance.rescale.unwrap_or(0.0);
        let is_share = (0.0..=1.0).contains(&rescale);
        checks.that(is_share, "guidance.rescale", rescale, "0 (none) to 1");
        if !self.guidance.is_active() {
            let to = "a guidance.guidance_scale other than 1";
            let interval = self.guidance.interval.map(|interval| format!("{interval:?}"));
            checks.belongs(false, "guidance.interval", interval, to);
            checks.belongs(false, "guidance.rescale", self.guidance.rescale, to);
            let schedule = self.guidance.schedule.map(|schedule| format!("{schedule:?}"));
            checks.belongs(false, "guidance.schedule", schedule, to);
        }
        let weak = sample.weak_model.as_ref().map(|path| path.display());
        if let (Some(weak), false) = (weak, self.guidance.is_active()) {
            let expected = "no such key: guidance.guidance_scale is 1 and guides nothing";
            checks.that(false, "sample.weak_model", weak, expected);
        }
        if self.guidance.is_active() && factor.is_finite() && sample.weak_model.is_none() {
            let expected = "1 (none), as model.num_classes is 0 and there is nothing to guide by";
            checks.that(self.model.num_classes > 0, key, factor, expected);
            let expected =
                "1 (none), as model.label_dropout is 0 and trains no unconditional output";
            checks.that(self.model.label_dropout > 0.0, key, factor, expected);
        }
    }

    /// Ranges of `[eval]`; what its names mean is judged by who computes the scores.
    pub(super) fn check_eval(&self, checks: &mut Checks) {
        let Some(eval) = &self.eval else { return };
        checks.whole("eval.every", eval.every, 0..=i64::MAX as u64);
        // A covariance takes two.
        checks.whole("eval.count", eval.count, 2..=100_000_000);
        let reference = eval.reference.as_os_str();
        checks.that(!reference.is_empty(), "eval.reference", "\"\"", "a file or folder");
        let expected = "the weights of Inception, \"random-inception\" or \"pixels\"";
        checks.that(!eval.features.is_empty(), "eval.features", "\"\"", expected);
        if let Some(metrics) = &eval.metrics {
            let expected = "a name or several, or no such key for the usual ones";
            checks.that(!metrics.is_empty(), "eval.metrics", "[]", expected);
            for (i, name) in metrics.iter().enumerate() {
                let is_new = !metrics[..i].contains(name);
                let got = format!("{name:?} twice");
                checks.that(is_new, "eval.metrics", got, "different names");
            }
        }
        if let Some(steps) = eval.steps {
            self.check_sampling_steps(checks, "eval.steps", steps);
        }
        if let Some(batch) = eval.batch {
            checks.whole("eval.batch", batch, 1..=4096);
        }
        // What is left is for the crate of the samplers to judge, once its numbers are numbers.
        if checks.is_clean()
            && let (Ok(process), Ok(plan)) = (self.diffusion.process(), eval.plan(&self.sample))
            && let Err(error) = plan.evaluations(self.diffusion.kind(), &process)
        {
            checks.refused("eval.sampler", &error);
        }
    }
}
