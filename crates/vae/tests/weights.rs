//! Files and folders: what is read, what is written, and what is refused in which words.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use half::{bf16, f16};
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use ssm_kernels::Cpu;
use std::fs;
use std::path::{Path, PathBuf};
use vae::weights::{DifferenceKind, Tensor, TensorMap, infer_config, random, read, write_folder};
use vae::{AutoencoderKl, LatentScaling, VaeConfig, VaeError, VaeFiles};

const WEIGHTS: &str = "diffusion_pytorch_model.safetensors";

fn small() -> VaeConfig {
    VaeConfig {
        block_out_channels: vec![32, 64],
        layers_per_block: 1,
        ..VaeConfig::stable_diffusion()
    }
}

/// A folder with a network of [`small`].
fn folder() -> (tempfile::TempDir, TensorMap) {
    let folder = tempfile::tempdir().unwrap();
    let tensors = random(&small(), 3);
    write_folder(folder.path(), &small(), &tensors).unwrap();
    (folder, tensors)
}

/// A safetensors file of one format.
fn file_of(tensors: &TensorMap, dtype: Dtype, bytes_of: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, t)| {
            (name.clone(), t.shape.clone(), t.data.iter().flat_map(|&x| bytes_of(x)).collect())
        })
        .collect();
    let view = |shape: &Vec<usize>, bytes| TensorView::new(dtype, shape.clone(), bytes).unwrap();
    serialize(bytes.iter().map(|(name, shape, bytes)| (name, view(shape, bytes))), None).unwrap()
}

fn f32_file(tensors: &TensorMap) -> Vec<u8> {
    file_of(tensors, Dtype::F32, |x| x.to_le_bytes().to_vec())
}

fn message(path: &Path) -> String {
    read(path).unwrap_err().to_string()
}

#[test]
fn what_is_written_is_read() {
    let (folder, tensors) = folder();
    assert_eq!(read(folder.path()).unwrap(), (small(), tensors.clone()));
    let file = folder.path().join(WEIGHTS);
    assert_eq!(read(&file).unwrap().1, tensors);
    let bytes = fs::read(&file).unwrap();
    write_folder(folder.path(), &small(), &tensors).unwrap();
    assert_eq!(fs::read(&file).unwrap(), bytes, "equal input gives equal bytes");
    AutoencoderKl::open(Cpu, folder.path()).unwrap();
}

#[test]
fn a_pipeline_has_its_autoencoder_in_a_folder_below() {
    let (folder, tensors) = folder();
    let pipeline = tempfile::tempdir().unwrap();
    fs::write(pipeline.path().join("model_index.json"), "{}").unwrap();
    fs::rename(folder.path(), pipeline.path().join("vae")).unwrap();
    assert_eq!(read(pipeline.path()).unwrap().1, tensors);
    let files = VaeFiles::find(pipeline.path()).unwrap();
    assert_eq!(files.weights, pipeline.path().join("vae").join(WEIGHTS));
}

#[test]
fn a_file_alone_says_what_network_it_is() {
    let (folder, tensors) = folder();
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert_eq!(read(&folder.path().join(WEIGHTS)).unwrap(), (small(), tensors));
    for config in [
        VaeConfig::stable_diffusion(),
        VaeConfig { mid_block_add_attention: false, latent_channels: 16, ..small() },
        VaeConfig { use_quant_conv: false, use_post_quant_conv: false, ..small() },
        VaeConfig { in_channels: 1, out_channels: 2, block_out_channels: vec![32], ..small() },
    ] {
        let shapes = |(name, shape): (String, Vec<usize>)| (name, Tensor { shape, data: vec![] });
        let params = vae::params(&config).into_iter().map(|p| (p.name, p.shape));
        assert_eq!(infer_config(&params.map(shapes).collect(), "here").unwrap(), config);
    }
}

