//! WebDataset shards: samples, labels, and archives that are refused.
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

mod common;

use common::{png, write};
use data::{
    Cifar10, DataError, Dataset, ImageFiles, ImageSource, Preparation, Split, Visit, WebDataset,
};
use std::path::Path;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

const VISIT: Visit = Visit { seed: 0, position: 0 };

/// A tar file of members, complete with its end.
fn tar_of<'a>(members: impl IntoIterator<Item = (&'a str, Vec<u8>)>) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).expect("a member");
    }
    builder.into_inner().expect("a tar file")
}

/// A tar file of one member whose header says anything; the library writes no such names.
fn tar_of_header(name: &[u8], kind: EntryType) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_cksum();
    [header.as_bytes().as_slice(), &[0; 1024]].concat()
}

/// Names within their shards, and labels.
fn samples(set: &WebDataset) -> Vec<(String, u32)> {
    let short = |name: String| {
        let member = name.split(": ").nth(1).unwrap_or_default();
        member.split(", at byte").next().unwrap_or_default().to_owned()
    };
    (0..set.len()).map(|index| (short(set.sample_name(index)), set.label(index))).collect()
}

#[track_caller]
fn assert_samples(set: &WebDataset, expected: &[(&str, u32)]) {
    let expected: Vec<_> = expected.iter().map(|&(name, label)| (name.into(), label)).collect();
    assert_eq!(samples(set), expected);
}

