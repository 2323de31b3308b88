//! CIFAR-10 in its official binary layout.

use crate::dataset::check_load;
use crate::{DataError, Dataset, ImageShape, Visit, signed_unit};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const SHAPE: ImageShape = ImageShape { channels: 3, height: 32, width: 32 };
/// One label byte, then 1,024 red, 1,024 green and 1,024 blue bytes, each plane row by row.
const RECORD_LEN: usize = 1 + SHAPE.len();
const NUM_CLASSES: usize = 10;
/// The folder inside of the official archive.
const ARCHIVE_FOLDER: &str = "cifar-10-batches-bin";
const CLASS_NAMES: [&str; NUM_CLASSES] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Which of the two parts of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What models are trained on.
    Train,
    /// What was held out.
    Test,
}

/// 32x32 RGB images of ten classes, kept in memory as bytes (153.65 MB for the whole training set).
///
/// # Source
/// Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
/// <https://www.cs.toronto.edu/~kriz/cifar.html>, "CIFAR-10 binary version".
#[derive(Clone, Debug)]
pub struct Cifar10 {
    records: Vec<u8>,
    /// Each file, and the number of its first record.
    files: Vec<(PathBuf, u64)>,
    class_names: Vec<String>,
}

impl Cifar10 {
    /// Reads a split from `folder`, or from `cifar-10-batches-bin` inside of it.
    ///
    /// [`Split::Train`] is every `data_batch_N.bin` there is, in the order of N (officially 1 to 5 of
    /// 10,000 records each), [`Split::Test`] is `test_batch.bin`. Class names come from
    /// `batches.meta.txt` where that exists.
    ///
    /// # Errors
    /// [`DataError::Io`] when a file or the folder cannot be read, [`DataError::Missing`] when no
    /// file of the split or no folder is there, and [`DataError::Field`] when a file's size is not a positive
    /// multiple of 3073 bytes, a label is above 9, or there are not ten class names.
    pub fn open(folder: impl AsRef<Path>, split: Split) -> Result<Self, DataError> {
        let folder = folder.as_ref();
        let unpacked = folder.join(ARCHIVE_FOLDER);
        let folder = if unpacked.is_dir() { &unpacked } else { folder };
        let (mut records, mut files) = (Vec::new(), Vec::new());
        for file in files_of(folder, split)? {
            let bytes = fs::read(&file).map_err(DataError::io(&file))?;
            check_records(&file, &bytes)?;
            files.push((file, (records.len() / RECORD_LEN) as u64));
            records.extend(bytes);
        }
        Ok(Self { records, files, class_names: class_names(folder)? })
    }

    fn record(&self, index: u64) -> &[u8] {
        &self.records[index as usize * RECORD_LEN..][..RECORD_LEN]
    }
}

impl Dataset for Cifar10 {
    fn name(&self) -> &str {
        "cifar10"
    }

    fn len(&self) -> u64 {
        (self.records.len() / RECORD_LEN) as u64
    }

    fn shape(&self) -> ImageShape {
        SHAPE
    }

    fn num_classes(&self) -> usize {
        NUM_CLASSES
    }

    fn class_name(&self, label: u32) -> Option<&str> {
        self.class_names.get(label as usize).map(String::as_str)
    }

    fn load(&self, index: u64, _: Visit, out: &mut [f32]) -> Result<u32, DataError> {
        check_load(self, index, out);
        let record = self.record(index);
        for (out, &byte) in out.iter_mut().zip(&record[1..]) {
            *out = signed_unit(byte);
        }
        Ok(u32::from(record[0]))
    }

    fn sample_name(&self, index: u64) -> String {
        let file = self.files.partition_point(|&(_, first)| first <= index) - 1;
        let (file, first) = &self.files[file];
        format!("{}: record {}", file.display(), index - first)
    }
}

/// The split's files, at least one, in order.
fn files_of(folder: &Path, split: Split) -> Result<Vec<PathBuf>, DataError> {
    let number = |name: &str| -> Option<u32> {
        match split {
            Split::Train => name.strip_prefix("data_batch_")?.strip_suffix(".bin")?.parse().ok(),
            Split::Test => (name == "test_batch.bin").then_some(0),
        }
    };
    let mut files = Vec::new();
    let entries = match fs::read_dir(folder) {
        // Told like an empty one, with what to do about it.
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        entries => Some(entries.map_err(DataError::io(folder))?),
    };
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(DataError::io(folder))?;
        if let Some(number) = entry.file_name().to_str().and_then(number) {
            files.push((number, entry.path()));
        }
    }
    files.sort();
    if files.is_empty() {
        return Err(DataError::Missing {
            folder: folder.to_path_buf(),
            expected: match split {
                Split::Train => "data_batch_1.bin to data_batch_5.bin",
                Split::Test => "test_batch.bin",
            },
            help: "`dis data download cifar10` puts the binary version into data/cifar10; the \
                   Python version is not read",
        });
    }
    Ok(files.into_iter().map(|(_, file)| file).collect())
}

fn check_records(file: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let wrong = |field: String, expected: String, got: String| {
        Err(DataError::Field { file: file.to_path_buf(), field, expected, got })
    };
    if bytes.is_empty() || !bytes.len().is_multiple_of(RECORD_LEN) {
        let expected = format!("a positive multiple of {RECORD_LEN} bytes");
        return wrong("size".into(), expected, format!("{} bytes", bytes.len()));
    }
    for (i, record) in bytes.chunks_exact(RECORD_LEN).enumerate() {
        if usize::from(record[0]) >= NUM_CLASSES {
            return wrong(format!("label of record {i}"), "0 to 9".into(), record[0].to_string());
        }
    }
    Ok(())
}

/// From `batches.meta.txt`, one a line, or the official ones where there is no such file.
fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let file = folder.join("batches.meta.txt");
    if !file.exists() {
        return Ok(CLASS_NAMES.map(String::from).to_vec());
    }
    let text = fs::read_to_string(&file).map_err(DataError::io(&file))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    if names.len() != NUM_CLASSES {
        let (field, expected) = ("number of class names".into(), NUM_CLASSES.to_string());
        return Err(DataError::Field { file, field, expected, got: names.len().to_string() });
    }
    Ok(names)
}
