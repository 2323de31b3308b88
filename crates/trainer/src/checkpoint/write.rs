//! Writing checkpoints and removing old ones.

use super::manifest::{FORMAT_VERSION, FileRecord, MANIFEST, Manifest, TensorRecord};
use super::tensor_file::{self, TensorView};
use super::{
    Average, CheckpointError, DIS_CONFIG, MODEL_FILE, OPTIMIZER_FILE, STATE_FILE, Snapshot,
    average_file, list, step_dir,
};
use crate::storage::{Disk, Storage, StoredFile, TEMPORARY};
use dis_model::{DisConfig, ParamLayout};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Start of the name of a checkpoint that is being removed.
const REMOVED: &str = ".del-";
/// Start of the name of a checkpoint while another takes its place.
const REPLACED: &str = ".old-";

/// A checkpoint or a snapshot that was written.
#[derive(Debug)]
pub struct Saved {
    /// Its directory.
    pub path: PathBuf,
    /// Bytes of its files.
    pub bytes: u64,
    /// Old ones that could not be removed. The next save or the next start tries again.
    pub not_removed: Vec<CheckpointError>,
}

/// Writes a checkpoint into `dir` and then keeps the newest `keep` up to its step.
///
/// Whatever fails, and whenever the process or the machine dies, the checkpoints that were there
/// stay as they are until the new one is complete on the disk. Checkpoints of later steps, which
/// only a damaged one can have left, are not touched.
///
/// # Errors
/// [`CheckpointError::Space`] before anything is written, [`CheckpointError::Io`] with what was
/// written removed again.
///
/// # Panics
/// When an arena has not the length of the layout, or an average has a name that is no file name.
pub fn save(dir: &Path, snapshot: &Snapshot<'_>, keep: usize) -> Result<Saved, CheckpointError> {
    save_on(&Disk, dir, snapshot, keep)
}

pub(super) fn save_on(
    disk: &dyn Storage,
    dir: &Path,
    snapshot: &Snapshot<'_>,
    keep: usize,
) -> Result<Saved, CheckpointError> {
    let (layout, step) = (snapshot.layout, snapshot.state.step);
    let arenas = [("params", snapshot.params), ("m", snapshot.m), ("v", snapshot.v)];
    arenas.iter().for_each(|(name, arena)| check_arena(name, arena, layout));
    snapshot.averages.iter().for_each(|average| check_average(average, layout));
    let arenas = arenas.len() + snapshot.averages.len();
    let head = Head { step, config_hash: &snapshot.config_hash, layout, arenas };
    let bytes = write_step(disk, dir, &head, |writer| write_files(writer, snapshot))?;
    let not_removed = remove_old(disk, dir, step, keep);
    Ok(Saved { path: dir.join(step_dir(step)), bytes, not_removed })
}

/// What the folder of a step is beside its files.
pub(super) struct Head<'a> {
    pub(super) step: u64,
    pub(super) config_hash: &'a str,
    pub(super) layout: &'a ParamLayout,
    /// Arenas that will be written.
    pub(super) arenas: usize,
}

/// Writes the folder of a step with its manifest, whole or not at all, and forces it to the disk.
/// Returns the bytes of its files.
pub(super) fn write_step(
    disk: &dyn Storage,
    dir: &Path,
    head: &Head<'_>,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    disk.create_dir(dir).map_err(CheckpointError::io(dir))?;
    check_space(disk, dir, head)?;
    let name = step_dir(head.step);
    let temporary = temporary_dir(dir, &name);
    let written = write_all(disk, &temporary, head, write)
        .and_then(|bytes| commit(disk, dir, &temporary, &name).map(|()| bytes));
    let bytes = written.inspect_err(|_| {
        // Nothing is there after the commit; the first error is the one to tell.
        let _ = disk.remove_dir(&temporary);
    })?;
    disk.sync_dir(dir).map_err(CheckpointError::io(dir))?;
    Ok(bytes)
}

