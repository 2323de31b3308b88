//! What the operands must look like.

use super::Shape;
use crate::KernelError;
use crate::error::check_len;

const OP: &str = "patchify";

pub(crate) fn check(shape: &Shape, image_len: usize, tokens_len: usize) -> Result<(), KernelError> {
    let s = shape;
    let unsupported =
        |what, got, supported| Err(KernelError::Unsupported { op: OP, what, got, supported });
    if s.patch == 0 {
        return unsupported("patch", 0, "1 or more");
    }
    if !s.height.is_multiple_of(s.patch) {
        return unsupported("height", s.height, "multiples of the patch");
    }
    if !s.width.is_multiple_of(s.patch) {
        return unsupported("width", s.width, "multiples of the patch");
    }
    check_len(OP, "image", image_len, &[s.batch, s.channels, s.height, s.width])?;
    check_len(OP, "tokens", tokens_len, &[s.batch, s.extra + s.patches(), s.token_len()])
}
