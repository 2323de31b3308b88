//! Inputs of a pass, read from a file and checked against the network.

use crate::exit::{Failure, code};
use dis_model::DisConfig;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::path::Path;

/// Names of all inputs.
const NAMES: [&str; 4] = ["x", "t", "y", "grad_out"];

/// What a pass needs, as exact f64.
pub(super) struct Inputs {
    pub(super) batch: usize,
    /// `[B, C, H, W]`.
    pub(super) x: Vec<f64>,
    /// `[B]`.
    pub(super) t: Vec<f64>,
    /// `[B]`.
    pub(super) y: Option<Vec<u32>>,
    /// `[B, C', H, W]`.
    pub(super) grad_out: Option<Vec<f64>>,
}

/// Which types an input may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Floats,
    Numbers,
    Integers,
}

impl Kind {
    /// Little-endian elements as f64, or nothing if they are of another type.
    fn values(self, dtype: Dtype, bytes: &[u8]) -> Option<Vec<f64>> {
        fn each<const N: usize>(bytes: &[u8], widen: impl Fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks().0.iter().map(|&element| widen(element)).collect()
        }
        let (floats, integers) = (self != Self::Integers, self != Self::Floats);
        Some(match dtype {
            Dtype::F64 if floats => each(bytes, f64::from_le_bytes),
            Dtype::F32 if floats => each(bytes, |x| f32::from_le_bytes(x).into()),
            Dtype::F16 if floats => each(bytes, |x| f16::from_le_bytes(x).into()),
            Dtype::BF16 if floats => each(bytes, |x| bf16::from_le_bytes(x).into()),
            Dtype::I64 if integers => each(bytes, |x| i64::from_le_bytes(x) as f64),
            Dtype::I32 if integers => each(bytes, |x| i32::from_le_bytes(x).into()),
            Dtype::U32 if integers => each(bytes, |x| u32::from_le_bytes(x).into()),
            Dtype::U8 if integers => each(bytes, |[x]| x.into()),
            _ => return None,
        })
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Floats => "f32, f64, f16 or bf16",
            Self::Integers => "i64, i32, u32 or u8",
            Self::Numbers => "floats, i64, i32, u32 or u8",
        }
    }
}

impl Inputs {
    /// Reads a file for a network.
    pub(super) fn open(path: &Path, c: &DisConfig) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|e| Failure::reading(path, e))?;
        let name = path.display().to_string();
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| {
            Failure::data(format!("{name}: not a whole safetensors file: {error}"))
        })?;
        let file = InputFile { name, tensors };
        file.check_names(c)?;
        let batch = file.batch(c)?;
        let (channels, side) = (c.channels, c.image_size);
        let y = match file.find("y") {
            Some(y) => Some(file.labels(&y, batch, c)?),
            None => None,
        };
        let out_shape = [batch, c.output_channels(), side, side];
        let grad_out = match file.find("grad_out") {
            Some(grad) => Some(file.values("grad_out", &grad, &out_shape, Kind::Floats)?),
            None => None,
        };
        let x_shape = [batch, channels, side, side];
        let x = file.values("x", &file.need("x", "[B, C, H, W]")?, &x_shape, Kind::Floats)?;
        let t = file.values("t", &file.need("t", "[B]")?, &[batch], Kind::Numbers)?;
        Ok(Self { batch, x, t, y, grad_out })
    }
}

/// A parsed file; errors name it.
struct InputFile<'a> {
    name: String,
    tensors: SafeTensors<'a>,
}

impl<'a> InputFile<'a> {
    fn refuse(&self, code: u8, reason: String) -> Failure {
        Failure::new(code, format!("{}: {reason}", self.name))
    }

    fn find(&self, name: &str) -> Option<TensorView<'a>> {
        self.tensors.tensor(name).ok()
    }

    fn need(&self, name: &str, shape: &str) -> Result<TensorView<'a>, Failure> {
        self.find(name).ok_or_else(|| {
            let mut names = self.tensors.names();
            names.sort_unstable();
            let found = if names.is_empty() { "nothing".into() } else { names.join(", ") };
            self.refuse(code::DATA, format!("no tensor {name} {shape}; found {found}"))
        })
    }

    /// Refuses names that mean nothing here, and labels that are missing or too many.
    fn check_names(&self, c: &DisConfig) -> Result<(), Failure> {
        let mut names = self.tensors.names();
        names.sort_unstable();
        if let Some(unknown) = names.iter().find(|name| !NAMES.contains(name)) {
            let reason = format!("{unknown} is no input; inputs are {}", NAMES.join(", "));
            return Err(self.refuse(code::CONFIG, reason));
        }
        match (names.contains(&"y"), c.is_conditional()) {
            (true, false) => {
                let reason = "y is given, expected none: the network is unconditional".into();
                Err(self.refuse(code::CONFIG, reason))
            }
            (false, true) => {
                let n = c.num_classes;
                let reason = format!("no tensor y [B], expected classes from 0 to {n}");
                let failure = self.refuse(code::CONFIG, reason);
                Err(failure.help(format!("class {n} is the null class, that is, no class")))
            }
            _ => Ok(()),
        }
    }

    /// Images in `x`, whose other sizes are the network's.
    fn batch(&self, c: &DisConfig) -> Result<usize, Failure> {
        let x = self.need("x", "[B, C, H, W]")?;
        let expected = [c.channels, c.image_size, c.image_size];
        match x.shape() {
            [batch, image @ ..] if *batch > 0 && *image == expected => Ok(*batch),
            got => {
                let [channels, height, width] = expected;
                let expected = format!("[B, {channels}, {height}, {width}] with B from 1 on");
                let reason = format!("x has shape {got:?}, expected {expected}");
                Err(self.refuse(code::DATA, reason))
            }
        }
    }

    /// A tensor of that shape and kind, all finite.
    fn values(
        &self,
        name: &str,
        view: &TensorView<'_>,
        shape: &[usize],
        kind: Kind,
    ) -> Result<Vec<f64>, Failure> {
        if view.shape() != shape {
            let got = view.shape();
            let reason = format!("{name} has shape {got:?}, expected {shape:?}");
            return Err(self.refuse(code::DATA, reason));
        }
        let values = kind.values(view.dtype(), view.data()).ok_or_else(|| {
            let (got, expected) = (view.dtype(), kind.expected());
            self.refuse(code::DATA, format!("{name} has type {got}, expected {expected}"))
        })?;
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => {
                let reason =
                    format!("{name} holds {} at element {at}, expected finite numbers", values[at]);
                Err(self.refuse(code::DATA, reason))
            }
            None => Ok(values),
        }
    }

    fn labels(
        &self,
        view: &TensorView<'_>,
        batch: usize,
        c: &DisConfig,
    ) -> Result<Vec<u32>, Failure> {
        let classes = c.num_classes;
        let labels = self.values("y", view, &[batch], Kind::Integers)?;
        labels
            .into_iter()
            .map(|label| match label {
                label if (0.0..=classes as f64).contains(&label) => Ok(label as u32),
                label => {
                    let expected = format!("0 to {classes}, {classes} being the null class");
                    let reason = format!("y holds {label}, expected {expected}");
                    Err(self.refuse(code::CONFIG, reason))
                }
            })
            .collect()
    }
}
