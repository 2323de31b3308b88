//! The pinned CUDA compiler and libclang: installed from Python wheels, and found again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Places;

/// The release of nvcc that makes what is checked in; registers and instruction counts are its own.
pub(super) const NVCC_VERSION: &str = "13.0.88";

/// What is installed. The two disassemblers have no release 13.0; newer ones read older code.
const PINS: [&str; 8] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
    "nvidia-cuda-cccl==13.0.85",
    "nvidia-cuda-cuobjdump==13.5.37",
    "nvidia-cuda-nvdisasm==13.5.37",
    "libclang==18.1.1",
];

/// The command that installs it, for messages.
pub(super) const INSTALL: &str = "cargo xtask kernels toolkit";

/// A folder with the wheels of [`PINS`], whole.
pub(super) struct Toolkit {
    folder: PathBuf,
}

/// `cargo xtask kernels toolkit`.
pub(super) fn run(places: &Places) -> Result<()> {
    let toolkit = match Toolkit::find(places) {
        Some(toolkit) => toolkit,
        None => Toolkit::install(places)?,
    };
    println!("the CUDA toolkit is at {}", toolkit.folder.display());
    println!("nvcc {NVCC_VERSION}: {}", toolkit.program("nvcc").display());
    Ok(())
}

impl Toolkit {
    /// The toolkit of these pins, when it was installed.
    pub(super) fn find(places: &Places) -> Option<Self> {
        let folder = folder(places);
        folder.is_dir().then_some(Self { folder })
    }

    /// Installs it; a folder of that name appears only when everything is in it.
    pub(super) fn install(places: &Places) -> Result<Self> {
        let folder = folder(places);
        let parent = folder.parent().context("the toolkit has no parent folder")?;
        std::fs::create_dir_all(parent).with_context(|| format!("folder {}", parent.display()))?;
        let _lock = places.lock("toolkit")?;
        if let Some(toolkit) = Self::find(places) {
            return Ok(toolkit);
        }
        let partial = folder.with_extension("partial");
        remove_folder(&partial)?;
        println!("installing {}", PINS.join(" "));
        println!("into {}: 0.2 GB to fetch, 0.4 GB on the disk, once", folder.display());
        pip_install(&partial)?;
        let toolkit = Self { folder: partial };
        toolkit.verify()?;
        std::fs::rename(&toolkit.folder, &folder)
            .with_context(|| format!("folder {}", folder.display()))?;
        println!("installed {:.0} MB", size_of(&folder)? as f64 / 1e6);
        Ok(Self { folder })
    }

    /// The path of `nvcc`, `cuobjdump` or `nvdisasm`.
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.folder.join("nvidia/cu13/bin").join(name)
    }

    /// The folder of libclang's shared library.
    pub(super) fn libclang(&self) -> PathBuf {
        self.folder.join("clang/native")
    }

    fn verify(&self) -> Result<()> {
        for name in ["nvcc", "cuobjdump", "nvdisasm"] {
            let path = self.program(name);
            let output = Command::new(&path).arg("--version").output();
            let output = output.with_context(|| format!("cannot start {}", path.display()))?;
            ensure!(output.status.success(), "{} --version failed", path.display());
        }
        let library = self.libclang();
        ensure!(library.is_dir(), "the libclang wheel has no {}", library.display());
        Ok(())
    }
}

/// Named after the pins, so that a change of one makes a new folder.
fn folder(places: &Places) -> PathBuf {
    let hash = blake3::hash(PINS.join(" ").as_bytes()).to_hex();
    places.scratch().join("toolkit").join(&hash[..16])
}

fn pip_install(folder: &Path) -> Result<()> {
    let python = Command::new("python3").args(["-m", "pip", "--version"]).output();
    match python {
        Err(error) => bail!(
            "cannot start python3 ({error}): the CUDA toolkit comes as Python wheels; \
             install Python 3 with pip, on Debian: apt-get install python3 python3-pip"
        ),
        Ok(output) if !output.status.success() => bail!(
            "`python3 -m pip --version` failed: {}; \
             install pip, on Debian: apt-get install python3-pip",
            String::from_utf8_lossy(&output.stderr).trim()
        ),
        Ok(_) => {}
    }
    // `--target` because it keeps the execute bits, and touches no environment.
    let status = Command::new("python3")
        .args(["-m", "pip", "install", "--no-deps", "--no-compile", "--only-binary=:all:"])
        .args(["--disable-pip-version-check", "--retries=2", "--timeout=20", "--target"])
        .arg(folder)
        .args(PINS)
        .stdout(Stdio::inherit())
        .status()
        .context("cannot start python3")?;
    ensure!(
        status.success(),
        "pip could not install the wheels ({status}); it needs Linux, a package index that it can \
         reach, and 1 GB on the disk"
    );
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("folder {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Bytes of all files below a folder.
fn size_of(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += if kind.is_dir() { size_of(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}
