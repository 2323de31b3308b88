//! `config.json`, as diffusers writes it.

use crate::config::VaeConfig;
use crate::error::VaeError;
use crate::scaling::LatentScaling;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Most bytes of a configuration that is read; diffusers writes about 600.
const MAX_LEN: u64 = 1 << 20;

/// Keys without a bearing on what is computed here.
///
/// `force_upcast` asks for f32, in which everything is computed anyway.
const IGNORED: [&str; 4] = ["sample_size", "force_upcast", "use_slicing", "use_tiling"];

/// Keys that are read.
const READ: [&str; 17] = [
    "act_fn",
    "block_out_channels",
    "down_block_types",
    "in_channels",
    "latent_channels",
    "latents_mean",
    "latents_std",
    "layers_per_block",
    "mid_block_add_attention",
    "norm_num_groups",
    "out_channels",
    "scaling_factor",
    "shift_factor",
    "up_block_types",
    "use_post_quant_conv",
    "use_quant_conv",
    "double_z",
];

impl VaeConfig {
    /// Reads a `config.json` of an `AutoencoderKL`.
    ///
    /// Sizes have to be there. `act_fn`, the factor and the switches have the default of diffusers
    /// where they are absent, because they are younger than many files.
    ///
    /// # Errors
    /// [`VaeError::File`] when it cannot be read or is no JSON object; [`VaeError::Config`] names the
    /// first key that is missing, out of range, unknown, or asks for what is not computed here.
    pub fn read_json(path: &Path) -> Result<Self, VaeError> {
        let bytes = crate::files::read_at_most(path, MAX_LEN)?;
        Self::parse_json(&bytes, &path.display().to_string())
    }

    /// As [`VaeConfig::read_json`], from bytes; `source_name` names them in errors.
    ///
    /// # Errors
    /// As [`VaeConfig::read_json`].
    pub fn parse_json(bytes: &[u8], source_name: &str) -> Result<Self, VaeError> {
        let not_json = |reason: String| {
            let reason = format!("not the configuration of an autoencoder: {reason}");
            VaeError::File { source_name: source_name.into(), reason }
        };
        let value: Value = serde_json::from_slice(bytes).map_err(|e| not_json(e.to_string()))?;
        let Value::Object(keys) = value else {
            return Err(not_json("expected a JSON object".into()));
        };
        let keys = Keys { keys, source_name };
        keys.check_class()?;
        let block_out_channels = keys.sizes("block_out_channels")?;
        let config = Self {
            in_channels: keys.size("in_channels")?,
            out_channels: keys.size("out_channels")?,
            latent_channels: keys.size("latent_channels")?,
            layers_per_block: keys.size("layers_per_block")?,
            norm_num_groups: keys.size("norm_num_groups")?,
            mid_block_add_attention: keys.switch("mid_block_add_attention")?,
            use_quant_conv: keys.switch("use_quant_conv")?,
            use_post_quant_conv: keys.switch("use_post_quant_conv")?,
            scaling: keys.scaling()?,
            block_out_channels,
        };
        config.validate(source_name)?;
        keys.check_fixed(config.block_out_channels.len())?;
        Ok(config)
    }

    /// The `config.json` of this network, which diffusers reads as well.
    pub fn to_json(&self) -> String {
        let levels = self.block_out_channels.len();
        let mut keys = json!({
            "_class_name": "AutoencoderKL",
            "act_fn": "silu",
            "block_out_channels": self.block_out_channels,
            "down_block_types": vec!["DownEncoderBlock2D"; levels],
            "in_channels": self.in_channels,
            "latent_channels": self.latent_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_add_attention": self.mid_block_add_attention,
            "norm_num_groups": self.norm_num_groups,
            "out_channels": self.out_channels,
            "up_block_types": vec!["UpDecoderBlock2D"; levels],
            "use_post_quant_conv": self.use_post_quant_conv,
            "use_quant_conv": self.use_quant_conv,
        });
        match &self.scaling {
            LatentScaling::Constant { factor, shift } => {
                keys["scaling_factor"] = json!(factor);
                if *shift != 0.0 {
                    keys["shift_factor"] = json!(shift);
                }
            }
            LatentScaling::PerChannel { mean, std, factor } => {
                keys["scaling_factor"] = json!(factor);
                keys["latents_mean"] = json!(mean);
                keys["latents_std"] = json!(std);
            }
        }
        format!("{keys:#}\n")
    }
}

