//! Ranges, and what belongs together.

use super::Experiment;
use super::problem::Problem;
use super::sections::{LrScheduleKind, ObjectiveName};
use crate::ema::power;
use crate::lr_schedule::tail_steps;
use diffusion::{DiffusionError, NoiseSchedule, Weighting};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A value that was refused.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// The key in full.
    pub(super) key: &'static str,
    refusal: Refusal,
}

/// Why.
#[derive(Clone, Debug)]
enum Refusal {
    Value { got: String, expected: String },
    Combination { what: String, help: String },
}

impl Violation {
    /// Says where the value stands.
    pub(super) fn at(self, location: String) -> Problem {
        let Self { key, refusal } = self;
        match refusal {
            Refusal::Value { got, expected } => {
                Problem::Value { location, key: key.into(), got, expected }
            }
            Refusal::Combination { what, help } => Problem::Combination { location, what, help },
        }
    }
}

/// Collects what does not hold.
pub(super) struct Checks(Vec<Violation>);

impl Checks {
    pub(super) fn that(
        &mut self,
        holds: bool,
        key: &'static str,
        got: impl Display,
        expected: impl Into<String>,
    ) {
        if !holds {
            let (got, expected) = (got.to_string(), expected.into());
            self.0.push(Violation { key, refusal: Refusal::Value { got, expected } });
        }
    }

    /// Whether nothing was refused so far.
    pub(super) fn is_clean(&self) -> bool {
        self.0.is_empty()
    }

    /// What the crate of the objectives and samplers refuses, at one of the keys it is about.
    pub(super) fn refused(&mut self, key: &'static str, error: &DiffusionError) {
        let text = error.to_string();
        let (what, help) = text.split_once("\nhelp: ").unwrap_or((&text, "choose another value"));
        let refusal = Refusal::Combination { what: what.into(), help: help.into() };
        self.0.push(Violation { key, refusal });
    }

    /// A key of an option that is not chosen.
    pub(super) fn belongs<T: Display>(
        &mut self,
        holds: bool,
        key: &'static str,
        value: Option<T>,
        to: &str,
    ) {
        if let Some(value) = value {
            self.that(holds, key, value, format!("no such key: it is for {to}"));
        }
    }

    pub(super) fn whole(
        &mut self,
        key: &'static str,
        value: impl TryInto<u64>,
        range: RangeInclusive<u64>,
    ) {
        let value = value.try_into().unwrap_or(u64::MAX);
        let expected = format!("{} to {}", range.start(), range.end());
        self.that(range.contains(&value), key, value, expected);
    }

    /// A probability that must leave something.
    fn rate(&mut self, key: &'static str, value: f64) {
        self.that((0.0..1.0).contains(&value), key, value, "0 or more and below 1");
    }

    pub(super) fn positive(&mut self, key: &'static str, value: f64) {
        self.that(value > 0.0 && value.is_finite(), key, value, "a positive number");
    }

    pub(super) fn not_negative(&mut self, key: &'static str, value: f64) {
        self.that(value >= 0.0 && value.is_finite(), key, value, "0 or a positive number");
    }

    /// A list with at least one number, each of which holds, and none twice.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        values: &[f64],
        holds: impl Fn(&f64) -> bool,
        expected: &str,
    ) {
        self.that(!values.is_empty(), key, "[]", "a number, or a list of numbers");
        for (i, value) in values.iter().enumerate() {
            self.that(holds(value), key, value, expected);
            let is_new = !values[..i].contains(value);
            self.that(is_new, key, format!("{value} twice"), "different numbers");
        }
    }

    /// A key that must be there when `needed` and must not be there otherwise.
    pub(super) fn present<T: Display>(
        &mut self,
        needed: bool,
        key: &'static str,
        value: Option<T>,
        what: &str,
    ) {
        match value {
            None => self.that(!needed, key, "missing", what),
            Some(value) => self.that(needed, key, value, format!("no such key: it is {what}")),
        }
    }
}

impl Experiment {
    /// Everything that is wrong, none of which is a type or a missing key.
    pub(super) fn violations(&self) -> Vec<Violation> {
        let mut checks = Checks(Vec::new());
        self.check_head(&mut checks);
        self.check_data(&mut checks);
        self.check_latents(&mut checks);
        self.check_model(&mut checks);
        self.check_diffusion(&mut checks);
        self.check_steps(&mut checks);
        self.check_optimiser(&mut checks);
        self.check_averages(&mut checks);
        self.check_sampling(&mut checks);
        self.check_eval(&mut checks);
        checks.0
    }

