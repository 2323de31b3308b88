//! Small files for tests of readers, right ones and wrong ones.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// An 8x8 grey PNG.
pub(crate) fn png(grey: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::GrayImage::from_pixel(8, 8, image::Luma([grey]));
    image.write_to(&mut bytes, image::ImageFormat::Png).expect("an encoded image");
    bytes.into_inner()
}

/// Writes a file into a temporary folder, with the folders before it.
pub(crate) fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a temporary folder");
    fs::write(&path, bytes).expect("a temporary file");
    path
}

/// An npy file of version 1.
pub(crate) fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let len = (text.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &len[..], text.as_bytes(), bytes].concat()
}

/// A member of a zip file; each field may lie.
#[derive(Clone)]
pub(crate) struct ZipMember {
    pub(crate) name: Vec<u8>,
    /// As they lie in the file.
    pub(crate) stored: Vec<u8>,
    pub(crate) len: u32,
    pub(crate) crc32: u32,
    /// 0 stored, 8 deflated.
    pub(crate) method: u16,
    /// Bit 0: encrypted.
    pub(crate) flags: u16,
    /// The mode of Unix.
    pub(crate) mode: u32,
    pub(crate) local_name: Vec<u8>,
}

impl ZipMember {
    /// As it should be, not compressed.
    pub(crate) fn new(name: &str, bytes: &[u8]) -> Self {
        let (name, stored) = (name.as_bytes().to_vec(), bytes.to_vec());
        Self {
            local_name: name.clone(),
            name,
            len: bytes.len() as u32,
            crc32: crc32fast::hash(bytes),
            stored,
            method: 0,
            flags: 0,
            mode: 0o100_644,
        }
    }

    /// As it should be, compressed.
    pub(crate) fn deflated(name: &str, bytes: &[u8]) -> Self {
        use std::io::Write;
        let level = flate2::Compression::best();
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
        encoder.write_all(bytes).expect("compressed bytes");
        let stored = encoder.finish().expect("compressed bytes");
        Self { stored, method: 8, ..Self::new(name, bytes) }
    }

    fn fields(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        for field in [20, self.flags, self.method, 0, 0x21] {
            fields.extend(field.to_le_bytes());
        }
        for field in [self.crc32, self.stored.len() as u32, self.len] {
            fields.extend(field.to_le_bytes());
        }
        fields
    }
}

/// A zip file of members.
pub(crate) fn zip_of(members: &[ZipMember]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(member.fields());
        directory.extend((member.name.len() as u16).to_le_bytes());
        directory.extend([0; 8]);
        directory.extend((member.mode << 16).to_le_bytes());
        directory.extend((file.len() as u32).to_le_bytes());
        directory.extend(&member.name);
        file.extend(b"PK\x03\x04");
        file.extend(member.fields());
        file.extend((member.local_name.len() as u16).to_le_bytes());
        file.extend([0; 2]);
        file.extend(&member.local_name);
        file.extend(&member.stored);
    }
    let (start, count) = (file.len() as u32, members.len() as u16);
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start.to_le_bytes());
    file.extend([0; 2]);
    file
}
