//! One thing to be timed, and memory to time it on.

use super::costs::Cost;
use super::shapes::BlockShape;
use crate::random;
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, Format, OnDevice, SliceMut};
use ssm_kernels::{Backend, Element, KernelError, Storage, ViewMut};

/// Asks a device for the operator, once.
pub type Call = Box<dyn FnMut() -> Result<(), KernelError>>;

type Make = Box<dyn FnOnce() -> Result<Call, KernelError>>;

/// An operator at a shape; its operands are made when it is its turn.
pub struct Case {
    /// As the library names it.
    pub operator: String,
    /// Sizes.
    pub shape: String,
    /// Format of activations.
    pub format: &'static str,
    /// What a call costs at least.
    pub cost: Cost,
    make: Make,
}

impl Case {
    /// Makes the operands.
    ///
    /// # Errors
    /// When the device has not so much memory.
    pub fn make(self) -> Result<Call, KernelError> {
        (self.make)()
    }
}

/// `bf16` or `f32`.
pub fn format_name(format: Format) -> &'static str {
    match format {
        Format::F32 => "f32",
        Format::Bf16 => "bf16",
    }
}

/// A device with numbers to fill its memory with.
pub struct Lab<A: Activation, D: Driver> {
    /// The device.
    pub device: Device<A, D>,
}

impl<A: Activation, D: Driver> Clone for Lab<A, D> {
    fn clone(&self) -> Self {
        Self { device: self.device.clone() }
    }
}

/// Numbers that are repeated through an operand.
const NUMBERS: usize = 1 << 16;

impl<A: Activation, D: Driver> Lab<A, D> {
    /// On this device.
    pub fn new(device: Device<A, D>) -> Self {
        Self { device }
    }

    /// Bytes of an element of an activation.
    pub(super) fn act_bytes() -> usize {
        size_of::<A>()
    }

    pub(super) fn case(
        &self,
        operator: impl Into<String>,
        shape: impl Into<String>,
        cost: Cost,
        make: impl FnOnce(&Self) -> Result<Call, KernelError> + 'static,
    ) -> Case {
        let lab = self.clone();
        let format = format_name(A::FORMAT);
        let make = Box::new(move || make(&lab));
        Case { operator: operator.into(), shape: shape.into(), format, cost, make }
    }

    /// Normal numbers, the same few over and over.
    pub(super) fn act(&self, seed: u64, len: usize) -> Result<DeviceBuffer<A, D>, KernelError> {
        let numbers = random(seed, len.min(NUMBERS));
        self.repeat(&numbers.iter().map(|&x| A::from_f32(x)).collect::<Vec<_>>(), len)
    }

    /// The same in f32, after `map`.
    pub(super) fn wide(
        &self,
        seed: u64,
        len: usize,
        map: fn(f32) -> f32,
    ) -> Result<DeviceBuffer<f32, D>, KernelError> {
        let numbers = random(seed, len.min(NUMBERS));
        self.repeat(&numbers.iter().map(|&x| map(x)).collect::<Vec<_>>(), len)
    }

    /// Numbers over and over.
    pub(super) fn repeat<T: Element>(
        &self,
        numbers: &[T],
        len: usize,
    ) -> Result<DeviceBuffer<T, D>, KernelError> {
        let mut buffer = self.device.empty(len)?;
        let mut done = numbers.len().min(len);
        self.device.upload(&numbers[..done], buffer.view_mut().part(0..done))?;
        while done < len {
            let more = done.min(len - done);
            let [from, to]: [SliceMut<'_, T, D>; 2] =
                ViewMut::<T, OnDevice<D>>::parts(buffer.view_mut(), [0..more, done..done + more]);
            self.device.copy(from.view(), to)?;
            done += more;
        }
        Ok(buffer)
    }

    pub(super) fn act_zeros(&self, len: usize) -> Result<DeviceBuffer<A, D>, KernelError> {
        self.device.zeros(len)
    }

    pub(super) fn wide_zeros(&self, len: usize) -> Result<DeviceBuffer<f32, D>, KernelError> {
        self.device.zeros(len)
    }
}

/// `128x257x768`, after the network's name.
pub(super) fn label(shape: &BlockShape, channels: usize) -> String {
    let BlockShape { name, batch, seq_len, .. } = shape;
    format!("{name} {batch}x{seq_len}x{channels}")
}
