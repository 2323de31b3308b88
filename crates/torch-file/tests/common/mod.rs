//! Files of torch.save written by hand, honest and hostile.

#![allow(dead_code, reason = "every test binary uses its part of this")]

use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use torch_file::{TorchFile, TorchFileError};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Instructions of a pickle machine, protocol 2.
#[derive(Clone)]
pub(crate) struct Pickle(Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Self {
        Self(vec![0x80, 2])
    }

    pub(crate) fn op(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn text(self, text: &str) -> Self {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub(crate) fn int(self, n: i32) -> Self {
        self.op(b"J").op(&n.to_le_bytes())
    }

    pub(crate) fn ints(self, ns: &[i32]) -> Self {
        ns.iter().fold(self.op(b"("), |pickle, &n| pickle.int(n)).op(b"t")
    }

    /// The description of a storage of floats.
    pub(crate) fn storage(self, class: &str, key: &str, elements: i32) -> Self {
        self.op(b"(")
            .text("storage")
            .op(format!("ctorch\n{class}\n").as_bytes())
            .text(key)
            .text("cpu")
            .int(elements)
            .op(b"tQ")
    }

    /// A tensor of f32 in storage `0` of so many elements.
    pub(crate) fn tensor(self, elements: i32, offset: i32, shape: &[i32], strides: &[i32]) -> Self {
        self.op(b"ctorch._utils\n_rebuild_tensor_v2\n(")
            .storage("FloatStorage", "0", elements)
            .int(offset)
            .ints(shape)
            .ints(strides)
            .op(b"\x89NtR")
    }

    pub(crate) fn stop(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// An archive as torch.save writes it.
pub(crate) fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut member = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), stored).expect("a member");
        zip.write_all(bytes).expect("memory");
    };
    member("data.pkl", pickle);
    member("byteorder", b"little");
    for (key, bytes) in storages {
        member(&format!("data/{key}"), bytes);
    }
    zip.finish().expect("memory").into_inner()
}

/// The form before torch 1.6, with storages of f32.
pub(crate) fn legacy(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend(Pickle::new().int(1001).stop());
    bytes.extend(Pickle::new().op(b"}").text("little_endian").op(b"\x88s").stop());
    bytes.extend(pickle);
    let keys = Pickle::new().op(b"](");
    bytes.extend(storages.iter().fold(keys, |p, (key, _)| p.text(key)).op(b"e").stop());
    for (_, storage) in storages {
        bytes.extend((storage.len() as u64 / 4).to_le_bytes());
        bytes.extend(*storage);
    }
    bytes
}

/// Opens bytes as a file.
pub(crate) fn open(bytes: &[u8]) -> Result<TorchFile, TorchFileError> {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("in.pth");
    std::fs::write(&path, bytes).expect("a temporary file");
    // The open file stays when its name is gone.
    TorchFile::open(&path)
}

/// The message of an error, which has all the words.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, TorchFileError>, words: &[&str]) {
    let message = match result {
        Ok(_) => panic!("accepted, expected an error with {words:?}"),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(message.contains(word), "no {word:?} in {message}");
    }
    assert!(message.lines().count() == 1 && message.len() < 1000, "{message}");
}
