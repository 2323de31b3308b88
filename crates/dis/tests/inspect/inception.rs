//! `dis convert` of the weights that distances between image sets are measured with.

use super::dis;
use super::pickle::{self, Pickle};
use eval::inception::weights;
use std::path::Path;

/// Saves tensors of one class in the form before torch 1.6, as the published file is; every norm has
/// a count besides. Storages stand in the order of their keys as texts.
fn save(path: &Path, tensors: &weights::TensorMap, class: &str) {
    let mut pickle = Pickle::new().op(b"}(");
    let mut storages = Vec::new();
    for (i, (name, tensor)) in tensors.iter().enumerate() {
        let shape: Vec<i32> = tensor.shape.iter().map(|&n| n as i32).collect();
        let key = (94_000_000 + i).to_string();
        pickle = pickle.text(name).tensor(class, &key, &shape);
        let bytes: Vec<u8> = match class {
            "HalfStorage" => tensor.data.iter().flat_map(|_| [0, 0]).collect(),
            _ => tensor.data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        storages.push((key, tensor.data.len() as u64, bytes));
        if let Some(norm) = name.strip_suffix(".running_var") {
            let key = (9_500_000 + i).to_string();
            pickle = pickle.text(&format!("{norm}.num_batches_tracked"));
            pickle = pickle.tensor("LongStorage", &key, &[]);
            storages.push((key, 1, vec![0; 8]));
        }
    }
    storages.sort();
    let storages: Vec<_> =
        storages.iter().map(|(key, n, bytes)| (key.as_str(), *n, bytes.as_slice())).collect();
    pickle::save_legacy(path, &pickle.op(b"u").stop(), &storages);
}

#[test]
fn inception_is_recognised_and_converted_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("in.pth"), dir.path().join("out.safetensors"));
    let tensors = weights::random(3);
    save(&file, &tensors, "FloatStorage");
    let run = dis(&[&"convert", &file, &out]).succeeds();
    for words in [
        "bare state dict, 472 tensors f32",
        "472 tensors, 23,885,392 parameters",
        "Inception of FID",
        "not the published file, whose SHA-256 starts with 6726825d",
    ] {
        assert!(run.stdout.contains(words), "no {words:?} in {}", run.stdout);
    }
    assert!(weights::read(&out).unwrap().tensors == tensors, "other values");
    dis(&[&"convert", &file, &out, &"--force", &"--key", &"ema"])
        .refuses(2, &["bare state dict", "leave --key out"]);
}

#[test]
fn what_only_looks_like_inception_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("in.pth"), dir.path().join("out.safetensors"));
    let convert = |tensors: &weights::TensorMap, class: &str| {
        save(&file, tensors, class);
        dis(&[&"convert", &file, &out])
    };
    let tensor = |shape: &[usize]| {
        let data = vec![0.5; shape.iter().product()];
        weights::Tensor { shape: shape.to_vec(), data }
    };
    let first = "Conv2d_1a_3x3.conv.weight".to_string();
    let mut tensors = weights::TensorMap::from([(first, tensor(&[32, 3, 3, 3]))]);
    convert(&tensors, "HalfStorage").refuses(65, &["conv.weight holds f16, expected f32"]);
    tensors.insert("fc.bias".into(), tensor(&[1000]));
    tensors.insert("AuxLogits.fc.bias".into(), tensor(&[1000]));
    convert(&tensors, "FloatStorage").refuses(65, &["in.pth", "Inception network", "missing"]);
    let encoder = "encoder.conv_in.weight".to_string();
    let tensors = weights::TensorMap::from([(encoder, tensor(&[8, 3, 3, 3]))]);
    convert(&tensors, "FloatStorage").refuses(65, &["an autoencoder", "Inception", "vae.path"]);
    assert!(!out.exists());
}
