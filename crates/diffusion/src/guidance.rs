//! Guidance: away from a weaker model.

use crate::{DiffusionError, ImageLayout, NoiseLevel, ObjectiveKind, Real};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// Which channels of the prediction are guided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceChannels {
    /// All `C` channels of the prediction.
    All,
    /// The first three, as the official code of DiT and DiS, also for latents of four channels.
    First3,
}

/// How the guidance scale changes over a run; `r` runs from 0 (noise) to 1 (image), and the scale is
/// `1 + (w - 1) f(r)` with a mean `f` of 1.
///
/// Source: arXiv 2404.13040, whose finding is that rising weights are best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceSchedule {
    /// `f = 1`.
    Constant,
    /// `f = 2 r`.
    Linear,
    /// `f = 1 - cos(pi r)`.
    Cosine,
}

/// Guidance `g = u + w (c - u)` of an output `c` by that of a weaker model `u`.
///
/// The weaker model is the same network without its label (classifier-free guidance, arXiv
/// 2207.12598) or a smaller or shorter-trained one (autoguidance, arXiv 2406.02507). `w =
/// guidance_scale`; 1 is no guidance, DiS samples ImageNet with 1.5. On four latent channels `1 + x` on
/// three of them does about what `1 + .75 x` does on all (DiT's author, pull request 12): 1.5 on
/// `first3` is about 1.375 on `all`.
///
/// Only the prediction is guided, never a learned variance; what is not guided stays conditional.
/// The official code instead keeps a doubled batch, whose second half keeps its unconditional
/// channels; that half is thrown away. Every objective's output is affine in `x0` at a given noisy
/// image, so guiding outputs is guiding `x0`, noise or velocity alike.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guidance {
    /// The factor `w`.
    pub guidance_scale: f64,
    /// Where it applies.
    pub channels: GuidanceChannels,
    /// Noise per data `s/a` (EDM's sigma), least and most, between which it applies; everywhere without
    /// the key. For a linear flow with noise time `tau` it is `tau/(1 - tau)`.
    ///
    /// Source: arXiv 2404.07724.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Share `phi`, 0 to 1, of a guided image that is brought to the standard deviation of the
    /// conditional one: `g <- phi g std(c)/std(g) + (1 - phi) g`. None without the key.
    ///
    /// Source: arXiv 2305.08891 section 3.4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rescale: Option<f64>,
    /// How the scale changes over a run; constant without the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<GuidanceSchedule>,
}

impl Guidance {
    /// The same scale everywhere.
    pub fn new(guidance_scale: f64, channels: GuidanceChannels) -> Self {
        Self { guidance_scale, channels, interval: None, rescale: None, schedule: None }
    }

    /// No guidance.
    pub fn none() -> Self {
        Self::new(1.0, GuidanceChannels::All)
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`DiffusionError::GuidanceScale`], [`DiffusionError::GuidanceInterval`] or
    /// [`DiffusionError::GuidanceRescale`].
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let guidance_scale = self.guidance_scale;
        if !guidance_scale.is_finite() {
            return Err(DiffusionError::GuidanceScale { guidance_scale });
        }
        if let Some([least, most]) = self.interval
            && !(least >= 0.0 && most > least)
        {
            return Err(DiffusionError::GuidanceInterval { least, most });
        }
        match self.rescale {
            Some(rescale) if !(0.0..=1.0).contains(&rescale) => {
                Err(DiffusionError::GuidanceRescale { rescale })
            }
            _ => Ok(()),
        }
    }

    /// Whether a weaker model is needed at all, `w != 1`.
    pub fn is_active(&self) -> bool {
        self.guidance_scale != 1.0
    }

    /// The scale at a noise level, `progress` from 0 (noise) to 1 (image) through the run. Where it is
    /// 1 the weaker model need not be evaluated.
    pub fn scale_at(&self, level: NoiseLevel, progress: f64) -> f64 {
        let sigma = level.noise_per_data();
        if self.interval.is_some_and(|[least, most]| sigma < least || sigma > most) {
            return 1.0;
        }
        let rise = match self.schedule {
            None | Some(GuidanceSchedule::Constant) => return self.guidance_scale,
            Some(GuidanceSchedule::Linear) => 2.0 * progress,
            Some(GuidanceSchedule::Cosine) => 1.0 - (PI * progress).cos(),
        };
        1.0 + (self.guidance_scale - 1.0) * rise
    }

    /// Writes the output guided with `scale`, which is that of [`Guidance::scale_at`]. All three slices
    /// are model outputs `[B, output_channels, H, W]` of networks trained with `objective`; with a scale
    /// of 1, `out` is `cond` bit for bit.
    ///
    /// # Panics
    /// When the lengths disagree or are no whole number of outputs.
    pub fn combine<T: Real>(
        &self,
        scale: f64,
        objective: ObjectiveKind,
        layout: ImageLayout,
        [cond, weak]: [&[T]; 2],
        out: &mut [T],
    ) {
        let output_len = layout.output_len(objective.output_channels(layout.channels));
        assert_eq!((cond.len(), weak.len()), (out.len(), out.len()), "lengths of cond, weak");
        assert!(
            output_len > 0 && out.len().is_multiple_of(output_len),
            "{} elements are no whole number of {objective:?} outputs of {layout:?}",
            out.len()
        );
        out.copy_from_slice(cond);
        if scale == 1.0 {
            return;
        }
        let guided_len = layout.leading_len(match self.channels {
            GuidanceChannels::All => layout.channels,
            GuidanceChannels::First3 => 3,
        });
        let w = T::from_f64(scale);
        let outputs = cond.chunks_exact(output_len).zip(weak.chunks_exact(output_len));
        for (guided, (cond, weak)) in out.chunks_exact_mut(output_len).zip(outputs) {
            for (g, &u) in guided[..guided_len].iter_mut().zip(weak) {
                *g = u + w * (*g - u);
            }
            if let Some(share) = self.rescale {
                let image_len = layout.image_len();
                rescale(share, &cond[..image_len], &mut guided[..image_len]);
            }
        }
    }
}

/// Brings a share of a guided prediction to the standard deviation of the conditional one.
fn rescale<T: Real>(share: f64, cond: &[T], guided: &mut [T]) {
    let deviation = standard_deviation(guided);
    if deviation == 0.0 {
        return;
    }
    let factor = share * standard_deviation(cond) / deviation + (1.0 - share);
    let factor = T::from_f64(factor);
    for g in guided {
        *g = factor * *g;
    }
}

fn standard_deviation<T: Real>(values: &[T]) -> f64 {
    let count = values.len() as f64;
    let mean = values.iter().map(|x| x.to_f64()).sum::<f64>() / count;
    (values.iter().map(|x| (x.to_f64() - mean).powi(2)).sum::<f64>() / count).sqrt()
}
