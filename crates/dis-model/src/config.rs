//! Sizes and switches of a network.

use crate::error::ModelError;
use serde::{Deserialize, Serialize};

/// How an out-block takes in the output of its in-block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// A linear map of both, deep before shallow (official code).
    Concat,
    /// Their sum (ablation of the paper).
    Add,
    /// Not at all (ablation of the paper).
    None,
}

/// How time and label reach the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conditioning {
    /// As leading tokens (official code).
    Token,
    /// Through a modulated layer norm in every block, without tokens (alternative of the paper).
    Adaln,
}

/// Sizes of the paper's networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DisPreset {
    /// 368 wide: the official code, and what the paper's counts describe.
    S,
    /// 384 wide, as the paper's table states.
    #[serde(rename = "S-384")]
    S384,
    /// 768 wide, depth 24.
    B,
    /// 768 wide, depth 48.
    M,
    /// 1024 wide, depth 48.
    L,
    /// 1536 wide, depth 48.
    H,
}

impl DisPreset {
    /// All presets, smallest first.
    pub const ALL: [Self; 6] = [Self::S, Self::S384, Self::B, Self::M, Self::L, Self::H];

    /// Name as written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::S384 => "S-384",
            Self::B => "B",
            Self::M => "M",
            Self::L => "L",
            Self::H => "H",
        }
    }

    /// `(hidden_size, depth)`.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::S => (368, 24),
            Self::S384 => (384, 24),
            Self::B => (768, 24),
            Self::M => (768, 48),
            Self::L => (1024, 48),
            Self::H => (1536, 48),
        }
    }
}

/// Everything that fixes the function of a network, apart from its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisConfig {
    /// Side of the square image or latent, `H = W`.
    pub image_size: usize,
    /// Channels of the image or latent, `C`.
    pub channels: usize,
    /// Side of a patch, `P`.
    pub patch_size: usize,
    /// Classes; 0 for an unconditional network.
    pub num_classes: usize,
    /// Width, `D`.
    pub hidden_size: usize,
    /// Depth as the official code counts it: 24 builds 25 blocks.
    pub depth: usize,
    /// States per channel, `N`.
    pub d_state: usize,
    /// Taps of the convolution, `K`.
    pub d_conv: usize,
    /// Whether the output has a second half of channels that interpolates the variance.
    pub learned_variance: bool,
    /// Long connections from in-blocks to out-blocks.
    pub skip: Skip,
    /// Path of time and label.
    pub conditioning: Conditioning,
    /// Modulation of the head by time and label; without effect when unconditional.
    pub final_adaln: bool,
    /// Factor on the sum of the two scan orders; the official code sums, factor 1.
    pub direction_sum: f64,
    /// Whether low-rank step size, B and C are each divided by their root mean square; the official
    /// code does not. Off where a file does not say, since older files have no such key.
    #[serde(default)]
    pub normalize_ssm_inputs: bool,
    /// Added to the mean square in RMS norms.
    pub norm_eps: f64,
    /// Added to the variance in layer norms.
    pub final_eps: f64,
}

impl DisConfig {
    /// A network of the official code: every switch as published.
    pub fn official(
        preset: DisPreset,
        image_size: usize,
        channels: usize,
        patch_size: usize,
        num_classes: usize,
    ) -> Self {
        let (hidden_size, depth) = preset.size();
        Self {
            image_size,
            channels,
            patch_size,
            num_classes,
            hidden_size,
            depth,
            d_state: 16,
            d_conv: 4,
            learned_variance: true,
            skip: Skip::Concat,
            conditioning: Conditioning::Token,
            final_adaln: true,
            direction_sum: 1.0,
            normalize_ssm_inputs: false,
            norm_eps: 1e-5,
            final_eps: 1e-6,
        }
    }

