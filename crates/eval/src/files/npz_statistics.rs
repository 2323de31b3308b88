//! Mean and covariance in NumPy's archives, as the programs of others write and read them.

use super::statistics::{StatisticsFile, check_square, in_file};
use crate::EvalError;
use crate::fingerprint::{Fingerprint, Origin};
use crate::statistics::Statistics;
use npz::{Archive, Writer};
use std::path::Path;

/// Numbers of the largest array that is read: a covariance of 16,384 features.
const MAX_NUMBERS: usize = 1 << 28;
/// Names of mean and covariance of the pool and of the spatial features.
const NAMES: [[&str; 2]; 2] = [["mu", "sigma"], ["mu_s", "sigma_s"]];

/// Whether an archive holds statistics, perhaps beside images.
///
/// # Errors
/// [`EvalError::Npz`] when it is damaged.
pub fn has_statistics(path: &Path) -> Result<bool, EvalError> {
    Ok(Archive::open(path)?.has(NAMES[0][0]))
}

/// Reads `mu` and `sigma`, and `mu_s` and `sigma_s` where they are there, of any type of floats.
pub(super) fn read_npz(path: &Path) -> Result<StatisticsFile, EvalError> {
    let archive = Archive::open(path)?;
    let read = |[mean, covariance]: [&str; 2]| {
        let (_, values) = archive.read_f64(mean, MAX_NUMBERS)?;
        let (shape, matrix) = archive.read_f64(covariance, MAX_NUMBERS)?;
        check_square(path, covariance, &shape, values.len())?;
        Statistics::new(values, matrix, None).map_err(|e| in_file(path, [mean, covariance], e))
    };
    let pool = read(NAMES[0])?;
    let spatial = archive.has(NAMES[1][0]).then(|| read(NAMES[1])).transpose()?;
    let origin = Origin {
        source: path.display().to_string(),
        stored_as: "statistics of unknown making".into(),
        ..Origin::default()
    };
    Ok(StatisticsFile { fingerprint: Fingerprint { features: None, origin }, pool, spatial })
}

/// Writes them in f64.
pub(super) fn write_npz(path: &Path, file: &StatisticsFile) -> Result<(), EvalError> {
    let mut writer = Writer::create(path)?;
    for (statistics, [mean, covariance]) in
        [Some(&file.pool), file.spatial.as_ref()].into_iter().zip(NAMES)
    {
        let Some(statistics) = statistics else { continue };
        let dim = statistics.dim() as u64;
        writer.array_f64(mean, &[dim], &statistics.mean)?;
        writer.array_f64(covariance, &[dim, dim], &statistics.covariance)?;
    }
    Ok(writer.finish()?)
}
