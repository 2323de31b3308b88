//! Arrays of images, and headers that lie.

mod common;

use common::{ZipMember, npy, write, zip_of};
use data::{ArrayImages, DataError, Dataset, ImageFiles, ImageSource, Preparation, Visit};
use std::path::PathBuf;
use tempfile::TempDir;

const VISIT: Visit = Visit { seed: 0, position: 0 };

/// Three images of 4x5 pixels, interleaved.
fn pixels() -> Vec<u8> {
    (0..3 * 60).map(|i| (i * 7 % 256) as u8).collect()
}

fn planes_of(interleaved: &[u8]) -> Vec<u8> {
    let plane = |image: &[u8], c| image.iter().skip(c).step_by(3).copied().collect::<Vec<u8>>();
    interleaved.chunks(60).flat_map(|image| (0..3).flat_map(move |c| plane(image, c))).collect()
}

fn safetensors(header: &str, bytes: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), bytes].concat()
}

fn labels_i64(labels: [i64; 3]) -> Vec<u8> {
    labels.iter().flat_map(|label| label.to_le_bytes()).collect()
}

/// Every format holds the same images; sums of pixels tell that no byte is elsewhere.
#[test]
fn one_set_in_every_format() {
    let folder = TempDir::new().unwrap();
    let (nhwc, nchw) = (pixels(), planes_of(&pixels()));
    let labels = npy("<i8", "(3,)", &labels_i64([2, 0, 1]));
    let images = npy("|u1", "(3, 4, 5, 3)", &nhwc);
    let planar = npy("|u1", "(3, 3, 4, 5)", &nchw);
    let tensors = r#"{"__metadata__":{"a":"b"},"labels":{"dtype":"I32","shape":[3],"data_offsets":[0,12]},"images":{"dtype":"U8","shape":[3,4,5,3],"data_offsets":[12,192]}}"#;
    let tensor_labels: Vec<u8> = [2i32, 0, 1].iter().flat_map(|l| l.to_le_bytes()).collect();
    let named = [ZipMember::new("images.npy", &planar), ZipMember::new("labels.npy", &labels)];
    let numbered = [
        ZipMember::deflated("arr_9.npy", b"x"),
        ZipMember::new("arr_1.npy", &labels),
        ZipMember::new("arr_0.npy", &images),
    ];
    let files: [(&str, Vec<u8>, bool); 5] = [
        ("a.npy", images.clone(), false),
        ("b.npy", planar, false),
        ("a.npz", zip_of(&named), true),
        ("b.NPZ", zip_of(&numbered), true),
        ("a.safetensors", safetensors(tensors, &[tensor_labels, nhwc.clone()].concat()), true),
    ];
    for (name, bytes, has_labels) in files {
        let set = ArrayImages::open(write(&folder, name, &bytes)).unwrap();
        assert_eq!((set.len(), set.num_classes()), (3, if has_labels { 3 } else { 0 }), "{name}");
        let expected = if has_labels { [2, 0, 1] } else { [0; 3] };
        assert_eq!([0, 1, 2].map(|index| set.label(index)), expected, "{name}");
        let set = ImageFiles::new(set, Preparation::CentreCrop { size: 4 }).unwrap();
        for index in 0..3 {
            let mut out = vec![0.0; 48];
            set.load(index, VISIT, &mut out).unwrap();
            for (i, value) in out.into_iter().enumerate() {
                // The crop of 4x5 to 4x4 cuts the last column off.
                let (channel, y, x) = (i / 16, i / 4 % 4, i % 4);
                let byte = nhwc[index as usize * 60 + (y * 5 + x) * 3 + channel];
                assert_eq!(value, data::signed_unit(byte), "{name}, image {index}, element {i}");
            }
        }
        let probe = set.probe(1).unwrap();
        assert_eq!(
            (probe.width, probe.height, probe.format, probe.colour),
            (5, 4, "pixels", "RGB")
        );
        assert!(set.sample_name(1).contains("image 1, at byte"));
    }
}

#[test]
fn grey_arrays() {
    let folder = TempDir::new().unwrap();
    let grey: Vec<u8> = (0..32).collect();
    for shape in ["(2, 1, 4, 4)", "(2, 4, 4, 1)"] {
        let set = ArrayImages::open(write(&folder, "a.npy", &npy("|u1", shape, &grey))).unwrap();
        let set = ImageFiles::new(set, Preparation::CentreCrop { size: 4 }).unwrap();
        let mut out = vec![0.0; 48];
        set.load(1, VISIT, &mut out).unwrap();
        assert!(out.iter().enumerate().all(|(i, &x)| x == data::signed_unit(16 + i as u8 % 16)));
    }
}