    /// Checks ranges and what belongs together.
    ///
    /// # Errors
    /// [`ModelError::Config`] names the field.
    pub fn validate(&self) -> Result<(), ModelError> {
        let positive = [
            ("image_size", self.image_size),
            ("channels", self.channels),
            ("patch_size", self.patch_size),
            ("hidden_size", self.hidden_size),
            ("depth", self.depth),
            ("d_state", self.d_state),
            ("d_conv", self.d_conv),
        ];
        for (field, value) in positive {
            if value == 0 || value > 1 << 16 {
                return Err(ModelError::config(field, value, "1 to 65536"));
            }
        }
        if self.num_classes > 1 << 20 {
            return Err(ModelError::config("num_classes", self.num_classes, "0 to 1048576"));
        }
        if !self.image_size.is_multiple_of(self.patch_size) {
            let divisors: Vec<String> = (1..=self.image_size)
                .filter(|p| self.image_size.is_multiple_of(*p))
                .map(|p| p.to_string())
                .collect();
            return Err(ModelError::config(
                "patch_size",
                self.patch_size,
                format!("a divisor of the image size {}: {}", self.image_size, divisors.join(", ")),
            ));
        }
        if !self.depth.is_multiple_of(2) {
            return Err(ModelError::config(
                "depth",
                self.depth,
                format!("an even number, such as {} or {}", self.depth - 1, self.depth + 1),
            ));
        }
        if self.hidden_size < 2 {
            return Err(ModelError::config("hidden_size", self.hidden_size, "2 or more"));
        }
        for (field, value) in [
            ("direction_sum", self.direction_sum),
            ("norm_eps", self.norm_eps),
            ("final_eps", self.final_eps),
        ] {
            if !(value.is_finite() && value > 0.0) {
                return Err(ModelError::config(field, value, "a positive number"));
            }
        }
        Ok(())
    }

    /// Inner channels, `E = 2D`.
    pub fn d_inner(&self) -> usize {
        2 * self.hidden_size
    }

    /// Rank of the step-size projection, `R = ceil(D / 16)`.
    pub fn delta_rank(&self) -> usize {
        self.hidden_size.div_ceil(16)
    }

    /// Columns of the projection to step size, B and C: `R + 2N`.
    pub fn x_proj_width(&self) -> usize {
        self.delta_rank() + 2 * self.d_state
    }

    /// In-blocks, which is also the number of out-blocks.
    pub fn n_in_blocks(&self) -> usize {
        self.depth / 2
    }

    /// Blocks built: in-blocks, the middle one, out-blocks.
    pub fn n_blocks(&self) -> usize {
        2 * self.n_in_blocks() + 1
    }

    /// Patches of one image, `J`.
    pub fn n_patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Tokens in front of the patches: label and time, or time alone, or none.
    pub fn extra_tokens(&self) -> usize {
        match self.conditioning {
            Conditioning::Token => 1 + usize::from(self.is_conditional()),
            Conditioning::Adaln => 0,
        }
    }

    /// Tokens of one image, `L`.
    pub fn seq_len(&self) -> usize {
        self.n_patches() + self.extra_tokens()
    }

    /// Whether the network takes labels.
    pub fn is_conditional(&self) -> bool {
        self.num_classes > 0
    }

    /// Whether the head is modulated by time and label.
    pub fn has_final_adaln(&self) -> bool {
        self.final_adaln && self.is_conditional()
    }

    /// Channels of the output: `C`, or `2C` with a learned variance.
    pub fn output_channels(&self) -> usize {
        if self.learned_variance { 2 * self.channels } else { self.channels }
    }

    /// Elements of one image.
    pub fn image_len(&self) -> usize {
        self.channels * self.image_size * self.image_size
    }

    /// Elements of one output.
    pub fn output_len(&self) -> usize {
        self.output_channels() * self.image_size * self.image_size
    }

    /// Drop-path rate of every block and, last, of the final addition.
    ///
    /// The official law: 0 for the first block, then from 0 to `rate` in equal parts; the final
    /// addition has `rate`.
    pub fn drop_path_rates(&self, rate: f64) -> Vec<f64> {
        let last = (self.n_blocks() - 2).max(1) as f64;
        (0..self.n_blocks())
            .map(|i| if i == 0 { 0.0 } else { rate * (i - 1) as f64 / last })
            .chain([rate])
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_sizes_name_the_field_and_what_would_do() {
        let good = DisConfig::official(DisPreset::S, 32, 3, 2, 10);
        good.validate().unwrap();
        let message = |c: DisConfig| c.validate().unwrap_err().to_string();
        let patch = message(DisConfig { patch_size: 5, ..good.clone() });
        assert!(patch.contains("model.patch_size is 5") && patch.contains("16, 32"), "{patch}");
        assert!(message(DisConfig { depth: 7, ..good.clone() }).contains("6 or 8"));
        assert!(message(DisConfig { channels: 0, ..good.clone() }).contains("model.channels"));
        let sum = DisConfig { direction_sum: f64::NAN, ..good };
        assert!(message(sum).contains("model.direction_sum"));
    }

    #[test]
    fn drop_path_rises_from_the_second_block_to_the_last() {
        let config = DisConfig::official(DisPreset::S, 32, 3, 2, 0);
        let rates = config.drop_path_rates(0.1);
        assert_eq!(rates.len(), 26);
        assert_eq!((rates[0], rates[1], rates[25]), (0.0, 0.0, 0.1));
        assert!((rates[24] - 0.1).abs() < 1e-15 && (rates[2] - 0.1 / 23.0).abs() < 1e-15);
    }
}
