//! Reading checkpoints.

use super::manifest::{FileRecord, LONGEST_MANIFEST, MANIFEST, Manifest};
use super::tensor_file;
use super::{
    CheckpointError, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, TrainState, average_name, list,
};
use dis_model::ParamLayout;
use dis_model::weights::{Difference, DifferenceKind, Mismatch};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A checkpoint as read.
#[derive(Debug)]
pub struct Loaded {
    /// Its directory.
    pub path: PathBuf,
    /// Counters.
    pub state: TrainState,
    /// [`crate::Experiment::identity`] of the run that wrote it.
    pub config_hash: String,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Arena of the weights.
    pub params: Vec<f32>,
    /// Names and arenas of the averages.
    pub averages: Vec<(String, Vec<f32>)>,
    /// Arena of Adam's mean gradients.
    pub m: Vec<f32>,
    /// Arena of Adam's mean squared gradients.
    pub v: Vec<f32>,
    /// Newer checkpoints that could not be believed, newest first.
    pub rejected: Vec<Rejected>,
}

/// A checkpoint that could not be believed.
#[derive(Debug)]
pub struct Rejected {
    /// Its directory.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: CheckpointError,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every reason begins with the file.
        self.reason.fmt(f)
    }
}

impl Loaded {
    /// Takes the average of that name out.
    ///
    /// # Errors
    /// [`CheckpointError::NoAverage`] when the checkpoint has none of that name.
    pub fn take_average(&mut self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        match self.averages.iter_mut().find(|(found, _)| found == name) {
            Some((_, values)) => Ok(std::mem::take(values)),
            None => Err(CheckpointError::NoAverage {
                path: self.path.clone(),
                name: name.into(),
                there: self.averages.iter().map(|(found, _)| format!("ema-{found}")).collect(),
            }),
        }
    }
}

impl Rejected {
    /// Renames the directory to `rejected-*`, so that it neither counts as a checkpoint nor is
    /// removed as one. Only for the one process that writes there. Returns the new path.
    ///
    /// # Errors
    /// [`CheckpointError::Io`] when it cannot be renamed.
    pub fn set_aside(&self) -> Result<PathBuf, CheckpointError> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let free = |number: u32| self.path.with_file_name(format!("rejected-{number}-{name}"));
        let aside = (1..).map(free).find(|path| !path.exists()).unwrap_or_else(|| free(0));
        fs::rename(&self.path, &aside).map_err(CheckpointError::io(&self.path))?;
        Ok(aside)
    }
}

/// Reads the newest checkpoint whose every byte is as it was written; `None` where there is none at
/// all.
///
/// # Errors
/// [`CheckpointError::NoneUsable`] when there are checkpoints and none can be believed;
/// [`CheckpointError::Layout`] and [`CheckpointError::NewerFormat`] for a whole checkpoint that is
/// not ours to read: an older one would not be better, and would silently undo the newer.
pub fn load_newest(dir: &Path, layout: &ParamLayout) -> Result<Option<Loaded>, CheckpointError> {
    newest(dir, |path| load(path, layout)).map(|found| {
        found.map(|(mut loaded, rejected)| {
            loaded.rejected = rejected;
            loaded
        })
    })
}

/// The newest checkpoint for which `read` succeeds, and those before it.
pub(super) fn newest<T>(
    dir: &Path,
    read: impl Fn(&Path) -> Result<T, CheckpointError>,
) -> Result<Option<(T, Vec<Rejected>)>, CheckpointError> {
    let mut rejected = Vec::new();
    for (_, path) in list(dir)? {
        match read(&path) {
            Ok(loaded) => return Ok(Some((loaded, rejected))),
            Err(
                error @ (CheckpointError::Layout { .. }
                | CheckpointError::NewerFormat { .. }
                | CheckpointError::NoAverage { .. }),
            ) => return Err(error),
            Err(reason) => rejected.push(Rejected { path, reason }),
        }
    }
    if rejected.is_empty() {
        return Ok(None);
    }
    Err(CheckpointError::NoneUsable { dir: dir.into(), rejected })
}

