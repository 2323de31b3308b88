//! Files that torch wrote, against what torch reads in them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Pickle, archive, fixture, legacy, open, refused};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use torch_file::{Dict, Dtype, TensorInfo, TorchFile, Value};

fn dict<'a>(value: Option<Value<'a>>) -> Dict<'a> {
    match value {
        Some(Value::Dict(dict)) => dict,
        other => panic!("{other:?}"),
    }
}

fn tensors(file: &TorchFile, key: &str) -> BTreeMap<String, TensorInfo> {
    let set = dict(dict(Some(file.root())).get(key));
    let tensors = file.tensors(set).unwrap();
    tensors.into_iter().map(|tensor| (tensor.name().to_string(), tensor)).collect()
}

#[test]
fn both_forms_hold_what_torch_reads_bit_for_bit() {
    let bytes = std::fs::read(fixture("mini.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    for name in ["legacy_mini.pth", "zip_mini.pth"] {
        let file = TorchFile::open(&fixture(name)).unwrap();
        let found = file.tensors(dict(Some(file.root()))).unwrap();
        assert_eq!(found.len(), expected.len());
        for tensor in found {
            let expected = expected.tensor(tensor.name()).unwrap();
            assert_eq!(tensor.shape(), expected.shape(), "{name}: {}", tensor.name());
            assert_eq!(tensor.dtype().name().to_uppercase(), expected.dtype().to_string());
            assert_eq!(file.read_bytes(&tensor).unwrap(), expected.data(), "{}", tensor.name());
        }
    }
}

#[test]
fn every_protocol_form_and_type_is_read_and_the_rest_is_inert() {
    for (form, inert) in [("zip", 17), ("legacy", 16)] {
        for protocol in 2..=5 {
            let name = format!("everything_{form}_{protocol}.pth");
            let file = TorchFile::open(&fixture(&name)).unwrap();
            let top = dict(Some(file.root()));
            assert_eq!(
                top.names().collect::<Vec<_>>(),
                ["model", "opt", "args", "types", "parameter", "views", "inert"]
            );
            let Some(Value::Items(items)) = top.get("inert") else { panic!("{top:?}") };
            assert_eq!(items.iter().len(), inert, "{name}");
            assert!(matches!(items.iter().nth(1), Some(Value::Int(n)) if n == -(1 << 40)));
            assert!(matches!(items.iter().nth(3), Some(Value::Float(0.5))));
            assert!(matches!(items.iter().nth(4), Some(Value::Text("täxt"))));
            let args = top.get("args").unwrap().describe();
            assert_eq!(args, "an object, made by argparse.Namespace");
            let model = tensors(&file, "model");
            assert_eq!(model["0.weight"].shape(), [2, 3]);
            assert_eq!(
                file.read_bytes(&model["1.num_batches_tracked"]).unwrap(),
                [1, 0, 0, 0, 0, 0, 0, 0]
            );
            let opt = dict(top.get("opt"));
            let state = dict(opt.get("state"));
            let (_, first) = state.iter().next().unwrap();
            assert_eq!(file.tensors(dict(Some(first))).unwrap().len(), 3);
            let parameter = tensors(&file, "parameter");
            assert_eq!(file.read_f32(&parameter["p"]).unwrap(), [1.5, -2.0]);
            check_types(&file);
        }
    }
}

fn check_types(file: &TorchFile) {
    let types = tensors(file, "types");
    assert_eq!(types.len(), 10);
    for tensor in types.values() {
        assert!(tensor.name().replace("float", "f").contains(&tensor.dtype().name()[1..]));
        let bytes = file.read_bytes(tensor).unwrap();
        assert_eq!((tensor.shape(), bytes.len()), (&[2, 3][..], 6 * tensor.dtype().size()));
        match tensor.dtype() {
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                assert_eq!(file.read_f32(tensor).unwrap(), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
            }
            other => {
                let first: Vec<u8> = bytes.chunks(other.size()).map(|x| x[0]).collect();
                let is_bool = other == Dtype::Bool;
                assert_eq!(first, if is_bool { [0, 1, 1, 1, 1, 1] } else { [0, 1, 2, 3, 4, 5] });
                refused(file.read_f32(tensor), &[tensor.name(), other.name(), "expected f32"]);
            }
        }
    }
}

/// Offset, shape and strides of a tensor, and the elements it has.
type View = (i32, &'static [i32], &'static [i32], &'static [f32]);

#[test]
fn views_are_read_with_their_strides_and_offsets() {
    for form in ["zip", "legacy"] {
        let file = TorchFile::open(&fixture(&format!("everything_{form}_2.pth"))).unwrap();
        let views = dict(dict(Some(file.root())).get("views"));
        // One element that claims to be four.
        refused(file.tensors(views), &["expanded", "[4]", "strides [0]", "inside of its storage"]);
    }
    let storage: Vec<u8> = (0..12).flat_map(|i| (i as f32).to_le_bytes()).collect();
    let cases: [View; 7] = [
        (1, &[2, 3], &[6, 2], &[1.0, 3.0, 5.0, 7.0, 9.0, 11.0]),
        (0, &[3, 2], &[1, 3], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        (4, &[2, 2, 2], &[4, 0, 1], &[4.0, 5.0, 4.0, 5.0, 8.0, 9.0, 8.0, 9.0]),
        (11, &[], &[], &[11.0]),
        (11, &[1, 1], &[i32::MAX, 77], &[11.0]),
        (12, &[0, 5], &[1, 1], &[]),
        (2, &[2, 1, 3], &[3, 99, 1], &[2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
    ];
    for (offset, shape, strides, expected) in cases {
        let pickle = Pickle::new().op(b"}").text("x").tensor(12, offset, shape, strides);
        let pickle = pickle.op(b"s").stop();
        for bytes in [archive(&pickle, &[("0", &storage)]), legacy(&pickle, &[("0", &storage)])] {
            let file = open(&bytes).unwrap();
            let [tensor] = &file.tensors(dict(Some(file.root()))).unwrap()[..] else { panic!() };
            assert_eq!(file.read_f32(tensor).unwrap(), expected, "{shape:?} {strides:?}");
        }
    }
}

#[test]
fn a_dict_may_have_attributes_and_a_tensor_a_class_around_it() {
    let pickle = Pickle::new()
        .op(b"ccollections\nOrderedDict\n)R")
        .text("x")
        .op(b"ctorch._utils\n_rebuild_parameter\n(")
        .tensor(1, 0, &[1], &[1])
        .op(b"\x88NtRs")
        .text("y")
        .op(b"ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncmy\nKind\n(")
        .storage("FloatStorage", "0", 1)
        .int(0)
        .ints(&[1])
        .ints(&[1])
        .op(b"\x89Nt}tRs")
        .op(b"}")
        .text("_metadata")
        .op(b"ccollections\nOrderedDict\n)Rsb")
        .stop();
    let file = open(&archive(&pickle, &[("0", &2.5_f32.to_le_bytes())])).unwrap();
    let tensors = file.tensors(dict(Some(file.root()))).unwrap();
    assert_eq!(tensors.iter().map(TensorInfo::name).collect::<Vec<_>>(), ["x", "y"]);
    for tensor in &tensors {
        assert_eq!(file.read_f32(tensor).unwrap(), [2.5]);
    }
}
