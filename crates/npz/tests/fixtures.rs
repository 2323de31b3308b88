//! Files as NumPy writes them, and broken ones. `fixtures.json` has what NumPy reads of each:
//! shapes, types, and the sum of `(i + 1) * bits` of element i, modulo 2^64, elements being
//! little-endian in the order of rows.

use npz::{Archive, ArrayReader, NpyFile, NpzError, images};
use serde_json::Value;
use std::path::PathBuf;

const MOST: usize = 1 << 20;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn fixtures() -> Vec<(String, Value)> {
    let text = std::fs::read_to_string(path("fixtures.json")).expect("the list of fixtures");
    let all: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("JSON");
    all.into_iter().collect()
}

fn checksum(bits: impl IntoIterator<Item = u64>) -> String {
    let add = |sum: u64, (i, bits): (u64, u64)| sum.wrapping_add(i.wrapping_mul(bits));
    format!("{:016x}", (1..).zip(bits).fold(0, add))
}

/// All bytes, in parts of an odd size.
fn drain(reader: Result<ArrayReader, NpzError>) -> Result<Vec<u8>, NpzError> {
    let (mut reader, mut bytes, mut part) = (reader?, Vec::new(), [0; 37]);
    loop {
        match reader.read_into(&mut part)? {
            0 => return Ok(bytes),
            read => bytes.extend(&part[..read]),
        }
    }
}

/// Elements as they are in the file, as numbers.
fn bits(bytes: &[u8], descr: &str) -> Vec<u64> {
    let size = descr[2..].parse().expect("a size");
    let number = |element: &[u8]| {
        let mut bits = [0; 8];
        bits[..size].copy_from_slice(element);
        if descr.starts_with('>') {
            bits[..size].reverse();
        }
        u64::from_le_bytes(bits)
    };
    bytes.chunks_exact(size).map(number).collect()
}

#[test]
fn arrays_as_numpy_reads_them() {
    let mut arrays = 0;
    for (file, fixture) in fixtures().iter().filter(|(_, fixture)| fixture["expect"] == "ok") {
        let of_file = fixture["arrays"].as_object().expect("arrays");
        if file.ends_with(".npz") {
            let names: Vec<String> = Archive::open(path(file)).unwrap().names().collect();
            let mut expected: Vec<&String> = of_file.keys().collect();
            expected.sort();
            assert_eq!(names.iter().collect::<Vec<_>>(), expected, "{file}");
        }
        for (name, array) in of_file {
            let (header, bytes, values) = if name.is_empty() {
                let file = NpyFile::open(path(file)).unwrap();
                (file.header(), drain(file.stream()), file.read_f64(MOST))
            } else {
                let file = Archive::open(path(file)).unwrap();
                (file.header(name), drain(file.stream(name)), file.read_f64(name, MOST))
            };
            let (header, (shape, values)) = (header.unwrap(), values.unwrap());
            let what = format!("{file}, array {name}");
            assert_eq!(serde_json::json!(header.shape), array["shape"], "{what}");
            assert_eq!(serde_json::json!(shape), array["shape"], "{what}");
            assert_eq!(header.descr.replace('>', "<"), array["dtype"], "{what}");
            assert_eq!(values.len(), shape.iter().product::<usize>(), "{what}");
            if array["dtype"] == "<f8" {
                let sum = checksum(values.iter().map(|value| value.to_bits()));
                assert_eq!(sum, array["checksum_row_major_le"], "{what} as f64");
            }
            match bytes {
                Ok(bytes) => {
                    let sum = checksum(bits(&bytes, &header.descr));
                    assert_eq!(sum, array["checksum_row_major_le"], "{what} in parts");
                }
                Err(error) => {
                    assert!(header.fortran_order, "{what}: {error}");
                    assert!(error.to_string().contains("Fortran order"), "{error}");
                }
            }
            arrays += 1;
        }
    }
    assert_eq!(arrays, 23);
}