#[test]
fn labels_stand_beside_images() {
    let folder = TempDir::new().unwrap();
    let shard = tar_of([
        ("b/000.jpg", png(10)),
        ("b/000.cls", b" 7\n".to_vec()),
        ("b/000.txt", b"a caption".to_vec()),
        ("a/001.json", br#"{"class": "frog", "label": 2, "x": [1]}"#.to_vec()),
        ("a/001.seg.png", png(0)),
        ("a/001.PNG", png(20)),
        ("only.txt", b"no image, no label".to_vec()),
        ("a/._001.png", b"not an image".to_vec()),
        ("002.jpeg", png(30)),
        ("002.cls", b"0".to_vec()),
        ("002.json", br#"{"cls": 0}"#.to_vec()),
    ]);
    let set = WebDataset::open(write(&folder, "x.tar", &shard)).unwrap();
    assert_samples(&set, &[("b/000.jpg", 7), ("a/001.PNG", 2), ("002.jpeg", 0)]);
    assert_eq!((set.num_classes(), set.class_name(0)), (8, None));

    let set = ImageFiles::new(set, Preparation::CentreCrop { size: 8 }).unwrap();
    let mut out = vec![0.0; 3 * 64];
    assert_eq!(set.load(1, VISIT, &mut out).unwrap(), 2);
    assert!(out.iter().all(|&x| x == data::signed_unit(20)), "{out:?}");
    let probe = set.probe(2).unwrap();
    assert_eq!((probe.width, probe.height, probe.format, probe.colour), (8, 8, "PNG", "grey"));
    let name = set.sample_name(0);
    assert!(name.ends_with("x.tar: b/000.jpg, at byte 512"), "{name}");
}

#[test]
fn folders_are_classes_where_there_are_no_labels() {
    let folder = TempDir::new().unwrap();
    let first = tar_of([("./train/frog/1.png", png(1)), ("train/cat/2.png", png(2))]);
    write(&folder, "train-1.tar", &first);
    write(&folder, "train-0.tar", &tar_of([("x/train/dog/1.png", png(3))]));
    write(&folder, "test-0.tar", &tar_of([("test/ant/1.png", png(4))]));
    write(&folder, "notes.txt", b"");
    let set = WebDataset::open(folder.path()).unwrap();
    let expected = [("x/train/dog/1.png", 1), ("train/frog/1.png", 2), ("train/cat/2.png", 0)];
    assert_samples(&set, &expected);
    let names: Vec<_> = (0..4).map(|label| set.class_name(label)).collect();
    assert_eq!(
        (set.num_classes(), &names[..]),
        (3, &[Some("cat"), Some("dog"), Some("frog"), None][..])
    );

    let test = WebDataset::open(folder.path().join("test-0.tar")).unwrap();
    assert_samples(&test, &[("test/ant/1.png", 0)]);

    let flat = write(&folder, "flat.tar", &tar_of([("1.png", png(1)), ("./2.png", png(2))]));
    let flat = WebDataset::open(flat).unwrap();
    assert_eq!((flat.num_classes(), flat.len(), flat.label(1)), (0, 2, 0));
}

/// GNU tar writes names over 100 bytes as a member of their own, pax as an extended header.
#[test]
fn long_names() {
    let folder = TempDir::new().unwrap();
    let long = format!("{}/{}.png", "class".repeat(30), "y".repeat(200));
    let mut gnu = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    let image = png(5);
    header.set_size(image.len() as u64);
    gnu.append_data(&mut header, &long, &image[..]).unwrap();
    let set = WebDataset::open(write(&folder, "gnu.tar", &gnu.into_inner().unwrap())).unwrap();
    assert_samples(&set, &[(&long, 0)]);
    let mut bytes = Vec::new();
    set.read(0, &mut bytes).unwrap();
    assert_eq!(bytes, image);

    let mut pax = Builder::new(Vec::new());
    pax.append_pax_extensions([("path", long.as_bytes())]).unwrap();
    let mut header = Header::new_ustar();
    header.set_size(image.len() as u64);
    header.set_path("short").unwrap();
    header.set_cksum();
    pax.append(&header, &image[..]).unwrap();
    let set = WebDataset::open(write(&folder, "pax.tar", &pax.into_inner().unwrap())).unwrap();
    assert_samples(&set, &[(&long, 0)]);
}

/// The error's member, offset and reason.
#[track_caller]
fn refused(folder: &TempDir, bytes: &[u8]) -> (String, u64, String) {
    let path = write(folder, "refused.tar", bytes);
    match WebDataset::open(&path).expect_err("a refusal") {
        DataError::Member { file, member, offset, reason } => {
            assert_eq!(file, path);
            (member, offset, reason)
        }
        other => panic!("refused without a member: {other}"),
    }
}

#[test]
fn samples_that_do_not_fit_together() {
    let folder = TempDir::new().unwrap();
    let text = |text: &str| text.as_bytes().to_vec();
    let check = |members: Vec<(&str, Vec<u8>)>, member: &str, reason: &str| {
        let (found, _, why) = refused(&folder, &tar_of(members));
        assert!(found == member && why.contains(reason), "{found}: {why}");
    };
    let twice = vec![("a.png", png(1)), ("b.png", png(2)), ("a.png", png(3))];
    check(twice, "a.png", "there before, as a.png");
    check(vec![("a.png", png(1)), ("a.jpg", png(2))], "a.jpg", "an image already, a.png");
    check(vec![("a.cls", text("1")), ("b.png", png(2))], "a", "a label without an image");
    for (label, reason) in [
        ("", "label \"\""),
        ("1.5", "expected an integer"),
        ("-1", "expected 0 to"),
        ("1048576", "expected 0 to 1048575"),
        ("99999999999999999999", "expected an integer"),
    ] {
        check(vec![("a.png", png(1)), ("a.cls", text(label))], "a.cls", reason);
    }
    check(vec![("a.png", png(1)), ("a.json", text("{\"label\": 3"))], "a.json", "EOF");
    let two = vec![("a.png", png(1)), ("a.cls", text("1")), ("a.json", text("{\"label\": 2}"))];
    check(two, "a.json", "label 2, but the sample has label 1");
    let some = vec![("a.png", png(1)), ("a.cls", text("1")), ("b.png", png(2))];
    check(some, "b.png", "no label");
    check(vec![("x/a.png", png(1)), ("b.png", png(2))], "b.png", "no folder");

    let none = write(&folder, "none.tar", &tar_of([("a.txt", text("x"))]));
    assert!(matches!(WebDataset::open(none), Err(DataError::Missing { .. })));
    let nothing = TempDir::new().unwrap();
    assert!(matches!(WebDataset::open(nothing.path()), Err(DataError::Missing { .. })));
    assert!(matches!(WebDataset::open(folder.path().join("gone.tar")), Err(DataError::Io { .. })));
}

#[test]
fn archives_that_are_refused() {
    let folder = TempDir::new().unwrap();
    let names: [(&[u8], &str); 6] = [
        (b"/etc/x.png", "absolute"),
        (b"\\x.png", "absolute"),
        (b"C:x.png", "absolute"),
        (b"../x.png", "`..`"),
        (b"a/../../x.png", "`..`"),
        (b"a\\..\\x.png", "`..`"),
    ];
    for (name, reason) in names {
        let (member, offset, why) = refused(&folder, &tar_of_header(name, EntryType::Regular));
        assert_eq!((member.as_bytes(), offset), (name, 512));
        assert!(why.contains(reason), "{member}: {why}");
    }
    for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
        let (member, _, why) = refused(&folder, &tar_of_header(b"a.png", kind));
        assert!(member == "a.png" && why.contains("only files and folders"), "{why}");
    }
    let (_, _, why) = refused(&folder, &tar_of_header(b"", EntryType::Regular));
    assert!(why.contains("an empty name"), "{why}");

    // Folders are passed over.
    let folders = tar_of_header(b"a/", EntryType::Directory);
    let path = write(&folder, "folders.tar", &folders);
    assert!(matches!(WebDataset::open(path), Err(DataError::Missing { .. })));
}

#[test]
fn archives_that_are_cut_short_or_damaged() {
    let folder = TempDir::new().unwrap();
    let whole = tar_of([("a.png", png(1)), ("b.png", png(2))]);
    let second = 512 + 512;
    // Wherever it is cut before its end marker is complete.
    for len in 1..second + 1024 + 512 {
        if len % 7 == 0 || len % 512 == 0 {
            let (_, offset, why) = refused(&folder, &whole[..len]);
            assert!(offset <= len as u64 + 512, "{len}: {offset}");
            assert!(why.contains("cut short") || why.contains("failed to read"), "{len}: {why}");
        }
    }
    let (member, offset, why) = refused(&folder, &whole[..second + 512 + 10]);
    assert_eq!((member.as_str(), offset), ("b.png", second as u64 + 512));
    assert!(why.contains("10 of"), "{why}");
    let empty = WebDataset::open(write(&folder, "empty.tar", b"")).unwrap_err();
    assert!(empty.to_string().contains("cut short"), "{empty}");

    let mut flipped = whole.clone();
    flipped[second + 3] ^= 1;
    let (_, offset, why) = refused(&folder, &flipped);
    assert!(offset == second as u64 && why.contains("checksum"), "{offset}: {why}");

    let two = [whole.clone(), whole].concat();
    assert!(refused(&folder, &two).2.contains("two archives"));

    // A member that says it is larger than memory.
    let mut bomb = tar_of_header(b"a.png", EntryType::Regular);
    bomb[124..136].copy_from_slice(b"77777777777\0");
    let mut header = Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&bomb[..512]);
    header.set_cksum();
    bomb[..512].copy_from_slice(header.as_bytes());
    assert!(refused(&folder, &bomb).2.contains("more than"));
}

