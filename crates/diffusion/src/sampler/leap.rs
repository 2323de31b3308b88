//! The step from one noise level to another that DPM-Solver and its kin are made of.

use crate::{DiffusionError, Grid, NoiseLevel, Prediction, Real};

/// Which of the two answers of a network a solver takes to be smooth in `lambda = ln(a/s)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpmForm {
    /// The predicted data; DPM-Solver++ (arXiv 2211.01095).
    Data,
    /// The predicted noise; DPM-Solver (arXiv 2206.00927). It cannot begin with noise alone.
    Noise,
}

impl DpmForm {
    /// Writes the answer to a state `x` at `level`.
    pub(super) fn read<T: Real>(
        self,
        prediction: Prediction<'_, T>,
        level: NoiseLevel,
        x: &[T],
        answer: &mut [T],
    ) {
        match self {
            Self::Data => prediction.x0(level, x, answer),
            Self::Noise => prediction.noise(level, x, answer),
        }
    }

    /// Refuses the noise form where a grid begins with noise alone.
    pub(super) fn check_start(self, solver: &str, grid: &Grid) -> Result<(), DiffusionError> {
        if self == Self::Data || grid.level(0).a > 0.0 {
            return Ok(());
        }
        Err(DiffusionError::Combination {
            what: format!("{solver} on predicted noise, begun with noise alone"),
            help: "begin at a level that holds data, or use a solver on predicted data".into(),
        })
    }
}

/// The exact step from `(a, s)` to `(a', s')` for an answer that is a polynomial in `lambda`.
///
/// With `h = lambda' - lambda` and answers `m + m1 tau + m2 tau²`, `tau` from 0 to 1 along the step,
///
/// `x' = keep x + gains[0] m + gains[1] m1 + 2 gains[2] m2 + deviation z`,
///
/// | form | `keep` | `gains[j-1]` | `deviation` |
/// |---|---|---|---|
/// | data | `(s'/s) e^{-eta h}` | `a' H phi_j(-H)`, `H = (1 + eta) h` | `s' sqrt(1 - e^{-2 eta h})` |
/// | noise | `a'/a` | `-s' h phi_j(h)` | 0 |
///
/// so `gains[0]` is `a' (1 - e^{-H})` or `-s' (e^h - 1)`. The levels may be in any coordinates, and
/// each in its own: in those with `a = 1`, `e^{-h} = s'/s`. `eta` is the share of the reverse SDE, 0
/// for the probability flow.
///
/// A step from noise alone or to data alone has an infinite `h`; its `gains[0]` is finite, the rest 0.
///
/// Sources: arXiv 2206.00927 proposition 3.1 and 2211.01095 proposition 4.1; with `eta`, k-diffusion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leap {
    /// Factor of the state.
    pub(super) keep: f64,
    /// Factors of the answer, of its slope and of its curvature, by `tau`.
    pub(super) gains: [f64; 3],
    /// Standard deviation of the noise to add.
    pub(super) deviation: f64,
}

impl Leap {
    /// The step of the reverse SDE.
    pub(super) fn stochastic(from: NoiseLevel, to: NoiseLevel, eta: f64) -> Self {
        let h = to.lambda() - from.lambda();
        // eta h, also for an infinite h.
        let decay = if eta > 0.0 { eta * h } else { 0.0 };
        let big_h = h + decay;
        let mut gains = [-to.a * (-big_h).exp_m1(), 0.0, 0.0];
        if h.is_finite() {
            gains[1] = to.a * big_h * phi(2, -big_h);
            gains[2] = to.a * big_h * phi(3, -big_h);
        }
        Self {
            keep: to.s / from.s * (-decay).exp(),
            gains,
            deviation: to.s * (-(-2.0 * decay).exp_m1()).sqrt(),
        }
    }

    /// The step of the probability flow.
    pub(super) fn new(form: DpmForm, from: NoiseLevel, to: NoiseLevel) -> Self {
        if form == DpmForm::Data {
            return Self::stochastic(from, to, 0.0);
        }
        let keep = to.a / from.a;
        let h = to.lambda() - from.lambda();
        let gains = if h.is_finite() {
            [-to.s * h.exp_m1(), -to.s * h * phi(2, h), -to.s * h * phi(3, h)]
        } else {
            // s' (e^h - 1) = (a'/a) s - s', with s' = 0.
            [-keep * from.s, 0.0, 0.0]
        };
        Self { keep, gains, deviation: 0.0 }
    }
}

