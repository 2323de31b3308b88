//! What the operands must look like.

use super::{Args, Kernel};
use crate::error::check_len;
use crate::matrix::{check_contiguous_rows, check_mat};
use crate::space::{Element, Memory, View};
use crate::{KernelError, MatMut};

const OP: &str = "conv2d";

/// Checks a layer and the weight it is made of.
pub(crate) fn check_weights(kernel: &Kernel, weight: usize) -> Result<(), KernelError> {
    let sizes = [
        ("input channels", kernel.inputs),
        ("output channels", kernel.outputs),
        ("rows of the kernel", kernel.height),
        ("columns of the kernel", kernel.width),
        ("stride", kernel.stride),
    ];
    for (what, got) in sizes {
        if got == 0 {
            return Err(KernelError::Unsupported { op: OP, what, got, supported: "1 or more" });
        }
    }
    let Kernel { inputs, outputs, height, width, .. } = *kernel;
    check_len(OP, "weight", weight, &[outputs, inputs, height, width])
}

/// Checks the operands of one call, and returns rows and columns of the output.
pub(crate) fn check<C, T: Element, W: Element, M: Memory>(
    kernel: &Kernel,
    args: &Args<'_, C, T, W, M>,
    out: &MatMut<'_, T, M>,
) -> Result<(usize, usize), KernelError> {
    let s = &args.shape;
    let Some((rows, columns)) = kernel.out_size(s.height, s.width) else {
        let (what, got) = ("smaller side of the image", s.height.min(s.width));
        let supported = "images that are no smaller than the kernel once they are padded";
        return Err(KernelError::Unsupported { op: OP, what, got, supported });
    };
    let pixels = s.batch * s.height * s.width;
    check_mat(OP, "x", (args.x.rows, args.x.cols), (pixels, kernel.inputs))?;
    check_contiguous_rows(OP, "x", &args.x)?;
    check_len(OP, "bias", args.bias.len(), &[kernel.outputs])?;
    if let Some(add) = &args.add {
        check_len(OP, "add", add.len(), &[s.batch, rows, columns, kernel.outputs])?;
    }
    check_mat(OP, "out", (out.rows, out.cols), (s.batch * rows * columns, kernel.outputs))?;
    Ok((rows, columns))
}
