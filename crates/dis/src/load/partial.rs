//! Files that appear under their name only when they are complete.

use crate::exit::Failure;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A file being written beside its destination; removed unless it is completed.
pub(crate) struct Partial {
    partial: PathBuf,
    destination: PathBuf,
}

impl Partial {
    /// An empty file in the folder of `destination`, so that the last step is a rename.
    pub(crate) fn create(destination: &Path) -> Result<Self, Failure> {
        let name = destination.file_name().unwrap_or_default().to_string_lossy();
        let partial = format!(".{name}.partial-{}", std::process::id());
        let partial = destination.with_file_name(partial);
        File::create(&partial).map_err(|e| Failure::writing(destination, e))?;
        Ok(Self { partial, destination: destination.to_path_buf() })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes the content durable and gives it its name. Returns its length.
    pub(crate) fn complete(self) -> Result<u64, Failure> {
        let finish = || {
            let file = File::open(&self.partial)?;
            file.sync_all()?;
            let length = file.metadata()?.len();
            fs::rename(&self.partial, &self.destination)?;
            // The rename itself is durable once the folder is.
            let folder = self.destination.parent().filter(|p| !p.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(length)
        };
        finish().map_err(|e| Failure::writing(&self.destination, e))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a rename there is nothing to remove.
        let _ = fs::remove_file(&self.partial);
    }
}
