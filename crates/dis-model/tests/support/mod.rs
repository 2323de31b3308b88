//! What the tests of this crate share: goldens, configurations, repeatable parameters.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod production;

use dis_model::{DisConfig, DisPreset, Input, ParamLayout};
use parity::Golden;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Numbers by name.
pub(crate) type Values = BTreeMap<String, Vec<f64>>;

/// A golden of this crate, by name.
pub(crate) fn golden(name: &str) -> Golden {
    Golden::open(golden_path(name))
}

/// Where a golden of this crate lies.
pub(crate) fn golden_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/goldens/{name}.safetensors"))
}

/// A whole network run by the official code.
pub(crate) struct ModelGolden {
    pub(crate) file: Golden,
    pub(crate) config: DisConfig,
    /// Gradients of parameters that the file holds.
    pub(crate) gradients: usize,
}

impl ModelGolden {
    /// Parameters by official name.
    pub(crate) fn params(&self) -> Values {
        let named = |name: &str| {
            name.strip_prefix("param.").map(|p| (p.to_string(), self.file.get(name).to_vec()))
        };
        self.file.names().filter_map(named).collect()
    }

    /// Image, timesteps and labels.
    pub(crate) fn inputs(&self) -> (Vec<f64>, Vec<f64>, Option<Vec<u32>>) {
        let labels = self
            .file
            .contains("in.y")
            .then(|| self.file.get("in.y").iter().map(|&y| y as u32).collect());
        (self.file.get("in.x").to_vec(), self.file.get("in.t").to_vec(), labels)
    }
}

/// Width 32, depth 4, patch 2, 8x8x4, 10 classes.
pub(crate) fn conditional() -> ModelGolden {
    let config =
        DisConfig { hidden_size: 32, depth: 4, ..DisConfig::official(DisPreset::S, 8, 4, 2, 10) };
    ModelGolden { file: golden("cond_d32_depth4_p2_8x8x4"), config, gradients: 102 }
}

/// Width 46 (rank 3, 92 inner channels), depth 4, patch 4, 16x16x3. The file lacks the gradients
/// of three of the five blocks.
pub(crate) fn unconditional() -> ModelGolden {
    let config = DisConfig { depth: 4, ..config_of_width(46) };
    let file = golden("uncond_d46_depth4_p4_16x16x3");
    ModelGolden { file, config, gradients: 99 - 3 * 17 - 2 }
}

/// 16x16x3, patch 4, depth 2, unconditional, official switches.
pub(crate) fn config_of_width(hidden_size: usize) -> DisConfig {
    DisConfig { hidden_size, depth: 2, ..DisConfig::official(DisPreset::S, 16, 3, 4, 0) }
}

/// Gradient of the goldens' loss, the mean of `output[i] sin(i)`.
pub(crate) fn probe(len: usize) -> Vec<f64> {
    (0..len).map(|i| (i as f64).sin() / len as f64).collect()
}

/// `u + s (c - u)` on channels 0 to 2 of a batch `[conditional; null]`, written to both halves.
pub(crate) fn guide_three_channels(
    output: &[f64],
    config: &DisConfig,
    guidance_scale: f64,
) -> Vec<f64> {
    let half = output.len() / 2;
    let plane = config.image_size * config.image_size;
    let mut guided = output.to_vec();
    for i in (0..half).filter(|i| i % config.output_len() < 3 * plane) {
        let (c, u) = (output[i], output[half + i]);
        guided[i] = u + guidance_scale * (c - u);
        guided[half + i] = guided[i];
    }
    guided
}

/// Parameters in the range of a trained network's, exact in f32, so that every backend starts from
/// equal numbers. None is zero, one or a constant, so that mistakes show.
pub(crate) fn sample_params(layout: &ParamLayout, seed: u64) -> Values {
    let sample = |(i, param): (usize, &dis_model::Param)| {
        let mut values = parity::uniform(seed.wrapping_mul(1009) + i as u64, param.range.len());
        let fan_in = param.shape[1..].iter().product::<usize>().max(1);
        let columns = *param.shape.last().unwrap();
        let (offset, factor) = match param.name.rsplit('.').next().unwrap() {
            "A_log" | "A_b_log" => (None, 0.05),
            "D" | "D_b" => (Some(1.0), 0.1),
            "bias" if param.name.contains("dt_proj") => (Some(-2.5), 2.5),
            "bias" => (Some(0.0), 0.1),
            "pos_embed" => (Some(0.0), 0.05),
            _ if param.name.contains("norm") => (Some(1.0), 0.1),
            _ => (Some(0.0), 1.5 / (fan_in as f64).sqrt()),
        };
        for (k, value) in values.iter_mut().enumerate() {
            let centre = offset.unwrap_or_else(|| ((k % columns + 1) as f64).ln());
            *value = f64::from((centre + factor * *value) as f32);
        }
        (param.name.clone(), values)
    };
    layout.iter().enumerate().map(sample).collect()
}

/// The arena of parameters given by name.
pub(crate) fn arena(layout: &ParamLayout, params: &Values) -> Vec<f64> {
    let mut arena = vec![f64::NAN; layout.len()];
    assert_eq!(layout.iter().count(), params.len(), "number of parameters");
    for param in layout.iter() {
        arena[param.range.clone()].copy_from_slice(&params[&param.name]);
    }
    arena
}

/// Repeatable inputs, exact in f32.
pub(crate) struct SampleInputs {
    x: Vec<f64>,
    timesteps: Vec<f64>,
    labels: Option<Vec<u32>>,
    drop_path: Vec<f64>,
}

impl SampleInputs {
    /// Inputs of a batch: fractional timesteps, the null class among the labels, dropped additions.
    pub(crate) fn new(config: &DisConfig, batch: usize) -> Self {
        let null = config.num_classes as u32;
        let mut drop_path: Vec<f64> = (0..(config.n_blocks() + 1) * batch)
            .map(|i| [1.25, 0.0, 1.0, 1.5][i * 7 % 4])
            .collect();
        // The first block has no addition, so whatever stands here must not matter.
        drop_path[..batch].fill(7.0);
        Self {
            x: parity::uniform(3, batch * config.image_len()),
            timesteps: (0..batch).map(|b| [999.0, 12.5, 0.0, 400.0][b % 4]).collect(),
            labels: (null > 0).then(|| (0..batch as u32).map(|b| null - b.min(null)).collect()),
            drop_path,
        }
    }

    /// As arguments, drop-path included.
    pub(crate) fn input(&self) -> Input<'_, f64> {
        Input {
            x: &self.x,
            timesteps: &self.timesteps,
            labels: self.labels.as_deref(),
            drop_path: Some(&self.drop_path),
        }
    }
}
