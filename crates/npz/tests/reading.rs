//! Arrays and images in parts, and files that lie.

mod common;

use common::{Member, bytes_npy, f64_npy, npy, write, zip_of};
use npz::{Archive, NpyFile, NpzError, images};
use tempfile::TempDir;

const MOST: usize = 1 << 20;

fn archive(folder: &TempDir, members: &[Member]) -> Archive {
    Archive::open(write(folder, "x.npz", &zip_of(members))).expect("an archive")
}

/// Reads the array `a` in parts.
fn drained(archive: &Archive, part: usize) -> Result<Vec<u8>, NpzError> {
    let (mut reader, mut bytes, mut part) = (archive.stream("a")?, Vec::new(), vec![0; part]);
    loop {
        match reader.read_into(&mut part)? {
            0 => return Ok(bytes),
            read => bytes.extend(&part[..read]),
        }
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, NpzError>, reason: &str) {
    let message = result.expect_err("a refusal").to_string();
    assert!(message.contains(reason), "{message}");
}

#[test]
fn parts_of_any_size_make_the_whole() {
    let folder = TempDir::new().unwrap();
    let bytes: Vec<u8> = (0..300_000u64).map(|i| ((i * 40_503) >> 7) as u8).collect();
    let file = bytes_npy("(3, 100000)", &bytes);
    for member in [Member::new("a.npy", &file), Member::deflated("a.npy", &file)] {
        let archive = archive(&folder, &[Member::new("other.txt", b"text"), member]);
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a"]);
        for part in [1_000, 65_537, 300_000, 1 << 20] {
            assert!(drained(&archive, part).unwrap() == bytes, "parts of {part}");
        }
        let (shape, values) = archive.read_f64("a", MOST).unwrap();
        assert_eq!(shape, [3, 100_000]);
        assert!(values.iter().zip(&bytes).all(|(&value, &byte)| value == f64::from(byte)));
        refused(archive.read_f64("a", 299_999), "300000 elements, more than 299999");
    }
}

#[test]
fn fortran_order_is_turned_or_refused() {
    let folder = TempDir::new().unwrap();
    // Element [i, j, k] is 100 i + 10 j + k; the first side lies closest together.
    let turned = (0..24).map(|at| 100 * (at % 2) + 10 * (at / 2 % 3) + at / 6);
    let turned: Vec<f64> = turned.map(f64::from).collect();
    let rows = (0..24).map(|at| 100 * (at / 12) + 10 * (at / 4 % 3) + at % 4);
    let rows: Vec<f64> = rows.map(f64::from).collect();
    let file = write(&folder, "a.npy", &f64_npy("True", "(2, 3, 4)", &turned));
    let file = NpyFile::open(file).unwrap();
    assert_eq!(file.read_f64(MOST).unwrap(), (vec![2, 3, 4], rows));
    refused(file.stream(), "numpy.ascontiguousarray");
    let row = write(&folder, "b.npy", &f64_npy("True", "(1, 24, 1)", &turned));
    NpyFile::open(row).unwrap().stream().unwrap();
}

/// Directory and header agree on far more bytes than there are: nothing is set aside for them.
#[test]
fn promises_are_not_believed() {
    let folder = TempDir::new().unwrap();
    let promised = bytes_npy("(1, 1000, 1000000, 3)", &[7; 100]);
    let mut member = Member::deflated("a.npy", &promised);
    member.len = (promised.len() - 100) as u32 + 3_000_000_000;
    let lying = archive(&folder, &[member.clone()]);
    refused(drained(&lying, 64), "its bytes end before the array does");
    refused(lying.read_f64("a", usize::MAX), "its bytes end before the array does");
    member.name = "arr_0.npy".into();
    let mut batch = Vec::new();
    let mut set = images(write(&folder, "y.npz", &zip_of(&[member]))).unwrap();
    refused(set.read(1, &mut batch), "its bytes end before the array does");
    assert!(batch.capacity() <= 4 << 20, "{} bytes", batch.capacity());
}

#[test]
fn archives_that_lie() {
    let folder = TempDir::new().unwrap();
    let file = bytes_npy("(10,)", b"0123456789");
    let check = |member: Member, reason: &str| {
        refused(drained(&archive(&folder, &[member]), 4), reason);
    };
    let good = Member::deflated("a.npy", &file);
    assert_eq!(drained(&archive(&folder, std::slice::from_ref(&good)), 4).unwrap(), b"0123456789");
    for member in [good.clone(), Member::new("a.npy", &file)] {
        check(Member { crc32: member.crc32 ^ 1, ..member }, "checksum");
    }
    check(Member { len: good.len - 1, ..good.clone() }, "but 9 bytes are there");
    // Longer than what directory and header say; packed bytes behind the end; an end that is
    // missing.
    let longer = Member::deflated("a.npy", &[&file[..], b"x"].concat());
    check(Member { len: good.len, crc32: good.crc32, ..longer }, "go on beyond the array");
    let behind = [&good.stored[..], b"x"].concat();
    check(Member { stored: behind, ..good.clone() }, "go on beyond the array");
    let cut = good.stored[..good.stored.len() - 1].to_vec();
    check(Member { stored: cut, ..good.clone() }, "a.npy, at byte 0: ");
    check(Member { stored: vec![0xFF; 9], ..good.clone() }, "cannot be inflated");
    check(Member::new("a.npy", b"\x93NUMPY"), "cut short");
    check(Member::new("a.npy", &file[..40]), "cut short");
    check(Member::new("a.npy", b""), "cut short");
    check(Member::new("a.npy", &npy("|O", "False", "(1,)", b"cos\n")), "pickle");
    check(Member::new("a.npy", &npy("<c8", "False", "(1,)", &[0; 8])), "elements <c8, expected");
    let twice = zip_of(&[good.clone(), good]);
    refused(Archive::open(write(&folder, "z.npz", &twice)), "two members have this name");
    refused(Archive::open(folder.path()), "kind is a folder, expected a file");
}

#[test]
fn arrays_without_elements() {
    let folder = TempDir::new().unwrap();
    let empty = Member::deflated("a.npy", &f64_npy("False", "(0, 7)", &[]));
    let good = archive(&folder, std::slice::from_ref(&empty));
    assert_eq!(good.read_f64("a", 0).unwrap(), (vec![0, 7], vec![]));
    assert!(drained(&good, 8).unwrap().is_empty());
    let wrong = archive(&folder, &[Member { crc32: 1, ..empty }]);
    refused(wrong.read_f64("a", 0), "checksum");
}

#[test]
fn images_that_are_refused() {
    let folder = TempDir::new().unwrap();
    let check = |file: Vec<u8>, reason: &str| {
        refused(
            images(write(&folder, "x.npz", &zip_of(&[Member::new("arr_0.npy", &file)]))),
            reason,
        );
        refused(images(write(&folder, "x.npy", &file)), reason);
    };
    check(npy("<f4", "False", "(1, 2, 2, 3)", &[0; 48]), "float images");
    check(npy("<i8", "False", "(1, 2, 2, 3)", &[0; 96]), "astype(numpy.uint8)");
    check(npy("|b1", "False", "(1, 2, 2, 3)", &[0; 12]), "elements |b1, expected bytes");
    check(bytes_npy("(1, 3, 2, 2)", &[0; 12]), "planes, expected [N, H, W, 3]");
    check(bytes_npy("(1, 2, 2, 4)", &[0; 16]), "expected [N, H, W, 3]");
    check(bytes_npy("(2, 2, 3)", &[0; 12]), "expected [N, H, W, 3]");
    check(bytes_npy("(0, 2, 2, 3)", &[]), "no image");
    check(bytes_npy("(2, 0, 2, 3)", &[]), "no pixel");
    check(npy("|u1", "True", "(2, 1, 1, 3)", &[0; 6]), "Fortran order");
    let other = zip_of(&[Member::new("mu.npy", &f64_npy("False", "(1,)", &[0.0]))]);
    refused(images(write(&folder, "x.npz", &other)), "no array images or arr_0, only mu");
    refused(images(write(&folder, "x.npz", &zip_of(&[]))), "only other files");
    refused(images(write(&folder, "x.npz", b"neither")), "the directory at its end");
}

#[test]
fn labels_are_integers_one_an_image() {
    let folder = TempDir::new().unwrap();
    let pixels = Member::new("images.npy", &bytes_npy("(2, 1, 1, 3)", &[9; 6]));
    let labels = |file: Vec<u8>| {
        let members = [pixels.clone(), Member::deflated("labels.npy", &file)];
        images(write(&folder, "x.npz", &zip_of(&members))).expect("images").labels()
    };
    let of = |descr: &str, bytes: &[u8]| labels(npy(descr, "False", "(2,)", bytes));
    assert_eq!(of("<i4", &[1, 0, 0, 0, 255, 255, 255, 255]).unwrap(), Some(vec![1, -1]));
    assert_eq!(of(">i4", &[0, 0, 1, 0, 0, 0, 0, 2]).unwrap(), Some(vec![256, 2]));
    assert_eq!(of("|u1", &[3, 200]).unwrap(), Some(vec![3, 200]));
    refused(of("<u8", &[0xFF; 16]), "element 0 is beyond 2^63");
    refused(of("<f4", &[0; 8]), "expected integers");
    refused(labels(bytes_npy("(3,)", &[0; 3])), "labels of shape [3], expected [2]");
    refused(labels(bytes_npy("(2, 1)", &[0; 2])), "labels of shape [2, 1]");
}
