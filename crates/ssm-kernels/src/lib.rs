//! Every hot operator of a state-space diffusion network, forward and backward.
//!
//! One operator, one folder: `reference.rs` is the definition in plain loops, generic over f32 and
//! f64; `cpu.rs` the fast f32 form with run-time choice of instruction set; `mod.rs` the operands,
//! their checks and the documentation. A [`Backend`] is one implementation of all of them, so a
//! network is written once and runs on any. An [`ImageBackend`] has those of networks over images
//! too.
//!
//! Operands are generic over where they live ([`Memory`]; left out, the host's, whose operands are
//! slices) and over two formats: `T` of activations and `W`, "wide", of parameters, their gradients,
//! the residual stream, statistics and the states of scans. On a host both are one.
//!
//! Shapes: `B` batch, `L` tokens, `D` width, `E` inner channels, `N` states, `K` taps. Activations
//! are token-major and contiguous, `[B, L, channels]`; where an operand is a part of a wider row it
//! is a strided [`Mat`]. Gradients of activations overwrite their destination, gradients of
//! parameters are added to it. Sums run in a fixed order: equal inputs give equal bits, whatever
//! the threads do.
//!
//! Unsafe code stands in `simd` (vector instructions, the request for tile registers), `disjoint`
//! (column blocks written by parallel tasks), `gemm` (tiles, vectors, a call with pointers), `memory`
//! (advice on pages), `conv2d` (tiles) and the `cpu` modules that use `disjoint`.

pub mod adamw_ema;
pub mod add_rms_norm;
mod backend;
pub mod causal_conv1d;
pub mod ceilings;
pub mod conv2d;
#[cfg(feature = "device")]
pub mod device;
mod disjoint;
pub mod elementwise;
pub mod embed;
mod error;
pub mod gemm;
pub mod group_norm;
mod host;
mod image_backend;
pub mod layer_norm_modulate;
mod matrix;
mod memory;
pub mod patchify;
pub mod pool2d;
mod real;
mod scratch;
pub mod segment_rms_norm;
pub mod selective_scan;
mod simd;
pub mod softmax_rows;
mod space;
pub mod sum_squares;
pub mod timed;

pub use backend::{Backend, Buf, HostBackend, Mut, Ref};
pub use error::KernelError;
pub use gemm::{Precision, Write};
pub use host::{Cpu, CpuBf16, Reference};
pub use image_backend::ImageBackend;
pub use matrix::{Mat, MatMut};
pub use memory::Buffer;
pub use real::Real;
pub use scratch::Scratch;
pub use simd::InstructionSet;
pub use space::{Element, Host, Memory, Storage, View, ViewMut};

/// Direction in which a scan or convolution walks the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanOrder {
    /// From the first token to the last.
    LeftToRight,
    /// From the last token to the first.
    RightToLeft,
}

impl ScanOrder {
    /// Token visited at `place` of a walk over `seq_len` tokens.
    #[inline(always)]
    pub fn token(self, place: usize, seq_len: usize) -> usize {
        match self {
            Self::LeftToRight => place,
            Self::RightToLeft => seq_len - 1 - place,
        }
    }
}
