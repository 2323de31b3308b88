//! Everything that is known of the entries in one source, once it is compiled.

use std::collections::HashMap;

use anyhow::{Context, Result};

use super::Places;
use super::limits::Measured;
use super::loops::{self, Loop};
use super::nvcc::{ARCHITECTURES, Nvcc};
use super::ptxas::{self, Usage};
use super::sass::{self, Function};
use super::sources::Source;

/// One entry on one architecture.
pub(super) struct Entry {
    pub(super) architecture: &'static str,
    pub(super) usage: Usage,
    /// Its name and instructions.
    pub(super) function: Function,
    pub(super) loops: Vec<Loop>,
}

/// Compiles a source and takes the result apart; the entries by name, then by architecture.
pub(super) fn compile(places: &Places, nvcc: &Nvcc, source: &Source) -> Result<Vec<Entry>> {
    let compiled = nvcc.compile(places, source, false)?;
    let usages = ptxas::parse(&compiled.log)?;
    let mut code = HashMap::new();
    for architecture in ARCHITECTURES {
        let listing = nvcc.listing(places, &compiled.fatbin, architecture)?;
        for function in sass::parse(&listing) {
            code.insert((function.name.clone(), architecture), function);
        }
    }
    let mut entries = Vec::new();
    for (name, by_architecture) in usages {
        for architecture in ARCHITECTURES {
            let missing = || format!("{}: no code of {name} for {architecture}", source.path);
            let usage = *by_architecture.get(architecture).with_context(missing)?;
            let function = code.remove(&(name.clone(), architecture)).with_context(missing)?;
            let loops = loops::find(&function);
            entries.push(Entry { architecture, usage, function, loops });
        }
    }
    Ok(entries)
}

impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.function.name
    }

    pub(super) fn measured(&self) -> Measured {
        Measured {
            usage: self.usage,
            instructions: self.function.instructions.len(),
            loops: self.loops.iter().map(|found| found.own.len()).collect(),
        }
    }
}
