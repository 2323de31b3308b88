//! Classifier-free guidance.

use crate::{DiffusionError, ImageLayout, ObjectiveKind, Real};
use serde::{Deserialize, Serialize};

/// Which channels of the prediction are guided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuidanceChannels {
    /// All `C` channels of the prediction.
    All,
    /// The first three, as the official code of DiT and DiS, also for latents of four channels.
    First3,
}

/// Guidance `g = u + w (c - u)` of a conditional output `c` by an unconditional one `u`.
///
/// `w = guidance_scale`; 1 is no guidance, DiS samples ImageNet with 1.5. On four latent channels
/// `1 + x` on three of them does about what `1 + .75 x` does on all (DiT's author, pull request 12):
/// 1.5 on `first3` is about 1.375 on `all`.
///
/// Only the prediction is guided, never a learned variance; what is not guided stays conditional.
/// The official code instead keeps a doubled batch, whose second half keeps its unconditional
/// channels; that half is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guidance {
    /// The factor `w`.
    pub guidance_scale: f64,
    /// Where it applies.
    pub channels: GuidanceChannels,
}

impl Guidance {
    /// Checks the factor.
    ///
    /// # Errors
    /// [`DiffusionError::GuidanceScale`] when it is not finite.
    pub fn validate(&self) -> Result<(), DiffusionError> {
        let guidance_scale = self.guidance_scale;
        if guidance_scale.is_finite() {
            Ok(())
        } else {
            Err(DiffusionError::GuidanceScale { guidance_scale })
        }
    }

    /// Whether an unconditional output is needed, `w != 1`.
    pub fn is_active(&self) -> bool {
        self.guidance_scale != 1.0
    }

    /// Writes the guided output. All three slices are model outputs `[B, output_channels, H, W]` of
    /// a network trained with `objective`; with `w = 1`, `out` is `cond` bit for bit.
    ///
    /// # Panics
    /// When the lengths disagree or are no whole number of outputs.
    pub fn combine<T: Real>(
        &self,
        objective: ObjectiveKind,
        layout: ImageLayout,
        cond: &[T],
        uncond: &[T],
        out: &mut [T],
    ) {
        let output_len = layout.output_len(objective.output_channels(layout.channels));
        assert_eq!((cond.len(), uncond.len()), (out.len(), out.len()), "lengths of cond, uncond");
        assert!(
            output_len > 0 && out.len().is_multiple_of(output_len),
            "{} elements are no whole number of {objective:?} outputs of {layout:?}",
            out.len()
        );
        out.copy_from_slice(cond);
        if !self.is_active() {
            return;
        }
        let guided_len = layout.leading_len(match self.channels {
            GuidanceChannels::All => layout.channels,
            GuidanceChannels::First3 => 3,
        });
        let w = T::from_f64(self.guidance_scale);
        for (g, u) in out.chunks_exact_mut(output_len).zip(uncond.chunks_exact(output_len)) {
            for (g, &u) in g[..guided_len].iter_mut().zip(u) {
                *g = u + w * (*g - u);
            }
        }
    }
}
