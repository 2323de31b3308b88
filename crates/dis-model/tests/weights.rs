//! Weight files: reading, inferring, refusing, writing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dis_model::weights::{
    DifferenceKind, Mismatch, Tensor, TensorMap, cross_check, infer_config, read_safetensors,
    to_arena, write_safetensors,
};
use dis_model::{
    Activations, Conditioning, Dis, DisConfig, DisPreset, Input, ModelError, ParamLayout, Params,
    Skip,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use ssm_kernels::Cpu;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use support::{golden, golden_path};

/// Width 20, depth 4, 8x8x3, 4 classes.
fn config() -> DisConfig {
    DisConfig { hidden_size: 20, depth: 4, ..DisConfig::official(DisPreset::S, 8, 3, 2, 4) }
}

/// Tensors that fit a network of `config`.
fn tensors(config: &DisConfig) -> TensorMap {
    let tensor = |p: &dis_model::Param| Tensor {
        shape: p.shape.clone(),
        data: parity::to_f32(&parity::uniform(p.range.start as u64, p.range.len())),
    };
    ParamLayout::new(config).iter().map(|p| (p.name.clone(), tensor(p))).collect()
}

fn mismatch(config: &DisConfig, tensors: &TensorMap) -> Box<Mismatch> {
    match to_arena(&ParamLayout::new(config), tensors, "model.safetensors") {
        Err(ModelError::Weights(mismatch)) => mismatch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn official_checkpoint_gives_the_official_output() {
    let file = golden("mini_checkpoint");
    let tensors = read_safetensors(&golden_path("mini_checkpoint"), Some("ema.")).unwrap();
    assert_eq!(tensors.len(), 102);
    let sum: f64 = tensors.values().flat_map(|t| &t.data).map(|&x| f64::from(x)).sum();
    assert!((sum - 18928.518250808345).abs() < 1e-6, "{sum}");
    let config = infer_config(&tensors).unwrap();
    assert_eq!(config, support::conditional().config);
    cross_check(&config, &tensors).unwrap();
    let dis = Dis::<Cpu>::new(config).unwrap();
    let arena = to_arena(dis.layout(), &tensors, "mini").unwrap();
    let x = file.f32("in.x");
    let labels: Vec<u32> = file.get("in.y").iter().map(|&y| y as u32).collect();
    let input =
        Input::<_> { x: &x, timesteps: file.get("in.t"), labels: Some(&labels), drop_path: None };
    let mut activations = Activations::for_inference(&dis, 2).unwrap();
    dis.forward(Params::host(&arena), &input, &mut activations).unwrap();
    parity::assert_close("out.ema", activations.output(), file.get("out.ema"), 1e-5);
}

#[test]
fn arena_has_every_tensor_in_its_place() {
    let (config, tensors) = (config(), tensors(&config()));
    let layout = ParamLayout::new(&config);
    let arena = to_arena(&layout, &tensors, "here").unwrap();
    assert_eq!(arena.len(), layout.len());
    for param in layout.iter() {
        assert_eq!(arena[param.range.clone()], tensors[&param.name].data, "{}", param.name);
    }
}

/// The order of the official `state_dict`, which numbers the states of the official optimiser.
#[test]
fn arena_order_is_the_official_order() {
    let mixer = "A_log D A_b_log D_b in_proj.weight \
        conv1d.weight conv1d.bias x_proj.weight dt_proj.weight dt_proj.bias \
        conv1d_b.weight conv1d_b.bias x_proj_b.weight dt_proj_b.weight dt_proj_b.bias \
        out_proj.weight";
    let mut expected: Vec<String> = "pos_embed patch_embed.proj.weight patch_embed.proj.bias \
        time_embed.0.weight time_embed.0.bias time_embed.2.weight time_embed.2.bias \
        label_emb.embedding_table.weight"
        .split_whitespace()
        .map(String::from)
        .collect();
    for block in ["in_blocks.0", "in_blocks.1", "mid_block", "out_blocks.0", "out_blocks.1"] {
        expected.extend(mixer.split_whitespace().map(|name| format!("{block}.mixer.{name}")));
        expected.push(format!("{block}.norm.weight"));
        if block.starts_with("out") {
            expected.extend(["weight", "bias"].map(|p| format!("{block}.skip_linear.{p}")));
        }
    }
    expected.push("norm_f.weight".into());
    for layer in ["linear", "adaLN_modulation.1"] {
        expected.extend(["weight", "bias"].map(|p| format!("final_layer.{layer}.{p}")));
    }
    let names: Vec<String> =
        ParamLayout::new(&config()).iter().map(|param| param.name.clone()).collect();
    assert_eq!(names, expected);
}

#[test]
fn every_difference_is_named_at_once() {
    let mut tensors = tensors(&config());
    tensors.remove("norm_f.weight");
    tensors.insert("extra.weight".into(), Tensor { shape: vec![2], data: vec![0.0; 2] });
    let turned = tensors.get_mut("mid_block.mixer.out_proj.weight").unwrap();
    turned.shape.reverse();
    tensors.get_mut("pos_embed").unwrap().data[7] = f32::NAN;
    tensors.get_mut("time_embed.0.bias").unwrap().data[3] = f32::NEG_INFINITY;
    tensors.get_mut("time_embed.2.bias").unwrap().data.pop();
    let mismatch = mismatch(&config(), &tensors);
    let rows: Vec<_> = mismatch
        .differences
        .iter()
        .map(|d| (d.kind, d.name.as_str(), d.expected.as_str(), d.got.as_str()))
        .collect();
    let expected = [
        (DifferenceKind::NonFinite, "pos_embed", "", "NaN at element 7, 1 in all"),
        (DifferenceKind::NonFinite, "time_embed.0.bias", "", "-inf at element 3, 1 in all"),
        (DifferenceKind::Shape, "time_embed.2.bias", "[20]", "19 elements"),
        (DifferenceKind::Shape, "mid_block.mixer.out_proj.weight", "[20, 40]", "[40, 20]"),
        (DifferenceKind::Missing, "norm_f.weight", "[20]", ""),
        (DifferenceKind::Unexpected, "extra.weight", "", "[2]"),
    ];
    assert_eq!(rows, expected);
    let table = "\
model.safetensors does not fit the network:
  missing      norm_f.weight  expected [20]
  unexpected   extra.weight  got [2]
  wrong shape  time_embed.2.bias                expected [20]      got 19 elements
  wrong shape  mid_block.mixer.out_proj.weight  expected [20, 40]  got [40, 20]
  not finite   pos_embed          got NaN at element 7, 1 in all
  not finite   time_embed.0.bias  got -inf at element 3, 1 in all";
    assert_eq!(mismatch.to_string(), table);
}

#[test]
fn long_tables_are_cut_and_name_the_preset_that_would_fit() {
    let given = DisConfig::official(DisPreset::S384, 8, 3, 2, 0);
    let mismatch = mismatch(&given, &tensors(&DisConfig::official(DisPreset::S, 8, 3, 2, 0)));
    let table = mismatch.to_string();
    let wrong = mismatch.differences.len();
    assert!(wrong > 400 && table.lines().count() == 23, "{table}");
    assert!(table.contains(&format!("... and {} more", wrong - 20)), "{table}");
    let help = "help: width 368 and depth 24 are those of preset S";
    assert_eq!(table.lines().last(), Some(help));
}

#[test]
fn names_below_a_prefix_are_recognised() {
    let tensors = tensors(&config());
    let below = tensors.into_iter().map(|(name, t)| (format!("ema.{name}"), t)).collect();
    let hint = mismatch(&config(), &below).hint.unwrap();
    assert!(hint.contains("`ema.`"), "{hint}");
}

#[test]
fn a_contradicting_configuration_is_refused() {
    let right = config();
    let tensors = tensors(&right);
    cross_check(&right, &tensors).unwrap();
    // What shapes do not show is the given configuration's business.
    cross_check(&DisConfig { direction_sum: 0.5, final_eps: 1e-3, ..right.clone() }, &tensors)
        .unwrap();
    cross_check(&DisConfig { normalize_ssm_inputs: true, ..right.clone() }, &tensors).unwrap();
    for (field, wrong) in [
        ("image_size", DisConfig { image_size: 16, ..right.clone() }),
        ("num_classes", DisConfig { num_classes: 5, ..right.clone() }),
        ("hidden_size", DisConfig { hidden_size: 24, ..right.clone() }),
        ("depth", DisConfig { depth: 2, ..right.clone() }),
        ("d_state", DisConfig { d_state: 8, ..right.clone() }),
        ("learned_variance", DisConfig { learned_variance: false, ..right.clone() }),
        ("skip", DisConfig { skip: Skip::None, ..right.clone() }),
        ("conditioning", DisConfig { conditioning: Conditioning::Adaln, ..right.clone() }),
        ("final_adaln", DisConfig { final_adaln: false, ..right.clone() }),
    ] {
        let error = cross_check(&wrong, &tensors).unwrap_err();
        assert!(matches!(error, ModelError::Config { field: f, .. } if f == field), "{error}");
        assert!(error.to_string().ends_with("as the weights have it"), "{error}");
    }
}

#[test]
fn inference_of_a_configuration_names_the_tensor_it_stumbles_over() {
    let refused = |name: &str, shape: Option<&[usize]>| {
        let mut tensors = tensors(&config());
        match shape {
            Some(shape) => tensors.get_mut(name).unwrap().shape = shape.to_vec(),
            None => assert!(tensors.remove(name).is_some()),
        }
        let error = infer_config(&tensors).unwrap_err();
        let ModelError::Weights(mismatch) = &error else { panic!("{error}") };
        assert_eq!(mismatch.differences[0].name, name, "{error}");
        error.to_string()
    };
    refused("norm_f.weight", None);
    refused("norm_f.weight", Some(&[4, 5]));
    refused("pos_embed", None);
    let tokens = refused("pos_embed", Some(&[1, 17, 20]));
    assert!(tokens.contains("[1, 2 + a square number, 20]"), "{tokens}");
    refused("pos_embed", Some(&[1, 1, 20]));
    refused("label_emb.embedding_table.weight", Some(&[1, 20]));
    refused("patch_embed.proj.weight", Some(&[20, 12]));
    refused("mid_block.mixer.A_log", None);
    refused("mid_block.mixer.dt_proj.weight", Some(&[40, 3]));
    refused("final_layer.linear.weight", Some(&[25, 20]));
    refused("final_layer.linear.weight", None);
    let mut none: TensorMap = tensors(&config());
    none.retain(|name, _| !name.starts_with("in_blocks."));
    assert!(infer_config(&none).unwrap_err().to_string().contains("in_blocks.0"));
    let huge = Tensor { shape: vec![1 << 40], data: Vec::new() };
    none.insert("norm_f.weight".into(), huge.clone());
    none.insert("in_blocks.0.mixer.A_log".into(), huge);
    assert!(infer_config(&none).is_err(), "sizes no network has");
    assert!(infer_config(&TensorMap::new()).is_err());
}

fn write(path: &Path, views: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) -> PathBuf {
    let views = views.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    path.to_path_buf()
}

fn reason(path: &Path, prefix: Option<&str>) -> String {
    match read_safetensors(path, prefix) {
        Err(ModelError::WeightFile { source_name, reason }) => {
            assert_eq!(source_name, path.display().to_string());
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn prefixes_select_and_are_taken_off() {
    let folder = tempfile::tempdir().unwrap();
    let one = |x: f32| x.to_le_bytes().to_vec();
    let path = write(
        &folder.path().join("two.safetensors"),
        &[
            ("ema.a", Dtype::F32, vec![1], one(1.0)),
            ("model.a", Dtype::F32, vec![1, 1], one(2.0)),
            ("step", Dtype::I64, vec![1], vec![0; 8]),
        ],
    );
    let read = |prefix| read_safetensors(&path, Some(prefix)).unwrap();
    assert_eq!(read("ema.")["a"], Tensor { shape: vec![1], data: vec![1.0] });
    assert_eq!(read("model.")["a"], Tensor { shape: vec![1, 1], data: vec![2.0] });
    let all = reason(&path, None);
    assert!(all.contains("step is I64"), "without a prefix every tensor counts: {all}");
    let none = reason(&path, Some("weights."));
    assert!(none.contains("ema, model, step") && none.contains("weights.pos_embed"), "{none}");
}

#[test]
fn other_floating_point_types_are_converted() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(
        &folder.path().join("types.safetensors"),
        &[
            ("f16", Dtype::F16, vec![2], vec![0x00, 0x3C, 0x00, 0xC5]),
            ("bf16", Dtype::BF16, vec![1], vec![0x20, 0xC0]),
            ("f64", Dtype::F64, vec![1], 0.1f64.to_le_bytes().to_vec()),
        ],
    );
    let tensors = read_safetensors(&path, None).unwrap();
    assert_eq!(tensors["f16"].data, [1.0, -5.0]);
    assert_eq!(tensors["bf16"].data, [-2.5]);
    assert_eq!(tensors["f64"].data, [0.1]);
}

#[test]
fn files_that_are_no_weights_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let empty = write(&folder.path().join("empty.safetensors"), &[]);
    let said = reason(&empty, None);
    assert!(said.contains("no tensors") && said.contains("`ema.` and `model.`"), "{said}");
    assert!(reason(&folder.path().join("absent"), None).contains("cannot be read"));
    assert!(reason(folder.path(), None).contains("cannot be read"));
    assert!(reason(&file("short", b"abc"), None).contains("3 bytes"));
    assert!(
        reason(&file("torch.pt", b"PK\x03\x04rest of an archive"), None).contains("dis convert")
    );
    let long = [(17u64 << 20).to_le_bytes().as_slice(), b"{}"].concat();
    assert!(reason(&file("long", &long), None).contains("at most"));
    let cut = std::fs::read(golden_path("mini_checkpoint")).unwrap();
    assert!(reason(&file("cut", &cut[..cut.len() - 1]), None).contains("not a safetensors file"));
    assert!(reason(&file("text", b"{\"a\": 1}        "), None).contains("not a safetensors"));
}

#[test]
fn written_files_come_back_and_have_equal_bytes() {
    let config = config();
    let layout = ParamLayout::new(&config);
    let arena = to_arena(&layout, &tensors(&config), "here").unwrap();
    let metadata: BTreeMap<String, String> =
        [("step", "7"), ("made by", "\"dis\"\n"), ("a", "b"), ("z", "é")]
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .into();
    let bytes = |metadata: &BTreeMap<String, String>| {
        let mut bytes = Vec::new();
        write_safetensors(&mut bytes, &layout, &arena, metadata).unwrap();
        bytes
    };
    let first = bytes(&metadata);
    assert_eq!(first, bytes(&metadata));
    assert_ne!(first, bytes(&BTreeMap::new()));

    let (header_len, header) = SafeTensors::read_metadata(&first).unwrap();
    assert!(header_len.is_multiple_of(8));
    let read: BTreeMap<_, _> = header.metadata().clone().unwrap().into_iter().collect();
    assert_eq!(read, metadata);
    let names: Vec<String> = layout.iter().map(|p| p.name.clone()).collect();
    assert_eq!(header.offset_keys(), names, "official order");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    std::fs::write(&path, bytes(&BTreeMap::new())).unwrap();
    let tensors = read_safetensors(&path, None).unwrap();
    assert_eq!(infer_config(&tensors).unwrap(), config);
    assert_eq!(to_arena(&layout, &tensors, "there").unwrap(), arena);
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let layout = ParamLayout::new(&config());
    let arena = vec![0.0; layout.len()];
    let error = write_safetensors(&mut Full, &layout, &arena, &BTreeMap::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}
