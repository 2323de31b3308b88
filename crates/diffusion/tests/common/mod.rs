//! The analytic test model, golden files, and a tracker of the worst error.
#![allow(dead_code, reason = "each test file uses its own part")]

pub(crate) mod sampler_table;

use diffusion::{
    DiffusionTable, ImageLayout, NoiseLevel, NoiseSchedule, NoiseSource, ObjectiveKind, Prediction,
    Process, Real, SampleRequest, Sampler,
};
use serde_json::Value;
use std::path::PathBuf;

pub(crate) mod exact;

/// A file of `tests/goldens`.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

/// A golden JSON file.
pub(crate) fn golden_json(name: &str) -> Value {
    let path = golden_path(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// An array of numbers.
#[track_caller]
pub(crate) fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("an array").iter().map(number).collect()
}

/// An array of whole numbers.
#[track_caller]
pub(crate) fn indices(value: &Value) -> Vec<usize> {
    value.as_array().expect("an array").iter().map(index).collect()
}

/// One number.
#[track_caller]
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// One whole number.
#[track_caller]
pub(crate) fn index(value: &Value) -> usize {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no index")) as usize
}

/// The worst error of a group of comparisons, printed when the group ends.
pub(crate) struct Worst {
    group: &'static str,
    error: f64,
}

impl Worst {
    /// An empty group.
    pub(crate) fn of(group: &'static str) -> Self {
        Self { group, error: 0.0 }
    }

    /// `|got - want| <= bar · max(floor, |want|)` for each element.
    #[track_caller]
    pub(crate) fn compare<T: Real>(
        &mut self,
        what: &str,
        got: &[T],
        want: &[f64],
        bar: f64,
        floor: f64,
    ) {
        assert_eq!(got.len(), want.len(), "{}: {what}: number of elements", self.group);
        for (i, (got, &want)) in got.iter().zip(want).enumerate() {
            let got = got.to_f64();
            let difference = (got - want).abs();
            let error = if difference == 0.0 { 0.0 } else { difference / want.abs().max(floor) };
            assert!(
                error <= bar,
                "{}: {what}[{i}] is {got:e}, expected {want:e}: error {error:.2e}, allowed {bar:.0e}",
                self.group
            );
            self.error = self.error.max(error);
        }
    }
}

impl Drop for Worst {
    #[expect(clippy::print_stderr, reason = "shown by --nocapture and on failure")]
    fn drop(&mut self) {
        eprintln!("{}: worst error {:.2e}", self.group, self.error);
    }
}

/// Number of elements of the test model: `[1, 2, 2, 2]`.
pub(crate) const ELEMENTS: usize = 8;
/// Standard deviation of the model's data.
pub(crate) const DATA_DEVIATION: f64 = 0.6;
/// The layout of the test model.
pub(crate) const LAYOUT: ImageLayout = ImageLayout { channels: 2, pixels: 4 };

/// Mean of the model's data, `.25 cos(1.3 i)`.
pub(crate) fn mu(i: usize) -> f64 {
    0.25 * (1.3 * i as f64).cos()
}

/// The start of a run, `1.1 cos(.7 i + .2)`.
pub(crate) fn start<T: Real>() -> Vec<T> {
    (0..ELEMENTS).map(|i| T::from_f64(1.1 * (0.7 * i as f64 + 0.2).cos())).collect()
}

/// `noise(k, i) = 1.3 sin(1.7 k + .9 i + .3)`.
pub(crate) fn noise(k: usize, i: usize) -> f64 {
    1.3 * (1.7 * k as f64 + 0.9 * i as f64 + 0.3).sin()
}

/// The deterministic noise of the goldens.
pub(crate) struct Sines;

impl<T: Real> NoiseSource<T> for Sines {
    fn fill(&mut self, draw_index: u32, out: &mut [T]) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = T::from_f64(noise(draw_index as usize, i));
        }
    }
}

/// No noise at all.
pub(crate) struct Silence;

impl<T: Real> NoiseSource<T> for Silence {
    fn fill(&mut self, _draw_index: u32, out: &mut [T]) {
        out.fill(T::from_f64(0.0));
    }
}

/// The perfect network for data `N(mu, S²)`. It is told what any network is: its input and a time.
pub(crate) struct Analytic {
    /// What it says.
    pub(crate) objective: ObjectiveKind,
    /// What its times mean.
    pub(crate) process: Process,
    /// Its image.
    pub(crate) layout: ImageLayout,
    /// Means of the data, one per element of an image, repeated for each image.
    pub(crate) means: Vec<f64>,
    /// The variance output of every element.
    pub(crate) variance_output: f64,
    /// Whether the noise between timesteps is found by a line in `ln(s/a)`, as diffusers' samplers do,
    /// instead of the process's own line in `ln a`.
    pub(crate) interpolates_ln_sigma: bool,
}

impl Analytic {
    /// The model of the goldens, trained on a noise schedule.
    pub(crate) fn golden(objective: ObjectiveKind, noise_schedule: &NoiseSchedule) -> Self {
        Self::on(objective, Process::Discrete(noise_schedule.clone()))
    }

