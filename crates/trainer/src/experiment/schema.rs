//! Which keys exist, which must be present, and whether a value fits its key.
//!
//! All of it is read off one complete experiment, so a new field is known here at once.

use super::data_sections::{DataKind, DataSection, EncodeSection, VaeSection};
use super::eval_section::EvalSection;
use super::numbers::Numbers;
use super::problem::Problem;
use super::sections::{
    DiffusionSection, LrScheduleKind, ModelSection, ObjectiveName, SampleSection, TrainSection,
};
use super::{Experiment, Leaf};
use diffusion::{
    DiffusionForm, FlowPath, Guidance, GuidanceChannels, GuidanceSchedule, NoiseScheduleKind,
    SamplerKind, Spacing, TimestepDensity, Weighting,
};
use dis_model::init::DeltaBiasInit;
use dis_model::{Conditioning, DisPreset, Recompute, Skip};
use serde::Deserialize;
use std::path::PathBuf;
use strsim::damerau_levenshtein;
use toml::{Table, Value};

/// Tables that an experiment may lack: those of latents, and the evaluation of a run.
const OPTIONAL_TABLES: [&str; 3] = ["vae", "encode", "eval"];

/// The keys of an experiment.
pub(super) struct Schema {
    /// A value for every key.
    template: Table,
    /// Every key in full, `train.steps`, in the order of the structs.
    keys: Vec<String>,
    /// Those without which there is no experiment.
    required: Vec<String>,
}

impl Schema {
    pub(super) fn new() -> Self {
        let template = complete().to_table();
        let mut least = complete();
        least.vae = Some(VaeSection {
            latent_scale: None,
            latent_mean: None,
            latent_std: None,
            ..complete_vae()
        });
        least.encode = Some(EncodeSection { path: None, count: None, ..complete_encode() });
        least.data = DataSection { path: None, count: None, workers: None, ..least.data };
        least.model = ModelSection {
            preset: None,
            hidden_size: None,
            depth: None,
            normalize_ssm_inputs: None,
            ..least.model
        };
        least.train = TrainSection {
            micro_batch: None,
            recompute: None,
            tail_fraction: None,
            decay_after: None,
            ema_power: None,
            ema_snapshot_every: None,
            ..least.train
        };
        least.diffusion = DiffusionSection {
            zero_terminal_snr: None,
            path: None,
            time_scale: None,
            sigma_data: None,
            timestep_density: None,
            loss_weighting: None,
            cosine_direction: None,
            log_variance_lr: None,
            ..least.diffusion
        };
        least.sample = SampleSection {
            spacing: None,
            churn: None,
            diffusion_form: None,
            weak_model: None,
            ..least.sample
        };
        let Guidance { guidance_scale, channels, .. } = least.guidance;
        least.guidance = Guidance::new(guidance_scale, channels);
        least.eval = Some(EvalSection {
            metrics: None,
            sampler: None,
            steps: None,
            batch: None,
            ..complete_eval()
        });
        Self { keys: paths(&template), required: paths(&least.to_table()), template }
    }

