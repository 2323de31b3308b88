//! What the analytic model's flows lead to exactly, and how far a run is from it.

use super::{Analytic, DATA_DEVIATION, Silence, mu};
use diffusion::{ImageLayout, NoiseLevel, NoiseSource, Real, Sampler};

/// Where the probability flow from `x` at a level leads at another, in any coordinates: what is fixed is
/// the distance from the mean in standard deviations.
pub(crate) fn flow_to(x: &[f64], from: NoiseLevel, to: NoiseLevel) -> Vec<f64> {
    let deviation = |level: NoiseLevel| (level.a * DATA_DEVIATION).hypot(level.s);
    let ratio = deviation(to) / deviation(from);
    x.iter().enumerate().map(|(i, x)| to.a * mu(i) + ratio * (x - from.a * mu(i))).collect()
}

/// The largest difference.
pub(crate) fn distance<T: Real>(x: &[T], y: &[f64]) -> f64 {
    assert_eq!(x.len(), y.len());
    x.iter().zip(y).map(|(x, y)| (x.to_f64() - y).abs()).fold(0.0, f64::max)
}

/// Order of convergence by the errors of a run of few and one of many steps.
pub(crate) fn order(coarse: (usize, f64), fine: (usize, f64)) -> f64 {
    (coarse.1 / fine.1).ln() / (fine.0 as f64 / coarse.0 as f64).ln()
}

/// Noise 1 for image `k + 1` at draw `k` and 0 elsewhere, images of one element.
struct OneDrawEach;

impl NoiseSource<f64> for OneDrawEach {
    fn fill(&mut self, draw_index: u32, out: &mut [f64]) {
        out.fill(0.0);
        out[draw_index as usize + 1] = 1.0;
    }
}

/// Mean and standard deviation of where a run ends that starts from noisy data at a level.
///
/// Steps are affine in `x`: the mean is the path of the mean without noise, the variance the sum of the
/// squared responses to a start of one deviation and to each of `draws` draws of 1.
pub(crate) fn chain(
    model: &Analytic,
    level: NoiseLevel,
    draws: usize,
    start: impl Fn(Vec<f64>, &mut dyn NoiseSource<f64>) -> Box<dyn Sampler<f64>>,
) -> (Vec<f64>, f64) {
    let mut sampler = start(model.means.iter().map(|mean| level.a * mean).collect(), &mut Silence);
    let mean = model.run(sampler.as_mut(), &mut Silence).pop().expect("a run has requests");

    let layout = ImageLayout { channels: 1, pixels: 1 };
    let process = model.process.clone();
    let centred = Analytic { layout, means: vec![0.0], ..Analytic::on(model.objective, process) };
    let mut starts = vec![0.0; draws + 1];
    starts[0] = (level.a * DATA_DEVIATION).hypot(level.s);
    let mut sampler = start(starts, &mut OneDrawEach);
    let responses = centred.run(sampler.as_mut(), &mut OneDrawEach).pop().expect("as above");
    (mean, responses.iter().map(|r| r * r).sum::<f64>().sqrt())
}