/// Reads one checkpoint and checks every byte of it.
pub(super) fn load(dir: &Path, layout: &ParamLayout) -> Result<Loaded, CheckpointError> {
    let manifest = read_manifest(dir)?;
    for name in [MODEL_FILE, OPTIMIZER_FILE, STATE_FILE] {
        record(dir, &manifest, name)?;
    }
    check_lengths(dir, &manifest)?;
    check_tables(dir, &manifest, layout)?;

    let arena = || vec![0.0; layout.len()];
    let read = |name: &str, arenas: &mut [(&str, &mut [f32])]| {
        read_tensors(&dir.join(name), Some(record(dir, &manifest, name)?), layout, arenas)
    };
    let (mut params, mut m, mut v) = (arena(), arena(), arena());
    read(MODEL_FILE, &mut [("", &mut params)])?;
    read(OPTIMIZER_FILE, &mut [("m.", &mut m), ("v.", &mut v)])?;
    let mut averages = Vec::new();
    for file in &manifest.files {
        if let Some(name) = average_name(&file.name) {
            let mut values = arena();
            read(&file.name, &mut [("", &mut values)])?;
            averages.push((name.to_owned(), values));
        }
    }
    let state = read_state(dir, &manifest)?;
    let Manifest { config_hash, program_version, .. } = manifest;
    let path = dir.to_path_buf();
    let rejected = Vec::new();
    Ok(Loaded { path, state, config_hash, program_version, params, averages, m, v, rejected })
}

pub(super) fn read_manifest(dir: &Path) -> Result<Manifest, CheckpointError> {
    let path = dir.join(MANIFEST);
    let bytes = read_small(&path, LONGEST_MANIFEST)?;
    let manifest = Manifest::parse(&path, &bytes)?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with(super::STEP_PREFIX) && name != super::step_dir(manifest.step) {
        return Err(CheckpointError::Damaged {
            file: path,
            field: "step".into(),
            expected: format!("the one of the folder's name {name}"),
            got: manifest.step.to_string(),
        });
    }
    Ok(manifest)
}

/// The record of a file that must be there.
pub(super) fn record<'a>(
    dir: &Path,
    manifest: &'a Manifest,
    name: &str,
) -> Result<&'a FileRecord, CheckpointError> {
    manifest.file(name).ok_or_else(|| CheckpointError::Damaged {
        file: dir.join(MANIFEST),
        field: "files".into(),
        expected: format!("a list with {name}"),
        got: "one without".into(),
    })
}

/// Finds missing and cut files before any is read.
fn check_lengths(dir: &Path, manifest: &Manifest) -> Result<(), CheckpointError> {
    for record in &manifest.files {
        let file = dir.join(&record.name);
        let len = fs::metadata(&file).map_err(CheckpointError::read(&file))?.len();
        if len != record.bytes {
            return Err(CheckpointError::Damaged {
                file,
                field: "length".into(),
                expected: record.bytes.to_string(),
                got: len.to_string(),
            });
        }
    }
    Ok(())
}

/// Compares the manifest's table of tensors with the network, so that another network's checkpoint
/// is told apart from a damaged one.
fn check_tables(
    dir: &Path,
    manifest: &Manifest,
    layout: &ParamLayout,
) -> Result<(), CheckpointError> {
    for file in &manifest.files {
        let prefixes: &[&str] = match file.name.as_str() {
            OPTIMIZER_FILE => &["m.", "v."],
            STATE_FILE => continue,
            _ => &[""],
        };
        let tensors = manifest.tensors.iter().filter(|tensor| tensor.file == file.name);
        let tensors = tensors.map(|tensor| (tensor.name.as_str(), tensor.shape.as_slice()));
        compare(&dir.join(&file.name), tensors, layout, prefixes)?;
    }
    Ok(())
}

/// Every difference between the tensors of a file and those of the network under some prefixes.
fn compare<'a>(
    path: &Path,
    tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    layout: &ParamLayout,
    prefixes: &[&str],
) -> Result<(), CheckpointError> {
    let tensors: Vec<(&str, &[usize])> = tensors.collect();
    let mut rest: HashMap<&str, &[usize]> = tensors.iter().copied().collect();
    let mut differences = Vec::new();
    for prefix in prefixes {
        for param in layout.iter() {
            let name = format!("{prefix}{}", param.name);
            let (kind, got) = match rest.remove(name.as_str()) {
                Some(shape) if shape == param.shape => continue,
                Some(shape) => (DifferenceKind::Shape, format!("{shape:?}")),
                None => (DifferenceKind::Missing, String::new()),
            };
            differences.push(Difference {
                kind,
                name,
                expected: format!("{:?}", param.shape),
                got,
            });
        }
    }
    let unknown = tensors.iter().filter(|(name, _)| rest.contains_key(name));
    differences.extend(unknown.map(|(name, shape)| Difference {
        kind: DifferenceKind::Unexpected,
        name: (*name).into(),
        expected: String::new(),
        got: format!("{shape:?}"),
    }));
    if differences.is_empty() {
        return Ok(());
    }
    let hint = Some("it is of another network: choose another run directory".into());
    let source_name = path.display().to_string();
    Err(CheckpointError::Layout(Box::new(Mismatch { source_name, differences, hint })))
}

