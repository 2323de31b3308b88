//! Torch checkpoints written by hand, honest and hostile.

use std::io::Write;
use std::path::Path;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Instructions of a pickle machine, protocol 2.
#[derive(Default)]
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

    /// A contiguous tensor at the start of storage `key`, of `class`.
    pub(crate) fn tensor(self, class: &str, key: &str, shape: &[i32]) -> Self {
        let mut strides = vec![1_i32; shape.len()];
        for i in (1..shape.len()).rev() {
            strides[i - 1] = strides[i].wrapping_mul(shape[i]);
        }
        let elements = shape.iter().fold(1_i32, |n, &dim| n.wrapping_mul(dim));
        self.op(b"ctorch._utils\n_rebuild_tensor_v2\n(")
            .op(b"(")
            .text("storage")
            .op(format!("ctorch\n{class}\n").as_bytes())
            .text(key)
            .text("cpu")
            .int(elements)
            .op(b"tQ")
            .int(0)
            .ints(shape)
            .ints(&strides)
            .op(&[0x89]) // requires_grad = False
            .op(b"ccollections\nOrderedDict\n)R")
            .op(b"tR")
    }

    pub(crate) fn stop(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// Writes an archive as torch.save does: stored, under one folder.
pub(crate) fn save(path: &Path, pickle: &[u8], storages: &[(&str, Vec<u8>)]) {
    let mut zip = ZipWriter::new(std::fs::File::create(path).unwrap());
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut entry = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), stored).unwrap();
        zip.write_all(bytes).unwrap();
    };
    entry("data.pkl", pickle);
    entry("byteorder", b"little");
    for (key, bytes) in storages {
        entry(&format!("data/{key}"), bytes);
    }
    zip.finish().unwrap();
}

/// Writes the form of torch before version 1.6: five pickles, then numbers of elements and elements.
pub(crate) fn save_legacy(path: &Path, pickle: &[u8], storages: &[(&str, u64, &[u8])]) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    let mut put = |bytes: &[u8]| out.write_all(bytes).unwrap();
    put(b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    put(&Pickle::new().int(1001).stop());
    put(&Pickle::new().op(b"}").text("little_endian").op(b"\x88s").stop());
    put(pickle);
    let keys = storages.iter().fold(Pickle::new().op(b"]("), |keys, (key, ..)| keys.text(key));
    put(&keys.op(b"e").stop());
    for (_, elements, bytes) in storages {
        put(&elements.to_le_bytes());
        put(bytes);
    }
    out.flush().unwrap();
}
