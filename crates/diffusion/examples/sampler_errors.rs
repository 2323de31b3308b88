//! Prints the table of sampler errors that the README of this crate shows.
//!
//! ```text
//! cargo run -p diffusion --example sampler_errors
//! ```
#![allow(clippy::print_stdout, reason = "printing is all it does")]
#![allow(dead_code, reason = "the tests use the rest of their common module")]

#[path = "../tests/common/mod.rs"]
mod common;

fn main() {
    print!("{}", common::sampler_table::table());
}
