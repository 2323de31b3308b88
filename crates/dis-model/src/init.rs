//! How parameters start.
//!
//! | parameter | law |
//! |---|---|
//! | linear and patch weights, `in_proj`, `x_proj`, `dt_proj` | uniform within `1 / sqrt(fan in)` |
//! | `patch_embed.proj.bias` | uniform within `1 / sqrt(C P^2)` |
//! | convolution weight and bias | uniform within `1 / sqrt(K)` |
//! | `dt_proj.bias` | inverse softplus of a step size log-uniform in [0.001, 0.1] |
//! | `dt_proj_b.bias` | 0 or the law above, as [`DeltaBiasInit`] says |
//! | `A_log`, `A_b_log` | `ln(1..=N)` in every row |
//! | `D`, `D_b`, norms | 1 |
//! | `out_proj` | uniform within `1 / sqrt(E depth)` |
//! | label table, positions | normal, as [`InitOptions`] says |
//! | other biases, block modulation | 0 |
//!
//! # Source
//! The laws of the official code, which starts the two scan orders differently, and its head not at
//! zero. The numbers are not torch's: they come from Philox, addressed by parameter name and element,
//! and so depend on neither the order of the parameters nor the presence of others.

use crate::config::DisConfig;
use crate::error::ModelError;
use crate::params::{Param, ParamLayout};
use philox::{Draws, Purpose, name_position};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The law of `dt_proj_b.bias`, the step-size bias of the right-to-left order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeltaBiasInit {
    /// 0, as the official code: step sizes of about 0.69.
    Official,
    /// The law of the left-to-right order.
    Symmetric,
}

/// Choices left open by the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitOptions {
    /// Bias of the right-to-left step size.
    pub delta_bias: DeltaBiasInit,
    /// Whether the last linear map starts at zero.
    pub zero_head: bool,
    /// Standard deviation of `pos_embed`.
    pub position_std: f64,
    /// Standard deviation of the label table, null class included.
    pub label_std: f64,
}

impl InitOptions {
    /// As the official code.
    pub fn official() -> Self {
        Self {
            delta_bias: DeltaBiasInit::Official,
            zero_head: false,
            position_std: 0.0,
            label_std: 0.02,
        }
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// [`ModelError::Config`] names the field.
    pub fn validate(&self) -> Result<(), ModelError> {
        for (field, std) in [("position_std", self.position_std), ("label_std", self.label_std)] {
            if !(0.0..=1e3).contains(&std) {
                return Err(ModelError::config(field, std, "0 to 1000"));
            }
        }
        Ok(())
    }
}

/// An arena of initial parameters, a function of its arguments alone.
///
/// # Panics
/// When `layout` is not that of `config`.
pub fn init(
    config: &DisConfig,
    layout: &ParamLayout,
    options: &InitOptions,
    seed: u64,
) -> Vec<f32> {
    let mut arena = vec![0.0; layout.len()];
    let mut rest = arena.as_mut_slice();
    let mut parts = Vec::new();
    for param in layout.iter() {
        let (part, tail) = rest.split_at_mut(param.range.len());
        parts.push((param, part));
        rest = tail;
    }
    parts.into_par_iter().for_each(|(param, part)| {
        let draws = Draws::new(seed, Purpose::ParameterInitialisation, name_position(&param.name));
        law(config, param, options).fill(draws, part);
    });
    arena
}

/// Distribution of the elements of one parameter.
#[derive(Clone, Copy)]
enum Law {
    Constant(f32),
    Uniform { bound: f64 },
    Normal { std: f64 },
    DeltaBias,
    DecayRates { states: usize },
}

fn law(c: &DisConfig, param: &Param, options: &InitOptions) -> Law {
    let within = |fan_in: usize| Law::Uniform { bound: 1.0 / (fan_in as f64).sqrt() };
    let normal = |std| if std == 0.0 { Law::Constant(0.0) } else { Law::Normal { std } };
    match in_block(&param.name) {
        "pos_embed" => normal(options.position_std),
        "label_emb.embedding_table.weight" => normal(options.label_std),
        "patch_embed.proj.weight" | "patch_embed.proj.bias" => {
            within(c.channels * c.patch_size.pow(2))
        }
        "final_layer.linear.weight" if options.zero_head => Law::Constant(0.0),
        "time_embed.0.weight"
        | "time_embed.2.weight"
        | "skip_linear.weight"
        | "final_layer.linear.weight"
        | "final_layer.adaLN_modulation.1.weight"
        | "mixer.in_proj.weight"
        | "mixer.x_proj.weight"
        | "mixer.x_proj_b.weight"
        | "mixer.dt_proj.weight"
        | "mixer.dt_proj_b.weight" => within(param.shape[1]),
        // Ours: a modulated block starts as one without modulation.
        "adaLN_modulation.1.weight" => Law::Constant(0.0),
        "mixer.conv1d.weight"
        | "mixer.conv1d.bias"
        | "mixer.conv1d_b.weight"
        | "mixer.conv1d_b.bias" => within(c.d_conv),
        "mixer.dt_proj.bias" => Law::DeltaBias,
        "mixer.dt_proj_b.bias" => match options.delta_bias {
            DeltaBiasInit::Official => Law::Constant(0.0),
            DeltaBiasInit::Symmetric => Law::DeltaBias,
        },
        "mixer.A_log" | "mixer.A_b_log" => Law::DecayRates { states: c.d_state },
        "mixer.D" | "mixer.D_b" | "norm.weight" | "norm_f.weight" => Law::Constant(1.0),
        // Divided by the root of the depth as configured, one less than the blocks built.
        "mixer.out_proj.weight" => within(c.d_inner() * c.depth),
        name if name.ends_with(".bias") => Law::Constant(0.0),
        name => panic!("no law for parameter {name}"),
    }
}

/// The name within its block, or the whole name outside the blocks.
fn in_block(name: &str) -> &str {
    let numbered = ["in_blocks.", "out_blocks."].iter().find_map(|list| name.strip_prefix(list));
    match numbered.and_then(|rest| rest.split_once('.')) {
        Some((_number, rest)) => rest,
        None => name.strip_prefix("mid_block.").unwrap_or(name),
    }
}

impl Law {
    /// Element `i` is made from lane `i` of `draws`.
    fn fill(self, draws: Draws, out: &mut [f32]) {
        match self {
            Self::Constant(value) => out.fill(value),
            Self::Normal { std } => {
                draws.fill_normal(out);
                out.iter_mut().for_each(|x| *x = (f64::from(*x) * std) as f32);
            }
            Self::Uniform { bound } => {
                draws.fill_uniform(out);
                out.iter_mut().for_each(|x| *x = ((2.0 * f64::from(*x) - 1.0) * bound) as f32);
            }
            Self::DeltaBias => {
                draws.fill_uniform(out);
                out.iter_mut().for_each(|x| *x = delta_bias(f64::from(*x)) as f32);
            }
            Self::DecayRates { states } => {
                for (i, x) in out.iter_mut().enumerate() {
                    *x = ((i % states + 1) as f64).ln() as f32;
                }
            }
        }
    }
}

/// Bias whose softplus is `0.001 (0.1 / 0.001)^u`, at least 1e-4.
fn delta_bias(u: f64) -> f64 {
    let (low, high) = (0.001f64.ln(), 0.1f64.ln());
    let delta = (u * (high - low) + low).exp().max(1e-4);
    delta + (-(-delta).exp_m1()).ln()
}
