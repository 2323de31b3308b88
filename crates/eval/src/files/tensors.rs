//! Safetensors files of which only the header is read at once.

use crate::EvalError;
use crate::fingerprint::{FORMAT, Fingerprint};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest header that is read.
const MAX_HEADER: u64 = 16 << 20;
/// Key of the metadata under which ours stands.
const KEY: &str = "dis_eval";

/// What one of our files holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Mean and covariance.
    Statistics,
    /// A row an image.
    Features,
}

/// What stands under [`KEY`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    kind: Kind,
    fingerprint: Fingerprint,
}

/// An open file whose header is well-formed: every tensor is inside of the file.
#[derive(Debug)]
pub(super) struct TensorFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the first number stands.
    start: u64,
    about: Option<About>,
}

impl TensorFile {
    pub(super) fn open(path: &Path) -> Result<Self, EvalError> {
        let io = |error| EvalError::Io { path: path.into(), error };
        let broken = |field: &str, got: String, expected: String| EvalError::Field {
            file: path.into(),
            field: field.into(),
            expected,
            got,
        };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let mut bytes = [0; 8];
        if len < 8 {
            return Err(broken("length", format!("{len} bytes"), "a safetensors file".into()));
        }
        file.read_exact_at(&mut bytes, 0).map_err(io)?;
        let header_len = u64::from_le_bytes(bytes);
        let most = MAX_HEADER.min(len - 8);
        if header_len > most {
            let got = format!("{header_len} bytes");
            return Err(broken("header", got, format!("at most {most}, in a safetensors file")));
        }
        let mut text = vec![0; header_len as usize];
        file.read_exact_at(&mut text, 8).map_err(io)?;
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|e| broken("header", e.to_string(), "that of a safetensors file".into()))?;
        let held = len - 8 - header_len;
        if header.data_len() as u64 != held {
            let expected = format!("{}, as the header says", header.data_len());
            return Err(broken("number of bytes behind the header", held.to_string(), expected));
        }
        let about = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let about = about
            .map(|text| serde_json::from_str(text))
            .transpose()
            .map_err(|e| broken("fingerprint", e.to_string(), "one of this version".into()))?;
        let spec = about.as_ref().and_then(|about: &About| about.fingerprint.features.as_ref());
        if let Some(other) = spec.map(|spec| spec.format).filter(|&format| format != FORMAT) {
            let expected = format!("{FORMAT}, the one this version knows");
            return Err(broken("format of the fingerprint", other.to_string(), expected));
        }
        Ok(Self { path: path.into(), file, header, start: 8 + header_len, about })
    }

    pub(super) fn kind(&self) -> Option<Kind> {
        self.about.as_ref().map(|about| about.kind)
    }

    pub(super) fn fingerprint(&self) -> Option<&Fingerprint> {
        self.about.as_ref().map(|about| &about.fingerprint)
    }

    pub(super) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.info(name)
    }

    /// Names of all tensors, in the order of their bytes.
    pub(super) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The error of a tensor that is not as it should be.
    pub(super) fn wrong(&self, field: &str, got: String, expected: String) -> EvalError {
        EvalError::Field { file: self.path.clone(), field: field.into(), expected, got }
    }

    /// A tensor that has to be there, of a type and a number of dimensions.
    pub(super) fn require(
        &self,
        name: &str,
        dtype: Dtype,
        dimensions: usize,
    ) -> Result<&TensorInfo, EvalError> {
        let expected = format!("{dtype} of {dimensions} dimensions");
        match self.info(name) {
            None => Err(self.wrong(name, "absent".into(), expected)),
            Some(info) if info.dtype != dtype || info.shape.len() != dimensions => {
                Err(self.wrong(name, format!("{} {:?}", info.dtype, info.shape), expected))
            }
            Some(info) => Ok(info),
        }
    }

    /// Bytes `first .. first + count` of a tensor.
    ///
    /// # Panics
    /// When the tensor is absent or shorter: callers have looked at its shape.
    pub(super) fn read(
        &self,
        name: &str,
        first: usize,
        count: usize,
    ) -> Result<Vec<u8>, EvalError> {
        let (begin, end) = self.header.info(name).map_or((0, 0), |info| info.data_offsets);
        assert!(first + count <= end - begin, "bytes {first}+{count} of {name}");
        let mut bytes = vec![0; count];
        self.file
            .read_exact_at(&mut bytes, self.start + (begin + first) as u64)
            .map_err(|error| EvalError::Io { path: self.path.clone(), error })?;
        Ok(bytes)
    }

    /// All numbers of an F64 tensor.
    pub(super) fn read_f64(&self, name: &str, dimensions: usize) -> Result<Vec<f64>, EvalError> {
        let (begin, end) = self.require(name, Dtype::F64, dimensions)?.data_offsets;
        let bytes = self.read(name, 0, end - begin)?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
    }
}

