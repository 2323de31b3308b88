//! The option `normalize_ssm_inputs`: norms of what a scan takes beside its input.

use super::SsmSaved;
use crate::error::ModelError;
use crate::net::{ActBuf, Net};
use ssm_kernels::segment_rms_norm::{Kept, Shape};
use ssm_kernels::{Backend, Storage};

/// Norms of `delta_r`, `B` and `C` in both orders, where the network has them.
pub(super) fn normalize<B: Backend>(
    net: &Net<'_, B>,
    saved: &mut SsmSaved<B>,
) -> Result<(), ModelError> {
    if net.c.normalize_ssm_inputs {
        let (shape, eps) = (norm_shape(net), net.c.norm_eps);
        for (x, rstd) in saved.x_dbl.iter_mut().zip(&mut saved.x_dbl_rstd) {
            net.backend.segment_rms_norm(&shape, eps, x.view_mut(), rstd.view_mut())?;
        }
    }
    Ok(())
}

/// Gradient pass of [`normalize`], in place.
pub(super) fn normalize_backward<B: Backend>(
    net: &Net<'_, B>,
    saved: &SsmSaved<B>,
    grad_x_dbl: &mut [ActBuf<B>; 2],
) -> Result<(), ModelError> {
    if net.c.normalize_ssm_inputs {
        for (i, grad) in grad_x_dbl.iter_mut().enumerate() {
            let (normed, rstd) = (saved.x_dbl[i].view(), saved.x_dbl_rstd[i].view());
            let kept = Kept { normed, rstd };
            net.backend.segment_rms_norm_backward(&norm_shape(net), &kept, grad.view_mut())?;
        }
    }
    Ok(())
}

/// `delta_r`, `B` and `C` of all tokens.
fn norm_shape<B: Backend>(net: &Net<'_, B>) -> Shape {
    let (rank, states) = (net.c.delta_rank(), net.c.d_state);
    Shape { rows: net.rows(), widths: [rank, states, states] }
}
