//! `cargo xtask kernels`: the CUDA sources in `kernels/`, and what is made of them.

mod bench;
mod bindings;
mod build;
mod check;
mod entries;
mod limits;
mod loops;
mod manifest;
mod nvcc;
mod parity;
mod ptxas;
mod sass;
mod show;
mod sources;
mod toolkit;

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use clap::Subcommand;
use xshell::Shell;

use crate::workspace::Workspace;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Install the pinned CUDA compiler and libclang into target/kernels/toolkit
    ///
    /// They come as Python wheels, so neither root nor a GPU is needed, only python3 with pip.
    /// Does nothing when they are there.
    Toolkit,

    /// Compile the kernels that changed to crates/ssm-kernels/fatbin
    ///
    /// Uses $NVCC, else the first nvcc of the pinned release on PATH, in $CUDA_HOME/bin or in
    /// target/kernels/toolkit. Commit the fatbins and manifest.json with the sources.
    Build {
        /// Compile also what did not change
        #[arg(long)]
        all: bool,
    },

    /// Check that the fatbins are current, and what each entry takes
    ///
    /// The first needs no nvcc. With one, spills, local memory, registers beyond the ceilings of
    /// kernels/limits.toml, and instruction counts that grew by more than 2 % are errors.
    Check {
        /// Write the counts of now to kernels/limits.toml; ceilings change by hand only
        #[arg(long)]
        update: bool,
        /// Show a table of the loops of every entry
        #[arg(long)]
        loops: bool,
    },

    /// Compare every kernel with its definition: in the emulator, and on a GPU where there is one
    ///
    /// The emulator builds the same sources for this machine. Its fast build runs them in several
    /// schedules, its checked build watches every access; a test for each mistake that the checker
    /// must find keeps its silence honest.
    Parity {
        /// Only these operators, for example `selective_scan`
        operators: Vec<String>,
    },

    /// Time every kernel on a GPU, after comparing it with its definition there
    ///
    /// Without a GPU it stops with an error, and so it does where a comparison fails: nothing is
    /// timed that was not checked. How records are kept: benches/record/README.md.
    Bench {
        /// Also write the results as JSON; a relative path starts at the root of the workspace
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
        /// Time only operators that contain one of these, as in selective_scan,adamw
        #[arg(long, value_name = "NAMES")]
        only: Option<String>,
    },

    /// Show the machine code of one entry, loop by loop
    Sass {
        /// An `extern "C" __global__` function
        entry: String,
        /// The architecture
        #[arg(long, default_value = "sm_90", value_parser = nvcc::ARCHITECTURES)]
        arch: String,
        /// Only the table of loops, without the instructions
        #[arg(long)]
        table: bool,
    },

    /// Write the Rust side of kernels/include/*.h
    ///
    /// It is crates/ssm-kernels/src/device/bindings.rs.
    Bindings {
        /// Compare instead of writing
        #[arg(long)]
        check: bool,
    },
}

/// Runs one of the commands.
pub(crate) fn run(shell: &Shell, command: &Command) -> Result<()> {
    let places = Places { root: Workspace::load(shell)?.root };
    match command {
        Command::Toolkit => toolkit::run(&places),
        Command::Build { all } => build::run(&places, *all),
        Command::Check { update, loops } => {
            check::run(&places, check::Options { update: *update, loops: *loops })
        }
        Command::Parity { operators } => parity::run(shell, operators),
        Command::Bench { json, only } => bench::run(shell, json.as_deref(), only.as_deref()),
        Command::Sass { entry, arch, table } => show::run(&places, entry, arch, *table),
        Command::Bindings { check } => bindings::run(shell, &places, *check),
    }
}

/// The stage of `cargo xtask ci`: all that can be checked on this machine.
pub(crate) fn ci(shell: &Shell) -> Result<()> {
    let places = Places { root: Workspace::load(shell)?.root };
    check::run(&places, check::Options::default())?;
    bindings::check_if_possible(shell, &places)
}

/// Where things are in the workspace.
struct Places {
    root: PathBuf,
}

impl Places {
    fn sources(&self) -> PathBuf {
        self.root.join("kernels")
    }

    fn limits(&self) -> PathBuf {
        self.root.join("kernels/limits.toml")
    }

    fn fatbins(&self) -> PathBuf {
        self.root.join("crates/ssm-kernels/fatbin")
    }

    fn manifest(&self) -> PathBuf {
        self.fatbins().join("manifest.json")
    }

    /// What is made on this machine and kept out of the repository.
    ///
    /// Not cargo's target folder of the moment: one toolkit serves every one of them.
    fn scratch(&self) -> PathBuf {
        self.root.join("target/kernels")
    }

    /// Waits until no other process holds the lock of this name; dropping the file gives it back.
    fn lock(&self, name: &str) -> Result<File> {
        let folder = self.scratch();
        std::fs::create_dir_all(&folder).with_context(|| format!("folder {}", folder.display()))?;
        let path = folder.join(format!("{name}.lock"));
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        if file.try_lock().is_err() {
            println!("waiting for another `cargo xtask kernels {name}`");
            file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

/// Calls `work` with every item and its index, on all cores; the results in the order of the items.
fn parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return results };
            results.push((index, work(index, item)));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|result| result.unwrap_or_else(|p| std::panic::resume_unwind(p))).collect()
    });
    results.sort_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        let items: Vec<usize> = (0..100).collect();
        let results = parallel(&items, |index, item| (index, item * 2));
        assert!(results.iter().enumerate().all(|(i, &result)| result == (i, 2 * i)));
        assert!(parallel(&[0; 0], |_, _| ()).is_empty());
    }
}
