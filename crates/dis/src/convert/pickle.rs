//! Tensors of a torch checkpoint: a zip of raw storages and one pickle that describes them.
//!
//! The pickle machine is candle's. It builds a tree of dicts, tuples and class names and calls
//! nothing; only what `torch._utils._rebuild_tensor_v2` would rebuild counts as a tensor. Sizes are
//! compared with the file before anything is allocated for them. Still it runs in a child process
//! (`guard`), because the tree itself can be made to grow.

use crate::exit::Failure;
use crate::load::Which;
use candle_core::pickle::{Object, Stack, TensorInfo};
use candle_core::{DType, Device, Tensor as CandleTensor};
use dis_model::weights::{Tensor, TensorMap};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// Longest description of tensors; that of the largest network is 2 MB.
const MAX_PICKLE: u64 = 256 << 20;

/// Entries of the archive; a checkpoint of the largest network has 4,500.
const MAX_ENTRIES: usize = 100_000;

/// The tensor by which a network is recognised.
const LANDMARK: &str = "norm_f.weight";

type Archive = ZipArchive<BufReader<File>>;

/// The tensors of one set as f32, and a description of what was read.
pub(super) fn read(path: &Path, key: Option<Which>) -> Result<(TensorMap, String), Failure> {
    let reader = Reader { name: path.display().to_string() };
    let file = File::open(path).map_err(|e| Failure::reading(path, e))?;
    let len = file.metadata().map_err(|e| Failure::reading(path, e))?.len();
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| {
        reader
            .refuse(format!("not a whole zip archive: {error}"))
            .help("the download or copy is incomplete, or this is not a torch checkpoint")
    })?;
    let pickle = reader.check_archive(&mut archive, len)?;
    let top = reader.run_pickle(&mut archive, &pickle)?;
    let (entries, note) = reader.select(top, key)?;
    let infos = reader.describe_tensors(entries, &pickle, len)?;
    let mut tensors = BTreeMap::new();
    let mut types = BTreeMap::<&str, usize>::new();
    for info in infos {
        *types.entry(info.dtype.as_str()).or_default() += 1;
        let tensor = reader.load(&mut archive, &info)?;
        if tensors.insert(info.name.clone(), tensor).is_some() {
            return Err(reader.refuse(format!("{} stands twice in the dict", info.name)));
        }
    }
    let types: Vec<String> = types.iter().map(|(name, n)| format!("{n} tensors {name}")).collect();
    Ok((tensors, format!("{note}, {}", types.join(", "))))
}

/// Errors name the file.
struct Reader {
    name: String,
}

impl Reader {
    fn refuse(&self, reason: impl std::fmt::Display) -> Failure {
        Failure::data(format!("{}: {reason}", self.name))
    }

    /// Checks sizes and byte order; returns the name of the pickle.
    fn check_archive(&self, archive: &mut Archive, file_len: u64) -> Result<String, Failure> {
        if archive.len() > MAX_ENTRIES {
            let n = archive.len();
            return Err(self.refuse(format!("{n} entries in the archive, at most {MAX_ENTRIES}")));
        }
        let mut total = 0_u64;
        let mut pickles = Vec::new();
        for i in 0..archive.len() {
            let entry = archive.by_index_raw(i).map_err(|e| self.refuse(e))?;
            let name = entry.name().map_err(|e| self.refuse(e))?.into_owned();
            total = total.saturating_add(entry.size());
            if name.ends_with("/data.pkl") {
                if entry.size() > MAX_PICKLE {
                    let size = entry.size();
                    return Err(
                        self.refuse(format!("{name} has {size} bytes, at most {MAX_PICKLE}"))
                    );
                }
                pickles.push(name);
            }
        }
        // Torch stores without compression, so that entries lie side by side in the file.
        if total > file_len {
            let reason = format!("its entries claim {total} bytes, and the file has {file_len}");
            return Err(self.refuse(reason));
        }
        let [pickle] = pickles.as_slice() else {
            let n = pickles.len();
            return Err(self
                .refuse(format!("{n} entries named data.pkl, expected one"))
                .help("this is a zip archive, but not one that torch.save wrote"));
        };
        let folder = pickle.trim_end_matches("data.pkl");
        if let Ok(mut entry) = archive.by_name(&format!("{folder}byteorder")) {
            let mut order = [0; 8];
            let n = entry.read(&mut order).map_err(|e| self.refuse(e))?;
            if &order[..n] != b"little" {
                return Err(self.refuse("its numbers are big-endian, expected little-endian"));
            }
        }
        Ok(pickle.clone())
    }

