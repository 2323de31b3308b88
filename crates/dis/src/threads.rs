//! How many threads a command computes with.

use crate::exit::{Failure, code};
use rayon::ThreadPoolBuilder;

/// Threads of the pool that every operator runs on.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Threads {
    /// Threads to compute with [default: RAYON_NUM_THREADS, or one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl Threads {
    /// Starts the pool, where a number is asked for. Call this before anything computes: the first
    /// use of the pool fixes its size.
    pub(crate) fn start(self) -> Result<(), Failure> {
        let Some(n) = self.threads else { return Ok(()) };
        ThreadPoolBuilder::new().num_threads(n.into()).build_global().map_err(|error| {
            Failure::new(code::IO, format!("--threads {n}: cannot start them: {error}"))
        })
    }
}