#[test]
fn half_precision_is_widened() {
    let (folder, tensors) = folder();
    let path = folder.path().join(WEIGHTS);
    let f16_of = |x: f32| f16::from_f32(x);
    fs::write(&path, file_of(&tensors, Dtype::F16, |x| f16_of(x).to_le_bytes().into())).unwrap();
    for (name, tensor) in read(folder.path()).unwrap().1 {
        let expected = tensors[&name].data.iter().map(|&x| f16_of(x).to_f32());
        assert!(tensor.data.into_iter().eq(expected), "{name}");
    }
    let bf16_of = |x: f32| bf16::from_f32(x);
    fs::write(&path, file_of(&tensors, Dtype::BF16, |x| bf16_of(x).to_le_bytes().into())).unwrap();
    for (name, tensor) in read(folder.path()).unwrap().1 {
        let expected = tensors[&name].data.iter().map(|&x| bf16_of(x).to_f32());
        assert!(tensor.data.into_iter().eq(expected), "{name}");
    }
    fs::write(&path, file_of(&tensors, Dtype::F64, |x| f64::from(x).to_le_bytes().into())).unwrap();
    assert!(message(folder.path()).ends_with(" is F64, expected F32, F16 or BF16"));
}

/// The spelling before diffusers 0.14, its linear maps as convolutions.
fn in_old_spelling(tensors: &TensorMap) -> TensorMap {
    let parts = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
    let renamed = tensors.iter().map(|(name, tensor)| {
        let mut tensor = tensor.clone();
        let part = parts.iter().find(|(new, _)| name.contains(&format!(".{new}.")));
        let Some((new, old)) = part else { return (name.clone(), tensor) };
        if tensor.shape.len() == 2 {
            tensor.shape.extend([1, 1]);
        }
        (name.replace(new, old), tensor)
    });
    renamed.collect()
}

#[test]
fn old_spelling_of_attention_is_read() {
    let (folder, tensors) = folder();
    let path = folder.path().join(WEIGHTS);
    let mut old = in_old_spelling(&tensors);
    assert!(old.contains_key("decoder.mid_block.attentions.0.proj_attn.bias"));
    fs::write(&path, f32_file(&old)).unwrap();
    assert_eq!(read(folder.path()).unwrap().1, tensors);
    let name = "encoder.mid_block.attentions.0.to_q.bias";
    old.insert(name.into(), tensors[name].clone());
    fs::write(&path, f32_file(&old)).unwrap();
    assert!(message(folder.path()).contains("a second time, in another spelling"));
}

#[test]
fn every_difference_is_named_at_once() {
    let (folder, mut tensors) = folder();
    tensors.remove("quant_conv.bias");
    tensors.insert("extra.weight".into(), Tensor { shape: vec![2], data: vec![0.0; 2] });
    tensors.get_mut("encoder.conv_in.weight").unwrap().shape.reverse();
    tensors.get_mut("decoder.conv_in.bias").unwrap().data[7] = f32::NAN;
    fs::write(folder.path().join(WEIGHTS), f32_file(&tensors)).unwrap();
    let Err(VaeError::Weights(mismatch)) = read(folder.path()) else { panic!("was read") };
    let rows: Vec<_> = mismatch
        .differences
        .iter()
        .map(|d| (d.kind, d.name.as_str(), d.expected.as_str(), d.got.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            (DifferenceKind::Shape, "encoder.conv_in.weight", "[32, 3, 3, 3]", "[3, 3, 3, 32]"),
            (DifferenceKind::NonFinite, "decoder.conv_in.bias", "", "NaN at element 7"),
            (DifferenceKind::Missing, "quant_conv.bias", "[8]", ""),
            (DifferenceKind::Unexpected, "extra.weight", "", "[2]"),
        ]
    );
    let text = message(folder.path());
    assert!(text.contains("safetensors does not fit the autoencoder:\n  wrong shape  encoder."));
    assert!(text.ends_with("\n  unexpected   extra.weight  got [2]"), "{text}");
}