    /// Runs the stack machine to the end.
    fn run_pickle(&self, archive: &mut Archive, pickle: &str) -> Result<Object, Failure> {
        let entry = archive.by_name(pickle).map_err(|e| self.refuse(e))?;
        let mut stack = Stack::empty();
        stack
            .read_loop(&mut BufReader::new(entry.take(MAX_PICKLE)))
            .and_then(|()| stack.finalize())
            .map_err(|error| self.refuse(format!("{pickle} is no torch pickle: {}", brief(&error))))
    }

    /// The dict of tensors: one of a nested checkpoint's, or the top level itself.
    fn select(&self, top: Object, key: Option<Which>) -> Result<(Entries, String), Failure> {
        let top = self.dict("the top level", top)?;
        // The pickle machine fills dicts from the back.
        let names = top.iter().rev().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let found = list(&names);
        if names.iter().any(|n| n.strip_prefix("module.").unwrap_or(n) == LANDMARK) {
            if let Some(key) = key {
                let name = key.name();
                return Err(Failure::usage(format!(
                    "{}: there is no {name}: the file is a bare state dict",
                    self.name
                ))
                .help("leave --key out"));
            }
            return Ok((top, "bare state dict".into()));
        }
        let wanted = key.unwrap_or(Which::Ema).name();
        if !names.contains(&wanted) {
            let expected = "the keys ema and model of a checkpoint, or the names of a state dict";
            let other = [Which::Ema, Which::Model].map(Which::name);
            let other = other.into_iter().find(|name| names.contains(name));
            let failure = self.refuse(format!("no {wanted}; found {found}; expected {expected}"));
            return Err(match other {
                Some(other) => failure.help(format!("--key {other} takes the other set")),
                None => failure,
            });
        }
        let value = top.into_iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let entries = self.dict(wanted, value.unwrap_or(Object::None))?;
        Ok((entries, format!("{wanted} of {{{found}}}")))
    }

    /// Entries of a dict with text keys.
    fn dict(&self, what: &str, object: Object) -> Result<Entries, Failure> {
        let Object::Dict(entries) = object else {
            let got = kind(&object);
            return Err(self.refuse(format!("{what} is {got}, expected a dict of tensors")));
        };
        entries
            .into_iter()
            .map(|(key, value)| match key {
                Object::Unicode(key) => Ok((key, value)),
                other => {
                    let got = kind(&other);
                    Err(self.refuse(format!("a key of {what} is {got}, expected a text")))
                }
            })
            .collect()
    }

