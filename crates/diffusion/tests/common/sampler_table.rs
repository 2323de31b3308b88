//! The error of every sampler on every objective, on the analytic model.

use super::{Analytic, DATA_DEVIATION, ELEMENTS, mu, start};
use diffusion::{
    FlowPath, NoiseSchedule, NoiseSource, ObjectiveKind, Prediction, Process, Respacing, Sampler,
    SamplerKind, SamplerPlan,
};

/// Steps of the columns.
pub(crate) const STEPS: [usize; 3] = [10, 20, 50];

/// The objectives of the columns, each on its process.
pub(crate) fn objectives() -> Vec<(&'static str, ObjectiveKind, Process)> {
    let schedule = Process::Discrete(NoiseSchedule::linear(1000).expect("1000 timesteps"));
    let path = FlowPath::Linear;
    let flow = Process::Flow { path, time_scale: 1000.0 };
    vec![
        ("eps_hybrid", ObjectiveKind::EpsHybrid, schedule.clone()),
        ("eps", ObjectiveKind::Eps, schedule.clone()),
        ("x0", ObjectiveKind::X0, schedule.clone()),
        ("v", ObjectiveKind::V, schedule),
        ("flow", ObjectiveKind::Flow(path), flow),
        ("edm", ObjectiveKind::Edm { sigma_data: 0.5 }, Process::edm(0.5)),
    ]
}

/// The error of a sampler in `steps` steps.
///
/// Without noise: the largest difference from the exact end of the probability flow from the same
/// start. With noise: the largest difference of mean or standard deviation, over all starts and draws,
/// from those of the data.
pub(crate) fn error(
    sampler: SamplerKind,
    steps: usize,
    objective: ObjectiveKind,
    process: &Process,
) -> f64 {
    let steps = Respacing::evenly(steps).expect("a number of steps");
    let model = Analytic::on(objective, process.clone());
    let run = Run { plan: SamplerPlan::new(sampler, steps), model };
    if sampler.is_stochastic() { run.distribution_error() } else { run.end_error() }
}

struct Run {
    plan: SamplerPlan,
    model: Analytic,
}

/// Noise of 1 in one draw, 0 in all others; counts draws.
struct OneDraw {
    draw: Option<u32>,
    draws: u32,
}

impl NoiseSource<f64> for OneDraw {
    fn fill(&mut self, draw_index: u32, out: &mut [f64]) {
        self.draws = self.draws.max(draw_index + 1);
        out.fill(if self.draw == Some(draw_index) { 1.0 } else { 0.0 });
    }
}

impl Run {
    fn start(&self, x: Vec<f64>, noise: &mut OneDraw) -> Box<dyn Sampler<f64>> {
        let (objective, process) = (self.model.objective, &self.model.process);
        self.plan.start(objective, process, x, noise).expect("every pair has a run")
    }

    /// The end of a run, and how many draws there were.
    fn end(&self, x: Vec<f64>, draw: Option<u32>) -> (Vec<f64>, u32) {
        let mut noise = OneDraw { draw, draws: 0 };
        let mut sampler = self.start(x, &mut noise);
        while let Some(request) = sampler.request() {
            let output = self.model.output(request, sampler.state());
            let prediction = Prediction::new(self.model.objective, self.model.layout, &output);
            sampler.advance(prediction, &mut noise);
        }
        (sampler.state().to_vec(), noise.draws)
    }

    /// `mu + S (x - a mu)/sqrt(a² S² + s²)` is where the probability flow leads from `x`.
    fn end_error(&self) -> f64 {
        let sampler = self.start(start(), &mut OneDraw { draw: None, draws: 0 });
        let level = sampler.request().expect("a first evaluation").level;
        let deviation = (level.a * DATA_DEVIATION).hypot(level.s);
        let exact = sampler
            .state()
            .iter()
            .enumerate()
            .map(|(i, x)| mu(i) + DATA_DEVIATION * (x - level.a * mu(i)) / deviation);
        let (end, draws) = self.end(start(), None);
        assert_eq!(draws, 0, "a sampler without noise drew some");
        exact.zip(end).map(|(exact, got)| (exact - got).abs()).fold(0.0, f64::max)
    }

    /// Every step is affine in the state and the noise, so the answers to 1 in the start and in each
    /// draw are all there is to know.
    fn distribution_error(&self) -> f64 {
        let (mean, draws) = self.end(vec![0.0; ELEMENTS], None);
        let square = |end: Vec<f64>| end.iter().zip(&mean).map(|(x, m)| (x - m).powi(2)).collect();
        let mut variance: Vec<f64> = square(self.end(vec![1.0; ELEMENTS], None).0);
        for draw in 0..draws {
            let answer: Vec<f64> = square(self.end(vec![0.0; ELEMENTS], Some(draw)).0);
            variance.iter_mut().zip(answer).for_each(|(variance, answer)| *variance += answer);
        }
        let of_element = |i: usize| {
            let deviation = (variance[i].sqrt() - DATA_DEVIATION).abs();
            deviation.max((mean[i] - mu(i)).abs())
        };
        (0..ELEMENTS).map(of_element).fold(0.0, f64::max)
    }
}

/// The table of the README.
pub(crate) fn table() -> String {
    let objectives = objectives();
    let names: Vec<&str> = objectives.iter().map(|objective| objective.0).collect();
    let mut text = format!("| sampler | {} |\n", names.join(" | "));
    text.push_str(&format!("|---|{}\n", "---|".repeat(names.len())));
    for sampler in SamplerKind::ALL {
        let cell = |(_, kind, process): &(&str, ObjectiveKind, Process)| {
            let errors = STEPS.map(|steps| number(error(sampler, steps, *kind, process)));
            errors.join(" ")
        };
        let cells: Vec<String> = objectives.iter().map(cell).collect();
        text.push_str(&format!("| `{}` | {} |\n", sampler.name(), cells.join(" | ")));
    }
    text
}

/// Two digits that count.
fn number(error: f64) -> String {
    if error < 0.001 {
        return format!("{error:.1e}");
    }
    let digits = (1.0 - error.log10().floor()).clamp(0.0, 4.0) as usize;
    format!("{error:.digits$}")
}