    /// The model of the goldens, trained on any process.
    pub(crate) fn on(objective: ObjectiveKind, process: Process) -> Self {
        Self {
            objective,
            process,
            layout: LAYOUT,
            means: (0..ELEMENTS).map(mu).collect(),
            variance_output: 0.25,
            interpolates_ln_sigma: false,
        }
    }

    /// The output for a request.
    pub(crate) fn output<T: Real>(&self, request: SampleRequest, state: &[T]) -> Vec<T> {
        let time = self.time(request.network_time);
        let (level, own_factor) = (self.level(time), self.process.input_factor(time));
        let mut output = Vec::new();
        for image in state.chunks_exact(self.layout.image_len()) {
            for (x, mean) in image.iter().zip(&self.means) {
                let x = request.input_factor * x.to_f64() / own_factor;
                output.push(T::from_f64(self.answer(level, x, *mean)));
            }
            if self.objective.learns_variance() {
                output.extend(image.iter().map(|_| T::from_f64(self.variance_output)));
            }
        }
        output
    }

    /// The time that a network time stands for.
    fn time(&self, network_time: f64) -> f64 {
        match self.process {
            Process::Discrete(_) => network_time,
            Process::Flow { time_scale, .. } => network_time / time_scale,
            Process::Edm { .. } => (4.0 * network_time).exp(),
        }
    }

    fn level(&self, time: f64) -> NoiseLevel {
        match &self.process {
            Process::Discrete(schedule) if self.interpolates_ln_sigma && time.fract() != 0.0 => {
                let ln_sigma = |t: f64| schedule.level(t).noise_per_data().ln();
                let (left, right) = (ln_sigma(time.floor()), ln_sigma(time.ceil()));
                let sigma = (left + time.fract() * (right - left)).exp();
                NoiseLevel { a: 1.0, s: sigma }.to_variance_preserving()
            }
            process => process.level(time),
        }
    }

    /// What it says of an element `x` at a level of its process.
    fn answer(&self, level: NoiseLevel, x: f64, mean: f64) -> f64 {
        let NoiseLevel { a, s } = level;
        let variance = (a * DATA_DEVIATION).powi(2) + s * s;
        let n = s * (x - a * mean) / variance;
        let x0 = mean + a * DATA_DEVIATION.powi(2) * (x - a * mean) / variance;
        match self.objective {
            ObjectiveKind::Eps | ObjectiveKind::EpsHybrid => n,
            ObjectiveKind::X0 => x0,
            ObjectiveKind::V => a * n - s * x0,
            ObjectiveKind::Flow(path) => {
                let point = path.at(path.time(level));
                point.a_slope * x0 + point.s_slope * n
            }
            ObjectiveKind::Edm { sigma_data } => {
                let square = s * s + sigma_data * sigma_data;
                let (c_skip, c_out) = (sigma_data.powi(2) / square, s * sigma_data / square.sqrt());
                (x0 - c_skip * x) / c_out
            }
        }
    }

    /// Runs a sampler to its end; the states after each request.
    pub(crate) fn run<T: Real>(
        &self,
        sampler: &mut dyn Sampler<T>,
        noise: &mut dyn NoiseSource<T>,
    ) -> Vec<Vec<T>> {
        let mut states = Vec::new();
        while let Some(request) = sampler.request() {
            let output = self.output(request, sampler.state());
            sampler.advance(Prediction::new(self.objective, self.layout, &output), noise);
            states.push(sampler.state().to_vec());
        }
        states
    }
}

/// The linear schedule of 1000 timesteps.
pub(crate) fn linear_1000() -> NoiseSchedule {
    NoiseSchedule::linear(1000).expect("1000 timesteps are possible")
}

/// A respaced table of that schedule.
pub(crate) fn table(respacing: &str) -> DiffusionTable {
    let respacing = respacing.parse().expect("a respacing");
    DiffusionTable::new(&linear_1000(), &respacing).expect("a grid")
}

/// A column of a table by its name in the goldens.
pub(crate) fn column(table: &DiffusionTable, name: &str) -> Vec<f64> {
    let read = |row: &diffusion::TableRow| match name {
        "betas" => row.beta,
        "alphas_cumprod" => row.alpha_bar,
        "alphas_cumprod_prev" => row.alpha_bar_prev,
        "sqrt_alphas_cumprod" => row.sqrt_alpha_bar,
        "sqrt_one_minus_alphas_cumprod" => row.sqrt_one_minus_alpha_bar,
        "log_one_minus_alphas_cumprod" => row.ln_one_minus_alpha_bar,
        "sqrt_recip_alphas_cumprod" => row.sqrt_recip_alpha_bar,
        "sqrt_recipm1_alphas_cumprod" => row.sqrt_recip_alpha_bar_minus_one,
        "posterior_variance" => row.posterior_variance,
        "posterior_log_variance_clipped" => row.posterior_log_variance,
        "posterior_mean_coef1" => row.posterior_mean_x0,
        "posterior_mean_coef2" => row.posterior_mean_x_t,
        "timestep_map" => row.network_time,
        other => panic!("no column {other}"),
    };
    table.rows().iter().map(read).collect()
}
