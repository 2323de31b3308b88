//! A row an image, in a safetensors file.

use super::tensors::{Kind, TensorFile, TensorWriter};
use crate::fingerprint::Fingerprint;
use crate::{EvalError, FeatureBatch};
use safetensors::Dtype;
use std::path::Path;

/// Names of the layers, in the order of [`FeatureFile::layers`].
const LAYERS: [&str; 3] = ["pool", "spatial", "logits"];
const LABELS: &str = "labels";

/// A file of features, read some rows at a time.
#[derive(Debug)]
pub struct FeatureFile {
    file: TensorFile,
    /// Names of the tensors of the layers, those that are there.
    names: [Option<String>; 3],
    layers: [usize; 3],
    count: usize,
    has_labels: bool,
}

impl FeatureFile {
    /// Reads the header.
    ///
    /// A file without `pool` that has one table of F32 is that of others: the table is the pool.
    ///
    /// # Errors
    /// [`EvalError::Field`] when it is no safetensors file or no features are in it, when layers have
    /// other types or different numbers of rows; [`EvalError::Io`].
    pub fn open(path: &Path) -> Result<Self, EvalError> {
        let file = TensorFile::open(path)?;
        if file.kind() == Some(Kind::Statistics) {
            return Err(file.wrong("kind", "statistics".into(), "features".into()));
        }
        let mut names = LAYERS.map(|name| file.info(name).map(|_| name.to_string()));
        if names[0].is_none() {
            names = [Some(only_table(&file)?), None, None];
        }
        let (mut layers, mut count) = ([0; 3], None);
        for (layer, name) in names.iter().enumerate() {
            let Some(name) = name else { continue };
            let &[rows, dim] = &file.require(name, Dtype::F32, 2)?.shape[..] else { continue };
            if dim == 0 || *count.get_or_insert(rows) != rows {
                let expected = format!("{} rows of 1 number or more", count.unwrap_or(rows));
                return Err(file.wrong(name, format!("[{rows}, {dim}]"), expected));
            }
            layers[layer] = dim;
        }
        let count = count.unwrap_or(0);
        let has_labels = file.info(LABELS).is_some();
        if has_labels && file.require(LABELS, Dtype::U32, 1)?.shape != [count] {
            let got = format!("{:?}", file.require(LABELS, Dtype::U32, 1)?.shape);
            return Err(file.wrong(LABELS, got, format!("[{count}], one a row")));
        }
        Ok(Self { file, names, layers, count, has_labels })
    }

    /// Lengths of the rows of pool, spatial features and logits; 0 for what is not there.
    pub fn layers(&self) -> [usize; 3] {
        self.layers
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How the features were made, where the file says so.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        self.file.fingerprint()
    }

    /// Whether rows have classes.
    pub fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// Class of each row; empty where there are none.
    ///
    /// # Errors
    /// [`EvalError::Io`].
    pub fn labels(&self) -> Result<Vec<u32>, EvalError> {
        if !self.has_labels {
            return Ok(Vec::new());
        }
        let bytes = self.file.read(LABELS, 0, self.count * 4)?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect())
    }

    /// Rows `first .. first + count` of all layers.
    ///
    /// # Errors
    /// [`EvalError::Io`].
    ///
    /// # Panics
    /// When there are fewer.
    pub fn read(&self, first: usize, count: usize) -> Result<FeatureBatch, EvalError> {
        let layer = |layer: usize| -> Result<Vec<f32>, EvalError> {
            match &self.names[layer] {
                None => Ok(Vec::new()),
                Some(name) => {
                    let row = 4 * self.layers[layer];
                    let bytes = self.file.read(name, first * row, count * row)?;
                    Ok(bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
                }
            }
        };
        Ok(FeatureBatch { pool: layer(0)?, spatial: layer(1)?, logits: layer(2)? })
    }
}

/// The one table of F32 of a file of others.
fn only_table(file: &TensorFile) -> Result<String, EvalError> {
    let is_table = |name: &String| {
        file.info(name).is_some_and(|info| info.dtype == Dtype::F32 && info.shape.len() == 2)
    };
    let mut tables: Vec<String> = file.names().into_iter().filter(is_table).collect();
    match (tables.pop(), tables.is_empty()) {
        (Some(table), true) => Ok(table),
        (first, _) => {
            let got = match first {
                None => "absent".into(),
                Some(last) => format!("absent, and tables {}, {last} are there", tables.join(", ")),
            };
            Err(file.wrong(LAYERS[0], got, "a table [N, d] of F32".into()))
        }
    }
}

/// A file of features that is being written, batch by batch.
#[derive(Debug)]
pub struct FeatureWriter {
    file: TensorWriter,
    layers: [usize; 3],
    count: usize,
    written: usize,
}

impl FeatureWriter {
    /// Starts a file of `count` rows of these [`FeatureFile::layers`].
    ///
    /// # Errors
    /// [`EvalError::Io`].
    pub fn create(path: &Path, count: usize, layers: [usize; 3]) -> Result<Self, EvalError> {
        let mut file = TensorWriter::create(path)?;
        for (name, dim) in LAYERS.iter().zip(layers).filter(|&(_, dim)| dim > 0) {
            file.add(name, Dtype::F32, vec![count, dim]);
        }
        Ok(Self { file, layers, count, written: 0 })
    }

    /// Adds rows.
    ///
    /// # Errors
    /// [`EvalError::Input`] for more rows than were announced or layers of other lengths,
    /// [`EvalError::Io`].
    pub fn write(&mut self, batch: &FeatureBatch) -> Result<(), EvalError> {
        let rows = batch.pool.len() / self.layers[0].max(1);
        let layers = || {
            let values = [&batch.pool, &batch.spatial, &batch.logits];
            LAYERS.iter().zip(self.layers).zip(values).filter(|((_, dim), _)| *dim > 0)
        };
        if let Some(((name, dim), values)) = layers().find(|((_, dim), v)| v.len() != rows * dim) {
            let expected = format!("{rows} rows of {dim}");
            return Err(EvalError::input(format!("numbers of {name}"), values.len(), expected));
        }
        if rows > self.count - self.written {
            let expected = format!("{} in all", self.count);
            return Err(EvalError::input("number of rows", self.written + rows, expected));
        }
        for ((name, dim), values) in layers() {
            self.file.write(name, self.written * dim * 4, bytemuck::cast_slice(values))?;
        }
        self.written += rows;
        Ok(())
    }

    /// Completes the file, with a class for each row or without, and gives it its name.
    ///
    /// # Errors
    /// [`EvalError::Input`] when rows are missing or labels are not one a row, [`EvalError::Io`].
    pub fn finish(mut self, fingerprint: &Fingerprint, labels: &[u32]) -> Result<(), EvalError> {
        if self.written != self.count {
            return Err(EvalError::input("number of rows", self.written, self.count.to_string()));
        }
        if !labels.is_empty() {
            if labels.len() != self.count {
                let expected = self.count.to_string();
                return Err(EvalError::input("number of labels", labels.len(), expected));
            }
            self.file.add(LABELS, Dtype::U32, vec![self.count]);
            self.file.write(LABELS, 0, bytemuck::cast_slice(labels))?;
        }
        self.file.finish(Kind::Features, fingerprint)
    }
}