#[test]
fn other_layouts_get_a_line_of_help() {
    let (folder, tensors) = folder();
    let path = folder.path().join(WEIGHTS);
    for (prefix, help) in [("first_stage_model.", "from_single_file"), ("vae.", "have a prefix")] {
        let renamed = tensors.iter().map(|(name, t)| (format!("{prefix}{name}"), t.clone()));
        fs::write(&path, f32_file(&renamed.collect())).unwrap();
        for config in [true, false] {
            fs::write(folder.path().join("config.json"), small().to_json()).unwrap();
            if !config {
                fs::remove_file(folder.path().join("config.json")).unwrap();
            }
            let text = message(if config { folder.path() } else { &path });
            assert!(text.lines().last().unwrap().contains(help), "{text}");
        }
    }
}

#[test]
fn what_a_folder_lacks_is_named() {
    let (folder, _) = folder();
    let path = folder.path();
    assert!(message(&path.join("none")).contains("none: cannot be read: "));
    fs::rename(path.join(WEIGHTS), path.join("diffusion_pytorch_model.bin")).unwrap();
    assert!(message(path).contains(&format!("found no {WEIGHTS}\nhelp: there is a .bin")));
    fs::remove_file(path.join("diffusion_pytorch_model.bin")).unwrap();
    assert!(message(path).contains(&format!("found no {WEIGHTS}\nhelp: name a safetensors file")));
    fs::remove_file(path.join("config.json")).unwrap();
    assert!(message(path).contains("found no config.json"));
}

/// Sizes in files are claims: nothing is made for them before the file has shown as much.
#[test]
fn hostile_files_are_refused_in_words() {
    let (folder, _) = folder();
    let path: PathBuf = folder.path().join(WEIGHTS);
    for (bytes, expected) in [
        (&b""[..], "not a safetensors file: 0 bytes in all"),
        (&[255; 8], "not a safetensors file: a header of 18446744073709551615 bytes"),
        (&[0, 0, 0, 1, 0, 0, 0, 0, b'{'], "not a safetensors file: "),
    ] {
        fs::write(&path, bytes).unwrap();
        assert!(message(&path).contains(expected), "{}", message(&path));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A changed byte is either refused in words or changes a number, and nothing panics.
    #[test]
    fn changed_weight_files_are_refused_or_read(
        place in any::<proptest::sample::Index>(), value in any::<u8>(), cut in any::<proptest::sample::Index>(),
    ) {
        let config = VaeConfig {
            block_out_channels: vec![4],
            layers_per_block: 1,
            norm_num_groups: 2,
            ..VaeConfig::stable_diffusion()
        };
        let folder = tempfile::tempdir().unwrap();
        let tensors = random(&config, 3);
        write_folder(folder.path(), &config, &tensors).unwrap();
        let path = folder.path().join(WEIGHTS);
        let whole = fs::read(&path).unwrap();
        let header_end = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let mut changed = whole.clone();
        let place = place.index(whole.len());
        changed[place] = value;
        fs::write(&path, &changed).unwrap();
        if let Ok((_, read)) = read(folder.path()) {
            prop_assert!(changed == whole || read != tensors || place < header_end);
        }
        fs::write(&path, &whole[..cut.index(whole.len())]).unwrap();
        prop_assert!(read(folder.path()).is_err());
    }

    /// The same for configurations: what is read is valid.
    #[test]
    fn changed_configurations_are_refused_or_valid(
        place in any::<proptest::sample::Index>(), value in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = VaeConfig::stable_diffusion().to_json().into_bytes();
        let place = place.index(bytes.len());
        if cut { bytes.truncate(place) } else { bytes[place] = value }
        if let Ok(config) = VaeConfig::parse_json(&bytes, "here") {
            config.validate("here").unwrap();
            prop_assert!(vae::params(&config).len() >= 40);
        }
    }
}

#[test]
fn configurations_come_back_from_their_json() {
    let (mean, std) = (vec![0.1, -0.2, 0.3, 0.0], vec![1.0, 2.0, 0.5, 1.0]);
    for config in [
        VaeConfig::stable_diffusion(),
        VaeConfig { scaling: LatentScaling::Constant { factor: 0.36, shift: 0.11 }, ..small() },
        VaeConfig { scaling: LatentScaling::PerChannel { mean, std, factor: 1.0 }, ..small() },
        VaeConfig { use_quant_conv: false, mid_block_add_attention: false, ..small() },
    ] {
        let json = config.to_json();
        assert_eq!(VaeConfig::parse_json(json.as_bytes(), "here").unwrap(), config);
    }
}

/// As the autoencoders that DiT and Stable Diffusion use have it.
#[test]
fn published_configuration_is_read() {
    let json = r#"{
        "_class_name": "AutoencoderKL", "_diffusers_version": "0.4.2", "act_fn": "silu",
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D", "DownEncoderBlock2D",
            "DownEncoderBlock2D"],
        "in_channels": 3, "latent_channels": 4, "layers_per_block": 2, "norm_num_groups": 32,
        "out_channels": 3, "sample_size": 256,
        "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D", "UpDecoderBlock2D",
            "UpDecoderBlock2D"]
    }"#;
    let config = VaeConfig::parse_json(json.as_bytes(), "here").unwrap();
    assert_eq!(config, VaeConfig::stable_diffusion());
}