/// What a safetensors file of ours holds; nothing where it is not of ours.
///
/// # Errors
/// [`EvalError`] when it cannot be read or is no safetensors file.
pub fn kind_of(path: &Path) -> Result<Option<Kind>, EvalError> {
    Ok(TensorFile::open(path)?.kind())
}

/// Bytes before the numbers of a file that is written: its header, of which the fingerprint becomes
/// known last, is padded to that.
const HEADER_ROOM: usize = (64 << 10) - 8;

/// A file that is being written. It has its name when it is complete, and not before.
#[derive(Debug)]
pub(super) struct TensorWriter {
    path: PathBuf,
    partial: PathBuf,
    file: File,
    infos: Vec<(String, TensorInfo)>,
}

impl TensorWriter {
    /// Starts a file.
    pub(super) fn create(path: &Path) -> Result<Self, EvalError> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(&partial);
        let file = file.map_err(|error| EvalError::Io { path: path.into(), error })?;
        Ok(Self { path: path.into(), partial, file, infos: Vec::new() })
    }

    /// Adds a tensor behind those that there are. Its numbers are zeros until they are written.
    pub(super) fn add(&mut self, name: &str, dtype: Dtype, shape: Vec<usize>) {
        let begin = self.infos.last().map_or(0, |(_, info)| info.data_offsets.1);
        let end = begin + shape.iter().product::<usize>() * dtype.bitsize() / 8;
        self.infos.push((name.into(), TensorInfo { dtype, shape, data_offsets: (begin, end) }));
    }

    /// Writes bytes of a tensor from byte `first` of it on.
    ///
    /// # Panics
    /// When they reach beyond its end.
    pub(super) fn write(&self, name: &str, first: usize, bytes: &[u8]) -> Result<(), EvalError> {
        let info = self.infos.iter().find(|(other, _)| other == name);
        let (begin, end) = info.map_or((0, 0), |(_, info)| info.data_offsets);
        assert!(first + bytes.len() <= end - begin, "bytes {first}+{} of {name}", bytes.len());
        let at = (8 + HEADER_ROOM + begin + first) as u64;
        self.file.write_all_at(bytes, at).map_err(self.failed())
    }

    /// Writes the header and gives the file its name.
    pub(super) fn finish(self, kind: Kind, fingerprint: &Fingerprint) -> Result<(), EvalError> {
        let end = self.infos.last().map_or(0, |(_, info)| info.data_offsets.1);
        let text = header(kind, fingerprint, self.infos.clone())
            .and_then(|text| match text.len() <= HEADER_ROOM {
                true => Ok(text),
                false => Err(format!("a header of {} bytes, at most {HEADER_ROOM}", text.len())),
            })
            .map_err(|reason| self.failed()(std::io::Error::other(reason)))?;
        let mut bytes = (HEADER_ROOM as u64).to_le_bytes().to_vec();
        bytes.extend(text);
        bytes.resize(8 + HEADER_ROOM, b' ');
        let done = self
            .file
            .write_all_at(&bytes, 0)
            .and_then(|()| self.file.set_len((bytes.len() + end) as u64))
            .and_then(|()| self.file.sync_all())
            .and_then(|()| std::fs::rename(&self.partial, &self.path));
        done.map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(std::io::Error) -> EvalError {
        let path = self.path.clone();
        move |error| EvalError::Io { path: path.clone(), error }
    }
}

impl Drop for TensorWriter {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// The JSON of a header, or why there is none.
fn header(
    kind: Kind,
    fingerprint: &Fingerprint,
    infos: Vec<(String, TensorInfo)>,
) -> Result<Vec<u8>, String> {
    let about = About { kind, fingerprint: fingerprint.clone() };
    let about = serde_json::to_string(&about).map_err(|e| e.to_string())?;
    let metadata = HashMap::from([(KEY.to_string(), about)]);
    let header = Metadata::new(Some(metadata), infos).map_err(|e| e.to_string())?;
    serde_json::to_vec(&header).map_err(|e| e.to_string())
}
