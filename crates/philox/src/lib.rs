//! Counter-based random numbers addressed by seed, purpose and position.
//!
//! Every random number of a run is a pure function of `(seed, purpose, position, lane)`. There is no
//! generator and so no generator state to save, to split between workers or ranks, or to lose on a
//! restart: whoever needs the noise of sample 1,234,567 asks for it.
//!
//! ```
//! use philox::{Draws, Permutation, Purpose};
//!
//! let seed = 42;
//! let position = 1_234_567; // global sample index since the start of the run
//! let mut noise = vec![0.0; 3 * 32 * 32];
//! Draws::new(seed, Purpose::DiffusionNoise, position).fill_normal(&mut noise);
//! let timestep = Draws::new(seed, Purpose::Timestep, position).below(0, 1000);
//!
//! let data_set_len = 50_000;
//! let (epoch, place) = (position / data_set_len, position % data_set_len);
//! let index = Permutation::new(seed, data_set_len).index(epoch, place);
//! # assert!(timestep < 1000 && index < data_set_len && noise[0].is_finite());
//! ```
//!
//! # The address
//!
//! | Philox input | holds |
//! |---|---|
//! | key | seed low 32 bits, seed high 32 bits |
//! | counter word 0 | `lane / 4`; the lane picks word `lane % 4` of the block |
//! | counter word 1 | purpose (8 bits) and `sub << 8` (24 bits) |
//! | counter words 2, 3 | position low 32 bits, position high 32 bits |
//!
//! *Position* is the global sample index during training, the image index during sampling and
//! [`name_position`] of the parameter's name during initialisation. This layout, the numbers of
//! [`Purpose`] and the formulas of the distributions are part of every checkpoint's meaning: they
//! do not change.
//!
//! # The same bits everywhere
//!
//! Normals need a logarithm, a sine and a cosine, and platforms' libraries disagree on their last
//! bits. This crate has its own, built from IEEE 754 double `+ - * /` and `sqrt` alone, without
//! fused multiply-add. A port (CUDA: `-fmad=false` or `__dmul_rn`, `__dadd_rn`) that keeps the order
//! of operations gives equal bits.
//!
//! # Source
//! Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Philox4x32-10).
#![forbid(unsafe_code)]

mod address;
mod block;
mod distribution;
mod elementary;
mod permutation;

pub use address::{Draws, LANES, Purpose, name_position};
pub use block::block;
pub use permutation::Permutation;
