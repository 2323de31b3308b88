//! What a model output says about the data and the noise.

use crate::{FlowPath, ImageLayout, NoiseLevel, ObjectiveKind, Real};

/// What the first `C` output channels of a network mean.
///
/// Each is linear in the noisy image and in the output, so four pairs of numbers per noise level are
/// all there is to know about it. At `x = a x0 + s n`, with `r² = a² + s²`:
///
/// | kind | output is | `x0` | `n` |
/// |---|---|---|---|
/// | `Eps` | `n` | `(x - s out)/a` | `out` |
/// | `X0` | `x0` | `out` | `(x - a out)/s` |
/// | `V` | `(a n - s x0)/r` | `(a/r²) x - (s/r) out` | `(s/r²) x + (a/r) out` |
/// | `Flow` | `u = a' x0 + s' n` | `(s' x - s u)/(a s' - s a')` | `(a u - a' x)/(a s' - s a')` |
/// | `Edm` | `F = (x0 - c_skip x)/c_out` | `c_skip x + c_out F` | `(x - x0)/sigma` |
///
/// The letters of `Flow` are those of the path at the time of the same `s/a`, those of `Edm` of
/// `sigma = s/a`: a state in other coordinates is first brought there, as its network's input is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PredictionKind {
    /// The noise; DDPM.
    Eps,
    /// The data.
    X0,
    /// The velocity of the variance-preserving circle; progressive distillation.
    V,
    /// The velocity along a path; flow matching.
    Flow(FlowPath),
    /// The preconditioned network of EDM.
    Edm {
        /// Standard deviation of the data.
        sigma_data: f64,
    },
}

/// A weighted sum of two images: `first·p + second·q`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Weight of the first image.
    pub first: f64,
    /// Weight of the second image.
    pub second: f64,
}

/// `c_skip` and `c_out` of EDM table 1 at `sigma`, for data of deviation `sigma_data`.
fn edm_factors(sigma: f64, sigma_data: f64) -> (f64, f64) {
    let norm = sigma.hypot(sigma_data);
    ((sigma_data / norm).powi(2), sigma * sigma_data / norm)
}

impl PredictionKind {
    /// Weights of (`x0`, `n`) in the output a perfect network gives, at a level of its own process.
    pub fn target(self, level: NoiseLevel) -> Mix {
        match self {
            Self::Eps => Mix { first: 0.0, second: 1.0 },
            Self::X0 => Mix { first: 1.0, second: 0.0 },
            Self::V => Mix { first: -level.s, second: level.a },
            Self::Flow(path) => {
                let point = path.at(path.time(level));
                Mix { first: point.a_slope, second: point.s_slope }
            }
            Self::Edm { sigma_data } => {
                // 1 - c_skip = (sigma/norm)²: both weights are sigma/norm and the like, never 0/0.
                let norm = level.s.hypot(sigma_data);
                Mix { first: level.s / (norm * sigma_data), second: -sigma_data / norm }
            }
        }
    }

    /// Weights of (`x`, output) in the predicted `x0`.
    pub fn x0(self, level: NoiseLevel) -> Mix {
        let NoiseLevel { a, s } = level;
        match self {
            Self::Eps => Mix { first: 1.0 / a, second: -s / a },
            Self::X0 => Mix { first: 0.0, second: 1.0 },
            Self::V => {
                let square = a * a + s * s;
                Mix { first: a / square, second: -s / square.sqrt() }
            }
            Self::Flow(path) => {
                let point = path.at(path.time(level));
                let (of_x, of_output) = point.x0();
                Mix { first: of_x * rescale(point.level, level), second: of_output }
            }
            Self::Edm { sigma_data } => {
                let (c_skip, c_out) = edm_factors(level.noise_per_data(), sigma_data);
                Mix { first: c_skip / a, second: c_out }
            }
        }
    }

    /// Weights of (`x`, output) in the predicted noise.
    pub fn noise(self, level: NoiseLevel) -> Mix {
        let NoiseLevel { a, s } = level;
        match self {
            Self::Eps => Mix { first: 0.0, second: 1.0 },
            Self::X0 => Mix { first: 1.0 / s, second: -a / s },
            Self::V => {
                let square = a * a + s * s;
                Mix { first: s / square, second: a / square.sqrt() }
            }
            Self::Flow(path) => {
                let point = path.at(path.time(level));
                let (of_x, of_output) = point.noise();
                Mix { first: of_x * rescale(point.level, level), second: of_output }
            }
            Self::Edm { sigma_data } => {
                // (1 - c_skip)/sigma and c_out/sigma, which are finite at sigma = 0.
                let sigma = level.noise_per_data();
                let norm = sigma.hypot(sigma_data);
                Mix { first: sigma / (norm * norm * a), second: -sigma_data / norm }
            }
        }
    }
}

/// Factor of an image at `from` that brings it to `own`, which has the same noise per data.
fn rescale(own: NoiseLevel, from: NoiseLevel) -> f64 {
    (own.a + own.s) / (from.a + from.s)
}

impl Mix {
    /// Writes `out = first·p + second·q`. All slices have one length.
    ///
    /// # Panics
    /// When the lengths differ.
    pub fn write<T: Real>(self, p: &[T], q: &[T], out: &mut [T]) {
        assert_eq!((p.len(), q.len()), (out.len(), out.len()), "mix: lengths of p, q, out");
        let (first, second) = (T::from_f64(self.first), T::from_f64(self.second));
        for ((out, &p), &q) in out.iter_mut().zip(p).zip(q) {
            *out = first * p + second * q;
        }
    }
}