    /// Whether a top-level name is a table of experiments.
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.template.get(name).is_some_and(Value::is_table)
    }

    /// Everything wrong with the keys and the types of their values.
    pub(super) fn check(&self, leaves: &[Leaf], origin: &str) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            leaves.iter().filter_map(|leaf| self.check_leaf(leaf)).collect();
        let suggested: Vec<String> = problems.iter().flat_map(suggestions).cloned().collect();
        let mut missing_table = "";
        for key in &self.required {
            if leaves.iter().any(|leaf| leaf.key == *key) || suggested.contains(key) {
                continue;
            }
            let table = key.split_once('.').map_or("", |(table, _)| table);
            let in_table =
                |leaf: &Leaf| leaf.key.split('.').next() == Some(table) || table.is_empty();
            if leaves.iter().any(in_table) {
                problems.push(Problem::MissingKey { origin: origin.into(), key: key.clone() });
            } else if OPTIONAL_TABLES.contains(&table) {
                continue;
            } else if missing_table != table && !suggested.iter().any(|s| s == table) {
                missing_table = table;
                let table = table.to_owned();
                problems.push(Problem::MissingTable { origin: origin.into(), table });
            }
        }
        problems
    }

    fn check_leaf(&self, leaf: &Leaf) -> Option<Problem> {
        let (location, key) = (leaf.location.clone(), leaf.key.clone());
        if self.is_table(&key) {
            let (got, expected) = (shown(&leaf.value), format!("a table [{key}]"));
            return Some(Problem::Value { location, key, got, expected });
        }
        if self.keys.contains(&key) {
            return self.check_value(leaf);
        }
        if leaf.value.is_table() && !key.contains('.') {
            let suggestions = self.nearest_tables(&key);
            return Some(Problem::UnknownTable { location, table: key, suggestions });
        }
        let suggestions = self.nearest_keys(&key);
        Some(Problem::UnknownKey { location, key, suggestions })
    }

    /// Puts the value into the complete experiment and sees whether that can still be read.
    fn check_value(&self, leaf: &Leaf) -> Option<Problem> {
        let mut table = self.template.clone();
        let place = entry(&mut table, &leaf.key);
        let usual = std::mem::replace(place, leaf.value.clone());
        let error = Experiment::deserialize(Value::Table(table)).err()?;
        let (_, reason) = error.message().split_once(", expected ").unwrap_or_default();
        let expected = match (&usual, &leaf.value) {
            (Value::Integer(_), _) => "a whole number, 0 or more",
            (Value::Float(_), _) => "a number",
            (Value::Boolean(_), _) => "true or false",
            (Value::Array(_), _) if leaf.key == "guidance.interval" => {
                "a list of two numbers: [0.2, 3.0]"
            }
            (Value::Array(_), _) if leaf.key == "eval.metrics" => {
                "a list of names: [\"fid\", \"is\"]"
            }
            (Value::Array(_), _) => "a number, or a list of numbers: [0.1, 0.2]",
            (Value::String(_), Value::String(_)) if !reason.is_empty() => reason.trim_end(),
            _ => "a string in quotes",
        };
        Some(Problem::Value {
            location: leaf.location.clone(),
            key: leaf.key.clone(),
            got: shown(&leaf.value),
            expected: expected.replace('`', "\""),
        })
    }

    fn nearest_tables(&self, name: &str) -> Vec<String> {
        let tables = self.template.keys().filter(|name| self.is_table(name));
        nearest(tables.map(|table| (damerau_levenshtein(name, table), table.as_str())), name)
    }

    /// Keys that differ by a slip of the hand, or only by their table.
    fn nearest_keys(&self, key: &str) -> Vec<String> {
        let last = key.rsplit('.').next().unwrap_or(key);
        let distance = |known: &String| {
            let known_last = known.rsplit('.').next().unwrap_or(known);
            let elsewhere = 1 + damerau_levenshtein(last, known_last);
            damerau_levenshtein(key, known).min(elsewhere)
        };
        nearest(self.keys.iter().map(|known| (distance(known), known.as_str())), last)
    }
}

/// The names at the least distance, if that is a slip of the hand for a word as long as `word`.
fn nearest<'a>(candidates: impl Iterator<Item = (usize, &'a str)>, word: &str) -> Vec<String> {
    let mut candidates: Vec<(usize, &str)> = candidates.collect();
    candidates.sort_by_key(|(distance, _)| *distance);
    let least = candidates.first().map_or(usize::MAX, |(distance, _)| *distance);
    if least > 2.max(word.chars().count() / 3) {
        return Vec::new();
    }
    let ties = candidates.iter().take_while(|(distance, _)| *distance == least);
    ties.take(3).map(|(_, name)| (*name).to_owned()).collect()
}

fn suggestions(problem: &Problem) -> &[String] {
    match problem {
        Problem::UnknownKey { suggestions, .. } | Problem::UnknownTable { suggestions, .. } => {
            suggestions
        }
        _ => &[],
    }
}

/// The value of a key that the table has.
fn entry<'a>(table: &'a mut Table, key: &str) -> &'a mut Value {
    match key.split_once('.') {
        Some((outer, inner)) => &mut table[outer][inner],
        None => &mut table[key],
    }
}

/// A value as it would be written, on one line.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(60).collect();
    if short.len() < text.trim_end().len() {
        short.push_str("...");
    }
    short
}

/// Keys in full of a table of tables.
fn paths(table: &Table) -> Vec<String> {
    super::flatten(table).into_iter().map(|(key, _)| key).collect()
}