/// A member that is no image is found by `load` and `probe`, and named.
#[test]
fn broken_images_are_named() {
    let folder = TempDir::new().unwrap();
    let jpeg = vec![0xFF, 0xD8, 0xFF, 0xE0];
    let members = [("a.png", png(1)), ("b.jpg", jpeg), ("c.png", Vec::new())];
    let set = WebDataset::open(write(&folder, "x.tar", &tar_of(members))).unwrap();
    let set = ImageFiles::new(set, Preparation::CentreCrop { size: 8 }).unwrap();
    set.probe(0).unwrap();
    for (index, name, offset, why) in [(1, "b.jpg", 1536, "cut short"), (2, "c.png", 2560, "empty")]
    {
        let error = set.probe(index).unwrap_err();
        let DataError::Member { member, offset: at, reason, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!((member.as_str(), *at), (name, offset));
        assert!(reason.contains(why), "{reason}");
        assert_eq!(
            set.load(index, VISIT, &mut [0.0; 192]).unwrap_err().to_string(),
            error.to_string()
        );
    }
}

/// The same images as lossy JPEG and as pixels: labels are equal, pixels near.
#[test]
fn cifar10_as_jpeg() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let (jpegs, pixels) = (data.join("cifar10-jpeg"), data.join("cifar10-subset"));
    if !jpegs.exists() || !pixels.exists() {
        eprintln!("skipped: no {} or no {}", jpegs.display(), pixels.display());
        return;
    }
    let source = WebDataset::open(&jpegs).unwrap();
    assert_eq!((source.len(), source.num_classes()), (50_000, 10));
    let jpegs = ImageFiles::new(source, Preparation::CentreCrop { size: 32 }).unwrap();
    let pixels = Cifar10::open(pixels, Split::Train).unwrap();
    assert!((0..10).all(|label| jpegs.class_name(label) == pixels.class_name(label)));
    // The first 1,102 images of the first file, 1,017 of each other.
    let first_of_file = [0, 1102, 2119, 3136, 4153, 5170];
    let (mut near, mut far) = (vec![0.0; 3072], vec![0.0; 3072]);
    for (shard, bounds) in (0..).zip(first_of_file.windows(2)) {
        for record in bounds[0]..bounds[1] {
            let index = shard * 10_000 + record - bounds[0];
            let label = jpegs.load(index, VISIT, &mut near).unwrap();
            assert_eq!(label, pixels.load(record, VISIT, &mut far).unwrap(), "label of {index}");
            let squares = near.iter().zip(&far).map(|(a, b)| f64::from(a - b).powi(2));
            let mean = squares.sum::<f64>() / 3072.0;
            let decibel = 10.0 * (4.0 / mean).log10();
            assert!(decibel >= 23.0, "{index}: {decibel} dB");
        }
    }
}
