//! Memory of a device stepper.

use crate::step::RunState;
use dis_model::DisConfig;
use ssm_kernels::device::{Activation, Device, DeviceBuffer, Driver, Slice, SliceMut};
use ssm_kernels::{Backend, KernelError, Storage, View, ViewMut};
use std::ops::Range;

use super::MOST_WAITING;

/// What an optimiser step reads and writes.
pub(super) struct DeviceArenas<A: Activation, D: Driver> {
    pub(super) params: DeviceBuffer<f32, D>,
    /// The parameters as matrix products read them.
    pub(super) compute: DeviceBuffer<A, D>,
    pub(super) grads: DeviceBuffer<f32, D>,
    pub(super) m: DeviceBuffer<f32, D>,
    pub(super) v: DeviceBuffer<f32, D>,
    pub(super) averages: Vec<DeviceBuffer<f32, D>>,
}

/// Images of one micro-batch and their gradients, `[micro, C, H, W]` each.
pub(super) struct Inputs<D: Driver> {
    pub(super) x0: DeviceBuffer<f32, D>,
    pub(super) noise: DeviceBuffer<f32, D>,
    pub(super) x_t: DeviceBuffer<f32, D>,
    pub(super) grad_output: DeviceBuffer<f32, D>,
}

/// What steps measured, a row a step.
pub(super) struct Records<D: Driver> {
    pub(super) batch: usize,
    /// `[MOST_WAITING, batch, 2]`: squared error and bound of every sample.
    pub(super) terms: DeviceBuffer<f64, D>,
    /// `[MOST_WAITING]`, of the gradient before clipping.
    pub(super) sum_squares: DeviceBuffer<f64, D>,
    /// `[MOST_WAITING]`: whether a loss was not finite, and whether the step was left out.
    pub(super) not_finite: DeviceBuffer<u32, D>,
    pub(super) skipped: DeviceBuffer<u32, D>,
}

impl<A: Activation, D: Driver> DeviceArenas<A, D> {
    pub(super) fn new(device: &Device<A, D>, state: &RunState) -> Result<Self, KernelError> {
        let put = |values: &[f32]| {
            let mut buffer = device.empty(values.len())?;
            device.upload(values, buffer.view_mut())?;
            Ok(buffer)
        };
        let rounded: Vec<A> = state.params.iter().map(|&x| A::from_f32(x)).collect();
        let mut compute = device.empty(rounded.len())?;
        device.upload(&rounded, compute.view_mut())?;
        Ok(Self {
            params: put(&state.params)?,
            compute,
            grads: device.zeros(state.params.len())?,
            m: put(&state.m)?,
            v: put(&state.v)?,
            averages: state.averages.iter().map(|a| put(a)).collect::<Result<_, _>>()?,
        })
    }
}

impl<D: Driver> Inputs<D> {
    pub(super) fn new<A: Activation>(
        device: &Device<A, D>,
        c: &DisConfig,
        micro: usize,
    ) -> Result<Self, KernelError> {
        let images = || device.zeros(micro * c.image_len());
        Ok(Self {
            x0: images()?,
            noise: images()?,
            x_t: images()?,
            grad_output: device.zeros(micro * c.output_len())?,
        })
    }
}

impl<D: Driver> Records<D> {
    pub(super) fn new<A: Activation>(
        device: &Device<A, D>,
        batch: usize,
    ) -> Result<Self, KernelError> {
        Ok(Self {
            batch,
            terms: device.zeros(MOST_WAITING * batch * 2)?,
            sum_squares: device.zeros(MOST_WAITING)?,
            not_finite: device.zeros(MOST_WAITING)?,
            skipped: device.zeros(MOST_WAITING)?,
        })
    }

    /// Terms of some samples of a step.
    pub(super) fn terms_of(&mut self, row: usize, samples: Range<usize>) -> SliceMut<'_, f64, D> {
        let first = row * self.batch;
        self.terms.view_mut().part(2 * (first + samples.start)..2 * (first + samples.end))
    }

    /// Terms of all samples of a step, and its flag.
    pub(super) fn terms_and_flag(
        &mut self,
        row: usize,
    ) -> (Slice<'_, f64, D>, SliceMut<'_, u32, D>) {
        let of_step = 2 * self.batch;
        let terms = self.terms.view().part(row * of_step..(row + 1) * of_step);
        (terms, self.not_finite.view_mut().part(row..row + 1))
    }
}
