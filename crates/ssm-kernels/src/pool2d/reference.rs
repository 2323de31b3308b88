//! The definition.

use super::{Args, Kind, check};
use crate::{KernelError, MatMut, Real};

/// Value pass: sums are made row by row.
///
/// # Errors
/// [`KernelError`] when an operand does not fit the shape, or a window may lie outside the image.
pub fn forward<T: Real>(args: &Args<'_, T>, mut out: MatMut<'_, T>) -> Result<(), KernelError> {
    let (rows, columns) = check(args, &out)?;
    for pixel in 0..out.rows {
        let (b, y, x) = (pixel / (rows * columns), pixel / columns % rows, pixel % columns);
        let under: Vec<usize> = args
            .window
            .inside(y, args.shape.height)
            .flat_map(|y| args.window.inside(x, args.shape.width).map(move |x| (y, x)))
            .map(|(y, x)| (b * args.shape.height + y) * args.shape.width + x)
            .collect();
        for (c, out) in out.row_mut(pixel).iter_mut().enumerate() {
            let mut result = args.x.row(under[0])[c];
            for &pixel in &under[1..] {
                let value = args.x.row(pixel)[c];
                match args.window.kind {
                    Kind::Average => result += value,
                    Kind::Max if value > result => result = value,
                    Kind::Max => {}
                }
            }
            if args.window.kind == Kind::Average {
                result = result / T::from_f64(under.len() as f64);
            }
            *out = result;
        }
    }
    Ok(())
}
