//! Where arrays lie in `.npy`, `.npz` and safetensors files.

use crate::DataError;
use crate::array_images::classes_of;
use npz::{MemberSizes, NPY_HEAD_BYTES, NpyHeader, SharedFile, ZipMembers};
use serde::Deserialize;
use std::path::Path;

/// Bytes of the largest safetensors header that is read.
const MAX_SAFETENSORS_HEADER: u64 = 16 << 20;
/// Names of the members of an `.npz`, the first that is there being taken.
const NPZ_IMAGES: [&str; 2] = ["images.npy", "arr_0.npy"];
const NPZ_LABELS: [&str; 2] = ["labels.npy", "arr_1.npy"];

/// Types of elements that images and labels can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum Element {
    U8,
    U32,
    I32,
    U64,
    I64,
}

impl Element {
    fn of_descr(descr: &str) -> Option<Self> {
        Some(match descr {
            "|u1" => Self::U8,
            "<u4" => Self::U32,
            "<i4" => Self::I32,
            "<u8" => Self::U64,
            "<i8" => Self::I64,
            _ => return None,
        })
    }

    const fn size(self) -> u64 {
        match self {
            Self::U8 => 1,
            Self::U32 | Self::I32 => 4,
            Self::U64 | Self::I64 => 8,
        }
    }
}

/// An array that is inside of its file: `shape` and `start` were compared with the file's length.
#[derive(Debug)]
pub(crate) struct Array {
    name: String,
    pub(crate) element: Element,
    /// At least one side.
    pub(crate) shape: Vec<u64>,
    pub(crate) start: u64,
}

/// A file with an array of images and perhaps one of labels.
#[derive(Debug)]
pub(crate) struct ArrayFile {
    pub(crate) file: SharedFile,
    pub(crate) images: Array,
    labels: Option<Array>,
}

impl ArrayFile {
    /// Reads the headers of a file that is what its name ends in.
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
        match extension.as_str() {
            "npy" => Self::open_npy(path),
            "npz" => Self::open_npz(path),
            "safetensors" => Self::open_safetensors(path),
            _ => Err(DataError::Field {
                file: path.to_path_buf(),
                field: "ending of the name".into(),
                expected: ".npy, .npz or .safetensors".into(),
                got: format!("{extension:?}"),
            }),
        }
    }

    fn open_npy(path: &Path) -> Result<Self, DataError> {
        let file = SharedFile::open(path)?;
        let images = npy_array(&file, "the array", 0, file.len())?;
        Ok(Self { file, images, labels: None })
    }

    fn open_npz(path: &Path) -> Result<Self, DataError> {
        let members = ZipMembers::open(path, MemberSizes::Any)?;
        let find = |names: [&str; 2]| -> Result<Option<Array>, DataError> {
            for name in names {
                if let [member] = members.sorted(|other| other == name.as_bytes())?[..] {
                    let (start, len) = members.stored_range(member as usize)?;
                    return npy_array(members.file(), name, start, len).map(Some);
                }
            }
            Ok(None)
        };
        let (images, labels) = (find(NPZ_IMAGES)?, find(NPZ_LABELS)?);
        let Some(images) = images else {
            return Err(DataError::Missing {
                folder: path.to_path_buf(),
                expected: "array images or arr_0",
                help: "write it with numpy.savez(file, images=..., labels=...)",
            });
        };
        Ok(Self { file: members.into_file(), images, labels })
    }

    fn open_safetensors(path: &Path) -> Result<Self, DataError> {
        let file = SharedFile::open(path)?;
        let broken = |reason: String| DataError::from(file.broken("the header", 0, reason));
        let mut bytes = Vec::new();
        if file.len() < 8 {
            return Err(broken(format!("{} bytes, cut short", file.len())));
        }
        file.read_at(0, 8, &mut bytes)?;
        let header_len = bytes.iter().rev().fold(0, |len, &byte| len << 8 | u64::from(byte));
        if header_len > MAX_SAFETENSORS_HEADER || header_len > file.len() - 8 {
            let reason = format!(
                "{header_len} bytes, more than {MAX_SAFETENSORS_HEADER} or than the file has"
            );
            return Err(broken(reason));
        }
        file.read_at(8, header_len as usize, &mut bytes)?;
        let header: Tensors = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        let start = 8 + header_len;
        let images = header.images.array(&file, "images", start)?;
        let labels =
            header.labels.map(|labels| labels.array(&file, "labels", start)).transpose()?;
        Ok(Self { file, images, labels })
    }

    /// Labels of all images; empty where there are none.
    pub(crate) fn labels(&self) -> Result<Vec<u32>, DataError> {
        let Some(labels) = &self.labels else { return Ok(Vec::new()) };
        let refused = |reason: String| self.broken(labels, reason);
        if labels.shape != self.images.shape[..1] {
            let (found, expected) = (&labels.shape, &self.images.shape[..1]);
            return Err(refused(format!("shape {found:?}, expected {expected:?}")));
        }
        let (count, size) = (labels.shape[0] as usize, labels.element.size() as usize);
        let mut bytes = Vec::new();
        self.file.read_at(labels.start, count * size, &mut bytes)?;
        let labels = bytes.chunks_exact(size).map(|bytes| {
            // From the last byte, which has the sign, to the first; what is beyond i64 is no class
            // either way.
            let is_signed = matches!(labels.element, Element::I32 | Element::I64);
            let last = bytes[size - 1];
            let last = if is_signed { i64::from(last as i8) } else { i64::from(last) };
            bytes[..size - 1].iter().rev().fold(last, |sum, &byte| sum << 8 | i64::from(byte))
        });
        classes_of(labels).map_err(refused)
    }

    /// The error of an array that cannot be used.
    pub(crate) fn broken(&self, array: &Array, reason: String) -> DataError {
        self.file.broken(&array.name, array.start, reason).into()
    }
}

