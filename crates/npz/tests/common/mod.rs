//! Small archives for tests, right ones and wrong ones.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempDir;

/// Writes a file into a temporary folder.
pub(crate) fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    path
}

/// An npy file of version 1.
pub(crate) fn npy(descr: &str, order: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let len = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], text.as_bytes(), bytes].concat()
}

/// An npy file of bytes in C order.
pub(crate) fn bytes_npy(shape: &str, bytes: &[u8]) -> Vec<u8> {
    npy("|u1", "False", shape, bytes)
}

/// An npy file of f64 in an order.
pub(crate) fn f64_npy(order: &str, shape: &str, values: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy("<f8", order, shape, &bytes)
}

/// A member of a zip file; each field may lie.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// As they lie in the file.
    pub(crate) stored: Vec<u8>,
    pub(crate) len: u32,
    pub(crate) crc32: u32,
    pub(crate) is_deflated: bool,
}

impl Member {
    /// As it should be, not compressed.
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let (name, stored, len) = (name.to_owned(), bytes.to_vec(), bytes.len() as u32);
        Self { name, crc32: crc32fast::hash(bytes), stored, len, is_deflated: false }
    }

    /// As it should be, compressed.
    pub(crate) fn deflated(name: &str, bytes: &[u8]) -> Self {
        let level = flate2::Compression::best();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).expect("compressed bytes");
        let stored = encoder.finish().expect("compressed bytes");
        Self { stored, is_deflated: true, ..Self::new(name, bytes) }
    }

    fn fields(&self) -> Vec<u8> {
        let method = if self.is_deflated { 8u16 } else { 0 };
        let mut fields = Vec::new();
        for field in [20, 0, method, 0, 0x21] {
            fields.extend(field.to_le_bytes());
        }
        for field in [self.crc32, self.stored.len() as u32, self.len] {
            fields.extend(field.to_le_bytes());
        }
        fields.extend((self.name.len() as u16).to_le_bytes());
        fields
    }
}

/// A zip file of members.
pub(crate) fn zip_of(members: &[Member]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(member.fields());
        directory.extend([0; 8]);
        directory.extend((0o100_644u32 << 16).to_le_bytes());
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(member.name.as_bytes());
        file.extend(b"PK\x03\x04");
        file.extend(member.fields());
        file.extend([0; 2]);
        file.extend(member.name.as_bytes());
        file.extend(&member.stored);
    }
    let (start, count) = (file.len() as u32, members.len() as u16);
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}
