//! Where an autoencoder's files are.

use crate::error::VaeError;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.json";
/// Names of weight files, the better first.
const WEIGHTS: [&str; 2] =
    ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors"];
const PICKLE: &str = "diffusion_pytorch_model.bin";

/// The files of one autoencoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaeFiles {
    /// A safetensors file.
    pub weights: PathBuf,
    /// `config.json`, where there is one.
    pub config: Option<PathBuf>,
}

impl VaeFiles {
    /// Finds the files below `path`: a weight file, a folder of diffusers with `config.json` beside
    /// the weights, or the folder of a whole pipeline, in whose `vae/` they are.
    ///
    /// A `config.json` beside a weight file belongs to it.
    ///
    /// # Errors
    /// [`VaeError::File`] when there is no such file or folder, or a folder lacks one of them.
    pub fn find(path: &Path) -> Result<Self, VaeError> {
        if !path.is_dir() {
            path.metadata().map_err(|e| VaeError::file(path, format!("cannot be read: {e}")))?;
            let config = path.with_file_name(CONFIG);
            return Ok(Self { weights: path.into(), config: config.is_file().then_some(config) });
        }
        let inner = path.join("vae");
        let folder = if !path.join(CONFIG).is_file() && inner.is_dir() { &inner } else { path };
        let config = folder.join(CONFIG);
        if !config.is_file() {
            let reason = format!("found no {CONFIG}\nhelp: {FOLDER_HELP}");
            return Err(VaeError::file(folder, reason));
        }
        let weights = WEIGHTS.map(|name| folder.join(name)).into_iter().find(|path| path.is_file());
        let Some(weights) = weights else {
            let help = if folder.join(PICKLE).is_file() {
                "there is a .bin, a pickle: in Python, `AutoencoderKL.from_pretrained(folder)\
                 .save_pretrained(folder)` of diffusers writes the safetensors file"
            } else {
                FOLDER_HELP
            };
            return Err(VaeError::file(folder, format!("found no {}\nhelp: {help}", WEIGHTS[0])));
        };
        Ok(Self { weights, config: Some(config) })
    }
}

const FOLDER_HELP: &str = "name a safetensors file, or a folder of diffusers with config.json and \
                           diffusion_pytorch_model.safetensors";

/// Reads a file unless it is longer than `most` bytes.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, VaeError> {
    let failed = |e: std::io::Error| VaeError::file(path, format!("cannot be read: {e}"));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(VaeError::file(
            path,
            format!("longer than {most} bytes, the most that is read"),
        ));
    }
    Ok(bytes)
}
