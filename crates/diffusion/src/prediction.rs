//! What a model output says about the data and the noise.

use crate::{ImageLayout, NoiseLevel, ObjectiveKind, Real};

/// What the first `C` output channels of a network mean.
///
/// Each is linear in the noisy image and in the output, so four pairs of numbers per noise level are
/// all there is to know about it. At `x = a x0 + s n`:
///
/// | kind | output is | `x0` | `n` |
/// |---|---|---|---|
/// | `Eps` | `n` | `(x - s out)/a` | `out` |
/// | `V` | `a n - s x0` | `a x - s out` | `s x + a out` |
///
/// The row of `V` needs `a² + s² = 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionKind {
    /// The noise; DDPM.
    Eps,
    /// The velocity of the variance-preserving circle; progressive distillation.
    V,
}

/// A weighted sum of two images: `first·p + second·q`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Weight of the first image.
    pub first: f64,
    /// Weight of the second image.
    pub second: f64,
}

impl PredictionKind {
    /// Weights of (`x0`, `n`) in the output a perfect network gives.
    pub fn target(self, level: NoiseLevel) -> Mix {
        match self {
            Self::Eps => Mix { first: 0.0, second: 1.0 },
            Self::V => Mix { first: -level.s, second: level.a },
        }
    }

    /// Weights of (`x`, output) in the predicted `x0`.
    pub fn x0(self, level: NoiseLevel) -> Mix {
        match self {
            Self::Eps => Mix { first: 1.0 / level.a, second: -level.s / level.a },
            Self::V => Mix { first: level.a, second: -level.s },
        }
    }

    /// Weights of (`x`, output) in the predicted noise.
    pub fn noise(self, level: NoiseLevel) -> Mix {
        match self {
            Self::Eps => Mix { first: 0.0, second: 1.0 },
            Self::V => Mix { first: level.s, second: level.a },
        }
    }
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
        Self { objective, layout, output }
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
    }

    /// Writes the predicted noise. Shapes as [`Prediction::x0`].
    ///
    /// # Panics
    /// When the lengths of `x` and `noise` are not [`Prediction::image_elements`].
    pub fn noise(&self, level: NoiseLevel, x: &[T], noise: &mut [T]) {
        self.write(self.objective.prediction().noise(level), x, noise);
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
