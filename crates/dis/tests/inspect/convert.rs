//! `dis convert`, on honest and hostile files.

use super::pickle::{self, Pickle};
use super::tensors;
use super::{COND, Run, dis, golden, model_golden};
use std::process::Command;

#[test]
fn convert_reads_both_sets_of_a_checkpoint_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = golden("mini_ckpt.pt");
    let ema = tensors::read(model_golden("mini_checkpoint.safetensors"));
    let model = tensors::read(golden("mini_checkpoint_model.safetensors"));
    for (key, file, sum) in
        [("ema", &ema, "sum 18928.518251"), ("model", &model, "sum 18930.748065")]
    {
        let converted = dir.path().join(format!("{key}.safetensors"));
        let run = dis(&[&"convert", &checkpoint, &converted, &"--key", &key]).succeeds();
        for words in ["102 tensors, 85,824 parameters", sum, "ema, opt, args}, 102 tensors f32"] {
            assert!(run.stdout.contains(words), "{}", run.stdout);
        }
        assert_eq!(tensors::read(&converted), tensors::under(file, &format!("{key}.")));

        let inputs = dir.path().join("inputs.safetensors");
        let out = dir.path().join("out.safetensors");
        tensors::write(&inputs, &tensors::under(&ema, "in."));
        dis(&[&"forward", &"--weights", &converted, &"--inputs", &inputs, &"--out", &out])
            .succeeds();
        let error = tensors::read(&out)["out"].relative_error(&file[&format!("out.{key}")]);
        assert!(error < 1e-5, "{key} is off by {error:e}");
    }
    // Without a key the average is taken, and the bytes are the same every time.
    let again = dir.path().join("again.safetensors");
    dis(&[&"convert", &checkpoint, &again]).succeeds();
    assert_eq!(
        std::fs::read(&again).unwrap(),
        std::fs::read(dir.path().join("ema.safetensors")).unwrap()
    );
    let copied = dir.path().join("copied.safetensors");
    dis(&[&"convert", &model_golden("mini_checkpoint.safetensors"), &copied]).succeeds();
    assert_eq!(std::fs::read(&copied).unwrap(), std::fs::read(&again).unwrap());
}

#[test]
fn convert_reads_a_bare_state_dict_of_a_distributed_run_in_half_precision() {
    let dir = tempfile::tempdir().unwrap();
    let weights = tensors::under(&tensors::read(model_golden(COND)), "param.");
    let mut pickle = Pickle::new().op(b"ccollections\nOrderedDict\n)R(");
    let mut storages = Vec::new();
    for (i, (name, tensor)) in weights.iter().enumerate() {
        let shape: Vec<i32> = tensor.shape.iter().map(|&n| n as i32).collect();
        let key = i.to_string();
        pickle = pickle.text(&format!("module.{name}"));
        pickle = pickle.tensor("BFloat16Storage", &key, &shape);
        // The upper half of an f32 is a bf16.
        let bytes = tensor.bytes.as_chunks::<4>().0.iter().flat_map(|c| [c[2], c[3]]).collect();
        storages.push((key, bytes));
    }
    let storages: Vec<(&str, Vec<u8>)> = storages
        .iter()
        .map(|(key, bytes): &(String, Vec<u8>)| (key.as_str(), bytes.clone()))
        .collect();
    let checkpoint = dir.path().join("bare.pt");
    // Torch hangs the versions of its modules on the dict.
    let versions = pickle.op(b"u}").text("_metadata").op(b"ccollections\nOrderedDict\n)Rsb");
    pickle::save(&checkpoint, &versions.stop(), &storages);
    let converted = dir.path().join("bare.safetensors");
    let run = dis(&[&"convert", &checkpoint, &converted]).succeeds();
    assert!(run.stdout.contains("bare state dict, 102 tensors bf16"), "{}", run.stdout);
    let found = tensors::read(&converted);
    assert_eq!(found.len(), weights.len());
    for (name, tensor) in &found {
        let rounded =
            weights[name].bytes.as_chunks::<4>().0.iter().flat_map(|c| [0, 0, c[2], c[3]]);
        assert_eq!(tensor.bytes, rounded.collect::<Vec<u8>>(), "{name}");
    }
    dis(&[&"convert", &checkpoint, &converted, &"--key", &"ema", &"--force"])
        .refuses(2, &["bare state dict", "leave --key out"]);
}