/// An experiment with every key that exists. The values mean nothing but their types.
fn complete() -> Experiment {
    Experiment {
        name: "complete".into(),
        seed: 0,
        data: DataSection {
            kind: DataKind::Shapes,
            path: Some(PathBuf::from("data")),
            count: Some(1),
            image_size: 1,
            flip: false,
            workers: Some(1),
        },
        vae: Some(complete_vae()),
        encode: Some(complete_encode()),
        model: ModelSection {
            preset: Some(DisPreset::S),
            hidden_size: Some(1),
            depth: Some(1),
            patch_size: 1,
            num_classes: 1,
            channels: 1,
            d_state: 1,
            d_conv: 1,
            skip: Skip::Concat,
            conditioning: Conditioning::Token,
            final_adaln: false,
            delta_bias_init: DeltaBiasInit::Official,
            direction_sum: 1.0,
            normalize_ssm_inputs: Some(false),
            drop_path: 1.0,
            label_dropout: 1.0,
            zero_head: false,
            position_std: 1.0,
            label_std: 1.0,
            norm_eps: 1.0,
            final_eps: 1.0,
        },
        diffusion: complete_diffusion(),
        train: complete_train(),
        sample: SampleSection {
            sampler: SamplerKind::Ddpm,
            steps: 1,
            spacing: Some(Spacing::Uniform),
            eta: 1.0,
            churn: Some(1.0),
            diffusion_form: Some(DiffusionForm::Sigma),
            clip_x0: false,
            count: 1,
            weak_model: Some(PathBuf::from("run")),
        },
        guidance: Guidance {
            guidance_scale: 1.0,
            channels: GuidanceChannels::All,
            interval: Some([1.0, 2.0]),
            rescale: Some(1.0),
            schedule: Some(GuidanceSchedule::Constant),
        },
        eval: Some(complete_eval()),
    }
}

fn complete_eval() -> EvalSection {
    EvalSection {
        every: 1,
        count: 1,
        reference: PathBuf::from("reference"),
        features: "pixels".into(),
        protocol: "adm".into(),
        metrics: Some(vec!["fid".into()]),
        sampler: Some(SamplerKind::Ddpm),
        steps: Some(1),
        batch: Some(1),
    }
}

fn complete_vae() -> VaeSection {
    VaeSection {
        path: PathBuf::from("vae"),
        latent_scale: Some(1.0),
        latent_mean: Some(Numbers::from([1.0, 2.0])),
        latent_std: Some(Numbers::from([1.0, 2.0])),
    }
}

fn complete_encode() -> EncodeSection {
    EncodeSection {
        kind: DataKind::Shapes,
        path: Some(PathBuf::from("data")),
        count: Some(1),
        image_size: 1,
    }
}

fn complete_diffusion() -> DiffusionSection {
    DiffusionSection {
        timesteps: 1,
        noise_schedule: NoiseScheduleKind::Linear,
        zero_terminal_snr: Some(false),
        objective: ObjectiveName::V,
        path: Some(FlowPath::Linear),
        time_scale: Some(1.0),
        sigma_data: Some(1.0),
        timestep_density: Some(TimestepDensity::Uniform),
        loss_weighting: Some(Weighting::None),
        cosine_direction: Some(1.0),
        log_variance_lr: Some(1.0),
    }
}

fn complete_train() -> TrainSection {
    TrainSection {
        steps: 1,
        batch_size: 1,
        micro_batch: Some(1),
        recompute: Some(Recompute::None),
        lr_max: 1.0,
        lr_min: 1.0,
        warmup_steps: 1,
        lr_schedule: LrScheduleKind::Cosine,
        tail_fraction: Some(1.0),
        decay_after: Some(1),
        beta1: 1.0,
        beta2: 1.0,
        adam_eps: 1.0,
        weight_decay: 1.0,
        grad_clip: 1.0,
        ema_decay: Numbers::from([1.0, 2.0]),
        ema_warmup: false,
        ema_power: Some(Numbers::from([1.0, 2.0])),
        ema_snapshot_every: Some(1),
        log_every: 1,
        sample_every: 1,
        checkpoint_every: 1,
        keep_checkpoints: 1,
    }
}
