//! nvcc: finding it, and compiling a source with it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::Places;
use super::sources::Source;
use super::toolkit::{INSTALL, NVCC_VERSION, Toolkit};

/// Names another nvcc, of whatever release.
const VARIABLE: &str = "NVCC";

/// What machine code is made for. Later processors compile the PTX of the last one themselves.
pub(super) const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90"];

/// The flags, with paths relative to the root. No fast mathematics: the sources say where an
/// approximation will do.
pub(super) const FLAGS: [&str; 13] = [
    "-std=c++17",
    "-O3",
    "-fatbin",
    "-compress-mode=size",
    "-gencode",
    "arch=compute_80,code=sm_80",
    "-gencode",
    "arch=compute_90,code=sm_90",
    "-gencode",
    "arch=compute_90,code=compute_90",
    "-Xptxas",
    "-v,-warn-spills",
    "-Ikernels/include",
];

/// An nvcc that starts.
pub(super) struct Nvcc {
    path: PathBuf,
    pub(super) version: String,
}

/// What came out for one source.
pub(super) struct Compiled {
    pub(super) fatbin: PathBuf,
    pub(super) log: String,
}

impl Nvcc {
    /// `$NVCC`, else the first nvcc of the pinned release among PATH, `$CUDA_HOME/bin` and the
    /// toolkit. Another release would make other code, and counts that nothing compares with.
    pub(super) fn find(places: &Places) -> Result<Option<Self>> {
        if let Some(path) = std::env::var_os(VARIABLE) {
            let nvcc = Self::start(Path::new(&path))
                .with_context(|| format!("{VARIABLE}={} is no nvcc", path.display()))?;
            if nvcc.version != NVCC_VERSION {
                println!("{VARIABLE} is release {}, the pin is {NVCC_VERSION}", nvcc.version);
            }
            return Ok(Some(nvcc));
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates: Vec<PathBuf> =
            std::env::split_paths(&path).map(|folder| folder.join("nvcc")).collect();
        candidates.extend(std::env::var_os("CUDA_HOME").map(|h| Path::new(&h).join("bin/nvcc")));
        candidates.extend(Toolkit::find(places).map(|toolkit| toolkit.program("nvcc")));
        let starts = candidates.iter().filter(|path| path.is_file());
        Ok(starts.filter_map(|path| Self::start(path).ok()).find(|n| n.version == NVCC_VERSION))
    }

    /// [`Self::find`], or an error that says what to do.
    pub(super) fn require(places: &Places) -> Result<Self> {
        Self::find(places)?.with_context(|| {
            format!("no nvcc {NVCC_VERSION} on PATH or in CUDA_HOME; run `{INSTALL}`")
        })
    }

    fn start(path: &Path) -> Result<Self> {
        let output = Command::new(path).arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version_in(&text).context("`--version` names no release")?;
        Ok(Self { path: path.to_owned(), version: version.to_owned() })
    }

    /// Compiles a source to one fatbin, or takes what the same nvcc made of the same text before.
    pub(super) fn compile(
        &self,
        places: &Places,
        source: &Source,
        fresh: bool,
    ) -> Result<Compiled> {
        let folder = places.scratch().join("compiled");
        let file = |extension: &str| folder.join(format!("{}.{extension}", source.name));
        let (fatbin, log, key) = (file("fatbin"), file("log"), file("key"));
        let current = format!("{} {}", source.hash, self.version);
        // The key is written last and removed first, so it vouches for the other two.
        if !fresh && std::fs::read_to_string(&key).is_ok_and(|found| found == current) {
            return Ok(Compiled { fatbin, log: std::fs::read_to_string(log)? });
        }
        std::fs::create_dir_all(&folder).with_context(|| format!("folder {}", folder.display()))?;
        if key.exists() {
            std::fs::remove_file(&key)?;
        }
        let output = Command::new(&self.path)
            .args(FLAGS)
            .arg("-o")
            .args([fatbin.as_os_str(), OsStr::new(&source.path)])
            .current_dir(&places.root)
            .output()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        if !output.status.success() {
            bail!("nvcc refuses {}:\n{}", source.path, text.trim_end());
        }
        std::fs::write(&log, &text)?;
        std::fs::write(&key, current)?;
        Ok(Compiled { fatbin, log: text })
    }

    /// The instructions in a fatbin for one architecture, as `cuobjdump` lists them.
    pub(super) fn listing(&self, places: &Places, fatbin: &Path, arch: &str) -> Result<String> {
        let cuobjdump = self.cuobjdump(places)?;
        let output = Command::new(&cuobjdump)
            .args(["-sass", "-arch", arch])
            .arg(fatbin)
            .env("PATH", path_from(cuobjdump.parent())?)
            .output()
            .with_context(|| format!("cannot start {}", cuobjdump.display()))?;
        let failed = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "cuobjdump cannot list {}: {}",
            fatbin.display(),
            failed.trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The one beside nvcc, else the toolkit's; CUDA is often installed without it.
    fn cuobjdump(&self, places: &Places) -> Result<PathBuf> {
        let beside = self.path.with_file_name("cuobjdump");
        if beside.is_file() {
            return Ok(beside);
        }
        let toolkit = Toolkit::find(places).map(|toolkit| toolkit.program("cuobjdump"));
        toolkit.with_context(|| {
            format!("there is no cuobjdump beside {}; run `{INSTALL}`", self.path.display())
        })
    }
}

/// `13.0.88` of `Cuda compilation tools, release 13.0, V13.0.88`.
fn version_in(text: &str) -> Option<&str> {
    let (_, version) = text.split_once(", V")?;
    version.split_whitespace().next()
}

/// PATH with a folder in front: cuobjdump looks for nvdisasm there.
fn path_from(folder: Option<&Path>) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folder.map(Path::to_owned).into_iter().chain(std::env::split_paths(&path));
    Ok(std::env::join_paths(folders)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_full_one() {
        let text = "nvcc: NVIDIA (R) Cuda compiler driver\n\
            Cuda compilation tools, release 13.0, V13.0.88\nBuild cuda_13.0.r13.0\n";
        assert_eq!(version_in(text), Some("13.0.88"));
        assert_eq!(version_in("gcc 12"), None);
    }
}
