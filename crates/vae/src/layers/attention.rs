//! Attention of every pixel to every pixel.

use super::{Conv, Loader, Norm};
use crate::workspace::{Size, Workspace};
use ssm_kernels::conv2d::Kernel;
use ssm_kernels::{
    ImageBackend, KernelError, Mat, MatMut, Mut, Ref, Storage, View, ViewMut, Write,
};

/// `y = x + out(softmax(q k^T / sqrt(C)) v)` with `q, k, v` linear maps of `norm(x)`; one head.
///
/// # Source
/// Attention, arXiv 1706.03762, equation 1, over the pixels of the coarsest level.
#[derive(Debug)]
pub(crate) struct Attention<B: ImageBackend> {
    norm: Norm<B>,
    /// The three maps as one product: `[3 C, C]`.
    qkv: Conv<B>,
    out: Conv<B>,
}

/// Most bytes of scores at a time. Each query needs all keys, but no other query.
const SCORE_BYTES: usize = 64 << 20;

/// Queries whose scores are computed at a time, among `pixels`.
pub(crate) fn score_rows<T>(pixels: usize) -> usize {
    (SCORE_BYTES / size_of::<T>() / pixels).clamp(1, pixels)
}

impl<B: ImageBackend> Attention<B> {
    /// The attention `name`.
    pub(crate) fn load(loader: &mut Loader<'_, B>, name: &str) -> Result<Self, KernelError> {
        let norm = Norm::plain(loader, &format!("{name}.group_norm"))?;
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for part in ["to_q", "to_k", "to_v"] {
            weight.extend(loader.take(&format!("{name}.{part}.weight")).data);
            bias.extend(loader.take(&format!("{name}.{part}.bias")).data);
        }
        let kernel = Kernel::same(bias.len() / 3, bias.len(), 1);
        let qkv = Conv::new(loader, kernel, &weight, &bias)?;
        Ok(Self { norm, qkv, out: Conv::same(loader, &format!("{name}.to_out.0"))? })
    }

    /// Attention on the current activation.
    pub(crate) fn run(&self, backend: &B, work: &mut Workspace<B>) -> Result<(), KernelError> {
        let Workspace { x, normed, next, scores, scratch, size, .. } = work;
        self.norm.forward(backend, *size, x, normed, scratch)?;
        self.qkv.forward(backend, *size, normed, None, next, scratch)?;
        let image = size.pixels() * size.channels;
        for b in 0..size.batch {
            let qkv = next.view().part(3 * b * image..3 * (b + 1) * image);
            let mixed = normed.view_mut().part(b * image..(b + 1) * image);
            mix(backend, *size, qkv, mixed, scores.view_mut())?;
        }
        let add = Some(&*x);
        self.out.forward(backend, *size, normed, add, next, scratch)?;
        work.swap_next();
        Ok(())
    }
}

/// `out [P, C] = softmax(q k^T / sqrt(C)) v` of one image, some queries at a time; `qkv` is `[P, 3 C]`.
fn mix<B: ImageBackend>(
    backend: &B,
    size: Size,
    qkv: Ref<'_, B, B::Act>,
    mut out: Mut<'_, B, B::Act>,
    mut scores: Mut<'_, B, B::Act>,
) -> Result<(), KernelError> {
    let (pixels, c) = (size.pixels(), size.channels);
    let [k, v] = [c..2 * c, 2 * c..3 * c].map(|part| Mat::columns_of(qkv, pixels, 3 * c, part));
    let rows = score_rows::<B::Act>(pixels);
    for first in (0..pixels).step_by(rows) {
        let last = pixels.min(first + rows);
        let rows = last - first;
        let q = Mat::columns_of(qkv.part(first * 3 * c..last * 3 * c), rows, 3 * c, 0..c);
        let mut scores = scores.reborrow().part(0..rows * pixels);
        let to = MatMut::of(scores.reborrow(), rows, pixels);
        backend.gemm(to, Write::Overwrite, q, k.t())?;
        let factor = 1.0 / (c as f64).sqrt();
        backend.softmax_rows(MatMut::of(scores.reborrow(), rows, pixels), factor)?;
        let to = MatMut::of(out.reborrow().part(first * c..last * c), rows, c);
        backend.gemm(to, Write::Overwrite, Mat::of(scores.view(), rows, pixels), v)?;
    }
    Ok(())
}
