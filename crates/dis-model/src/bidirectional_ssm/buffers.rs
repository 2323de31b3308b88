//! Memory of the mixers.

use super::scan_shape;
use crate::activations::Recompute;
use crate::net::{ActBuf, Allocator, WideBuf};
use ssm_kernels::segment_rms_norm::SEGMENTS;
use ssm_kernels::{Backend, KernelError};

/// What the gradient pass needs of one value pass. Shapes with `L` tokens of every image.
#[derive(Debug)]
pub(crate) struct SsmSaved<B: Backend> {
    /// `[B, L, 2E]`: `[x | z]`.
    pub(super) xz: ActBuf<B>,
    /// Per order `[B, L, E]`.
    pub(super) u: [ActBuf<B>; 2],
    /// Per order `[B, L, R + 2N]`: `[delta_r | B | C]`, as the scan takes them: normed where the
    /// network has these norms.
    pub(super) x_dbl: [ActBuf<B>; 2],
    /// Per order `[B, L, 3]`: factors of these norms; empty without them.
    pub(super) x_dbl_rstd: [WideBuf<B>; 2],
    /// Absent where nothing is kept, or where the gradient pass makes it again.
    pub(super) scan: Option<ScanKept<B>>,
}

/// What the gradient pass of both scans needs.
#[derive(Debug)]
pub(crate) struct ScanKept<B: Backend> {
    /// `[B, L, E]`: sum of the scans before the gate.
    pub(super) pre_gate: ActBuf<B>,
    /// States on the way of both scans, as the backend keeps them.
    pub(super) states: WideBuf<B>,
}

impl<B: Backend> SsmSaved<B> {
    /// Memory of one mixer.
    pub(crate) fn new(new: &Allocator<'_, B>, keeps_scan: bool) -> Result<Self, KernelError> {
        let e = new.c.d_inner();
        Ok(Self {
            xz: new.tokens(2 * e)?,
            u: new.token_pair(e)?,
            x_dbl: new.token_pair(new.c.x_proj_width())?,
            x_dbl_rstd: match new.c.normalize_ssm_inputs {
                true => new.token_pair(SEGMENTS)?,
                false => Default::default(),
            },
            scan: keeps_scan.then(|| ScanKept::new(new)).transpose()?,
        })
    }
}

impl<B: Backend> ScanKept<B> {
    fn new(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        let states = new.backend.selective_scan_states_len(scan_shape(new.c, new.batch), 2);
        Ok(Self { pre_gate: new.tokens(new.c.d_inner())?, states: new.backend.zeros(states)? })
    }
}

/// Working memory shared by all mixers.
#[derive(Debug)]
pub(crate) struct SsmScratch<B: Backend> {
    pub(super) kernels: B::Scratch,
    /// Per order `[B, L, E]`. A product of short sums: the gradient pass makes it again.
    pub(super) delta_raw: [ActBuf<B>; 2],
    /// `[B, L, E]`. The gradient pass makes it again.
    pub(super) gated: ActBuf<B>,
    /// What the gradient pass makes again of a scan that no block keeps.
    pub(super) scan: Option<ScanKept<B>>,
    pub(super) grad_gated: ActBuf<B>,
    pub(super) grad_xz: ActBuf<B>,
    pub(super) grad_u: [ActBuf<B>; 2],
    pub(super) grad_delta: [ActBuf<B>; 2],
    pub(super) grad_x_dbl: [ActBuf<B>; 2],
}

impl<B: Backend> SsmScratch<B> {
    /// Memory of the value pass alone.
    pub(crate) fn for_inference(new: &Allocator<'_, B>) -> Result<Self, KernelError> {
        Ok(Self {
            kernels: B::Scratch::default(),
            delta_raw: new.token_pair(new.c.d_inner())?,
            gated: new.tokens(new.c.d_inner())?,
            scan: None,
            grad_gated: ActBuf::<B>::default(),
            grad_xz: ActBuf::<B>::default(),
            grad_u: Default::default(),
            grad_delta: Default::default(),
            grad_x_dbl: Default::default(),
        })
    }

    /// Memory of both passes.
    pub(crate) fn for_training(
        new: &Allocator<'_, B>,
        recompute: Recompute,
    ) -> Result<Self, KernelError> {
        let rebuilds = recompute == Recompute::Scan;
        let e = new.c.d_inner();
        Ok(Self {
            kernels: B::Scratch::default(),
            delta_raw: new.token_pair(e)?,
            gated: new.tokens(e)?,
            scan: rebuilds.then(|| ScanKept::new(new)).transpose()?,
            grad_gated: new.tokens(e)?,
            grad_xz: new.tokens(2 * e)?,
            grad_u: new.token_pair(e)?,
            grad_delta: new.token_pair(e)?,
            grad_x_dbl: new.token_pair(new.c.x_proj_width())?,
        })
    }
}