/// The keys of one file.
struct Keys<'a> {
    keys: Map<String, Value>,
    source_name: &'a str,
}

impl Keys<'_> {
    /// A key's value; null is as absent.
    fn get(&self, field: &str) -> Option<&Value> {
        self.keys.get(field).filter(|value| !value.is_null())
    }

    fn refuse(&self, field: &str, expected: impl Into<String>) -> VaeError {
        let got = self.keys.get(field).map_or("absent".into(), shortened);
        VaeError::config(self.source_name, field, got, expected)
    }

    fn size(&self, field: &str) -> Result<usize, VaeError> {
        self.get(field).and_then(as_size).ok_or_else(|| self.refuse(field, "a whole number"))
    }

    fn sizes(&self, field: &str) -> Result<Vec<usize>, VaeError> {
        let list = self.get(field).and_then(Value::as_array);
        let sizes = list.and_then(|list| list.iter().map(as_size).collect());
        sizes.ok_or_else(|| self.refuse(field, "a list of whole numbers"))
    }

    /// A switch that is on where it is absent.
    fn switch(&self, field: &str) -> Result<bool, VaeError> {
        match self.get(field) {
            None => Ok(true),
            Some(value) => value.as_bool().ok_or_else(|| self.refuse(field, "true or false")),
        }
    }

    fn number(&self, field: &str, absent: f64) -> Result<f64, VaeError> {
        match self.get(field) {
            None => Ok(absent),
            Some(value) => value.as_f64().ok_or_else(|| self.refuse(field, "a number")),
        }
    }

    fn numbers(&self, field: &str) -> Result<Option<Vec<f64>>, VaeError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let list = value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
        list.ok_or_else(|| self.refuse(field, "a list of numbers")).map(Some)
    }

    fn scaling(&self) -> Result<LatentScaling, VaeError> {
        let (mean, std) = (self.numbers("latents_mean")?, self.numbers("latents_std")?);
        let shift = self.number("shift_factor", 0.0)?;
        match (mean, std) {
            (None, None) => {
                // The default of diffusers, which files of Stable Diffusion 1 rely on.
                Ok(LatentScaling::Constant {
                    factor: self.number("scaling_factor", 0.18215)?,
                    shift,
                })
            }
            (Some(mean), Some(std)) if shift == 0.0 => {
                let factor = self.number("scaling_factor", 0.18215)?;
                Ok(LatentScaling::PerChannel { mean, std, factor })
            }
            (Some(_), Some(_)) => Err(self.refuse("shift_factor", "absent beside latents_mean")),
            (None, _) => Err(self.refuse("latents_mean", "a list, as latents_std is one")),
            (_, None) => Err(self.refuse("latents_std", "a list, as latents_mean is one")),
        }
    }

    /// Refuses the configuration of something else, and keys that nothing is known of.
    fn check_class(&self) -> Result<(), VaeError> {
        let class = self.get("_class_name");
        if class.is_some_and(|name| name.as_str() != Some("AutoencoderKL")) {
            return Err(self.refuse("_class_name", "\"AutoencoderKL\""));
        }
        let is_known = |key: &&String| {
            key.starts_with('_') || READ.contains(&key.as_str()) || IGNORED.contains(&key.as_str())
        };
        match self.keys.keys().find(|key| !is_known(key)) {
            None => Ok(()),
            Some(key) => Err(self.refuse(key, "no such key: it is not known what it would change")),
        }
    }

    /// Refuses values of what does not vary here.
    fn check_fixed(&self, levels: usize) -> Result<(), VaeError> {
        if self.get("act_fn").is_some_and(|name| name.as_str() != Some("silu")) {
            return Err(self.refuse("act_fn", "\"silu\""));
        }
        if self.get("double_z").is_some_and(|value| value.as_bool() != Some(true)) {
            return Err(self.refuse("double_z", "true"));
        }
        for (field, name) in
            [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")]
        {
            let fits = |list: &Vec<Value>| {
                list.len() == levels && list.iter().all(|value| value.as_str() == Some(name))
            };
            if !self.get(field).and_then(Value::as_array).is_some_and(fits) {
                return Err(self.refuse(field, format!("{levels} times \"{name}\"")));
            }
        }
        Ok(())
    }
}

fn as_size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok())
}

/// A value as JSON, cut where it is long.
fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