#[test]
fn each_value_that_is_not_computed_is_named() {
    let with = |key: &str, value: &str| {
        let json = small().to_json();
        let mut keys: serde_json::Value = serde_json::from_str(&json).unwrap();
        keys[key] = serde_json::from_str(value).unwrap();
        VaeConfig::parse_json(keys.to_string().as_bytes(), "config.json").map_err(|e| e.to_string())
    };
    for (key, value, expected) in [
        ("_class_name", r#""AutoencoderTiny""#, r#"expected "AutoencoderKL""#),
        ("act_fn", r#""mish""#, r#"act_fn is "mish", expected "silu""#),
        ("double_z", "false", "double_z is false, expected true"),
        ("in_channels", "null", "in_channels is null, expected a whole number"),
        ("in_channels", "0", "in_channels is 0, expected 1 to 65536"),
        ("out_channels", "1e30", "out_channels is 1e+30, expected a whole number"),
        ("latent_channels", "-4", "latent_channels is -4, expected a whole number"),
        ("layers_per_block", "18446744073709551615", "expected 1 to 64"),
        ("norm_num_groups", "5", "block_out_channels is [32, 64], expected 1 to 8 widths"),
        ("norm_num_groups", "0", "norm_num_groups is 0, expected 1 to 65536"),
        ("block_out_channels", "[]", "block_out_channels is [], expected"),
        ("block_out_channels", "[32, \"a\"]", "expected a list of whole numbers"),
        ("block_out_channels", "[32, 64, 64]", "down_block_types is [\"Down"),
        ("down_block_types", r#"["DownEncoderBlock2D", "X"]"#, "expected 2 times \"DownEncoder"),
        ("up_block_types", "null", "expected 2 times \"UpDecoderBlock2D\""),
        ("use_quant_conv", "1", "use_quant_conv is 1, expected true or false"),
        ("scaling_factor", "0", "scaling_factor is 0, expected a finite number above 0"),
        ("latents_mean", "[0, 0, 0, 0]", "latents_std is absent, expected a list"),
        ("latents_std", "[1, 1]", "latents_mean is absent, expected a list"),
        ("shift_factor", "\"a\"", "shift_factor is \"a\", expected a number"),
        ("temporal_compression", "4", "temporal_compression is 4, expected no such key"),
    ] {
        let message = with(key, value).unwrap_err();
        let expected = format!("config.json: {}", expected);
        let (file, rest) = expected.split_at("config.json: ".len());
        assert!(message.starts_with(file) && message.contains(rest), "{message} for {expected}");
    }
    assert!(with("sample_size", "512").is_ok() && with("_name_or_path", "\"x\"").is_ok());
    let error = VaeConfig::parse_json(b"[1]", "here").unwrap_err().to_string();
    assert_eq!(error, "here: not the configuration of an autoencoder: expected a JSON object");
}