#[test]
fn convert_protects_what_exists_and_says_what_it_cannot_write() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = golden("mini_ckpt.pt");
    let out = dir.path().join("out.safetensors");
    std::fs::write(&out, "precious").unwrap();
    dis(&[&"convert", &checkpoint, &out]).refuses(2, &["exists", "--force"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    dis(&[&"convert", &golden("nothing.pt"), &out, &"--force"]).refuses(65, &["nothing.pt"]);
    assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    dis(&[&"convert", &checkpoint, &out, &"--force"]).succeeds();
    dis(&[&"convert", &out, &dir.path().join("out.pt")])
        .refuses(2, &["not written", ".safetensors"]);
    dis(&[&"convert", &checkpoint, &dir.path().join("no/where.safetensors")])
        .refuses(74, &["no/where.safetensors"]);
    dis(&[&"convert", &out, &dir.path().join("m.safetensors"), &"--key", &"model"])
        .refuses(65, &["model.norm_f.weight"]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

/// A checkpoint whose pickle is `pickle`, converted.
fn convert_pickle(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.pt");
    pickle::save(&file, pickle, storages);
    let run = dis(&[&"convert", &file, &dir.path().join("out.safetensors")]);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "files are left behind");
    run
}

#[test]
fn hostile_pickles_are_refused_within_their_limits() {
    let dict = || Pickle::new().op(b"}").text("ema").op(b"}").text("norm_f.weight");
    let close = |pickle: Pickle| pickle.op(b"ss").stop();

    // A tensor of 4 TiB in a file of a kilobyte, and one whose size overflows.
    let claims = close(dict().tensor("FloatStorage", "0", &[1 << 20, 1 << 20]));
    convert_pickle(&claims, &[("0", vec![0; 64])]).refuses(65, &["norm_f.weight", "1048576"]);
    let overflow = close(dict().tensor("FloatStorage", "0", &[i32::MAX, i32::MAX, i32::MAX]));
    convert_pickle(&overflow, &[]).refuses(65, &["norm_f.weight", "more elements"]);
    // A tensor beyond its storage, a missing storage, integers where floats should be.
    let beyond = close(dict().tensor("FloatStorage", "0", &[16]));
    convert_pickle(&beyond, &[("0", vec![0; 60])]).refuses(65, &["64 bytes", "a storage of 60"]);
    convert_pickle(&beyond, &[("1", vec![0; 64])]).refuses(65, &["archive/data/0"]);
    let integers = close(dict().tensor("LongStorage", "0", &[8]));
    convert_pickle(&integers, &[("0", vec![0; 64])]).refuses(65, &["holds i64"]);
    // A text of 4 GiB.
    let text = Pickle::new().op(b"X").op(&u32::MAX.to_le_bytes()).stop();
    convert_pickle(&text, &[]).refuses(65, &["4294967295 bytes are announced and 1 follow"]);
    // A tuple doubled forty times, which is forty pairs of numbers.
    let doubled = (0..40).fold(Pickle::new().op(b")"), |p, _| p.op(b"q\0h\0\x86"));
    convert_pickle(&doubled.stop(), &[]).refuses(65, &["a list, expected a dict of tensors"]);
    // A tuple in a tuple in a tuple…
    let nested = Pickle::new().op(b")").op(&vec![0x85; 1_000_000]).stop();
    convert_pickle(&nested, &[]).refuses(65, &["bad.pt", "a list, expected a dict of tensors"]);
    // A tensor without arguments.
    let bare = close(dict().op(b"ctorch._utils\n_rebuild_tensor_v2\n)R"));
    convert_pickle(&bare, &[]).refuses(65, &["bad.pt", "a tensor with 0 arguments"]);
    // Code to run: named, never called.
    let code = close(dict().op(b"cos\nsystem\n").text("touch /tmp/owned").op(&[0x85]).op(b"R"));
    convert_pickle(&code, &[])
        .refuses(65, &["norm_f.weight is an object, made by os.system, expected a tensor"]);
}

#[test]
fn no_small_pickle_takes_more_memory_than_a_small_process_has() {
    let dict = || Pickle::new().op(b"}").text("ema").op(b"}").text("norm_f.weight");
    let doubled = |op: &[u8]| (0..100_000).fold(dict().op(b")"), |p, _| p.op(b"q\0h\0").op(op));
    let hostile = [
        Pickle::new().op(b"X").op(&u32::MAX.to_le_bytes()),
        Pickle::new().op(b"\x96").op(&(1_u64 << 62).to_le_bytes()),
        doubled(&[0x86]).op(b"ss"),
        dict().op(&b"]".repeat(200_000)).op(&b"a".repeat(199_999)).op(b"ss"),
        dict().op(b"]q\0h\0a").op(b"ss"),
        dict().tensor("FloatStorage", "0", &[1 << 14, 1 << 16]).op(b"ss"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let (file, out) = (dir.path().join("bad.pt"), dir.path().join("out.safetensors"));
    for pickle in hostile {
        pickle::save(&file, &pickle.stop(), &[("0", vec![0; 64])]);
        // Pages that are reserved and not touched count too, so most of this is threads.
        let limited = "ulimit -v 400000; exec \"$0\" convert \"$1\" \"$2\"";
        let mut run = Command::new("sh");
        run.args(["-c", limited, env!("CARGO_BIN_EXE_dis")]);
        let run = run.args([&file, &out]).output().unwrap();
        let stderr = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(65), "{stderr}");
        assert!(stderr.contains("bad.pt"), "{stderr}");
    }
}

#[test]
fn files_that_are_no_checkpoints_say_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out.safetensors");
    let file = dir.path().join("in.pt");
    let convert = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        dis(&[&"convert", &file, &out])
    };
    let checkpoint = std::fs::read(golden("mini_ckpt.pt")).unwrap();
    convert(&checkpoint[..checkpoint.len() / 2]).refuses(65, &["not a whole zip"]);
    let mut noise = 1_u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        noise =
            noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (noise >> 56) as u8
    })
    .take(1024)
    .collect();
    convert(&random).refuses(65, &["neither"]);
    convert(b"").refuses(65, &["neither"]);
    convert(b"\x80\x02}q\x00.").refuses(65, &["before version 1.6"]);
    dis(&[&"convert", &dir.path().to_path_buf(), &out]).refuses(65, &["cannot read"]);
    // A pickle without weights, or with other names, lists what it has.
    let odd = Pickle::new().op(b"}").text("net").int(1).op(b"s").text("epoch").int(3).op(b"s");
    convert_pickle(&odd.stop(), &[]).refuses(65, &["no ema", "found", "net", "epoch", "model"]);
    convert_pickle(&Pickle::new().int(3).stop(), &[]).refuses(65, &["a number, expected a dict"]);
    let empty = Pickle::new().op(b"}").text("ema").op(b"}s").stop();
    convert_pickle(&empty, &[]).refuses(65, &["no tensors"]);
}
