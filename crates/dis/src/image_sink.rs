//! Where images go: a folder of PNG files, or one array in an archive.

use crate::exit::Failure;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// Takes images batch by batch, so that memory does not grow with their number.
pub(crate) struct ImageSink {
    out: PathBuf,
    npz: Option<npz::Writer>,
    height: usize,
    width: usize,
    written: u64,
}

impl ImageSink {
    /// For `count` images of `[height, width]`: `arr_0` of an archive where the name ends in `.npz`,
    /// which has its name when it is complete; otherwise files `000000.png` in a folder, which is made.
    pub(crate) fn create(out: &Path, count: u64, [height, width]: [usize; 2]) -> Result<Self> {
        let is_npz = out.extension().is_some_and(|ending| ending == "npz");
        let folder = if is_npz { out.parent().unwrap_or(Path::new("")) } else { out };
        if !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(folder).map_err(|e| Failure::writing(folder, e))?;
        }
        let npz = is_npz.then(|| -> Result<npz::Writer> {
            let mut npz = npz::Writer::create(out)?;
            npz.array("arr_0", npz::Element::U8, &[count, height as u64, width as u64, 3])?;
            Ok(npz)
        });
        let npz = npz.transpose().with_context(|| format!("cannot write {}", out.display()))?;
        Ok(Self { out: out.into(), npz, height, width, written: 0 })
    }

    /// Takes images `[n, H, W, 3]`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(npz) = &mut self.npz {
            return npz
                .write(bytes)
                .with_context(|| format!("cannot write {}", self.out.display()));
        }
        for image in bytes.chunks_exact(self.height * self.width * 3) {
            let file = self.out.join(format!("{:06}.png", self.written));
            let (width, height) = (self.width as u32, self.height as u32);
            image::save_buffer(&file, image, width, height, image::ColorType::Rgb8)
                .with_context(|| format!("cannot write {}", file.display()))?;
            self.written += 1;
        }
        Ok(())
    }

    /// A file beside the archive, or in the folder.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        match &self.npz {
            Some(_) => self.out.with_extension(name),
            None => self.out.join(name),
        }
    }

    /// Completes the archive. Returns where the images are.
    pub(crate) fn finish(self) -> Result<PathBuf> {
        if let Some(npz) = self.npz {
            npz.finish().with_context(|| format!("cannot write {}", self.out.display()))?;
        }
        Ok(self.out)
    }
}