/// Removes what an earlier process left unfinished. Only for the one process that writes to `dir`.
///
/// # Errors
/// [`CheckpointError::Io`] for the first thing that cannot be removed.
pub fn sweep(dir: &Path) -> Result<(), CheckpointError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(CheckpointError::io(dir)(error)),
    };
    for entry in entries {
        let path = entry.map_err(CheckpointError::io(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A replaced checkpoint is whole until its successor is there.
        let original = name.strip_prefix(REPLACED).map(|original| dir.join(original));
        let result = match original {
            Some(original) if !original.exists() => fs::rename(&path, original),
            Some(_) => fs::remove_dir_all(&path),
            None if name.starts_with(TEMPORARY) || name.starts_with(REMOVED) => {
                fs::remove_dir_all(&path)
            }
            None => Ok(()),
        };
        result.map_err(CheckpointError::io(&path))?;
    }
    Ok(())
}

fn temporary_dir(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{TEMPORARY}{name}-{}", std::process::id()))
}

fn check_arena(name: &str, arena: &[f32], layout: &ParamLayout) {
    assert_eq!(arena.len(), layout.len(), "elements of the arena {name}");
}

pub(super) fn check_average(average: &Average<'_>, layout: &ParamLayout) {
    let Average { name, values } = average;
    check_arena(name, values, layout);
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    assert!(!name.is_empty() && name.chars().all(allowed), "name of an average: {name:?}");
}

/// Refuses to begin what the disk cannot hold.
fn check_space(disk: &dyn Storage, dir: &Path, head: &Head<'_>) -> Result<(), CheckpointError> {
    let numbers = size_of::<f32>() * head.layout.len() * head.arenas;
    // Names and shapes, twice: in the files and in the manifest.
    let names = 512 * head.layout.iter().count() * head.arenas;
    let needed = (numbers + names) as u64 / 5 * 6;
    let available = disk.available(dir).map_err(CheckpointError::io(dir))?;
    if available < needed {
        return Err(CheckpointError::Space { path: dir.into(), needed, available });
    }
    Ok(())
}

/// Writes every file and forces it to the disk, the manifest last.
fn write_all(
    disk: &dyn Storage,
    temporary: &Path,
    head: &Head<'_>,
    write: impl FnOnce(&mut Writer<'_>) -> Result<(), CheckpointError>,
) -> Result<u64, CheckpointError> {
    if temporary.exists() {
        disk.remove_dir(temporary).map_err(CheckpointError::io(temporary))?;
    }
    disk.create_dir(temporary).map_err(CheckpointError::io(temporary))?;
    let mut writer = Writer { disk, dir: temporary, files: Vec::new(), tensors: Vec::new() };
    write(&mut writer)?;
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        program_version: env!("CARGO_PKG_VERSION").into(),
        step: head.step,
        config_hash: head.config_hash.into(),
        files: std::mem::take(&mut writer.files),
        tensors: std::mem::take(&mut writer.tensors),
        digest: String::new(),
    };
    let bytes = manifest.to_bytes();
    writer.file(MANIFEST, |out| out.write_all(&bytes))?;
    disk.sync_dir(temporary).map_err(CheckpointError::io(temporary))?;
    Ok(manifest.files.iter().map(|file| file.bytes).sum::<u64>() + bytes.len() as u64)
}

/// Writes the files of a checkpoint.
fn write_files(writer: &mut Writer<'_>, snapshot: &Snapshot<'_>) -> Result<(), CheckpointError> {
    let metadata = weight_metadata(snapshot.dis_config, snapshot.state.step);
    let layout = snapshot.layout;
    writer.tensor_file(MODEL_FILE, &metadata, &views(layout, "", snapshot.params))?;
    for average in snapshot.averages {
        writer.average(average, &metadata, layout)?;
    }
    let mut moments = views(layout, "m.", snapshot.m);
    moments.extend(views(layout, "v.", snapshot.v));
    writer.tensor_file(OPTIMIZER_FILE, &BTreeMap::new(), &moments)?;
    let mut state = json(&snapshot.state);
    state.push('\n');
    writer.file(STATE_FILE, |out| out.write_all(state.as_bytes()))
}

/// What a weight file says about itself. The same for equal runs: no time, no machine, no attempt.
pub fn weight_metadata(dis_config: &DisConfig, step: u64) -> BTreeMap<String, String> {
    BTreeMap::from([(DIS_CONFIG.into(), json(dis_config)), (super::STEP.into(), step.to_string())])
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("structs of numbers and strings are always JSON")
}

fn views<'a>(layout: &'a ParamLayout, prefix: &str, arena: &'a [f32]) -> Vec<TensorView<'a>> {
    let view = |param: &'a dis_model::Param| TensorView {
        name: format!("{prefix}{}", param.name),
        shape: &param.shape,
        values: &arena[param.range.clone()],
    };
    layout.iter().map(view).collect()
}