    fn check_head(&self, checks: &mut Checks) {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = (1..=100).contains(&self.name.len())
            && self.name.chars().all(allowed)
            && !self.name.starts_with('.');
        let expected =
            "1 to 100 letters, digits, '-', '_' and '.', the first no '.': it names a folder";
        checks.that(is_name, "name", format!("{:?}", self.name), expected);
        checks.whole("seed", self.seed, 0..=i64::MAX as u64);
    }

    fn check_model(&self, checks: &mut Checks) {
        let model = &self.model;
        match (model.preset, model.hidden_size, model.depth) {
            (Some(_), None, None) => {}
            (Some(preset), _, _) => {
                let expected = "no such key beside model.hidden_size or model.depth";
                checks.that(false, "model.preset", format!("{:?}", preset.name()), expected);
            }
            (None, hidden_size, depth) => {
                let what = "a width, or model.preset in place of width and depth";
                checks.present(true, "model.hidden_size", hidden_size, what);
                let what = "an even depth, or model.preset in place of width and depth";
                checks.present(true, "model.depth", depth, what);
            }
        }
        if let Some(hidden_size) = model.hidden_size {
            checks.whole("model.hidden_size", hidden_size, 2..=65536);
        }
        if let Some(depth) = model.depth {
            let even = depth.is_multiple_of(2) && (2..=65536).contains(&depth);
            checks.that(even, "model.depth", depth, "an even number, 2 to 65536");
        }
        let (side, patch) = (self.data.image_size, model.patch_size);
        if (1..=65536).contains(&side) {
            let divides = patch > 0 && side.is_multiple_of(patch);
            let divisors: Vec<String> =
                (1..=side).filter(|p| side.is_multiple_of(*p)).map(|p| p.to_string()).collect();
            let expected = format!("a divisor of data.image_size {side}: {}", divisors.join(", "));
            checks.that(divides, "model.patch_size", patch, expected);
        }
        checks.whole("model.d_state", model.d_state, 1..=65536);
        checks.whole("model.d_conv", model.d_conv, 1..=65536);
        checks.positive("model.direction_sum", model.direction_sum);
        checks.rate("model.drop_path", model.drop_path);
        checks.rate("model.label_dropout", model.label_dropout);
        checks.not_negative("model.position_std", model.position_std);
        checks.not_negative("model.label_std", model.label_std);
        checks.positive("model.norm_eps", model.norm_eps);
        checks.positive("model.final_eps", model.final_eps);
    }

    fn check_diffusion(&self, checks: &mut Checks) {
        let diffusion = &self.diffusion;
        let schedule = NoiseSchedule::new(diffusion.noise_schedule, diffusion.timesteps);
        if let Err(error) = &schedule {
            let expected = match error {
                DiffusionError::TimestepCount { least, most, .. } => {
                    format!("{least} to {most} with this noise schedule")
                }
                other => format!("another number: {other}"),
            };
            checks.that(false, "diffusion.timesteps", diffusion.timesteps, expected);
        }
        self.check_objective_keys(checks);
        // What the numbers allow, the crate of the objectives judges.
        if schedule.is_ok()
            && let Err(error) = diffusion.objective()
        {
            let options = [
                (diffusion.timestep_density.is_some(), "diffusion.timestep_density"),
                (diffusion.loss_weighting.is_some(), "diffusion.loss_weighting"),
                (diffusion.cosine_direction.is_some(), "diffusion.cosine_direction"),
                (diffusion.zero_terminal_snr.is_some(), "diffusion.zero_terminal_snr"),
            ];
            let key = options.iter().find(|(is_set, _)| *is_set);
            checks.refused(key.map_or("diffusion.objective", |(_, key)| key), &error);
        }
    }

    /// Keys of objectives that are not chosen, and their ranges.
    fn check_objective_keys(&self, checks: &mut Checks) {
        let diffusion = &self.diffusion;
        let is = |name| diffusion.objective == name;
        let (is_flow, flow) = (is(ObjectiveName::Flow), "diffusion.objective \"flow\"");
        let path = diffusion.path.map(|path| format!("{:?}", path.name()));
        checks.belongs(is_flow, "diffusion.path", path, flow);
        let learned = diffusion.loss_weighting == Some(Weighting::Learned);
        for (holds, key, value, to) in [
            (is_flow, "diffusion.time_scale", diffusion.time_scale, flow),
            (
                is(ObjectiveName::Edm),
                "diffusion.sigma_data",
                diffusion.sigma_data,
                "diffusion.objective \"edm\"",
            ),
            (
                learned,
                "diffusion.log_variance_lr",
                diffusion.log_variance_lr,
                "diffusion.loss_weighting \"learned\"",
            ),
        ] {
            checks.belongs(holds, key, value, to);
            if let Some(value) = value.filter(|_| holds) {
                checks.positive(key, value);
            }
        }
        let discrete = "objectives of a noise schedule, such as \"v\"";
        let (holds, zero) = (diffusion.kind().is_discrete(), diffusion.zero_terminal_snr);
        checks.belongs(holds, "diffusion.zero_terminal_snr", zero, discrete);
        checks
            .not_negative("diffusion.cosine_direction", diffusion.cosine_direction.unwrap_or(0.0));
    }