/// `phi_1(z) = (e^z - 1)/z`, `phi_{j+1}(z) = (phi_j(z) - 1/j!)/z`: the integral of
/// `e^{(1-tau) z} tau^{j-1}/(j-1)!` over `tau` from 0 to 1.
pub(super) fn phi(j: usize, z: f64) -> f64 {
    if z.abs() < 1.0 {
        // The recurrence would cancel: the series sum_n z^n/(n+j)!, innermost term first.
        let nested = (j + 1..j + 20).rev().fold(1.0, |sum, k| 1.0 + z / k as f64 * sum);
        return nested / factorial(j);
    }
    (1..j).fold(z.exp_m1() / z, |phi, k| (phi - 1.0 / factorial(k)) / z)
}

/// `n!`
pub(super) fn factorial(n: usize) -> f64 {
    (1..=n).map(|k| k as f64).product()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simpson's rule on a fine grid; the integrand is smooth.
    fn integral(j: usize, z: f64) -> f64 {
        let intervals = 2000;
        let f = |k: usize| {
            let tau = k as f64 / intervals as f64;
            ((1.0 - tau) * z).exp() * tau.powi(j as i32 - 1) / factorial(j - 1)
        };
        let inner = |k: usize| if k % 2 == 1 { 4.0 * f(k) } else { 2.0 * f(k) };
        (f(0) + f(intervals) + (1..intervals).map(inner).sum::<f64>()) / (3 * intervals) as f64
    }

    #[test]
    fn phi_is_its_integral_on_both_sides_of_the_switch() {
        for j in 1..=4 {
            for z in [-20.0, -3.0, -1.001, -0.999, -0.1, -1e-6, 0.0, 1e-4, 0.5, 0.999, 1.001, 6.0] {
                let (got, want) = (phi(j, z), integral(j, z));
                assert!((got / want - 1.0).abs() < 1e-9, "phi_{j}({z}) = {got:e}, not {want:e}");
            }
            let (series, recurrence) = (phi(j, -1.0 + 1e-15), phi(j, -1.0));
            assert!((series / recurrence - 1.0).abs() < 2e-14, "phi_{j} at the switch");
        }
    }

    /// Steps of one level's answer add up whatever the coordinates in between.
    #[test]
    fn two_steps_are_one() {
        let levels = [(0.3, 0.9), (2.0, 1.1), (0.8, 0.1)].map(|(a, s)| NoiseLevel { a, s });
        let (x, answer) = (1.3, -0.7);
        for form in [DpmForm::Data, DpmForm::Noise] {
            let apply = |x: f64, from, to| {
                let leap = Leap::new(form, from, to);
                leap.keep * x + leap.gains[0] * answer
            };
            let direct = apply(x, levels[0], levels[2]);
            let by_two = apply(apply(x, levels[0], levels[1]), levels[1], levels[2]);
            assert!((direct - by_two).abs() < 1e-14, "{form:?}: {direct} and {by_two}");
        }
    }

    #[test]
    fn steps_from_noise_alone_and_to_data_alone() {
        let (noise, data) = (NoiseLevel { a: 0.0, s: 1.0 }, NoiseLevel::DATA);
        let between = NoiseLevel { a: 0.6, s: 0.4 };
        for eta in [0.0, 1.0] {
            let leap = Leap::stochastic(noise, between, eta);
            let (keep, deviation) = if eta == 0.0 { (0.4, 0.0) } else { (0.0, 0.4) };
            assert_eq!((leap.keep, leap.gains, leap.deviation), (keep, [0.6, 0.0, 0.0], deviation));
            for from in [noise, between] {
                let leap = Leap::stochastic(from, data, eta);
                assert_eq!((leap.keep, leap.gains, leap.deviation), (0.0, [1.0, 0.0, 0.0], 0.0));
            }
        }
        let leap = Leap::new(DpmForm::Noise, between, data);
        assert_eq!((leap.keep, leap.gains), (1.0 / 0.6, [-0.4 / 0.6, 0.0, 0.0]));
    }
}
