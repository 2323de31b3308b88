//! An open file: what it holds, and its tensors one at a time.

use crate::containers::{Content, Storage, archive, legacy};
use crate::error::{TorchFileError, brief};
use crate::tensor::{self, Dtype, TensorInfo};
use crate::view::{Dict, Value};
use half::{bf16, f16};
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// How often the bytes of a file may be read for one set of tensors, on average: several names may
/// share a storage, but a small file must not become a large one.
const MAX_SHARING: u64 = 8;

/// Bytes that are compared with a checksum at a time.
const BLOCK: usize = 1 << 20;

/// A file of `torch.save`, either an archive or the form of torch before version 1.6.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    file: File,
    len: u64,
    content: Content,
}

/// Whether a file starts like one of `torch.save`; its first four bytes tell.
pub fn looks_like_torch(start: &[u8]) -> bool {
    legacy::is_pickle(start) || is_archive(start)
}

fn is_archive(start: &[u8]) -> bool {
    matches!(start, [b'P', b'K', 3 | 5, 4 | 6, ..])
}

impl TorchFile {
    /// Reads what a file describes, without the elements of its tensors.
    ///
    /// # Errors
    /// [`TorchFileError::Io`]; [`TorchFileError::Field`] where the file is of another kind, cut
    /// short or big-endian, or a member or storage is not where it has to be;
    /// [`TorchFileError::Pickle`] where the description makes no sense.
    pub fn open(path: &Path) -> Result<Self, TorchFileError> {
        let io = TorchFileError::io(path);
        let file = File::open(path).map_err(&io)?;
        let len = file.metadata().map_err(&io)?.len();
        let mut start = [0; 4];
        let start = &mut start[..len.min(4) as usize];
        file.read_exact_at(start, 0).map_err(&io)?;
        let content = if is_archive(start) {
            archive::open(path, &file, len)?
        } else if legacy::is_pickle(start) {
            legacy::open(path, &file, len)?
        } else {
            let expected = "a zip archive or a pickle, which torch.save writes";
            return Err(TorchFileError::field(path, "it", "neither", expected));
        };
        Ok(Self { path: path.to_path_buf(), file, len, content })
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.len
    }