    fn check_steps(&self, checks: &mut Checks) {
        let train = &self.train;
        checks.whole("train.steps", train.steps, 1..=1_000_000_000);
        checks.whole("train.batch_size", train.batch_size, 1..=1 << 20);
        if let Some(micro) = train.micro_batch {
            let divides = micro > 0 && train.batch_size.is_multiple_of(micro);
            let expected = format!("a divisor of train.batch_size {}", train.batch_size);
            checks.that(divides, "train.micro_batch", micro, expected);
        }
        let is_tail = train.lr_schedule == LrScheduleKind::LinearTail;
        let what = "the falling share of train.lr_schedule \"linear_tail\"";
        checks.present(is_tail, "train.tail_fraction", train.tail_fraction, what);
        let fraction = train.tail_fraction.unwrap_or(0.0);
        let is_share = (0.0..=1.0).contains(&fraction);
        checks.that(is_share, "train.tail_fraction", fraction, "0 to 1");
        let is_root = train.lr_schedule == LrScheduleKind::InverseSqrt;
        let what = "the steps before train.lr_schedule \"inverse_sqrt\" falls";
        checks.present(is_root, "train.decay_after", train.decay_after, what);
        if let Some(decay_after) = train.decay_after {
            checks.whole("train.decay_after", decay_after, 1..=i64::MAX as u64);
        }
        let last = match train.lr_schedule {
            LrScheduleKind::Cosine => train.steps.saturating_sub(1),
            LrScheduleKind::Constant | LrScheduleKind::InverseSqrt => train.steps,
            LrScheduleKind::LinearTail if is_share => {
                train.steps - tail_steps(train.steps, fraction)
            }
            LrScheduleKind::LinearTail => train.steps,
        };
        let expected = format!("at most {last}, so that it ends before the rate falls");
        checks.that(train.warmup_steps <= last, "train.warmup_steps", train.warmup_steps, expected);
        checks.whole("train.log_every", train.log_every, 1..=i64::MAX as u64);
        checks.whole("train.sample_every", train.sample_every, 0..=i64::MAX as u64);
        checks.whole("train.checkpoint_every", train.checkpoint_every, 1..=i64::MAX as u64);
        let expected = "2 or more, so that one is left when the newest is damaged";
        checks.that(
            train.keep_checkpoints >= 2,
            "train.keep_checkpoints",
            train.keep_checkpoints,
            expected,
        );
    }

    fn check_optimiser(&self, checks: &mut Checks) {
        let train = &self.train;
        checks.positive("train.lr_max", train.lr_max);
        let expected = format!("0 to train.lr_max {}", train.lr_max);
        let in_range = train.lr_min >= 0.0 && train.lr_min <= train.lr_max;
        checks.that(in_range, "train.lr_min", train.lr_min, expected);
        checks.rate("train.beta1", train.beta1);
        checks.rate("train.beta2", train.beta2);
        checks.positive("train.adam_eps", train.adam_eps);
        checks.not_negative("train.weight_decay", train.weight_decay);
        let clips = train.grad_clip > 0.0;
        checks.that(clips, "train.grad_clip", train.grad_clip, "a positive number, or inf");
    }

    fn check_averages(&self, checks: &mut Checks) {
        let train = &self.train;
        let is_rate = |decay: &f64| (0.0..1.0).contains(decay);
        checks.list("train.ema_decay", &train.ema_decay, is_rate, "0 or more and below 1");
        if let Some(widths) = &train.ema_power {
            let is_width = |width: &f64| power::WIDTHS.contains(width);
            checks.list("train.ema_power", widths, is_width, power::WIDTHS_EXPECTED);
        }
        if let Some(every) = train.ema_snapshot_every {
            checks.whole("train.ema_snapshot_every", every, 1..=i64::MAX as u64);
            let expected = "no such key without train.ema_power, whose averages snapshots keep";
            checks.that(train.ema_power.is_some(), "train.ema_snapshot_every", every, expected);
        }
    }
}