/// Writes the files of one step and keeps their records.
pub(super) struct Writer<'a> {
    disk: &'a dyn Storage,
    dir: &'a Path,
    files: Vec<FileRecord>,
    tensors: Vec<TensorRecord>,
}

impl Writer<'_> {
    /// Writes the weight file of an average.
    pub(super) fn average(
        &mut self,
        average: &Average<'_>,
        metadata: &BTreeMap<String, String>,
        layout: &ParamLayout,
    ) -> Result<(), CheckpointError> {
        let tensors = views(layout, "", average.values);
        self.tensor_file(&average_file(average.name), metadata, &tensors)
    }

    fn tensor_file(
        &mut self,
        name: &str,
        metadata: &BTreeMap<String, String>,
        tensors: &[TensorView<'_>],
    ) -> Result<(), CheckpointError> {
        self.file(name, |out| tensor_file::write(out, metadata, tensors))?;
        self.tensors.extend(tensors.iter().map(|tensor| TensorRecord {
            file: name.into(),
            name: tensor.name.clone(),
            dtype: "F32".into(),
            shape: tensor.shape.to_vec(),
        }));
        Ok(())
    }

    fn file(
        &mut self,
        name: &str,
        write: impl FnOnce(&mut HashingFile) -> io::Result<()>,
    ) -> Result<(), CheckpointError> {
        let path = self.dir.join(name);
        let record = self.disk.create(&path).and_then(|inner| {
            let mut file = HashingFile { inner, hasher: blake3::Hasher::new(), bytes: 0 };
            write(&mut file)?;
            file.inner.sync()?;
            let blake3 = file.hasher.finalize().to_hex().to_string();
            Ok(FileRecord { name: name.into(), bytes: file.bytes, blake3 })
        });
        self.files.push(record.map_err(CheckpointError::io(&path))?);
        Ok(())
    }
}

/// A file whose content is hashed on the way.
struct HashingFile {
    inner: Box<dyn StoredFile>,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Write for HashingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Makes the checkpoint appear under its name.
fn commit(
    disk: &dyn Storage,
    dir: &Path,
    temporary: &Path,
    name: &str,
) -> Result<(), CheckpointError> {
    let path = dir.join(name);
    if !path.exists() {
        return disk.rename(temporary, &path).map_err(CheckpointError::io(&path));
    }
    // A run that went back to an older checkpoint comes by this step again. Between the two renames
    // the old one is whole under its other name, and `sweep` puts it back.
    let replaced = dir.join(format!("{REPLACED}{name}"));
    if replaced.exists() {
        disk.remove_dir(&replaced).map_err(CheckpointError::io(&replaced))?;
    }
    disk.rename(&path, &replaced).map_err(CheckpointError::io(&path))?;
    if let Err(error) = disk.rename(temporary, &path) {
        // When this fails too, `sweep` does it.
        let _ = disk.rename(&replaced, &path);
        return Err(CheckpointError::io(&path)(error));
    }
    Ok(())
}

/// Removes what the folder of a step took the place of.
pub(super) fn remove_replaced(
    disk: &dyn Storage,
    dir: &Path,
    step: u64,
) -> Result<(), CheckpointError> {
    let replaced = dir.join(format!("{REPLACED}{}", step_dir(step)));
    if !replaced.exists() {
        return Ok(());
    }
    disk.remove_dir(&replaced).map_err(CheckpointError::io(&replaced))
}

/// Removes all but the newest `keep` up to `step`, and what took the place of others.
fn remove_old(disk: &dyn Storage, dir: &Path, step: u64, keep: usize) -> Vec<CheckpointError> {
    let mut errors: Vec<_> = remove_replaced(disk, dir, step).err().into_iter().collect();
    let found = list(dir).unwrap_or_else(|error| {
        errors.push(error);
        Vec::new()
    });
    for (_, path) in found.into_iter().filter(|(found, _)| *found <= step).skip(keep.max(1)) {
        // Renamed first, so that no half-removed checkpoint bears the name of a whole one.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let removed = dir.join(format!("{REMOVED}{name}-{}", std::process::id()));
        let result = disk.rename(&path, &removed).and_then(|()| disk.remove_dir(&removed));
        if let Err(error) = result {
            errors.push(CheckpointError::io(&path)(error));
        }
    }
    errors
}
