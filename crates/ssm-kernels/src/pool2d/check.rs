//! What the operands must look like.

use super::{Args, Window};
use crate::matrix::{check_contiguous_rows, check_mat};
use crate::space::{Element, Memory};
use crate::{KernelError, MatMut};

const OP: &str = "pool2d";

/// Checks the operands, and returns rows and columns of the output.
pub(crate) fn check<T: Element, M: Memory>(
    args: &Args<'_, T, M>,
    out: &MatMut<'_, T, M>,
) -> Result<(usize, usize), KernelError> {
    let (shape, window) = (&args.shape, &args.window);
    check_window(window)?;
    let Some((rows, columns)) = window.out_size(shape.height, shape.width) else {
        let (what, got) = ("smaller side of the image", shape.height.min(shape.width));
        let supported = "images that are no smaller than the window once they are padded";
        return Err(KernelError::Unsupported { op: OP, what, got, supported });
    };
    // An empty image would have windows in its padding alone.
    let sizes = [("channels", args.channels), ("rows", shape.height), ("columns", shape.width)];
    for (what, got) in sizes {
        if got == 0 {
            return Err(KernelError::Unsupported { op: OP, what, got, supported: "1 or more" });
        }
    }
    let pixels = shape.batch * shape.height * shape.width;
    check_mat(OP, "x", (args.x.rows, args.x.cols), (pixels, args.channels))?;
    check_contiguous_rows(OP, "x", &args.x)?;
    check_mat(OP, "out", (out.rows, out.cols), (shape.batch * rows * columns, args.channels))?;
    Ok((rows, columns))
}

fn check_window(window: &Window) -> Result<(), KernelError> {
    for (what, got) in [("side of the window", window.side), ("stride", window.stride)] {
        if got == 0 {
            return Err(KernelError::Unsupported { op: OP, what, got, supported: "1 or more" });
        }
    }
    if window.padding < window.side {
        return Ok(());
    }
    let (what, got, supported) = ("padding", window.padding, "less than the side of the window");
    Err(KernelError::Unsupported { op: OP, what, got, supported })
}
