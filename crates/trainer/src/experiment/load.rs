//! From a file and `--set` arguments to an experiment.

use super::problem::{ConfigError, Problem};
use super::schema::Schema;
use super::{Experiment, Leaf};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

/// Largest file that is read. The longest experiment has a few kilobytes.
const LARGEST_FILE: u64 = 1 << 20;

pub(super) fn load(path: &Path, sets: &[String]) -> Result<Experiment, ConfigError> {
    let read = |source| ConfigError::Read { path: path.into(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(read)?;
    let len = file.take(LARGEST_FILE + 1).read_to_string(&mut text).map_err(read)?;
    if len as u64 > LARGEST_FILE {
        return Err(ConfigError::TooLarge { path: path.into(), limit: LARGEST_FILE });
    }
    parse(&text, &path.display().to_string(), sets)
}

pub(super) fn parse(text: &str, origin: &str, sets: &[String]) -> Result<Experiment, ConfigError> {
    let schema = Schema::new();
    let mut leaves = read_document(text, origin, &schema)?;
    let overrides: Vec<Leaf> = sets
        .iter()
        .map(|argument| read_set(argument, &schema))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    apply(&mut leaves, overrides);
    refuse(schema.check(&leaves, origin))?;

    let experiment = Experiment::deserialize(Value::Table(to_table(&leaves))).map_err(|error| {
        ConfigError::Syntax { origin: origin.into(), message: error.to_string() }
    })?;
    let location = |key: &str| {
        let leaf = leaves.iter().find(|leaf| leaf.key == key);
        leaf.map_or(origin, |leaf| leaf.location.as_str()).to_owned()
    };
    let violations = experiment.violations().into_iter();
    refuse(violations.map(|v| v.clone().at(location(v.key))).collect())?;
    Ok(experiment)
}

/// No problem is success.
pub(super) fn refuse(problems: Vec<Problem>) -> Result<(), ConfigError> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigError::Problems { problems }) }
}

/// Keys and values of a file, with their lines.
fn read_document(text: &str, origin: &str, schema: &Schema) -> Result<Vec<Leaf>, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        origin: origin.into(),
        message: error.to_string().trim_end().into(),
    };
    let document = DeTable::parse(text).map_err(syntax)?;
    let mut leaves = Vec::new();
    for (name, value) in document.get_ref() {
        match value.get_ref() {
            DeValue::Table(inner) if schema.is_table(name.get_ref()) => {
                for (key, value) in inner {
                    let key_in_full = format!("{}.{}", name.get_ref(), bare(key.get_ref()));
                    let location = location(text, origin, key.span().start);
                    let value = plain(value).map_err(syntax)?;
                    leaves.push(Leaf { key: key_in_full, value, location });
                }
            }
            _ => leaves.push(Leaf {
                key: bare(name.get_ref()),
                value: plain(value).map_err(syntax)?,
                location: location(text, origin, name.span().start),
            }),
        }
    }
    Ok(leaves)
}

fn location(text: &str, origin: &str, byte: usize) -> String {
    let line = 1 + text.bytes().take(byte).filter(|&b| b == b'\n').count();
    format!("{origin}:{line}")
}

/// A key as it must be written, so that a quoted `"a.b"` is not taken for `b` in `[a]`.
fn bare(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.into() } else { format!("{key:?}") }
}

fn plain(value: &Spanned<DeValue<'_>>) -> Result<Value, toml::de::Error> {
    Value::deserialize(ValueDeserializer::from(value.clone()))
}

/// Keys and values of one `--set` argument: one, or several when the value is a table.
fn read_set(argument: &str, schema: &Schema) -> Result<Vec<Leaf>, ConfigError> {
    let no_pair = || ConfigError::Set { argument: argument.into() };
    let (key, text) = argument.split_once('=').ok_or_else(no_pair)?;
    let (key, text) = (key.trim(), text.trim());
    if key.is_empty() || key.split('.').any(str::is_empty) {
        return Err(no_pair());
    }
    let value = read_value(text);
    let location = format!("--set {argument}");
    let leaf = |key: String, value| Leaf { key, value, location: location.clone() };
    Ok(match value {
        Value::Table(inner) if schema.is_table(key) => {
            inner.into_iter().map(|(name, value)| leaf(format!("{key}.{name}"), value)).collect()
        }
        value => vec![leaf(key.into(), value)],
    })
}

/// The text as a TOML value, else as a string: quotes are a nuisance in a shell.
fn read_value(text: &str) -> Value {
    let as_string = || Value::String(text.into());
    match format!("x = {text}").parse::<Table>() {
        Ok(mut table) if table.len() == 1 => table.remove("x").unwrap_or_else(as_string),
        _ => as_string(),
    }
}

/// Keys that give way when another is set, unless they are set themselves.
///
/// The last item is whether the other key must really change for that.
const GIVE_WAY: [(&str, &[&str], bool); 11] = [
    ("model.preset", &["model.hidden_size", "model.depth"], false),
    ("model.hidden_size", &["model.preset"], false),
    ("model.depth", &["model.preset"], false),
    (
        "data.kind",
        &[
            "data.path",
            "data.count",
            "vae.path",
            "vae.latent_scale",
            "vae.latent_mean",
            "vae.latent_std",
            "encode.kind",
            "encode.path",
            "encode.count",
            "encode.image_size",
        ],
        true,
    ),
    ("encode.kind", &["encode.path", "encode.count"], true),
    ("vae.latent_scale", &["vae.latent_mean", "vae.latent_std"], false),
    ("vae.latent_mean", &["vae.latent_scale"], false),
    ("vae.latent_std", &["vae.latent_scale"], false),
    ("train.lr_schedule", &["train.tail_fraction", "train.decay_after"], true),
    (
        "diffusion.objective",
        &["diffusion.path", "diffusion.time_scale", "diffusion.sigma_data"],
        true,
    ),
    ("sample.sampler", &["sample.spacing", "sample.churn", "sample.diffusion_form"], true),
];

fn apply(leaves: &mut Vec<Leaf>, overrides: Vec<Leaf>) {
    for (key, losers, needs_change) in GIVE_WAY {
        let Some(set) = overrides.iter().rev().find(|leaf| leaf.key == key) else { continue };
        let same = leaves.iter().any(|leaf| leaf.key == key && leaf.value == set.value);
        if !(needs_change && same) {
            leaves.retain(|leaf| !losers.contains(&leaf.key.as_str()));
        }
    }
    for set in overrides {
        leaves.retain(|leaf| leaf.key != set.key);
        leaves.push(set);
    }
}

fn to_table(leaves: &[Leaf]) -> Table {
    let mut table = Table::new();
    for leaf in leaves {
        match leaf.key.split_once('.') {
            Some((outer, inner)) => {
                let outer = table.entry(outer).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(outer) = outer {
                    outer.insert(inner.into(), leaf.value.clone());
                }
            }
            None => {
                table.insert(leaf.key.clone(), leaf.value.clone());
            }
        }
    }
    table
}
