//! Mean and covariance in files, ours and those of others.

use super::npz_statistics::{read_npz, write_npz};
use super::tensors::{Kind, TensorFile, TensorWriter};
use crate::EvalError;
use crate::fingerprint::{Fingerprint, Origin};
use crate::statistics::Statistics;
use safetensors::Dtype;
use std::path::Path;

/// What a file of statistics holds.
#[derive(Clone, Debug)]
pub struct StatisticsFile {
    /// How the features were made, and of what.
    pub fingerprint: Fingerprint,
    /// Of the pool features.
    pub pool: Statistics,
    /// Of the spatial features.
    pub spatial: Option<Statistics>,
}

impl StatisticsFile {
    /// Statistics of the images of both together.
    ///
    /// # Errors
    /// [`EvalError::Mismatch`] when the features were made differently, and those of
    /// [`Statistics::merge`].
    pub fn merge(self, other: &Self) -> Result<Self, EvalError> {
        if let (Some(a), Some(b)) = (&self.fingerprint.features, &other.fingerprint.features) {
            let differences = a.differences(b);
            if !differences.is_empty() {
                return Err(EvalError::Mismatch { differences });
            }
        }
        let spatial = match (&self.spatial, &other.spatial) {
            (Some(a), Some(b)) => Some(a.merge(b)?),
            _ => None,
        };
        let pool = self.pool.merge(&other.pool)?;
        let (a, b) = (self.fingerprint.origin, &other.fingerprint.origin);
        let mut notes = a.notes;
        notes.extend(b.notes.iter().cloned());
        let origin = Origin {
            source: format!("{} + {}", a.source, b.source),
            stored_as: if a.stored_as == b.stored_as { a.stored_as } else { "several".into() },
            count: pool.count,
            size: a.size.filter(|size| b.size == Some(*size)),
            notes,
            ..Origin::default()
        };
        let features = self.fingerprint.features;
        Ok(Self { fingerprint: Fingerprint { features, origin }, pool, spatial })
    }
}

/// Reads statistics: ours, or an `.npz` with `mu` and `sigma`.
///
/// # Errors
/// [`EvalError::Field`] with file and array when one is missing, has another type or shape, or holds
/// what no covariance has; [`EvalError::Io`].
pub fn read_statistics(path: &Path) -> Result<StatisticsFile, EvalError> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz")) {
        return read_npz(path);
    }
    let file = TensorFile::open(path)?;
    let (Some(Kind::Statistics), Some(fingerprint)) = (file.kind(), file.fingerprint()) else {
        let got = match file.kind() {
            Some(Kind::Features) => "features, of which `dis eval stats` makes statistics",
            _ => "no file of `dis eval`",
        };
        return Err(file.wrong("kind", got.into(), "statistics".into()));
    };
    let count = file.require("n", Dtype::U64, 1)?.shape == [1];
    let count = if count { file.read("n", 0, 8)?.as_chunks().0.first().copied() } else { None };
    let count = count.map(u64::from_le_bytes).filter(|&count| count > 0);
    let read = |mean: &str, cov: &str| {
        let (values, matrix) = (file.read_f64(mean, 1)?, file.read_f64(cov, 2)?);
        check_square(path, cov, file.require(cov, Dtype::F64, 2)?.shape.as_slice(), values.len())?;
        Statistics::new(values, matrix, count).map_err(|e| in_file(path, [mean, cov], e))
    };
    let pool = read("mean", "cov")?;
    let spatial = file.info("mean_s").is_some().then(|| read("mean_s", "cov_s")).transpose()?;
    Ok(StatisticsFile { fingerprint: fingerprint.clone(), pool, spatial })
}

/// Refuses a covariance of other sides than the mean has numbers.
pub(super) fn check_square(
    path: &Path,
    name: &str,
    shape: &[usize],
    dim: usize,
) -> Result<(), EvalError> {
    if shape == [dim, dim] {
        return Ok(());
    }
    Err(EvalError::Field {
        file: path.into(),
        field: name.into(),
        expected: format!("[{dim}, {dim}], because the mean has {dim} numbers"),
        got: format!("{shape:?}"),
    })
}

/// The error of numbers that were read, with the file they were read from.
pub(super) fn in_file(path: &Path, [mean, covariance]: [&str; 2], error: EvalError) -> EvalError {
    let name = |what: &str| what.replace("mean", mean).replace("covariance", covariance);
    let (what, got, expected) = match error {
        EvalError::Input { what, got, expected } => (what, got, expected),
        EvalError::NotFinite { what, row, column, value } => {
            (format!("{what}, row {row}, column {column}"), value.to_string(), "finite".into())
        }
        other => return other,
    };
    EvalError::Field { file: path.into(), field: name(&what), expected, got }
}

/// Writes statistics: ours, or `mu`, `sigma`, `mu_s`, `sigma_s` in an `.npz`, which holds neither the
/// fingerprint nor the number of images.
///
/// # Errors
/// [`EvalError::Io`].
pub fn write_statistics(path: &Path, file: &StatisticsFile) -> Result<(), EvalError> {
    if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("npz")) {
        return write_npz(path, file);
    }
    let mut writer = TensorWriter::create(path)?;
    let count = file.pool.count.unwrap_or(0);
    let mut add = |name: &str, dtype, shape, bytes: &[u8]| {
        writer.add(name, dtype, shape);
        writer.write(name, 0, bytes)
    };
    add("n", Dtype::U64, vec![1], &count.to_le_bytes())?;
    let sides = [(Some(&file.pool), ["mean", "cov"]), (file.spatial.as_ref(), ["mean_s", "cov_s"])];
    for (statistics, [mean, cov]) in sides {
        let Some(statistics) = statistics else { continue };
        let dim = statistics.dim();
        add(mean, Dtype::F64, vec![dim], bytemuck::cast_slice(&statistics.mean))?;
        add(cov, Dtype::F64, vec![dim, dim], bytemuck::cast_slice(&statistics.covariance))?;
    }
    writer.finish(Kind::Statistics, &file.fingerprint)
}
