//! What a tensor of a file claims to be.

use crate::values::{Id, Node, Values};

/// Format of the elements of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE, 64 bits.
    F64,
    /// IEEE, 32 bits.
    F32,
    /// IEEE, 16 bits.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// Signed, 64 bits.
    I64,
    /// Signed, 32 bits.
    I32,
    /// Signed, 16 bits.
    I16,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 8 bits.
    U8,
    /// A byte that is 0 or 1.
    Bool,
}

impl Dtype {
    /// The format of storages of a class.
    fn of_storage(module: &str, class: &str) -> Option<Self> {
        if !matches!(module, "torch" | "torch.cuda") {
            return None;
        }
        Some(match class {
            "DoubleStorage" => Self::F64,
            "FloatStorage" => Self::F32,
            "HalfStorage" => Self::F16,
            "BFloat16Storage" => Self::Bf16,
            "LongStorage" => Self::I64,
            "IntStorage" => Self::I32,
            "ShortStorage" => Self::I16,
            "CharStorage" => Self::I8,
            "ByteStorage" => Self::U8,
            "BoolStorage" => Self::Bool,
            _ => return None,
        })
    }

    /// Bytes of an element.
    pub fn size(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The format as messages have it, such as `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U8 => "u8",
            Self::Bool => "bool",
        }
    }
}

/// One tensor of a file, checked against the length of its storage.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    /// Elements from one index to the next, for each axis.
    pub(crate) strides: Vec<usize>,
    /// Bytes of the storage before the first element.
    pub(crate) start: u64,
    /// Bytes of the storage from the first element to behind the last.
    pub(crate) span: usize,
    /// Index in the storages of the file.
    pub(crate) storage: usize,
}

impl TensorInfo {
    /// Key of the dict.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Format of the elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Shape, outermost axis first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Number of elements.
    pub fn elements(&self) -> usize {
        // Checked when the description was read.
        self.shape.iter().product()
    }
}

/// The storage that a tensor lies in, as its description has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StorageClaim<'a> {
    pub(crate) key: &'a str,
    pub(crate) dtype: Dtype,
    pub(crate) elements: u64,
}

/// What the arguments of a call that would build a tensor say.
#[derive(Debug)]
pub(crate) struct TensorClaim<'a> {
    pub(crate) storage: StorageClaim<'a>,
    pub(crate) offset: u64,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// Most axes of a tensor.
const MAX_AXES: usize = 16;
/// Most calls around a tensor, such as that of a parameter. The file may nest them in a circle.
const MAX_WRAPPERS: usize = 4;

/// The tensor that a value would be; `Ok(None)` if it would be something else.
///
/// # Errors
/// What is wrong with its arguments.
pub(crate) fn claim(values: &Values, id: Id) -> Result<Option<TensorClaim<'_>>, String> {
    let Some(args) = arguments(values, id) else { return Ok(None) };
    let [storage, offset, shape, strides, ..] = *args else {
        return Err(format!("a tensor with {} arguments", args.len()));
    };
    let offset = values
        .as_count(offset)
        .ok_or_else(|| format!("a tensor whose offset is {}", values.describe(offset)))?;
    let storage = match values.node(storage) {
        Node::Outside(description) => storage_claim(values, *description)?,
        _ => return Err(format!("a tensor in {}", values.describe(storage))),
    };
    let sizes = |what: &str, id: Id| {
        let ids = values.as_tuple(id).filter(|ids| ids.len() <= MAX_AXES);
        let sizes = ids.and_then(|ids| {
            let size = |id: &Id| usize::try_from(values.as_count(*id)?).ok();
            ids.iter().map(size).collect::<Option<Vec<usize>>>()
        });
        sizes.ok_or_else(|| format!("a tensor whose {what} is not up to {MAX_AXES} counts"))
    };
    let (shape, strides) = (sizes("shape", shape)?, sizes("strides", strides)?);
    if shape.len() != strides.len() {
        return Err(format!("a tensor of shape {shape:?} with strides {strides:?}"));
    }
    Ok(Some(TensorClaim { storage, offset, shape, strides }))
}

/// Arguments of the call that would build a tensor, through those that would only wrap it.
fn arguments(values: &Values, mut id: Id) -> Option<&[Id]> {
    for _ in 0..MAX_WRAPPERS {
        let (call, args) = values.as_call(id)?;
        match (call, args) {
            (("torch._utils", "_rebuild_tensor_v2"), args) => return Some(args),
            (
                ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state"),
                [tensor, ..],
            ) => id = *tensor,
            // A subclass: the function that would be called, the class, its arguments, attributes.
            (("torch._tensor", "_rebuild_from_type_v2"), [function, _, args, ..]) => {
                let is_plain =
                    values.as_global(*function) == Some(("torch._utils", "_rebuild_tensor_v2"));
                return values.as_tuple(*args).filter(|_| is_plain);
            }
            _ => return None,
        }
    }
    None
}

/// A storage: `("storage", class, key, device, elements)`, and what it is a view of, if anything.
pub(crate) fn storage_claim(values: &Values, id: Id) -> Result<StorageClaim<'_>, String> {
    let parts = values.as_tuple(id).unwrap_or_default();
    let ([kind, class, key, _, elements] | [kind, class, key, _, elements, Values::NONE]) = *parts
    else {
        return Err(format!("in a storage that is {}", values.describe(id)));
    };
    let known = || -> Option<StorageClaim<'_>> {
        let (module, name) = values.as_global(class)?;
        let dtype = Dtype::of_storage(module, name)?;
        let elements = values.as_count(elements)?;
        (values.as_text(kind)? == "storage").then_some(())?;
        Some(StorageClaim { key: values.as_text(key)?, dtype, elements })
    };
    known().ok_or_else(|| format!("in a storage of {}", values.describe(class)))
}

/// Bytes from the start of the first element to the end of the last, or `None` if they overflow.
pub(crate) fn span(claim: &TensorClaim<'_>) -> Option<u64> {
    if claim.shape.contains(&0) {
        return Some(0);
    }
    let axes = claim.shape.iter().zip(&claim.strides);
    let mut steps = axes.map(|(&n, &stride)| (n as u64 - 1).checked_mul(stride as u64));
    let last = steps.try_fold(0_u64, |sum, step| sum.checked_add(step?))?;
    last.checked_add(1)?.checked_mul(claim.storage.dtype.size() as u64)
}

/// Whether elements stand in row-major order without gaps.
pub(crate) fn is_dense(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().all(|(&n, &stride)| {
        let fits = n == 1 || stride == expected;
        // Overflow has been excluded for the whole shape, of which this is a part.
        expected *= n;
        fits
    })
}