/// Images and labels of the files that have any; a small f16 and a boolean have known values.
#[test]
fn images_and_other_elements() {
    let pixels = drain(NpyFile::open(path("u1_v1.npy")).unwrap().stream()).unwrap();
    for file in [
        "u1_v1.npy",
        "sample_stored.npz",
        "sample_deflate.npz",
        "sample_labels.npz",
        "npz_data_descriptor.npz",
        "adm_ref_mini.npz",
    ] {
        let mut set = images(path(file)).unwrap();
        assert_eq!((set.count(), set.height(), set.width()), (5, 8, 6), "{file}");
        let (mut all, mut batch) = (Vec::<u8>::new(), Vec::new());
        for expected in [2, 2, 1, 0] {
            assert_eq!(set.read(2, &mut batch).unwrap(), expected, "{file}");
            assert_eq!(batch.len(), expected * 8 * 6 * 3, "{file}");
            all.extend(&batch);
        }
        assert!(all == pixels, "{file}");
        let labels = (file == "sample_labels.npz").then(|| vec![0, 1, 2, 3, 4]);
        assert_eq!(set.labels().unwrap(), labels, "{file}");
    }
    let read = |file: &str| NpyFile::open(path(file)).unwrap().read_f64(MOST).unwrap().1;
    assert_eq!((read("i8_scalar.npy"), read("i8_vec1.npy")), (vec![-7.0], vec![3.0]));
    let (wide, half) = (read("f8_v2.npy"), read("f2_v1.npy"));
    let near = |(wide, half): (&f64, &f64)| (wide - half).abs() <= 0.5f64.powi(11) * wide;
    assert!(wide.iter().zip(&half).all(near), "{half:?}");
    let is_large: Vec<f64> = wide.iter().map(|&x| f64::from(u8::from(x > 0.5))).collect();
    assert_eq!(read("bool.npy"), is_large);
}

/// Every broken file, and what is said about it; those that are broken as images or as statistics
/// alone are read otherwise.
#[test]
fn broken_files_are_refused_by_name() {
    let npy = |file: &str| drain(NpyFile::open(path(file)).unwrap().stream()).unwrap_err();
    let array = |file: &str| drain(Archive::open(path(file)).unwrap().stream("arr_0")).unwrap_err();
    let batch = |file: &str| images(path(file)).unwrap_err();
    let mut left: Vec<String> = fixtures()
        .into_iter()
        .filter_map(|(file, fixture)| (fixture["expect"] == "error").then_some(file))
        .collect();
    let mut check = |file: &str, error: Option<NpzError>, reason: &str| {
        left.retain(|other| other != file);
        let Some(error) = error else { return };
        let message = error.to_string();
        assert!(message.contains(file) && message.contains(reason), "{message}");
    };
    let truncated = Archive::open(path("bad_truncated.npz")).unwrap_err();
    check("bad_truncated.npz", Some(truncated), "the directory at its end");
    check("bad_crc.npz", Some(array("bad_crc.npz")), "checksum");
    check("bad_short.npy", Some(npy("bad_short.npy")), "but 620 bytes are there");
    check("bad_magic.npy", Some(npy("bad_magic.npy")), "does not begin with \\x93NUMPY");
    check("bad_huge_shape.npy", Some(npy("bad_huge_shape.npy")), "[4611686018427387904, 8, 6, 3]");
    check("bad_object.npy", Some(npy("bad_object.npy")), "pickle");
    check("bad_no_arr0.npz", Some(array("bad_no_arr0.npz")), "no array arr_0, only images");
    check("bad_float_images.npz", Some(batch("bad_float_images.npz")), "float images");
    check("bad_nchw.npz", Some(batch("bad_nchw.npz")), "x.transpose(0, 2, 3, 1)");
    let sigma = |file: &str| Archive::open(path(file)).unwrap().read_f64("sigma", MOST).unwrap();
    assert_eq!(sigma("bad_stats_shape.npz").0, [11, 12]);
    check("bad_stats_shape.npz", None, "");
    let is_nan: Vec<bool> = sigma("bad_stats_nan.npz").1.iter().map(|x| x.is_nan()).collect();
    assert_eq!(is_nan.iter().filter(|&&is_nan| is_nan).count(), 1);
    assert!(is_nan[3 * 12 + 4]);
    check("bad_stats_nan.npz", None, "");
    assert_eq!(left, [""; 0], "fixtures without a check");
}