    /// What every tensor of the set claims to be, checked against the length of the file.
    fn describe_tensors(
        &self,
        entries: Entries,
        pickle: &str,
        file_len: u64,
    ) -> Result<Vec<TensorInfo>, Failure> {
        let folder = Path::new(pickle.trim_end_matches(".pkl"));
        // Torch hangs the versions of its modules on a state dict.
        let entries: Entries =
            entries.into_iter().filter(|(name, _)| name != "_metadata").collect();
        if entries.is_empty() {
            return Err(self
                .refuse("the set holds no tensors")
                .help("expected pos_embed and others"));
        }
        let distributed = entries.iter().all(|(name, _)| name.starts_with("module."));
        let mut total = 0_u64;
        let mut infos = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            let got = kind(&value);
            let name = if distributed { name["module.".len()..].to_string() } else { name };
            let info = value
                .into_tensor_info(Object::Unicode(name.clone()), folder)
                .map_err(|error| self.refuse(format!("{name}: {}", brief(&error))))?
                .ok_or_else(|| self.refuse(format!("{name} is {got}, expected a tensor")))?;
            let bytes = self.byte_len(&info)?;
            total = total.saturating_add(bytes);
            if total > file_len {
                let shape = info.layout.dims();
                return Err(self.refuse(format!(
                    "{name}: a tensor of shape {shape:?} brings the tensors to {total} bytes, and \
                     the file has {file_len}"
                )));
            }
            infos.push(info);
        }
        Ok(infos)
    }

    /// Bytes of a tensor of floats that lie side by side.
    fn byte_len(&self, info: &TensorInfo) -> Result<u64, Failure> {
        let name = &info.name;
        if !matches!(info.dtype, DType::F32 | DType::F64 | DType::F16 | DType::BF16) {
            let got = info.dtype.as_str();
            return Err(self.refuse(format!("{name} holds {got}, expected f32, f64, f16 or bf16")));
        }
        let size = info.dtype.size_in_bytes() as u64;
        let dims = info.layout.dims();
        let bytes = dims.iter().try_fold(size, |n, &dim| n.checked_mul(dim as u64));
        let bytes = bytes.ok_or_else(|| {
            self.refuse(format!("{name}: a shape of {dims:?} has more elements than fit any file"))
        })?;
        if !info.layout.is_contiguous() {
            let strides = info.layout.stride();
            return Err(self
                .refuse(format!("{name} has strides {strides:?} for a shape of {dims:?}"))
                .help("save contiguous tensors: {k: v.contiguous() for k, v in sd.items()}"));
        }
        Ok(bytes)
    }

    /// Copies a tensor out of its storage and widens or rounds it to f32.
    fn load(&self, archive: &mut Archive, info: &TensorInfo) -> Result<Tensor, Failure> {
        let name = &info.name;
        let refuse = |reason: String| self.refuse(format!("{name}: {reason}"));
        let entry = archive
            .by_name(&info.path)
            .map_err(|error| refuse(format!("its storage {}: {error}", info.path)))?;
        // Offsets of a described tensor are in bytes.
        let (start, bytes) = (info.layout.start_offset() as u64, self.byte_len(info)?);
        let end = start.checked_add(bytes).filter(|end| *end <= entry.size());
        if end.is_none() {
            let has = entry.size();
            return Err(refuse(format!("takes {bytes} bytes at {start} of a storage of {has}")));
        }
        let mut entry = BufReader::new(entry);
        let skipped = std::io::copy(&mut entry.by_ref().take(start), &mut std::io::sink());
        let mut raw = vec![0; bytes as usize];
        skipped
            .and_then(|_| entry.read_exact(&mut raw))
            .map_err(|error| refuse(error.to_string()))?;
        let shape = info.layout.dims().to_vec();
        let data = CandleTensor::from_raw_buffer(&raw, info.dtype, &shape, &Device::Cpu)
            .and_then(|tensor| tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>())
            .map_err(|error| refuse(brief(&error)))?;
        Ok(Tensor { shape, data })
    }
}

type Entries = Vec<(String, Object)>;

/// The first names of a list.
fn list(names: &[&str]) -> String {
    let shown = names.iter().take(8).map(brief).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "nothing".into(),
        n if n > 8 => format!("{shown} and {} more", n - 8),
        _ => shown,
    }
}

/// The first line of a text, cut to what fits a screen. It may come from the file, or end in a stack
/// trace.
fn brief(text: &impl std::fmt::Display) -> String {
    let text = text.to_string();
    let line = text.lines().next().unwrap_or_default();
    let printable = |c: &char| !c.is_control();
    match line.char_indices().nth(120) {
        Some((end, _)) => line[..end].chars().filter(printable).chain(['…']).collect(),
        None => line.chars().filter(printable).collect(),
    }
}

/// A Python value in words.
fn kind(object: &Object) -> &'static str {
    match object {
        Object::Int(_) | Object::Long(_) | Object::Float(_) => "a number",
        Object::Unicode(_) => "a text",
        Object::Bool(_) => "a truth value",
        Object::None => "None",
        Object::Tuple(_) => "a tuple",
        Object::List(_) => "a list",
        Object::Dict(_) => "a dict",
        Object::Reduce { .. } | Object::Build { .. } => "an object",
        Object::Class { .. } => "a class",
        Object::Mark | Object::PersistentLoad(_) => "a storage",
    }
}
