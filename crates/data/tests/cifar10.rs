//! The official binary layout: made-up files, bad files, and real ones where they are at hand.
#![allow(clippy::print_stderr, reason = "a test that cannot run says so")]

use data::{Cifar10, DataError, Dataset, Split, Visit};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const RECORD: usize = 3073;
const VISIT: Visit = Visit { seed: 0, position: 0 };

/// `count` records; record i has label i mod 10 and bytes that tell record, channel and pixel apart.
fn records(count: usize, first: usize) -> Vec<u8> {
    (first..first + count)
        .flat_map(|i| {
            let pixels = (0..3072).map(move |j| (i * 31 + j / 1024 * 7 + j) as u8);
            std::iter::once((i % 10) as u8).chain(pixels)
        })
        .collect()
}

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("a temporary file");
    }
    folder
}

fn load(set: &Cifar10, index: u64) -> (Vec<f32>, u32) {
    let mut out = vec![f32::NAN; 3072];
    let label = set.load(index, VISIT, &mut out).expect("records are in memory");
    (out, label)
}

#[test]
fn files_are_read_in_the_order_of_their_numbers() {
    // Ten sorts behind two as a number, and before it as text; other files are none of ours.
    let folder = folder(&[
        ("data_batch_10.bin", records(1, 5)),
        ("data_batch_2.bin", records(3, 2)),
        ("data_batch_1.bin", records(2, 0)),
        ("test_batch.bin", records(4, 30)),
        ("readme.html", b"hello".to_vec()),
        ("data_batch_x.bin", b"hello".to_vec()),
    ]);
    let train = Cifar10::open(folder.path(), Split::Train).unwrap();
    assert_eq!((train.len(), train.num_classes(), train.name()), (6, 10, "cifar10"));
    for index in 0..6 {
        let (pixels, label) = load(&train, index);
        assert_eq!(u64::from(label), index);
        let expected = (0..3072usize).map(|j| (index as usize * 31 + j / 1024 * 7 + j) as u8);
        for (got, byte) in pixels.iter().zip(expected) {
            assert_eq!(*got, f32::from(byte) / 127.5 - 1.0);
        }
    }
    let name = |index| train.sample_name(index);
    assert!(name(1).ends_with("data_batch_1.bin: record 1"), "{}", name(1));
    assert!(name(5).ends_with("data_batch_10.bin: record 0"), "{}", name(5));
    let probe = train.probe(5).unwrap();
    assert_eq!((probe.width, probe.height, probe.format, probe.colour), (32, 32, "pixels", "RGB"));
    let test = Cifar10::open(folder.path(), Split::Test).unwrap();
    assert_eq!((test.len(), load(&test, 0).1), (4, 0));
    assert_eq!(test.class_name(9), Some("truck"));
    assert_eq!(test.class_name(10), None);
}

#[test]
fn the_archives_own_folder_is_found() {
    let folder = folder(&[]);
    let inner = folder.path().join("cifar-10-batches-bin");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("test_batch.bin"), records(2, 0)).unwrap();
    let names = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n";
    fs::write(inner.join("batches.meta.txt"), names).unwrap();
    let test = Cifar10::open(folder.path(), Split::Test).unwrap();
    assert_eq!((test.len(), test.class_name(3)), (2, Some("d")));
}

/// Opens and expects an error that names the file or folder `name` of `folder`.
#[track_caller]
fn refused(folder: &TempDir, split: Split, name: &str) -> (DataError, String) {
    let error = Cifar10::open(folder.path(), split).expect_err("a bad folder was accepted");
    let message = error.to_string();
    let file = if name.is_empty() { folder.path().into() } else { folder.path().join(name) };
    let start = file.display().to_string();
    let rest = message.strip_prefix(&start).unwrap_or_else(|| panic!("{message} names no {name}"));
    (error, rest.to_string())
}

#[test]
fn sizes_that_are_no_number_of_records() {
    for (len, got) in [(RECORD - 1, "3072"), (RECORD + 1, "3074"), (0, "0")] {
        let bytes = records(2, 0)[..len].to_vec();
        let folder = folder(&[("data_batch_1.bin", records(1, 0)), ("data_batch_2.bin", bytes)]);
        let (_, message) = refused(&folder, Split::Train, "data_batch_2.bin");
        let expected = format!(": size is {got} bytes, expected a positive multiple of 3073 bytes");
        assert_eq!(message, expected);
    }
}

#[test]
fn labels_above_nine() {
    let mut bytes = records(3, 0);
    bytes[2 * RECORD] = 10;
    let folder = folder(&[("test_batch.bin", bytes)]);
    let (error, message) = refused(&folder, Split::Test, "test_batch.bin");
    assert_eq!(message, ": label of record 2 is 10, expected 0 to 9");
    assert!(matches!(error, DataError::Field { field, .. } if field == "label of record 2"));
}

#[test]
fn folders_without_the_files() {
    let empty = folder(&[("data_batch_1", records(1, 0))]);
    let (error, message) = refused(&empty, Split::Train, "");
    assert!(matches!(error, DataError::Missing { .. }));
    assert!(message.contains("found no data_batch_1.bin to data_batch_5.bin\nhelp: "), "{message}");
    let (_, message) = refused(&empty, Split::Test, "");
    assert!(message.contains("found no test_batch.bin"), "{message}");

    let gone = Cifar10::open(empty.path().join("nowhere"), Split::Train).unwrap_err();
    assert!(matches!(&gone, DataError::Missing { folder, .. } if folder.ends_with("nowhere")));
    assert!(gone.to_string().contains("dis data download cifar10"), "{gone}");
}

#[test]
fn another_number_of_names() {
    let folder =
        folder(&[("test_batch.bin", records(1, 0)), ("batches.meta.txt", b"one\ntwo\n".to_vec())]);
    let (_, message) = refused(&folder, Split::Test, "batches.meta.txt");
    assert_eq!(message, ": number of class names is 2, expected 10");
}

#[test]
fn real_images() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/cifar10-subset");
    if !folder.exists() {
        eprintln!("skipped: no {}", folder.display());
        return;
    }
    let train = Cifar10::open(&folder, Split::Train).unwrap();
    assert_eq!(train.len(), 5170);
    assert_eq!([0, 1, 2, 3, 4].map(|i| load(&train, i).1), [6, 9, 9, 4, 1]);
    let (pixels, _) = load(&train, 0);
    assert_eq!([0, 1024, 2048].map(|i| ((pixels[i] + 1.0) * 127.5).round()), [59.0, 62.0, 63.0]);

    let test = Cifar10::open(&folder, Split::Test).unwrap();
    assert_eq!(test.len(), 1017);
    assert_eq!([0, 1, 2, 3, 4].map(|i| load(&test, i).1), [3, 8, 8, 0, 6]);
    let names: Vec<_> = (0..).map_while(|label| train.class_name(label)).collect();
    assert_eq!(names.first().zip(names.last()), Some((&"airplane", &"truck")));
    let mut counts = [0; 10];
    (0..train.len()).for_each(|i| counts[load(&train, i).1 as usize] += 1);
    assert_eq!(counts, [521, 534, 497, 505, 540, 484, 515, 524, 537, 513]);
}
