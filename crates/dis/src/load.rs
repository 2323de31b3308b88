//! Files of weights in, files of tensors out.

mod partial;

pub(crate) use partial::Partial;

use crate::exit::Failure;
use crate::info::units::thousands;
use anyhow::{Context, Result};
use dis_model::weights::{self, TensorMap};
use dis_model::{DisConfig, ParamLayout};
use safetensors::Dtype;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;
use trainer::checkpoint::{WeightChoice, load_weights};

/// Where a safetensors header keeps texts.
const METADATA: &str = "__metadata__";

/// The text by which a file of weights says which network it is of.
const DIS_CONFIG: &str = "dis_config";

/// The tensor by which a network is recognised.
pub(crate) const LANDMARK: &str = "norm_f.weight";

/// Sets of weights that a file may hold side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    /// The moving average, which is what samples are made with.
    Ema,
    /// The weights as the optimiser left them.
    Model,
}

impl Which {
    /// Key of a checkpoint, and prefix of names in a file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ema => "ema",
            Self::Model => "model",
        }
    }
}

/// A network from a file.
#[derive(Debug)]
pub(crate) struct Weights {
    /// As the file says, or as its shapes do.
    pub(crate) config: DisConfig,
    /// All parameters, in the order of [`ParamLayout`].
    pub(crate) params: Vec<f32>,
    /// Where they come from, for people.
    pub(crate) source: String,
}

impl Weights {
    /// Reads a run directory, a checkpoint or a file of weights.
    ///
    /// A file may hold bare names, or sets below `ema.` and `model.`; without `which` bare names are
    /// taken, then `ema.`. Our own files say which network they are of; the shapes of others do, and
    /// what shapes do not show is as published: the inputs of scans are not normalised.
    pub(crate) fn open(path: &Path, which: Option<Which>) -> Result<Self> {
        let header = if path.is_dir() { None } else { Some(Header::read(path)?) };
        if let Some(header) = header.filter(|header| which.is_some() || !header.says_network) {
            let wanted = which.map(|which| format!("{}.", which.name()));
            let prefix = header.find_prefix(path, wanted.as_deref())?;
            let source = match prefix.as_str() {
                "" => path.display().to_string(),
                prefix => format!("{}, names below {prefix}", path.display()),
            };
            return Self::open_below(path, &prefix, source);
        }
        let choice = match which.unwrap_or(Which::Ema) {
            Which::Ema => WeightChoice::Ema,
            Which::Model => WeightChoice::Model,
        };
        let read = load_weights(path, &choice)?;
        let name = read.file.display().to_string();
        let finite =
            |range: &Range<usize>| read.values[range.clone()].iter().all(|v| v.is_finite());
        if let Some(bad) = read.layout.iter().find(|param| !finite(&param.range)) {
            return Err(Failure::data(format!("{name}: {} is not finite", bad.name)).into());
        }
        let source = match read.step {
            Some(step) => format!("{name}, step {step}"),
            None => name,
        };
        Ok(Self { config: read.dis_config, params: read.values, source })
    }

    /// Reads the tensors of a file whose names start with `prefix`.
    pub(crate) fn open_prefixed(path: &Path, prefix: &str) -> Result<Self> {
        Header::read(path)?.find_prefix(path, Some(prefix))?;
        Self::open_below(path, prefix, format!("{}, names below {prefix}", path.display()))
    }

    /// The same without looking first. Errors speak of `source`.
    fn open_below(path: &Path, prefix: &str, source: String) -> Result<Self> {
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        Self::from_tensors(&weights::read_safetensors(path, prefix)?, source)
    }

    /// The network that tensors are of. Errors speak of `source`.
    pub(crate) fn from_tensors(tensors: &TensorMap, source: String) -> Result<Self> {
        let config = weights::infer_config(tensors).with_context(|| source.clone())?;
        let params = weights::to_arena(&ParamLayout::new(&config), tensors, &source)?;
        Ok(Self { config, params, source })
    }

    /// Counts and sums, by which two files can be compared at a glance.
    pub(crate) fn summary(&self) -> String {
        let tensors = ParamLayout::new(&self.config).iter().count();
        let sum: f64 = self.params.iter().map(|&x| f64::from(x)).sum();
        let magnitudes: f64 = self.params.iter().map(|&x| f64::from(x.abs())).sum();
        format!(
            "{tensors} tensors, {} parameters, sum {sum:.6}, sum of magnitudes {magnitudes:.6}",
            thousands(self.params.len() as u64)
        )
    }

    /// Writes them under their official names, with the network they are of.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let config = json!(self.config).to_string();
        let metadata = BTreeMap::from([(DIS_CONFIG.to_string(), config)]);
        let layout = ParamLayout::new(&self.config);
        let write = || {
            let mut file = BufWriter::new(File::create(path)?);
            weights::write_safetensors(&mut file, &layout, &self.params, &metadata)?;
            file.flush()
        };
        write().map_err(|error| Failure::writing(path, error))
    }
}

