//! The operators of a device as a [`Backend`].
#![allow(unsafe_code, reason = "copies between this machine and the device take addresses")]

use super::driver::{Driver, Operand, Product, Second};
use super::memory::{DeviceBuffer, OnDevice, Slice, SliceMut};
use super::{Activation, Device};
use crate::backend::Backend;
use crate::error::check_len;
use crate::matrix::check_mat;
use crate::space::{Element, Storage, View, ViewMut};
use crate::{
    KernelError, Mat, MatMut, Write, adamw_ema, add_rms_norm, causal_conv1d, elementwise, embed,
    layer_norm_modulate, patchify, segment_rms_norm, selective_scan,
};

/// A product into `T`, which is `A` or f32.
fn gemm<A: Activation, T: Activation, D: Driver>(
    device: &Device<A, D>,
    out: &MatMut<'_, T, OnDevice<D>>,
    write: Write,
    a: Mat<'_, A, OnDevice<D>>,
    b: Mat<'_, A, OnDevice<D>>,
) -> Result<(), KernelError> {
    let product = product(out, write, a, b)?;
    if out.rows == 0 || out.cols == 0 {
        return Ok(());
    }
    // SAFETY: every view was checked against its buffer when it was made, and the shapes agree.
    unsafe { device.driver().gemm(&product) }
}

/// Checks the shapes of a product.
fn product<A: Activation, T: Activation, D: Driver>(
    out: &MatMut<'_, T, OnDevice<D>>,
    write: Write,
    a: Mat<'_, A, OnDevice<D>>,
    b: Mat<'_, A, OnDevice<D>>,
) -> Result<Product, KernelError> {
    check_mat("gemm", "b", (b.rows, b.cols), (a.cols, b.cols))?;
    check_mat("gemm", "out", (out.rows, out.cols), (a.rows, b.cols))?;
    Ok(Product {
        rows: out.rows,
        cols: out.cols,
        terms: a.cols,
        a: operand(a),
        b: operand(b),
        out: out.data.address(),
        out_stride: out.row_stride,
        out_format: T::FORMAT,
        format: A::FORMAT,
        accumulate: write == Write::Accumulate,
        second: None,
    })
}

/// Sizes, strides and formats of a product: what two of them need in common to be made together.
fn form(product: &Product) -> impl PartialEq {
    let Product { rows, cols, terms, a, b, out_stride, accumulate, .. } = *product;
    let strides = [a.stride, b.stride, out_stride];
    ([rows, cols, terms], strides, [a.transposed, b.transposed, accumulate])
}

/// A view whose rows or columns are contiguous, which all of this crate are.
fn operand<T: Element, D: Driver>(mat: Mat<'_, T, OnDevice<D>>) -> Operand {
    let transposed = mat.col_stride != 1;
    let stride = if transposed { mat.col_stride } else { mat.row_stride };
    Operand { address: mat.data.address(), stride, transposed }
}

impl<A: Activation, D: Driver> Backend for Device<A, D> {
    type Act = A;
    type Wide = f32;
    type Memory = OnDevice<D>;
    /// Working memory belongs to the device.
    type Scratch = ();

    fn zeros<T: Element>(&self, len: usize) -> Result<DeviceBuffer<T, D>, KernelError> {
        let mut buffer = self.empty(len)?;
        self.fill_zero(buffer.view_mut())?;
        Ok(buffer)
    }

    fn upload<T: Element>(&self, from: &[T], to: SliceMut<'_, T, D>) -> Result<(), KernelError> {
        check_len("upload", "to", to.len(), &[from.len()])?;
        // SAFETY: both ranges have these bytes.
        unsafe { self.driver().upload(from.as_ptr().cast(), to.address(), size_of_val(from)) }
    }

    fn download<T: Element>(&self, from: Slice<'_, T, D>, to: &mut [T]) -> Result<(), KernelError> {
        check_len("download", "to", to.len(), &[from.len()])?;
        // SAFETY: both ranges have these bytes, and any bits that kernels write are an element.
        unsafe { self.driver().download(from.address(), to.as_mut_ptr().cast(), size_of_val(to)) }
    }

    fn fill_zero<T: Element>(&self, to: SliceMut<'_, T, D>) -> Result<(), KernelError> {
        // SAFETY: the range is on this device.
        unsafe { self.driver().zero(to.address(), to.len() * size_of::<T>()) }
    }

    fn copy<T: Element>(
        &self,
        from: Slice<'_, T, D>,
        to: SliceMut<'_, T, D>,
    ) -> Result<(), KernelError> {
        check_len("copy", "to", to.len(), &[from.len()])?;
        // SAFETY: both ranges are on this device, and one is borrowed mutably.
        unsafe { self.driver().copy(from.address(), to.address(), to.len() * size_of::<T>()) }
    }