/// The same for a file with a record: a flipped bit in a name is damage, not another network.
pub(super) fn compare_whole<'a>(
    path: &Path,
    record: Option<&FileRecord>,
    tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
    layout: &ParamLayout,
    prefixes: &[&str],
) -> Result<(), CheckpointError> {
    let comparison = compare(path, tensors, layout, prefixes);
    if let (Err(_), Some(record)) = (&comparison, record) {
        let mut hasher = blake3::Hasher::new();
        let file = File::open(path).map_err(CheckpointError::read(path))?;
        hasher.update_reader(file).map_err(CheckpointError::read(path))?;
        check_hash(path, record, Some(&hasher))?;
    }
    comparison
}

/// Reads a file of tensors into arenas: those whose name begins with a prefix into its arena.
///
/// Given a record, every byte of the file is hashed and compared with it.
pub(super) fn read_tensors(
    path: &Path,
    record: Option<&FileRecord>,
    layout: &ParamLayout,
    arenas: &mut [(&str, &mut [f32])],
) -> Result<(), CheckpointError> {
    let file = File::open(path).map_err(CheckpointError::read(path))?;
    let len = file.metadata().map_err(CheckpointError::io(path))?.len();
    let hasher = record.map(|_| blake3::Hasher::new());
    let mut input = HashingReader { file, hasher };
    let header = tensor_file::read_header(&mut input, len).map_err(CheckpointError::read(path))?;
    let prefixes: Vec<&str> = arenas.iter().map(|(prefix, _)| *prefix).collect();
    let tensors = header.tensors.iter().map(|tensor| (&*tensor.name, &*tensor.shape));
    compare_whole(path, record, tensors, layout, &prefixes)?;
    for tensor in &header.tensors {
        // `compare` has found a place for each.
        let place = arenas.iter_mut().find_map(|(prefix, arena)| {
            let param = layout.get(tensor.name.strip_prefix(*prefix)?)?;
            Some(&mut arena[param.range.clone()])
        });
        if let Some(values) = place {
            tensor_file::read_values(&mut input, values).map_err(CheckpointError::read(path))?;
        }
    }
    record.map_or(Ok(()), |record| check_hash(path, record, input.hasher.as_ref()))
}

fn check_hash(
    path: &Path,
    record: &FileRecord,
    hasher: Option<&blake3::Hasher>,
) -> Result<(), CheckpointError> {
    let got = hasher.map_or_else(String::new, |hasher| hasher.finalize().to_hex().to_string());
    if got == record.blake3 {
        return Ok(());
    }
    Err(CheckpointError::Damaged {
        file: path.into(),
        field: "BLAKE3".into(),
        expected: record.blake3.clone(),
        got,
    })
}

fn read_state(dir: &Path, manifest: &Manifest) -> Result<TrainState, CheckpointError> {
    let path = dir.join(STATE_FILE);
    let record = record(dir, manifest, STATE_FILE)?;
    let bytes = read_small(&path, record.bytes)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes);
    check_hash(&path, record, Some(&hasher))?;
    serde_json::from_slice(&bytes).map_err(|error| CheckpointError::Damaged {
        file: path,
        field: "content".into(),
        expected: "the counters of a run".into(),
        got: error.to_string(),
    })
}

/// Reads a file of at most `limit` bytes.
fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>, CheckpointError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(CheckpointError::read(path))?;
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(CheckpointError::read(path))?;
    if bytes.len() as u64 > limit {
        return Err(CheckpointError::Damaged {
            file: path.into(),
            field: "length".into(),
            expected: format!("at most {limit}"),
            got: "more".into(),
        });
    }
    Ok(bytes)
}

/// A file whose content is hashed on the way.
struct HashingReader {
    file: File,
    hasher: Option<blake3::Hasher>,
}

impl Read for HashingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..len]);
        }
        Ok(len)
    }
}
