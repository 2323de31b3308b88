//! Flags of the bench `kernels`.

use anyhow::{Context, Result};
use std::path::PathBuf;

/// What `--help` prints.
const HELP: &str = "\
cargo xtask kernels bench [FLAGS]

Times every kernel on an NVIDIA GPU at fixed shapes, and sets it against the GPU's own ceilings:
a plain copy and a large matrix product of the same run, and the exp units at the driver's clock.

  --json FILE    also write the results as JSON, for benches/record; a relative path starts at
                 the root of the workspace
  --only NAMES   operators that contain one of these, as in selective_scan,adamw
  --calls N      timed calls of each, of which the median counts, 5 to 1000 [default: 30]
  --gpu N        the GPU of that number [default: 0]
  --commit TEXT  what was built, where it cannot be asked for
  --probe        only open the GPU and say what it is
";

/// What the bench is asked to do.
#[derive(Debug, PartialEq)]
pub enum KernelRequest {
    /// Measure.
    Run(KernelOptions),
    /// Open the GPU of that number and say what it is.
    Probe(usize),
    /// Print this text.
    Help(&'static str),
    /// Nothing: cargo runs the tests of all targets, and a measurement is none.
    Nothing,
}

/// What a run measures, and where its results go.
#[derive(Debug, PartialEq)]
pub struct KernelOptions {
    /// File for the results as JSON.
    pub json: Option<PathBuf>,
    /// Parts of the names of operators; none for all.
    pub only: Vec<String>,
    /// Timed calls of each.
    pub calls: usize,
    /// Number of the GPU.
    pub gpu: usize,
    /// What was built; asked for where absent.
    pub commit: Option<String>,
}

impl KernelOptions {
    /// Whether an operator is asked for.
    pub fn wants(&self, operator: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| operator.contains(part))
    }
}

impl KernelRequest {
    /// Reads flags. Others are criterion's, which reach every bench, and are left alone.
    ///
    /// # Errors
    /// When a flag lacks its value or has one that makes no sense.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options =
            KernelOptions { json: None, only: Vec::new(), calls: 30, gpu: 0, commit: None };
        let (mut is_bench, mut is_probe) = (false, false);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let (flag, inline) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_string())),
                None => (argument.as_str(), None),
            };
            let mut value = || {
                inline.clone().or_else(|| arguments.next()).with_context(|| format!("{flag} what?"))
            };
            match flag {
                "--json" => options.json = Some(crate::from_root(value()?.as_ref())),
                "--only" => options.only = value()?.split(',').map(String::from).collect(),
                "--calls" => options.calls = number(flag, &value()?, 5, 1000)?,
                "--gpu" => options.gpu = number(flag, &value()?, 0, 1000)?,
                "--commit" => options.commit = Some(value()?),
                "--probe" => is_probe = true,
                "--help" | "-h" => return Ok(Self::Help(HELP)),
                "--bench" => is_bench = true,
                _ => {}
            }
        }
        Ok(match (is_probe, is_bench) {
            (true, _) => Self::Probe(options.gpu),
            (false, true) => Self::Run(options),
            (false, false) => Self::Nothing,
        })
    }
}

fn number(flag: &str, text: &str, least: usize, most: usize) -> Result<usize> {
    let number = text.parse().ok().filter(|number| (least..=most).contains(number));
    number.with_context(|| format!("{flag} {text}, expected {least} to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &str) -> Result<KernelRequest> {
        KernelRequest::parse(words.split_whitespace().map(String::from))
    }

    #[test]
    fn our_flags_are_read_and_those_of_criterion_left_alone() {
        let words = "--save-baseline main --json=r.json --only scan,conv --bench --calls 40";
        let KernelRequest::Run(options) = parse(words).unwrap() else { panic!("a run") };
        assert!(options.json.as_ref().unwrap().ends_with("benches/../r.json"), "{options:?}");
        assert_eq!((options.calls, options.gpu), (40, 0));
        assert!(options.wants("selective_scan backward") && !options.wants("adamw_ema"));
        assert_eq!(parse("--probe --gpu 1").unwrap(), KernelRequest::Probe(1));
        assert_eq!(parse("--help --bench").unwrap(), KernelRequest::Help(HELP));
        assert_eq!(parse("").unwrap(), KernelRequest::Nothing);
    }

    #[test]
    fn missing_and_senseless_values_are_named() {
        let refused = |words| parse(words).unwrap_err().to_string();
        assert_eq!(refused("--json"), "--json what?");
        assert_eq!(refused("--calls 2"), "--calls 2, expected 5 to 1000");
    }
}
