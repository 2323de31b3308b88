//! Files of one JSON object a line, each with the `step` it is about.
//!
//! A run that goes on from a checkpoint makes the steps after it again, and so writes their lines
//! again: they are removed first, and with them what a crash tore.

use crate::storage::{Disk, replace_file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a file of lines could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct MetricsError {
    /// The file.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl MetricsError {
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { path, source }
    }
}

/// What resuming did to the lines of earlier attempts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// Lines that stay.
    pub kept: usize,
    /// Lines of steps that will be made again.
    pub superseded: usize,
    /// Lines that were torn by a crash.
    pub damaged: usize,
}

impl std::ops::AddAssign for Trimmed {
    fn add_assign(&mut self, other: Self) {
        self.kept += other.kept;
        self.superseded += other.superseded;
        self.damaged += other.damaged;
    }
}

/// What of a line depends on the experiment alone: all before `attempt`.
pub fn deterministic_part(line: &str) -> &str {
    line.split_once(",\"attempt\":").map_or(line, |(part, _)| part)
}

/// Removes the lines of steps after `step` and torn ones. Whenever the process dies, the file is the
/// old or the new; where there is none, none is made.
pub(crate) fn trim(path: &Path, step: u64) -> Result<Trimmed, MetricsError> {
    let old = read_or_empty(path)?;
    let mut trimmed = Trimmed::default();
    let mut new = Vec::with_capacity(old.len());
    for line in lines(&old) {
        match serde_json::from_slice::<StepOnly>(line) {
            Ok(found) if found.step <= step => {
                trimmed.kept += 1;
                new.extend_from_slice(line);
                new.push(b'\n');
            }
            Ok(_) => trimmed.superseded += 1,
            Err(_) => trimmed.damaged += 1,
        }
    }
    if new != old {
        replace_file(&Disk, path, &new).map_err(MetricsError::at(path))?;
    }
    Ok(trimmed)
}

/// A line with its end, to be written at once, so that a reader or a crash rarely sees half of it.
pub(crate) fn to_line(path: &Path, line: &impl Serialize) -> Result<Vec<u8>, MetricsError> {
    let mut text =
        serde_json::to_vec(line).map_err(|error| MetricsError::at(path)(error.into()))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads all whole lines, also of a run that is under way; none where there is no file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, MetricsError> {
    let bytes = read_or_empty(path)?;
    Ok(lines(&bytes).filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

fn read_or_empty(path: &Path) -> Result<Vec<u8>, MetricsError> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(MetricsError::at(path)),
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

#[derive(Deserialize)]
struct StepOnly {
    step: u64,
}