#[track_caller]
fn refused(name: &str, bytes: &[u8]) -> String {
    let folder = TempDir::new().expect("a temporary folder");
    let path: PathBuf = write(&folder, name, bytes);
    match ArrayImages::open(&path).expect_err("a refusal") {
        DataError::Member { file, offset, reason, .. } => {
            assert!(file == path && offset <= bytes.len() as u64, "{offset}");
            reason
        }
        other => other.to_string(),
    }
}

#[test]
fn arrays_that_are_refused() {
    let check = |descr: &str, shape: &str, len: usize, reason: &str| {
        let found = refused("x.npy", &npy(descr, shape, &vec![0; len]));
        assert!(found.contains(reason), "{descr} {shape}: {found}");
    };
    // Promises that would be an allocation, or overflow when multiplied.
    check("|u1", "(1000000000000,)", 0, "but 0 bytes are there");
    check("|u1", "(4294967296, 4294967296, 4294967296, 3)", 0, "but 0 bytes are there");
    check("|u1", "(0, 99999999999, 99999999999, 3)", 0, "more than 67108864");
    check("|u1", "(1, 0, 4, 3)", 0, "0 pixels");
    check("|u1", "(0, 4, 4, 3)", 0, "no image");
    check("|u1", "(2, 4, 4, 3)", 95, "but 95 bytes are there");
    check("|u1", "(2, 4, 4, 3)", 97, "but 97 bytes are there");
    check("|u1", "()", 1, "but 1 bytes are there");
    check("|u1", "(4, 4, 3)", 48, "expected [N, H, W, 3]");
    check("|u1", "(1, 4, 4, 2)", 32, "expected [N, H, W, 3]");
    check("<i4", "(1, 4, 4, 3)", 192, "elements I32, expected bytes");
    check("<f4", "(1, 4, 4, 3)", 192, "elements <f4, expected");
    check(">i4", "(1, 4, 4, 3)", 192, "elements >i4, expected");
    assert!(refused("x.npy", b"").contains("cut short"));
    assert!(refused("x.npy", b"not an array, but text").contains("no npy file"));
    assert!(refused("x.bin", b"").contains("ending of the name"));
    let whole = npy("|u1", "(2, 4, 4, 3)", &[0; 96]);
    (0..whole.len()).for_each(|len| drop(refused("x.npy", &whole[..len])));
}

#[test]
fn labels_that_are_refused() {
    let images = ZipMember::new("images.npy", &npy("|u1", "(2, 4, 4, 3)", &[0; 96]));
    let check = |labels: Vec<u8>, reason: &str| {
        let members = [images.clone(), ZipMember::new("labels.npy", &labels)];
        let found = refused("x.npz", &zip_of(&members));
        assert!(found.contains(reason), "{found}");
    };
    check(npy("|u1", "(3,)", &[0; 3]), "shape [3], expected [2]");
    check(npy("|u1", "(2, 1)", &[0; 2]), "shape [2, 1], expected [2]");
    check(npy("<i8", "(2,)", &[0xFF; 16]), "label -1 of image 0");
    check(npy("<i4", "(2,)", &[0xFF; 8]), "label -1 of image 0");
    check(npy("<u4", "(2,)", &[0, 0, 0, 0, 0, 0, 16, 0]), "label 1048576 of image 1");
    check(npy("<f8", "(2,)", &[0; 16]), "elements <f8");
    let packed = ZipMember::deflated("images.npy", &npy("|u1", "(2, 4, 4, 3)", &[0; 96]));
    assert!(refused("x.npz", &zip_of(&[packed])).contains("savez_compressed"));
    assert!(refused("x.npz", &zip_of(&[])).contains("found no array images or arr_0"));
}

#[test]
fn tensors_that_are_refused() {
    let images = r#""images":{"dtype":"U8","shape":[2,4,4,3],"data_offsets":[0,96]}"#;
    let check = |header: String, reason: &str| {
        let found = refused("x.safetensors", &safetensors(&header, &[0; 96]));
        assert!(found.contains(reason), "{header}: {found}");
    };
    check(format!("{{{images},{images}}}"), "duplicate field");
    check("{}".into(), "missing field `images`");
    check(format!("{{{}}}", images.replace("96", "97")), "not inside of the file");
    check(format!("{{{}}}", images.replace("[0,96]", "[96,0]")), "not inside of the file");
    check(format!("{{{}}}", images.replace("96", "95")), "but 95 bytes are there");
    check(format!("{{{}}}", images.replace("U8", "F16")), "unknown variant");
    check(format!("{{{}}}", images.replace("[2,", "[-2,")), "invalid value");
    check(format!("{{{images}"), "EOF");
    let endless = [&u64::MAX.to_le_bytes()[..], b"{}"].concat();
    assert!(refused("x.safetensors", &endless).contains("or than the file has"));
    assert!(refused("x.safetensors", b"short").contains("cut short"));
}
