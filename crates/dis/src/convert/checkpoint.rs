//! What a file of `torch.save` is, and the set of tensors in it that is wanted.

use super::inception;
use crate::exit::Failure;
use crate::load::{LANDMARK, Which};
use dis_model::weights::{Tensor, TensorMap};
use std::collections::BTreeMap;
use std::path::Path;
use torch_file::{Dict, Dtype, TensorInfo, TorchFile, TorchFileError, Value};

/// What this command can make something of.
const KNOWN: &str = "a DiS network (the keys ema and model of a checkpoint, or the names of a state \
                     dict) or the Inception network of FID";

/// Tensors by which autoencoders are recognised.
const AUTOENCODER: [&str; 2] =
    ["encoder.conv_in.weight", "first_stage_model.encoder.conv_in.weight"];

/// The network that a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Dis,
    Inception,
}

/// The tensors of one set.
#[derive(Debug)]
pub(super) struct TensorSet<'a> {
    pub(super) kind: Kind,
    file: &'a TorchFile,
    name: String,
    /// Where the set stands in the file.
    place: String,
    tensors: Vec<TensorInfo>,
}

/// Opens a file; what is wrong with it is bad data, unless the system failed.
pub(super) fn open(path: &Path) -> Result<TorchFile, Failure> {
    TorchFile::open(path).map_err(failure)
}

fn failure(error: TorchFileError) -> Failure {
    match error {
        TorchFileError::Io { path, error } => Failure::reading(&path, error),
        other => Failure::data(other.to_string()),
    }
}

impl<'a> TensorSet<'a> {
    /// Recognises a file by its names, and picks the set of `key`.
    pub(super) fn select(
        file: &'a TorchFile,
        path: &Path,
        key: Option<Which>,
    ) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let top = dict(&name, "the top level", file.root())?;
        let has = |wanted: &str| top.names().any(|n| strip(n) == wanted);
        let kind = if has(inception::LANDMARK) { Kind::Inception } else { Kind::Dis };
        if kind == Kind::Inception || has(LANDMARK) {
            if let Some(key) = key {
                let key = key.name();
                let what = format!("{name}: there is no {key}: the file is a bare state dict");
                return Err(Failure::usage(what).help("leave --key out"));
            }
            return Self::new(kind, file, name, top, "bare state dict".into());
        }
        let wanted = key.unwrap_or(Which::Ema).name();
        let found = list(top);
        let Some(value) = top.get(wanted) else {
            return Err(unknown(&name, wanted, &found, top));
        };
        let set = dict(&name, wanted, value)?;
        Self::new(kind, file, name, set, format!("{wanted} of {{{found}}}"))
    }

    fn new(
        kind: Kind,
        file: &'a TorchFile,
        name: String,
        set: Dict<'a>,
        place: String,
    ) -> Result<Self, Failure> {
        let mut tensors = file.tensors(set).map_err(failure)?;
        if kind == Kind::Inception {
            tensors.retain(|tensor| !tensor.name().ends_with(inception::COUNT));
        }
        let set = Self { kind, file, name, place, tensors };
        set.check()?;
        Ok(set)
    }

    /// Whether all are floats, and together no longer than the file: names of a network share
    /// nothing.
    fn check(&self) -> Result<(), Failure> {
        let refuse = |reason: String| Failure::data(format!("{}: {reason}", self.name));
        if self.tensors.is_empty() {
            let reason = "the set holds no tensors".into();
            return Err(refuse(reason).help(format!("expected {KNOWN}")));
        }
        let mut total = 0_u64;
        for tensor in &self.tensors {
            let (name, dtype) = (tensor.name(), tensor.dtype());
            if !matches!(dtype, Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16) {
                let got = dtype.name();
                return Err(refuse(format!("{name} holds {got}, expected f32, f64, f16 or bf16")));
            }
            total += (tensor.elements() * dtype.size()) as u64;
            if total > self.file.file_len() {
                let (shape, len) = (tensor.shape(), self.file.file_len());
                return Err(refuse(format!(
                    "{name}: a tensor of shape {shape:?} brings the tensors to {total} bytes, and \
                     the file has {len}"
                )));
            }
        }
        Ok(())
    }

    /// What was read, for people.
    pub(super) fn describe(&self) -> String {
        let mut types = BTreeMap::<&str, usize>::new();
        for tensor in &self.tensors {
            *types.entry(tensor.dtype().name()).or_default() += 1;
        }
        let types: Vec<_> = types.iter().map(|(name, n)| format!("{n} tensors {name}")).collect();
        format!("{}: {}, {}", self.name, self.place, types.join(", "))
    }

    /// Name of the file.
    pub(super) fn source(&self) -> &str {
        &self.name
    }

    /// The first tensor of another type.
    pub(super) fn first_not(&self, dtype: Dtype) -> Option<&TensorInfo> {
        self.tensors.iter().find(|tensor| tensor.dtype() != dtype)
    }

    /// All tensors as f32, without the prefix of distributed training.
    pub(super) fn read(&self) -> Result<TensorMap, Failure> {
        let distributed = self.tensors.iter().all(|tensor| strip(tensor.name()) != tensor.name());
        let read = |tensor: &TensorInfo| -> Result<(String, Tensor), Failure> {
            let name = if distributed { strip(tensor.name()) } else { tensor.name() };
            let data = self.file.read_f32(tensor).map_err(failure)?;
            Ok((name.to_string(), Tensor { shape: tensor.shape().to_vec(), data }))
        };
        self.tensors.iter().map(read).collect()
    }
}

/// A name without the prefix that distributed training puts before all.
fn strip(name: &str) -> &str {
    name.strip_prefix("module.").unwrap_or(name)
}

fn dict<'a>(name: &str, what: &str, value: Value<'a>) -> Result<Dict<'a>, Failure> {
    match value {
        Value::Dict(dict) => Ok(dict),
        other => {
            let got = other.describe();
            Err(Failure::data(format!("{name}: {what} is {got}, expected a dict of tensors")))
        }
    }
}

/// The error of a file in which nothing known was found.
fn unknown(name: &str, wanted: &str, found: &str, top: Dict<'_>) -> Failure {
    if top.names().any(|name| AUTOENCODER.contains(&name)) {
        let what = format!("{name} holds an autoencoder, expected {KNOWN}");
        return Failure::data(what).help(
            "vae.path of an experiment takes the safetensors file or folder of diffusers as it is",
        );
    }
    let failure = Failure::data(format!("{name}: no {wanted}; found {found}; expected {KNOWN}"));
    let other = [Which::Ema, Which::Model].map(Which::name);
    match other.into_iter().find(|other| top.get(other).is_some()) {
        Some(other) => failure.help(format!("--key {other} takes the other set")),
        None => failure,
    }
}

/// The first names of a dict, cut to what fits a screen.
fn list(dict: Dict<'_>) -> String {
    let n = dict.names().count();
    let brief =
        |name: &str| -> String { name.chars().filter(|c| !c.is_control()).take(60).collect() };
    let shown = dict.names().take(8).map(brief).collect::<Vec<_>>().join(", ");
    match n {
        0 => "nothing".into(),
        n if n > 8 => format!("{shown} and {} more", n - 8),
        _ => shown,
    }
}
