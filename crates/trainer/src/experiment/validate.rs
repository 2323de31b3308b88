//! Ranges, and what belongs together.

use super::Experiment;
use super::problem::Problem;
use super::sections::{DataKind, LrScheduleKind};
use crate::lr_schedule::tail_steps;
use diffusion::NoiseSchedule;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A value that was refused.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// The key in full.
    pub(super) key: &'static str,
    got: String,
    expected: String,
}

impl Violation {
    /// Says where the value stands.
    pub(super) fn at(self, location: String) -> Problem {
        let Self { key, got, expected } = self;
        Problem::Value { location, key: key.into(), got, expected }
    }
}

/// Collects what does not hold.
struct Checks(Vec<Violation>);

impl Checks {
    fn that(
        &mut self,
        holds: bool,
        key: &'static str,
        got: impl Display,
        expected: impl Into<String>,
    ) {
        if !holds {
            self.0.push(Violation { key, got: got.to_string(), expected: expected.into() });
        }
    }

    fn whole(&mut self, key: &'static str, value: impl TryInto<u64>, range: RangeInclusive<u64>) {
        let value = value.try_into().unwrap_or(u64::MAX);
        let expected = format!("{} to {}", range.start(), range.end());
        self.that(range.contains(&value), key, value, expected);
    }

    /// A probability that must leave something.
    fn rate(&mut self, key: &'static str, value: f64) {
        self.that((0.0..1.0).contains(&value), key, value, "0 or more and below 1");
    }

    fn positive(&mut self, key: &'static str, value: f64) {
        self.that(value > 0.0 && value.is_finite(), key, value, "a positive number");
    }

    fn not_negative(&mut self, key: &'static str, value: f64) {
        self.that(value >= 0.0 && value.is_finite(), key, value, "0 or a positive number");
    }

    /// A key that must be there when `needed` and must not be there otherwise.
    fn present<T: Display>(
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
        self.check_images(&mut checks);
        self.check_model(&mut checks);
        self.check_diffusion(&mut checks);
        self.check_steps(&mut checks);
        self.check_optimiser(&mut checks);
        self.check_sampling(&mut checks);
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

    fn check_data(&self, checks: &mut Checks) {
        let data = &self.data;
        let path = data.path.as_ref().map(|path| path.display());
        let what = format!("the folder of data.kind {:?}", data.kind.name());
        if data.kind.has_path() {
            checks.present(true, "data.path", path, &what);
        } else {
            checks.present(false, "data.path", path, "for data that lie in files");
        }
        let is_shapes = data.kind == DataKind::Shapes;
        let what = "the number of images of data.kind \"shapes\"";
        checks.present(is_shapes, "data.count", data.count, what);
        if let Some(count) = data.count {
            checks.whole("data.count", count, 1..=i64::MAX as u64);
        }
        if let Some(workers) = data.workers {
            checks.whole("data.workers", workers, 0..=256);
        }
    }

    /// Size, classes and channels that the data set has.
    fn check_images(&self, checks: &mut Checks) {
        let data = &self.data;
        let (side, key) = (data.image_size, "data.image_size");
        match data.kind {
            DataKind::Shapes => checks.whole(key, side, 4..=4096),
            DataKind::Cifar10 => checks.that(side == 32, key, side, "32 for CIFAR-10"),
            DataKind::ImageFolder | DataKind::Latents => checks.whole(key, side, 1..=4096),
        }

        let (classes, key) = (self.model.num_classes, "model.num_classes");
        let all = match data.kind {
            DataKind::Shapes => Some(4),
            DataKind::Cifar10 => Some(10),
            DataKind::ImageFolder | DataKind::Latents => None,
        };
        match all {
            Some(all) => {
                let expected = format!("0 or {all}, the classes of {}", data.kind.name());
                checks.that(classes == 0 || classes == all, key, classes, expected);
            }
            None => checks.whole(key, classes, 0..=1 << 20),
        }
        let (channels, needed) = match data.kind {
            DataKind::Latents => (4, "4, the channels of a latent"),
            _ => (3, "3, the channels of an RGB image"),
        };
        checks.that(self.model.channels == channels, "model.channels", self.model.channels, needed);
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
        if let Err(error) = schedule {
            let expected = match &error {
                diffusion::DiffusionError::TimestepCount { least, most, .. } => {
                    format!("{least} to {most} with this noise schedule")
                }
                other => format!("another number: {other}"),
            };
            checks.that(false, "diffusion.timesteps", diffusion.timesteps, expected);
        }
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
        let last = match train.lr_schedule {
            LrScheduleKind::Cosine => train.steps.saturating_sub(1),
            LrScheduleKind::Constant => train.steps,
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
        checks.rate("train.ema_decay", train.ema_decay);
    }

    fn check_sampling(&self, checks: &mut Checks) {
        let sample = &self.sample;
        let (steps, timesteps) = (sample.steps, self.diffusion.timesteps);
        let expected = format!("1 to diffusion.timesteps {timesteps}");
        checks.that((1..=timesteps).contains(&steps), "sample.steps", steps, expected);
        let is_share = (0.0..=1.0).contains(&sample.eta);
        checks.that(is_share, "sample.eta", sample.eta, "0 (deterministic) to 1");
        checks.whole("sample.count", sample.count, 1..=4096);

        let (key, factor) = ("guidance.guidance_scale", self.guidance.guidance_scale);
        checks.that(factor.is_finite(), key, factor, "a finite number, 1 for none");
        if self.guidance.is_active() && factor.is_finite() {
            let expected = "1 (none), as model.num_classes is 0 and there is nothing to guide by";
            checks.that(self.model.num_classes > 0, key, factor, expected);
            let expected =
                "1 (none), as model.label_dropout is 0 and trains no unconditional output";
            checks.that(self.model.label_dropout > 0.0, key, factor, expected);
        }
    }
}
