//! `dis eval` through the real binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod eval;