/// Name, shape, type and little-endian bytes of a tensor.
pub(crate) type View<'a> = (&'a str, &'a [usize], Dtype, &'a [u8]);

/// Writes tensors by name. Equal tensors give equal bytes.
pub(crate) fn write_views<'a>(
    path: &Path,
    views: impl Iterator<Item = View<'a>>,
) -> Result<(), Failure> {
    let mut views: Vec<View<'_>> = views.collect();
    views.sort_by_key(|view| view.0);
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, shape, dtype, bytes) in &views {
        let start = end;
        end += bytes.len();
        let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        header.insert((*name).to_string(), info);
    }
    let mut header = serde_json::Value::Object(header).to_string();
    // Data starts at a multiple of eight bytes, as the format asks.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let write = || {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for view in &views {
            file.write_all(view.3)?;
        }
        file.flush()
    };
    write().map_err(|error| Failure::writing(path, error))
}

/// What a safetensors file holds, without its data.
struct Header {
    names: Vec<String>,
    /// Whether its metadata say which network it is of.
    says_network: bool,
}

impl Header {
    fn read(path: &Path) -> Result<Self, Failure> {
        let mut file = File::open(path).map_err(|e| Failure::reading(path, e))?;
        let len = file.metadata().map_err(|e| Failure::reading(path, e))?.len();
        let refuse = |reason: String| {
            let message = format!("{}: not a safetensors file: {reason}", path.display());
            Failure::data(message).help("`dis convert` turns a .pt file into one")
        };
        let mut header_len = [0; 8];
        file.read_exact(&mut header_len)
            .map_err(|_| refuse(format!("it has {len} bytes, a header alone has more")))?;
        let header_len = u64::from_le_bytes(header_len);
        if header_len > weights::MAX_HEADER_LEN.min(len - 8) {
            return Err(refuse(format!("a header of {header_len} bytes in a file of {len}")));
        }
        let mut header = Vec::new();
        file.take(header_len).read_to_end(&mut header).map_err(|e| Failure::reading(path, e))?;
        let header: Map<String, Value> = serde_json::from_slice(&header)
            .map_err(|error| refuse(format!("its header: {error}")))?;
        let metadata = header.get(METADATA);
        let says_network = metadata.is_some_and(|metadata| metadata.get(DIS_CONFIG).is_some());
        let names = header.into_iter().map(|(name, _)| name).filter(|name| name != METADATA);
        Ok(Self { names: names.collect(), says_network })
    }

    /// The prefix under which there is a network: the one that is wanted, or none, or `ema.`.
    fn find_prefix(&self, path: &Path, wanted: Option<&str>) -> Result<String, Failure> {
        let holds = |prefix: &str| self.names.iter().any(|n| *n == format!("{prefix}{LANDMARK}"));
        let tried = wanted.map_or_else(|| vec!["", "ema."], |prefix| vec![prefix]);
        if let Some(found) = tried.iter().find(|prefix| holds(prefix)) {
            return Ok((*found).to_string());
        }
        let expected: Vec<_> = tried.iter().map(|prefix| format!("{prefix}{LANDMARK}")).collect();
        let failure = Failure::data(format!(
            "{}: no tensor {}, so no network; found {}",
            path.display(),
            expected.join(" or "),
            groups(&self.names)
        ));
        Err(match self.names.iter().find_map(|name| name.strip_suffix(LANDMARK)) {
            Some("") => failure.help("it holds one set of weights: leave --key or --prefix out"),
            Some(prefix @ ("ema." | "model.")) => {
                let key = prefix.trim_end_matches('.');
                let advice =
                    format!("--key {key}, or --prefix {prefix} of dis forward, takes them");
                failure.help(format!("there are names below {prefix}: {advice}"))
            }
            Some(prefix) => {
                let advice = format!("--prefix {prefix} of dis forward takes them");
                failure.help(format!("there are names below {prefix}: {advice}"))
            }
            None => failure,
        })
    }
}

/// The first parts of names, with how many names each has.
fn groups(names: &[String]) -> String {
    let mut groups = BTreeMap::<&str, usize>::new();
    for name in names {
        *groups.entry(name.split('.').next().unwrap_or_default()).or_default() += 1;
    }
    let shown: Vec<String> = groups
        .iter()
        .take(8)
        .map(|(group, n)| if *n == 1 { (*group).into() } else { format!("{group}.* ({n})") })
        .collect();
    match (shown.len(), groups.len()) {
        (0, _) => "no tensors".into(),
        (some, all) if all > some => format!("{} and others", shown.join(", ")),
        _ => shown.join(", "),
    }
}
