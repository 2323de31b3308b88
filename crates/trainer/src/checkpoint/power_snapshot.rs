//! Snapshots of power-function averages, from which averages of other widths are made later.
//!
//! ```text
//! ema-snapshots/step-000001000/
//!     ema-power-0.05.safetensors   an ordinary weight file that says images seen and width as well
//!     manifest.json                as of a checkpoint
//! ```
//!
//! They are written as checkpoints are, and never removed: a snapshot is of use until the end of the
//! run and after it. A run that went back to an older checkpoint comes by their steps again and writes
//! the same bits over them.

use super::load::{compare_whole, read_manifest, read_tensors, record};
use super::manifest::FileRecord;
use super::tensor_file;
use super::write::{Head, check_average, remove_replaced, weight_metadata, write_step};
use super::{Average, CheckpointError, DIS_CONFIG, Saved, average_name, list, step_dir};
use crate::ema::power;
use crate::storage::{Disk, Storage};
use dis_model::{DisConfig, ParamLayout};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Key of a snapshot's metadata with the images seen.
const IMAGES_SEEN: &str = "images_seen";
/// Key of a snapshot's metadata with the relative width.
const EMA_STD: &str = "ema_std";

/// A power-function average of the weights.
#[derive(Clone, Copy, Debug)]
pub struct PowerAverage<'a> {
    /// Its relative width.
    pub std: f64,
    /// Its name, `power-0.05`, and arena.
    pub average: Average<'a>,
}

/// What a snapshot keeps.
#[derive(Clone, Debug)]
pub struct PowerSnapshot<'a> {
    /// Optimiser steps made.
    pub step: u64,
    /// Images seen.
    pub images_seen: u64,
    /// [`crate::Experiment::identity`].
    pub config_hash: String,
    /// The network.
    pub dis_config: &'a DisConfig,
    /// Names and places of the parameters.
    pub layout: &'a ParamLayout,
    /// The averages.
    pub averages: &'a [PowerAverage<'a>],
}

/// Writes a snapshot into `dir`, whole or not at all, over an older one of the same step.
///
/// # Errors
/// As [`save`](super::save).
///
/// # Panics
/// As [`save`](super::save).
pub fn save_snapshot(dir: &Path, snapshot: &PowerSnapshot<'_>) -> Result<Saved, CheckpointError> {
    save_snapshot_on(&Disk, dir, snapshot)
}

pub(super) fn save_snapshot_on(
    disk: &dyn Storage,
    dir: &Path,
    snapshot: &PowerSnapshot<'_>,
) -> Result<Saved, CheckpointError> {
    let &PowerSnapshot { step, images_seen, layout, averages, .. } = snapshot;
    averages.iter().for_each(|power| check_average(&power.average, layout));
    let head = Head { step, config_hash: &snapshot.config_hash, layout, arenas: averages.len() };
    let bytes = write_step(disk, dir, &head, |writer| {
        averages.iter().try_for_each(|PowerAverage { std, average }| {
            let mut metadata = weight_metadata(snapshot.dis_config, step);
            metadata.insert(IMAGES_SEEN.into(), images_seen.to_string());
            metadata.insert(EMA_STD.into(), std.to_string());
            writer.average(average, &metadata, layout)
        })
    })?;
    let not_removed = remove_replaced(disk, dir, step).err().into_iter().collect();
    Ok(Saved { path: dir.join(step_dir(step)), bytes, not_removed })
}

/// One average of a snapshot on the disk.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// The file.
    pub path: PathBuf,
    /// Optimiser steps made.
    pub step: u64,
    /// Images seen.
    pub images_seen: u64,
    /// Relative width of the average.
    pub std: f64,
    /// The network.
    pub dis_config: DisConfig,
    /// [`crate::Experiment::identity`] of the run that wrote it.
    pub config_hash: String,
    record: FileRecord,
}

/// The averages of all snapshots in `dir`, oldest first; none where there is no such folder. Only
/// their headers are read.
///
/// # Errors
/// [`CheckpointError::Damaged`] for the first that is not what was written, as far as a header and
/// the length of a file tell.
pub fn list_snapshots(dir: &Path) -> Result<Vec<SnapshotFile>, CheckpointError> {
    let mut found = Vec::new();
    for (_, folder) in list(dir)?.into_iter().rev() {
        let manifest = read_manifest(&folder)?;
        let is_average = |file: &&FileRecord| average_name(&file.name).is_some();
        for file in manifest.files.iter().filter(is_average) {
            let record = record(&folder, &manifest, &file.name)?;
            found.push(SnapshotFile::open(&folder, record, &manifest.config_hash)?);
        }
    }
    Ok(found)
}

impl SnapshotFile {
    fn open(
        folder: &Path,
        record: &FileRecord,
        config_hash: &str,
    ) -> Result<Self, CheckpointError> {
        let path = folder.join(&record.name);
        let mut file = File::open(&path).map_err(CheckpointError::read(&path))?;
        let len = file.metadata().map_err(CheckpointError::io(&path))?.len();
        if len != record.bytes {
            let (expected, got) = (record.bytes.to_string(), len.to_string());
            let field = "length".into();
            return Err(CheckpointError::Damaged { file: path, field, expected, got });
        }
        let header =
            tensor_file::read_header(&mut file, len).map_err(CheckpointError::read(&path))?;
        let metadata = &header.metadata;
        let config = text_of(&path, metadata, DIS_CONFIG)?;
        let dis_config: DisConfig = serde_json::from_str(config)
            .map_err(|error| damaged(&path, DIS_CONFIG, &error.to_string()))?;
        dis_config.validate().map_err(|error| damaged(&path, DIS_CONFIG, &error.to_string()))?;
        // Whoever reads the file allocates what its network needs.
        let tensors = header.tensors.iter().map(|tensor| (&*tensor.name, &*tensor.shape));
        compare_whole(&path, Some(record), tensors, &ParamLayout::new(&dis_config), &[""])?;
        let (images_seen, std) =
            (number_of(&path, metadata, IMAGES_SEEN)?, number_of(&path, metadata, EMA_STD)?);
        if images_seen == 0 || !power::WIDTHS.contains(&std) {
            let got = format!("{std} after {images_seen} images");
            return Err(damaged(&path, EMA_STD, &got));
        }
        Ok(Self {
            step: number_of(&path, metadata, super::STEP)?,
            images_seen,
            std,
            dis_config,
            config_hash: config_hash.into(),
            record: record.clone(),
            path,
        })
    }

    /// Reads the average into an arena, and checks every byte of the file.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`] when it is not what was written; the arena then holds nothing.
    pub fn read(&self, layout: &ParamLayout, values: &mut [f32]) -> Result<(), CheckpointError> {
        read_tensors(&self.path, Some(&self.record), layout, &mut [("", values)])
    }
}

fn text_of<'a>(
    path: &Path,
    metadata: &'a BTreeMap<String, String>,
    key: &str,
) -> Result<&'a str, CheckpointError> {
    metadata.get(key).map(String::as_str).ok_or_else(|| damaged(path, key, "missing"))
}

fn number_of<T: FromStr>(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    key: &str,
) -> Result<T, CheckpointError> {
    let text = text_of(path, metadata, key)?;
    text.parse().map_err(|_| damaged(path, key, text))
}

fn damaged(path: &Path, key: &str, got: &str) -> CheckpointError {
    CheckpointError::Damaged {
        file: path.into(),
        field: key.into(),
        expected: "that of a snapshot".into(),
        got: got.into(),
    }
}
