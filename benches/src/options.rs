//! Flags of the bench `peers`.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Matrix products at the shapes of the network.
    Products,
    /// The selective scan.
    Scan,
    /// Passes of DiS-S/2.
    Network,
    /// A small network, and more tokens.
    Sizes,
    /// Memory of a training step.
    Memory,
    /// The autoencoder of latent diffusion.
    Autoencoder,
    /// The network of evaluation.
    Inception,
    /// Convolutions and norms of an autoencoder.
    Images,
}

impl Part {
    /// All parts, in the order of a run.
    pub const ALL: [Self; 8] = [
        Self::Products,
        Self::Scan,
        Self::Network,
        Self::Sizes,
        Self::Memory,
        Self::Images,
        Self::Autoencoder,
        Self::Inception,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Scan => "scan",
            Self::Network => "network",
            Self::Sizes => "sizes",
            Self::Memory => "memory",
            Self::Autoencoder => "autoencoder",
            Self::Inception => "inception",
            Self::Images => "images",
        }
    }
}

/// What `--help` prints.
const HELP: &str = "\
cargo xtask bench peers [FLAGS]

Times our operators and networks and their PyTorch peers, taking turns in one run.

  --record FILE   also write the table as Markdown, for benches/record; a relative path
                  starts at the root of the workspace
  --compiled      include the peers under torch.compile, which compile for minutes
  --only NAMES    some of products,scan,network,sizes,memory,images,autoencoder,inception
  --rounds N      rounds of short cases, a third of it for those over a second [default: 15]

DIS_PEER_PYTHON names a Python with torch, in place of the one in .venv-peers.
";

/// What the bench is asked to do.
#[derive(Debug, PartialEq)]
pub enum Request {
    /// Measure.
    Run(Options),
    /// Print this text.
    Help(&'static str),
    /// Print the peak memory of training steps: how the bench asks itself.
    PeakMemory,
    /// Nothing: cargo runs the tests of all targets, and a measurement is none.
    Nothing,
}

/// What a run measures, and where its table goes.
#[derive(Debug, PartialEq)]
pub struct Options {
    /// File for the table as Markdown.
    pub record: Option<PathBuf>,
    /// Include the peers under torch.compile.
    pub compiled: bool,
    /// What to measure.
    pub parts: Vec<Part>,
    /// Rounds of short cases.
    pub rounds: usize,
}

impl Request {
    /// Reads flags. Others are criterion's, which reach every bench, and are left alone.
    ///
    /// # Errors
    /// When a flag lacks its value or has one that makes no sense.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self> {
        let mut options =
            Options { record: None, compiled: false, parts: Part::ALL.into(), rounds: 15 };
        let mut is_bench = false;
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
                "--record" => options.record = Some(from_root(Path::new(&value()?))),
                "--only" => options.parts = parts(&value()?)?,
                "--rounds" => options.rounds = rounds(&value()?)?,
                "--compiled" => options.compiled = true,
                "--peak-memory" => return Ok(Self::PeakMemory),
                "--help" | "-h" => return Ok(Self::Help(HELP)),
                "--bench" => is_bench = true,
                _ => {}
            }
        }
        Ok(if is_bench { Self::Run(options) } else { Self::Nothing })
    }
}

fn parts(text: &str) -> Result<Vec<Part>> {
    let part = |name: &str| {
        let found = Part::ALL.into_iter().find(|part| part.name() == name);
        let names = Part::ALL.map(Part::name).join(",");
        found.with_context(|| format!("--only {name}, expected some of {names}"))
    };
    text.split(',').map(part).collect()
}

fn rounds(text: &str) -> Result<usize> {
    let rounds = text.parse().ok().filter(|rounds| (1..=10_000).contains(rounds));
    rounds.with_context(|| format!("--rounds {text}, expected 1 to 10000"))
}

/// Cargo starts benches in the folder of their package, which nobody who types a path means.
pub(crate) fn from_root(path: &Path) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Request> {
        Request::parse(words.iter().map(|word| word.to_string()))
    }

    #[test]
    fn our_flags_are_read_and_those_of_criterion_left_alone() {
        let words =
            "--save-baseline main --record=r.md scan --only scan,network --bench --rounds 3";
        let words: Vec<_> = words.split(' ').collect();
        let Request::Run(options) = parse(&words).unwrap() else { panic!("a run") };
        assert!(options.record.as_ref().unwrap().ends_with("benches/../r.md"), "{options:?}");
        assert_eq!(options.parts, [Part::Scan, Part::Network]);
        assert_eq!((options.rounds, options.compiled), (3, false));
        assert_eq!(parse(&["--help", "--bench"]).unwrap(), Request::Help(HELP));
        assert_eq!(parse(&[]).unwrap(), Request::Nothing);
    }

    #[test]
    fn missing_and_senseless_values_are_named() {
        let refused = |words: &[&str]| parse(words).unwrap_err().to_string();
        assert_eq!(refused(&["--record"]), "--record what?");
        assert_eq!(refused(&["--rounds", "0"]), "--rounds 0, expected 1 to 10000");
        assert!(refused(&["--only", "scan,gemm"]).starts_with("--only gemm, expected some of"));
    }

    #[test]
    fn the_help_names_every_part() {
        assert!(HELP.contains(&Part::ALL.map(Part::name).join(",")));
    }
}
