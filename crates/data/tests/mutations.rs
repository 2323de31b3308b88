//! Ten thousand damaged files for every reader: each is refused or read, and nothing panics.
//!
//! Random damage rarely finds what a person would make on purpose; that stands in the tests of each
//! reader. Files are small, so that damage is mostly in headers and tables.

mod common;

use common::{ZipMember, npy, png, write, zip_of};
use data::{
    ArrayImages, Celeba, CelebaPart, Cifar10, DataError, Dataset, EdmZip, ImageFiles, ImageSource,
    Preparation, Split, Visit, WebDataset, read_image,
};
use philox::{Draws, Purpose};
use std::path::Path;
use tempfile::TempDir;

const FILES: u64 = 10_000;
const SIZE: usize = 8;

/// Numbers that lengths and offsets are compared with.
const INTERESTING: [u64; 10] =
    [0, 1, 0x7F, 0xFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 40, 1 << 63, u64::MAX];

/// `source` after one to four changes that depend on `trial` alone.
fn mutated(source: &[u8], trial: u64) -> Vec<u8> {
    let draws = Draws::new(0, Purpose::EvaluationSubset, trial);
    let mut bytes = source.to_vec();
    for change in 0..=draws.below(0, 4) {
        let mut lane = 16 * (change + 1);
        let mut below = |n: usize| {
            lane += 2;
            draws.below(lane, n.max(1) as u64) as usize
        };
        let (kind, at) = (below(8), below(bytes.len()));
        let len = 1 + below(16).min(bytes.len().saturating_sub(at + 1));
        let other = below(bytes.len());
        let end = (at + len).min(bytes.len());
        match kind {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (other % 8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = other as u8),
            3 => bytes.truncate(at),
            4 => drop(bytes.drain(at.min(end)..end)),
            5 => {
                let piece = bytes[other..(other + len).min(bytes.len())].to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => {
                let number = INTERESTING[other % INTERESTING.len()].to_le_bytes();
                let width = [1, 2, 4, 8][below(4)];
                let places = bytes.iter_mut().skip(at).take(width);
                places.zip(number).for_each(|(byte, new)| *byte = new);
            }
        }
    }
    bytes
}

/// Reads every image of what was accepted; `Err` is as good.
fn read_all(source: Result<impl ImageSource, DataError>) -> Result<(), DataError> {
    let set = ImageFiles::new(source?, Preparation::CentreCrop { size: SIZE })?;
    let mut out = [f32::NAN; 3 * SIZE * SIZE];
    for index in 0..set.len().min(64) {
        let label = set.load(index, Visit { seed: 0, position: 0 }, &mut out);
        assert_eq!(label.is_ok(), set.probe(index).is_ok(), "load and probe of {index}");
        if let Ok(label) = label {
            assert!(set.num_classes() == 0 || (label as usize) < set.num_classes(), "{label}");
            assert!(out.iter().all(|x| (-1.0..=1.0).contains(x)), "{out:?}");
        }
        assert!(!set.sample_name(index).is_empty());
    }
    Ok(())
}

/// Runs `read` on damaged copies of `source`, and counts the ones that were accepted.
fn check(
    name: &str,
    source: &[u8],
    repair: impl Fn(&mut [u8]),
    read: impl Fn(&Path) -> Result<(), DataError>,
) {
    let folder = TempDir::new().expect("a temporary folder");
    read(&write(&folder, name, source)).expect("the file before it is damaged");
    let mut accepted = 0;
    for trial in 0..FILES {
        let mut bytes = mutated(source, trial);
        if trial % 2 == 0 {
            repair(&mut bytes);
        }
        let path = write(&folder, name, &bytes);
        let result = read(&path);
        // Some file systems wait for the disk when a file that exists is written anew.
        std::fs::remove_file(path).expect("the temporary file");
        match result {
            Ok(()) => accepted += 1,
            Err(error) => assert!(error.to_string().len() > 10, "{error}"),
        }
    }
    assert!(accepted < FILES, "no damage of {name} was noticed");
}

/// Headers of a tar file get their checksums back, so that damage reaches what lies behind.
fn repair_tar(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

fn keep(_: &mut [u8]) {}

#[test]
fn tar() {
    let mut builder = tar::Builder::new(Vec::new());
    let long = format!("{}/2.png", "long".repeat(40));
    let members: [(&str, Vec<u8>); 5] = [
        ("a/1.png", png(1)),
        ("a/1.cls", b"3".to_vec()),
        (&long, png(2)),
        (&long.replace("png", "json"), b"{\"label\": 1}".to_vec()),
        ("a/x.txt", b"text".to_vec()),
    ];
    for (name, bytes) in &members {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, &bytes[..]).expect("a member");
    }
    let source = builder.into_inner().expect("a tar file");
    check("x.tar", &source, repair_tar, |path| read_all(WebDataset::open(path)));
}

#[test]
fn pax() {
    let mut builder = tar::Builder::new(Vec::new());
    let image = png(1);
    builder.append_pax_extensions([("path", &b"a/1.png"[..]), ("size", b"75")]).expect("a member");
    let mut header = tar::Header::new_ustar();
    header.set_size(image.len() as u64);
    header.set_path("short").expect("a name");
    header.set_cksum();
    builder.append(&header, &image[..]).expect("a member");
    let mut source = builder.into_inner().expect("a tar file");
    let size = source.windows(2).position(|pair| pair == b"75").expect("the size");
    source.splice(size..size + 2, format!("{:2}", image.len()).bytes().take(2));
    check("x.tar", &source, repair_tar, |path| read_all(WebDataset::open(path)));
}

#[test]
fn edm_zip() {
    let labels = br#"{"labels": [["a.png", 3], ["b.npy", 0], ["c.png", 1]]}"#;
    let source = zip_of(&[
        ZipMember::new("a.png", &png(1)),
        ZipMember::new("b.npy", &npy("|u1", "(3, 2, 2)", &[7; 12])),
        ZipMember::deflated("c.png", &png(2)),
        ZipMember::new("dataset.json", labels),
    ]);
    check("x.zip", &source, keep, |path| read_all(EdmZip::open(path)));
}

#[test]
fn npz() {
    let source = zip_of(&[
        ZipMember::new("images.npy", &npy("|u1", "(2, 2, 2, 3)", &[7; 24])),
        ZipMember::new("labels.npy", &npy("<i4", "(2,)", &[1, 0, 0, 0, 2, 0, 0, 0])),
    ]);
    check("x.npz", &source, keep, |path| read_all(ArrayImages::open(path)));
}

#[test]
fn npy_file() {
    let source = npy("|u1", "(2, 3, 2, 2)", &[7; 24]);
    check("x.npy", &source, keep, |path| read_all(ArrayImages::open(path)));
}

#[test]
fn safetensors() {
    let header = br#"{"images":{"dtype":"U8","shape":[2,2,2,3],"data_offsets":[8,32]},"labels":{"dtype":"U32","shape":[2],"data_offsets":[0,8]}}"#;
    let source = [&(header.len() as u64).to_le_bytes()[..], header, &[0; 32]].concat();
    check("x.safetensors", &source, keep, |path| read_all(ArrayImages::open(path)));
}

#[test]
fn celeba_list() {
    let list = b"000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n";
    check("list_eval_partition.txt", list, keep, |path| {
        let folder = path.parent().expect("the folder");
        for i in 1..=4 {
            let image = folder.join(format!("00000{i}.jpg"));
            if !image.exists() {
                std::fs::write(image, png(i)).expect("a temporary file");
            }
        }
        read_all(Celeba::open(folder, CelebaPart::Train))
    });
}

#[test]
fn cifar10() {
    let record: Vec<u8> = (0..3073).map(|i| (i % 10) as u8).collect();
    check("test_batch.bin", &record.repeat(2), keep, |path| {
        let set = Cifar10::open(path.parent().expect("the folder"), Split::Test)?;
        let mut out = vec![f32::NAN; set.shape().len()];
        for index in 0..set.len() {
            assert!(set.load(index, Visit { seed: 0, position: 0 }, &mut out)? < 10);
        }
        Ok(())
    });
}

#[test]
fn images() {
    let colours = image::RgbImage::from_fn(17, 9, |x, y| image::Rgb([x as u8, y as u8 * 9, 80]));
    for (name, format) in [("x.png", image::ImageFormat::Png), ("x.jpg", image::ImageFormat::Jpeg)]
    {
        let mut bytes = std::io::Cursor::new(Vec::new());
        colours.write_to(&mut bytes, format).expect("an encoded image");
        let source = bytes.into_inner();
        check(name, &source, keep, |path| {
            let image = read_image(path)?;
            assert_eq!(image.pixels().len(), image.width() * image.height() * 3);
            Ok(())
        });
    }
}