/// A model output `[B, output_channels, H, W]` and what it means.
///
/// The form in which samplers are told the network's answer. After guidance, wrap the guided output.
#[derive(Clone, Copy, Debug)]
pub struct Prediction<'a, T> {
    objective: ObjectiveKind,
    layout: ImageLayout,
    output: &'a [T],
    clamps_x0: bool,
}

impl<'a, T: Real> Prediction<'a, T> {
    /// The output of a network trained with `objective` on images of `layout`.
    ///
    /// # Panics
    /// When `output` is not a whole number of such outputs.
    pub fn new(objective: ObjectiveKind, layout: ImageLayout, output: &'a [T]) -> Self {
        let output_len = layout.output_len(objective.output_channels(layout.channels));
        assert!(
            output_len > 0 && output.len().is_multiple_of(output_len),
            "{} elements are no whole number of {objective:?} outputs of {layout:?}",
            output.len(),
        );
        Self { objective, layout, output, clamps_x0: false }
    }

    /// The same with predicted data limited to [-1, 1], and the noise derived from the result.
    ///
    /// For pixels; a latent may lie outside.
    #[must_use]
    pub fn clamping_x0(self, clamps_x0: bool) -> Self {
        Self { clamps_x0, ..self }
    }

    /// Number of images `B`.
    pub fn image_count(&self) -> usize {
        self.output.len() / self.output_len()
    }

    /// Number of elements of all images, `B·C·H·W`: the length of a sampler's state.
    pub fn image_elements(&self) -> usize {
        self.image_count() * self.layout.image_len()
    }

    /// Writes the predicted data. `x` is the noisy image `[B, C, H, W]` at `level`, `x0` as `x`.
    ///
    /// # Panics
    /// When the lengths of `x` and `x0` are not [`Prediction::image_elements`].
    pub fn x0(&self, level: NoiseLevel, x: &[T], x0: &mut [T]) {
        self.write(self.objective.prediction().x0(level), x, x0);
        if self.clamps_x0 {
            clamp_to_image_range(x0);
        }
    }

    /// Writes the predicted noise. Shapes as [`Prediction::x0`].
    ///
    /// # Panics
    /// When the lengths of `x` and `noise` are not [`Prediction::image_elements`].
    pub fn noise(&self, level: NoiseLevel, x: &[T], noise: &mut [T]) {
        if !self.clamps_x0 {
            self.write(self.objective.prediction().noise(level), x, noise);
            return;
        }
        self.x0(level, x, noise);
        let (a, inverse_s) = (T::from_f64(level.a), T::from_f64(1.0 / level.s));
        for (noise, &x) in noise.iter_mut().zip(x) {
            *noise = (x - a * *noise) * inverse_s;
        }
    }

    /// Writes `mix.first · x0 + mix.second · noise` of the prediction: a step to another level, or the
    /// slope along a path. Shapes as [`Prediction::x0`].
    ///
    /// # Panics
    /// When the lengths of `x` and `out` are not [`Prediction::image_elements`].
    pub fn combine(&self, level: NoiseLevel, mix: Mix, x: &[T], out: &mut [T]) {
        let kind = self.objective.prediction();
        if !self.clamps_x0 {
            let (x0, noise) = (kind.x0(level), kind.noise(level));
            let first = mix.first * x0.first + mix.second * noise.first;
            let second = mix.first * x0.second + mix.second * noise.second;
            self.write(Mix { first, second }, x, out);
            return;
        }
        // first·x0 + second·(x - a x0)/s.
        self.x0(level, x, out);
        let of_x = T::from_f64(mix.second / level.s);
        let of_x0 = T::from_f64(mix.first - mix.second * level.a / level.s);
        for (out, &x) in out.iter_mut().zip(x) {
            *out = of_x * x + of_x0 * *out;
        }
    }

    /// The learned variance output `v` of each image `[C, H, W]`; `None` if the objective has none.
    pub fn variance_outputs(&self) -> Option<impl Iterator<Item = &'a [T]>> {
        let layout = self.layout;
        self.objective
            .learns_variance()
            .then(|| self.output.chunks_exact(self.output_len()).map(move |o| layout.split(o).1))
    }

    fn write(&self, mix: Mix, x: &[T], out: &mut [T]) {
        let elements = self.image_elements();
        assert_eq!((x.len(), out.len()), (elements, elements), "lengths of state and result");
        let image_len = self.layout.image_len();
        let outputs = self.output.chunks_exact(self.output_len());
        for ((output, x), out) in
            outputs.zip(x.chunks_exact(image_len)).zip(out.chunks_exact_mut(image_len))
        {
            mix.write(x, self.layout.split(output).0, out);
        }
    }

    fn output_len(&self) -> usize {
        self.layout.output_len(self.objective.output_channels(self.layout.channels))
    }
}

/// Limits predicted data to [-1, 1]; NaN stays NaN.
fn clamp_to_image_range<T: Real>(x0: &mut [T]) {
    let one = T::from_f64(1.0);
    for x0 in x0 {
        if *x0 > one {
            *x0 = one;
        } else if *x0 < -one {
            *x0 = -one;
        }
    }
}