/// The array of an npy file that is `len` bytes from `start` on.
fn npy_array(file: &SharedFile, name: &str, start: u64, len: u64) -> Result<Array, DataError> {
    let broken = |reason: String| DataError::from(file.broken(name, start, reason));
    let mut head = Vec::new();
    file.read_at(start, len.min(NPY_HEAD_BYTES as u64) as usize, &mut head)?;
    let header = NpyHeader::parse(&head).map_err(broken)?;
    if header.fortran_order {
        return Err(broken("in Fortran order, expected C order".into()));
    }
    let Some(element) = Element::of_descr(&header.descr) else {
        let expected = "expected |u1 for images; |u1, <u4, <i4, <u8 or <i8 for labels";
        return Err(broken(format!("elements {}, {expected}", header.descr)));
    };
    let header_len = header.data_start as u64;
    let array =
        Array { name: name.into(), element, shape: header.shape, start: start + header_len };
    array.check_len(file, len - header_len)?;
    Ok(array)
}

impl Array {
    /// Refuses a shape that is not exactly `len` bytes; sides are multiplied with care.
    fn check_len(&self, file: &SharedFile, len: u64) -> Result<(), DataError> {
        let Self { name, element, shape, start } = self;
        let product = shape.iter().try_fold(element.size(), |sum, &side| sum.checked_mul(side));
        if product == Some(len) && !shape.is_empty() {
            return Ok(());
        }
        let reason = format!("shape {shape:?} of {element:?}, but {len} bytes are there");
        Err(file.broken(name, *start, reason).into())
    }
}

/// The tensors of a safetensors header that matter here; a name that comes twice is refused.
#[derive(Deserialize)]
struct Tensors {
    images: Tensor,
    labels: Option<Tensor>,
}

#[derive(Deserialize)]
struct Tensor {
    dtype: Element,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Tensor {
    fn array(self, file: &SharedFile, name: &str, data_start: u64) -> Result<Array, DataError> {
        let (begin, end) = self.data_offsets;
        let inside = begin <= end && end <= file.len() - data_start;
        if !inside {
            let reason = format!("bytes {begin} to {end} are not inside of the file");
            return Err(file.broken(name, data_start, reason).into());
        }
        let start = data_start + begin;
        let array = Array { name: name.into(), element: self.dtype, shape: self.shape, start };
        array.check_len(file, end - begin)?;
        Ok(array)
    }
}
