//! Files of weights: what is read, and what is refused in which words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use eval::EvalError;
use eval::inception::weights::{DifferenceKind, Tensor, TensorMap, check, random, read, write};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize_to_file};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// What a file has of one tensor.
type Entry = (Dtype, Vec<usize>, Vec<u8>);

fn entries(tensors: &TensorMap) -> BTreeMap<String, Entry> {
    let bytes = |t: &Tensor| t.data.iter().flat_map(|x| x.to_le_bytes()).collect();
    tensors.iter().map(|(n, t)| (n.clone(), (Dtype::F32, t.shape.clone(), bytes(t)))).collect()
}

/// A file of entries, in a folder that goes with it.
fn file(entries: &BTreeMap<String, Entry>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inception.safetensors");
    let view =
        |(dtype, shape, bytes): &'_ Entry| -> Entry { (*dtype, shape.clone(), bytes.clone()) };
    let owned: Vec<(String, Entry)> = entries.iter().map(|(n, e)| (n.clone(), view(e))).collect();
    let views = owned.iter().map(|(name, (dtype, shape, bytes))| {
        (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views, None, &path).unwrap();
    (folder, path)
}

#[test]
fn what_is_written_is_read() {
    let tensors = random(3);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inception.safetensors");
    write(&path, &tensors, None).unwrap();
    let found = read(&path).unwrap();
    assert_eq!(found.tensors, tensors);
    let bytes = fs::read(&path).unwrap();
    assert_eq!(found.blake3, blake3::hash(&bytes).to_hex().as_str());
    write(&path, &tensors, None).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes, "equal input gives equal bytes");
    let nowhere = folder.path().join("absent/inception.safetensors");
    assert!(
        matches!(write(&nowhere, &tensors, None), Err(EvalError::Io { path, .. }) if path == nowhere)
    );
    assert!(matches!(read(&nowhere), Err(EvalError::Io { path, .. }) if path == nowhere));
}

#[test]
fn counts_of_training_are_left_out_and_narrow_numbers_refused() {
    let tensors = random(3);
    let mut with_counts = entries(&tensors);
    for name in ["Conv2d_1a_3x3", "Mixed_7c.branch_pool"] {
        let count = (Dtype::I64, vec![], 7i64.to_le_bytes().to_vec());
        with_counts.insert(format!("{name}.bn.num_batches_tracked"), count);
    }
    let (_folder, path) = file(&with_counts);
    assert_eq!(read(&path).unwrap().tensors, tensors);
    with_counts.insert("fc.bias".into(), (Dtype::F16, vec![1008], vec![0; 2016]));
    let (_folder, path) = file(&with_counts);
    let message = format!("{}: the type of fc.bias is F16, expected F32", path.display());
    assert_eq!(read(&path).unwrap_err().to_string(), message);
}

#[test]
fn every_difference_is_in_one_error() {
    let mut tensors = random(3);
    tensors.remove("fc.bias");
    tensors.insert("AuxLogits.fc.bias".into(), Tensor { shape: vec![1], data: vec![0.0] });
    tensors.get_mut("Mixed_5b.branch1x1.conv.weight").unwrap().shape = vec![64, 192];
    tensors.get_mut("fc.weight").unwrap().data.pop();
    tensors.get_mut("Mixed_6a.branch3x3.bn.running_var").unwrap().data[5] = -0.5;
    tensors.get_mut("Mixed_7a.branch3x3_2.bn.bias").unwrap().data[2] = f32::NAN;
    let (_folder, path) = file(&entries(&{
        let mut whole = tensors.clone();
        whole.get_mut("fc.weight").unwrap().data.push(0.0);
        whole
    }));
    let EvalError::Weights(of_file) = read(&path).unwrap_err() else { panic!("other error") };
    assert_eq!(of_file.source_name, path.display().to_string());
    assert_eq!(of_file.differences.len(), 5);
    assert_eq!(
        check(&tensors, "the set").unwrap_err().to_string(),
        "the set has not the weights of the Inception network:\n  \
         wrong shape  Mixed_5b.branch1x1.conv.weight  expected [64, 192, 1, 1]  got [64, 192]\n  \
         wrong value  Mixed_6a.branch3x3.bn.running_var  got -0.5 at element 5\n  \
         wrong value  Mixed_7a.branch3x3_2.bn.bias  got NaN at element 2\n  \
         wrong shape  fc.weight  expected [1008, 2048]  got 2064383 elements\n  \
         missing      fc.bias  expected [1008]\n  \
         unexpected   AuxLogits.fc.bias  got [1]"
    );
    let EvalError::Weights(mismatch) = check(&TensorMap::new(), "none").unwrap_err() else {
        panic!("other error")
    };
    assert_eq!(mismatch.differences.len(), 472);
    assert_eq!(mismatch.differences[471].kind, DifferenceKind::Missing);
    assert!(mismatch.to_string().ends_with("\n  ... and 464 more"), "{mismatch}");
    assert!(matches!(write("x".as_ref(), &TensorMap::new(), None), Err(EvalError::Weights(_))));
}

#[test]
fn files_of_another_kind_are_refused_without_a_large_allocation() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let rows: [(&[u8], &str); 4] = [
        (
            b"short",
            "the length of its header is 5 bytes, expected 8 bytes that say at most 16777216",
        ),
        (b"PK\x03\x04\0\0\0\x7f", "the length of its header is 9151314442884172624, expected"),
        (b"\x02\0\0\0\0\0\0\0{}", "has not the weights of the Inception network:\n  missing"),
        (b"\x08\0\0\0\0\0\0\0not json", "its content is not readable: "),
    ];
    for (bytes, message) in rows {
        fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(
            error.contains(message) && error.starts_with(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn only_the_published_file_is_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let tensors = random(1);
    let published = |source: Option<&str>| {
        write(&path, &tensors, source).unwrap();
        let file = read(&path).unwrap();
        assert_eq!(file.source_sha256.as_deref(), source);
        file.is_published()
    };
    let hash = |start: &str| format!("{start}{}", "0".repeat(56));
    assert!(published(Some(&hash("6726825d"))));
    assert!(!published(Some(&hash("0726825d"))));
    assert!(!published(None));
}
