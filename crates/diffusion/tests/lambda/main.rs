//! Samplers in `lambda` on the analytic model: against three other programs, and against the exact end.

#[path = "../common/mod.rs"]
mod common;

mod diffusers;
mod k_diffusion;
mod laws;
mod noise;
mod official;
mod refusals;
mod solver;
