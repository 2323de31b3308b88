//! The operators of a device as an [`ImageBackend`].

use super::driver::Driver;
use super::memory::{OnDevice, SliceMut};
use super::{Activation, Device};
use crate::image_backend::ImageBackend;
use crate::{KernelError, MatMut, conv2d, group_norm, pool2d, softmax_rows};

impl<A: Activation, D: Driver> ImageBackend for Device<A, D> {
    type Conv2dWeights = conv2d::device::Weights<A, D>;

    fn conv2d_weights(
        &self,
        kernel: &conv2d::Kernel,
        weight: &[f32],
    ) -> Result<Self::Conv2dWeights, KernelError> {
        conv2d::device::Weights::new(self, kernel, weight)
    }

    fn conv2d(
        &self,
        args: &conv2d::Args<'_, Self::Conv2dWeights, A, f32, OnDevice<D>>,
        out: MatMut<'_, A, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        conv2d::device::forward(self, args, out)
    }

    fn pool2d(
        &self,
        args: &pool2d::Args<'_, A, OnDevice<D>>,
        out: MatMut<'_, A, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        pool2d::device::forward(self, args, out)
    }

    fn group_norm(
        &self,
        args: &group_norm::Args<'_, A, f32, OnDevice<D>>,
        out: SliceMut<'_, A, D>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        group_norm::device::forward(self, args, out)
    }

    fn softmax_rows(
        &self,
        rows: MatMut<'_, A, OnDevice<D>>,
        factor: f64,
    ) -> Result<(), KernelError> {
        softmax_rows::device::forward(self, rows, factor)
    }
}