    /// What was saved.
    pub fn root(&self) -> Value<'_> {
        Value::new(&self.content.values, self.content.root)
    }

    /// What the tensors of a dict of this file claim to be, in its order, checked against the
    /// storages that they lie in.
    ///
    /// # Errors
    /// [`TorchFileError::Field`] names the first entry that is no tensor, stands there twice, or is
    /// not inside of its storage.
    pub fn tensors(&self, dict: Dict<'_>) -> Result<Vec<TensorInfo>, TorchFileError> {
        let values = &self.content.values;
        let mut names = HashSet::new();
        let mut total = 0_u64;
        let mut tensors = Vec::with_capacity(dict.ids().len());
        for &(key, value) in dict.ids() {
            let Some(name) = values.as_text(key) else {
                return Err(self.refuse("a key of the dict", values.describe(key), "a text"));
            };
            if !names.insert(name) {
                return Err(self.refuse(name, "twice in the dict", "a name of its own"));
            }
            let claim = tensor::claim(values, value)
                .map_err(|got| self.refuse(name, got, "a tensor"))?
                .ok_or_else(|| self.refuse(name, values.describe(value), "a tensor"))?;
            let info = self.check(name, claim)?;
            total = total.saturating_add(info.span as u64);
            if total > self.len.saturating_mul(MAX_SHARING) {
                let got = format!("{} bytes, {total} with those before", info.span);
                let expected = format!("at most {MAX_SHARING} times the file's {}", self.len);
                return Err(self.refuse(name, got, &expected));
            }
            tensors.push(info);
        }
        Ok(tensors)
    }

    fn check(
        &self,
        name: &str,
        claim: tensor::TensorClaim<'_>,
    ) -> Result<TensorInfo, TorchFileError> {
        let (shape, dtype) = (&claim.shape, claim.storage.dtype);
        let size = dtype.size() as u64;
        let elements = shape.iter().try_fold(1_u64, |n, &axis| n.checked_mul(axis as u64));
        let bytes = elements.and_then(|n| n.checked_mul(size));
        let (start, span) = (claim.offset.checked_mul(size), tensor::span(&claim));
        let (Some(bytes), Some(start), Some(span)) = (bytes, start, span) else {
            let got = format!("of shape {shape:?}, which has more elements than fit any file");
            return Err(self.refuse(name, got, "a tensor of this file"));
        };
        let Some(&storage) = self.content.by_key.get(claim.storage.key) else {
            let (folder, key) = (&self.content.folder, brief(claim.storage.key));
            let got = format!("in the storage {folder}{key}, which is not there");
            return Err(self.refuse(name, got, "a tensor in one of the storages"));
        };
        let has = self.content.storages[storage].len;
        // A stride of zero could make of one element as many as there are numbers.
        let is_inside = start.checked_add(span).is_some_and(|end| end <= has) && bytes <= has;
        let (Some(span), true) = (usize::try_from(span).ok(), is_inside) else {
            let dtype = dtype.name();
            let got = format!(
                "{dtype} {shape:?}, {bytes} bytes at {start} of a storage of {has}, strides {:?}",
                claim.strides
            );
            return Err(self.refuse(name, got, "a tensor inside of its storage"));
        };
        let (name, shape, strides) = (name.to_string(), claim.shape, claim.strides);
        Ok(TensorInfo { name, dtype, shape, strides, start, span, storage })
    }

    /// The elements of a tensor of this file in row-major order, little-endian.
    ///
    /// # Errors
    /// [`TorchFileError::Io`]; [`TorchFileError::Field`] where the checksum of the storage does not
    /// hold.
    pub fn read_bytes(&self, tensor: &TensorInfo) -> Result<Vec<u8>, TorchFileError> {
        let storage = &self.content.storages[tensor.storage];
        let mut bytes = vec![0; tensor.span];
        self.file
            .read_exact_at(&mut bytes, storage.start + tensor.start)
            .map_err(TorchFileError::io(&self.path))?;
        self.verify(tensor, storage, &bytes)?;
        if tensor.elements() == 0 || tensor::is_dense(&tensor.shape, &tensor.strides) {
            return Ok(bytes);
        }
        Ok(gather(tensor, &bytes))
    }

    /// The elements of a tensor of this file in row-major order; f16 and bf16 are widened, f64 is
    /// rounded to the nearest.
    ///
    /// # Errors
    /// Those of [`Self::read_bytes`], and [`TorchFileError::Field`] where they are no floats.
    pub fn read_f32(&self, tensor: &TensorInfo) -> Result<Vec<f32>, TorchFileError> {
        let widen: fn(&[u8]) -> Vec<f32> = match tensor.dtype {
            Dtype::F32 => |bytes| each(bytes, f32::from_le_bytes),
            Dtype::F64 => |bytes| each(bytes, |x| f64::from_le_bytes(x) as f32),
            Dtype::F16 => |bytes| each(bytes, |x| f16::from_le_bytes(x).to_f32()),
            Dtype::Bf16 => |bytes| each(bytes, |x| bf16::from_le_bytes(x).to_f32()),
            other => {
                let (got, expected) = (other.name(), "f32, f64, f16 or bf16");
                return Err(self.refuse(&tensor.name, format!("of type {got}"), expected));
            }
        };
        self.read_bytes(tensor).map(|bytes| widen(&bytes))
    }

    /// Compares a storage with its checksum when a tensor of it is read for the first time.
    fn verify(
        &self,
        tensor: &TensorInfo,
        storage: &Storage,
        read: &[u8],
    ) -> Result<(), TorchFileError> {
        let Some(expected) = storage.crc32 else { return Ok(()) };
        if storage.is_verified.load(Ordering::Relaxed) {
            return Ok(());
        }
        let found = match read.len() as u64 == storage.len {
            true => crc32fast::hash(read),
            false => self.checksum(storage).map_err(TorchFileError::io(&self.path))?,
        };
        if found != expected {
            let field = format!("{} in {}", brief(&tensor.name), brief(&storage.name));
            let got = format!("damaged, with the checksum {found:08x}");
            return Err(self.refuse(&field, got, &format!("{expected:08x}")));
        }
        storage.is_verified.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn checksum(&self, storage: &Storage) -> std::io::Result<u32> {
        let mut hasher = crc32fast::Hasher::new();
        let mut block = vec![0; storage.len.min(BLOCK as u64) as usize];
        let (mut at, end) = (storage.start, storage.start + storage.len);
        while at < end {
            let block = &mut block[..(end - at).min(BLOCK as u64) as usize];
            self.file.read_exact_at(block, at)?;
            hasher.update(block);
            at += block.len() as u64;
        }
        Ok(hasher.finalize())
    }

    fn refuse(&self, field: &str, got: impl Into<String>, expected: &str) -> TorchFileError {
        TorchFileError::field(&self.path, brief(field), got, expected)
    }
}

fn each<const N: usize>(bytes: &[u8], widen: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|x| widen(*x)).collect()
}

/// Elements of a strided view in row-major order.
fn gather(tensor: &TensorInfo, span: &[u8]) -> Vec<u8> {
    let size = tensor.dtype.size();
    let mut dense = Vec::with_capacity(tensor.elements() * size);
    let mut index = vec![0; tensor.shape.len()];
    let mut at = 0;
    for _ in 0..tensor.elements() {
        dense.extend_from_slice(&span[at * size..(at + 1) * size]);
        // The next index: the innermost axis moves on, and one that is done starts again.
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            at += tensor.strides[axis];
            if index[axis] < tensor.shape[axis] {
                break;
            }
            at -= tensor.strides[axis] * tensor.shape[axis];
            index[axis] = 0;
        }
    }
    dense
}