    fn run<R: Send>(&self, pass: impl FnOnce() -> R + Send) -> R {
        pass()
    }

    fn gemm(
        &self,
        out: MatMut<'_, A, OnDevice<D>>,
        write: Write,
        a: Mat<'_, A, OnDevice<D>>,
        b: Mat<'_, A, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        gemm(self, &out, write, a, b)
    }

    fn gemm_pair(
        &self,
        outs: [MatMut<'_, A, OnDevice<D>>; 2],
        write: Write,
        a: [Mat<'_, A, OnDevice<D>>; 2],
        b: [Mat<'_, A, OnDevice<D>>; 2],
    ) -> Result<(), KernelError> {
        let first = product(&outs[0], write, a[0], b[0])?;
        let second = product(&outs[1], write, a[1], b[1])?;
        if form(&first) != form(&second) || first.rows == 0 || first.cols == 0 {
            let [first, second] = outs;
            self.gemm(first, write, a[0], b[0])?;
            return self.gemm(second, write, a[1], b[1]);
        }
        let second = Second { a: second.a.address, b: second.b.address, out: second.out };
        // SAFETY: every view was checked against its buffer when it was made, the shapes agree, and
        // both results are borrowed mutably, so they do not overlap.
        unsafe { self.driver().gemm(&Product { second: Some(second), ..first }) }
    }

    fn gemm_wide(
        &self,
        out: MatMut<'_, f32, OnDevice<D>>,
        write: Write,
        a: Mat<'_, A, OnDevice<D>>,
        b: Mat<'_, A, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        gemm(self, &out, write, a, b)
    }

    fn selective_scan(
        &self,
        args: &selective_scan::Args<'_, A, f32, OnDevice<D>>,
        out: selective_scan::Output<'_, A, f32, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        let plan = selective_scan::device::Plan::for_shape(args.shape, self.driver().processors());
        selective_scan::device::forward(self, plan, args, out)
    }

    fn selective_scan_states_len(&self, shape: selective_scan::Shape, directions: usize) -> usize {
        selective_scan::device::states_len(shape, directions)
    }

    fn selective_scan_backward(
        &self,
        args: &selective_scan::Args<'_, A, f32, OnDevice<D>>,
        kept: selective_scan::Kept<'_, A, f32, OnDevice<D>>,
        grad_gated: Slice<'_, A, D>,
        grads: selective_scan::Grads<'_, A, f32, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        selective_scan::device::backward(self, args, kept, grad_gated, grads)
    }

    fn causal_conv1d(
        &self,
        args: &causal_conv1d::Args<'_, A, f32, OnDevice<D>>,
        outs: &mut [SliceMut<'_, A, D>],
    ) -> Result<(), KernelError> {
        causal_conv1d::device::forward(self, args, outs)
    }

    fn causal_conv1d_backward(
        &self,
        args: &causal_conv1d::Args<'_, A, f32, OnDevice<D>>,
        grad_outs: &[Slice<'_, A, D>],
        grads: causal_conv1d::Grads<'_, A, f32, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        causal_conv1d::device::backward(self, args, grad_outs, grads)
    }

    fn add_rms_norm(
        &self,
        args: &add_rms_norm::Args<'_, A, f32, OnDevice<D>>,
        out: add_rms_norm::Output<'_, A, f32, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        add_rms_norm::device::forward(self, args, out)
    }

    fn add_rms_norm_backward(
        &self,
        args: &add_rms_norm::BackwardArgs<'_, A, f32, OnDevice<D>>,
        grads: add_rms_norm::Grads<'_, A, f32, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        add_rms_norm::device::backward(self, args, grads)
    }

    fn segment_rms_norm(
        &self,
        shape: &segment_rms_norm::Shape,
        eps: f64,
        x: SliceMut<'_, A, D>,
        rstd: SliceMut<'_, f32, D>,
    ) -> Result<(), KernelError> {
        segment_rms_norm::device::forward(self, shape, eps, x, rstd)
    }

    fn segment_rms_norm_backward(
        &self,
        shape: &segment_rms_norm::Shape,
        kept: &segment_rms_norm::Kept<'_, A, f32, OnDevice<D>>,
        grad: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        segment_rms_norm::device::backward(self, shape, kept, grad)
    }

    fn layer_norm_modulate(
        &self,
        args: &layer_norm_modulate::Args<'_, A, A, OnDevice<D>>,
        out: layer_norm_modulate::Output<'_, A, f32, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        layer_norm_modulate::device::forward(self, args, out)
    }

    fn layer_norm_modulate_backward(
        &self,
        args: &layer_norm_modulate::Args<'_, A, A, OnDevice<D>>,
        stats: Slice<'_, f32, D>,
        grad_out: Slice<'_, A, D>,
        grads: layer_norm_modulate::Grads<'_, A, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        layer_norm_modulate::device::backward(self, args, stats, grad_out, grads)
    }

    fn layer_norm_modulate_wide(
        &self,
        args: &layer_norm_modulate::Args<'_, f32, A, OnDevice<D>>,
        out: layer_norm_modulate::Output<'_, A, f32, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        layer_norm_modulate::device::forward(self, args, out)
    }

    fn layer_norm_modulate_wide_backward(
        &self,
        args: &layer_norm_modulate::Args<'_, f32, A, OnDevice<D>>,
        stats: Slice<'_, f32, D>,
        grad_out: Slice<'_, A, D>,
        grads: layer_norm_modulate::Grads<'_, A, OnDevice<D>>,
        _scratch: &mut (),
    ) -> Result<(), KernelError> {
        layer_norm_modulate::device::backward(self, args, stats, grad_out, grads)
    }

    fn patch_gather(
        &self,
        shape: &patchify::Shape,
        image: Slice<'_, f32, D>,
        tokens: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        patchify::device::gather(self, shape, image, tokens)
    }

    fn patch_scatter(
        &self,
        shape: &patchify::Shape,
        tokens: Slice<'_, A, D>,
        image: SliceMut<'_, f32, D>,
    ) -> Result<(), KernelError> {
        patchify::device::scatter(self, shape, tokens, image)
    }

    fn adamw_ema(
        &self,
        hyper: &adamw_ema::Hyper<'_>,
        arenas: adamw_ema::Arenas<'_, f32, A, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        adamw_ema::device::step(self, hyper, arenas)
    }

    fn fill_rows(
        &self,
        row: Slice<'_, f32, D>,
        out: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::fill_rows(self, row, out)
    }

    fn add_column_sums(
        &self,
        x: Mat<'_, A, OnDevice<D>>,
        sums: SliceMut<'_, f32, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::add_column_sums(self, x, sums)
    }

    fn add(
        &self,
        a: Slice<'_, A, D>,
        b: Slice<'_, A, D>,
        out: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::add(self, a, b, out)
    }

    fn add_assign(&self, to: SliceMut<'_, A, D>, from: Slice<'_, A, D>) -> Result<(), KernelError> {
        elementwise::device::add_assign(self, to, from)
    }

    fn add_to_residual(
        &self,
        residual: SliceMut<'_, f32, D>,
        x: Slice<'_, A, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::add_to_residual(self, residual, x)
    }

    fn residual_add(
        &self,
        args: &elementwise::ResidualAdd<'_, A, f32, OnDevice<D>>,
        out: SliceMut<'_, f32, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::residual_add(self, args, out)
    }

    fn apply_drop_path(
        &self,
        args: &elementwise::DropPath<'_, f32, OnDevice<D>>,
        out: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::apply_drop_path(self, args, out)
    }

    fn silu(&self, x: Slice<'_, A, D>, out: SliceMut<'_, A, D>) -> Result<(), KernelError> {
        elementwise::device::silu(self, x, out)
    }

    fn silu_backward(
        &self,
        x: Slice<'_, A, D>,
        grad: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        elementwise::device::silu_backward(self, x, grad)
    }

    fn timestep_phases(
        &self,
        timesteps: &[f64],
        phases: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        embed::device::timestep_phases(self, timesteps, phases)
    }

    fn embed_condition(
        &self,
        args: &embed::Condition<'_, A, f32, OnDevice<D>>,
        out: embed::ConditionOutput<'_, A, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        embed::device::condition(self, args, out)
    }

    fn embed_condition_backward(
        &self,
        args: &embed::ConditionBackward<'_, A, OnDevice<D>>,
        grads: embed::ConditionGrads<'_, A, f32, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        embed::device::condition_backward(self, args, grads)
    }

    fn embed_tokens(
        &self,
        args: &embed::Tokens<'_, A, f32, OnDevice<D>>,
        tokens: SliceMut<'_, A, D>,
    ) -> Result<(), KernelError> {
        embed::device::tokens(self, args, tokens)
    }

    fn embed_tokens_backward(
        &self,
        shape: &embed::Shape,
        grad_tokens: Slice<'_, A, D>,
        grads: embed::TokensGrads<'_, f32, OnDevice<D>>,
    ) -> Result<(), KernelError> {
        embed::device::tokens_backward(self, shape, grad_tokens, grads)
    }
}
