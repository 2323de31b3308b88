//! The commands that look at networks and run them once, through the real binary.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod inspect;

use inspect::tensors::{self, Tensor, Tensors};
use inspect::{COND, Run, dis, model_golden};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const UNCOND: &str = "uncond_d46_depth4_p4_16x16x3.safetensors";

/// A folder with `weights.safetensors` and `inputs.safetensors` cut from a golden.
struct Case {
    dir: TempDir,
    golden: Tensors,
    inputs: Tensors,
    weights: Tensors,
}

impl Case {
    fn new(name: &str) -> Self {
        let golden = tensors::read(model_golden(name));
        let mut inputs = tensors::under(&golden, "in.");
        // The goldens' loss is the mean of `out[i] sin(i)`.
        let out = &golden["out.y"];
        let len = out.values().len();
        let probe: Vec<f64> = (0..len).map(|i| (i as f64).sin() / len as f64).collect();
        inputs.insert("grad_out".into(), Tensor::f64(&out.shape, &probe));
        let weights = tensors::under(&golden, "param.");
        let case = Self { dir: tempfile::tempdir().unwrap(), golden, inputs, weights };
        case.save();
        case
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn save(&self) {
        tensors::write(self.path("weights.safetensors"), &self.weights);
        tensors::write(self.path("inputs.safetensors"), &self.inputs);
    }

    fn forward(&self, more: &[&str]) -> Run {
        let [weights, inputs, out] =
            ["weights", "inputs", "out"].map(|name| self.path(&format!("{name}.safetensors")));
        let mut args: Vec<&dyn inspect::AsArg> =
            vec![&"forward", &"--weights", &weights, &"--inputs", &inputs, &"--out", &out];
        args.extend(more.iter().map(|arg| arg as &dyn inspect::AsArg));
        dis(&args)
    }

    fn out(&self) -> Tensors {
        tensors::read(self.path("out.safetensors"))
    }

    /// Runs with changed weights.
    fn with_weights(&self, change: impl FnOnce(&mut Tensors)) -> Run {
        let mut weights = self.weights.clone();
        change(&mut weights);
        tensors::write(self.path("weights.safetensors"), &weights);
        self.forward(&[])
    }

    /// Runs with changed inputs.
    fn with_inputs(&self, change: impl FnOnce(&mut Tensors)) -> Run {
        let mut inputs = self.inputs.clone();
        change(&mut inputs);
        tensors::write(self.path("inputs.safetensors"), &inputs);
        self.forward(&[])
    }
}

#[test]
fn forward_reproduces_outputs_and_gradients_of_the_official_code() {
    for (name, gradients) in [(COND, 102), (UNCOND, 46)] {
        let case = Case::new(name);
        for (backend, out_bar, grad_bar) in [("cpu", 1e-5, 5e-5), ("reference", 1e-12, 1e-12)] {
            case.forward(&["--backend", backend]).succeeds();
            let out = case.out();
            assert_eq!(out.len(), 2 + case.weights.len());
            let error = out["out"].relative_error(&case.golden["out.y"]);
            assert!(error < out_bar, "{name}, {backend}: out is off by {error:e}");
            let expected = tensors::under(&case.golden, "grad.");
            assert_eq!(expected.len(), gradients);
            for (param, expected) in &expected {
                let error = out[&format!("grad.{param}")].relative_error(expected);
                assert!(error < grad_bar, "{name}, {backend}: grad.{param} is off by {error:e}");
            }
        }
    }
}

#[test]
fn bf16_is_close_and_for_value_passes_only() {
    let case = Case::new(COND);
    case.forward(&["--precision", "bf16"]).refuses(2, &["--precision bf16", "gradient pass"]);
    case.with_inputs(|inputs| {
        inputs.remove("grad_out");
    })
    .succeeds();
    let f32 = case.out();
    let on_reference = ["--precision", "bf16", "--backend", "reference"];
    case.forward(&on_reference).refuses(2, &["--precision bf16", "reference"]);
    case.forward(&["--precision", "bf16"]).succeeds();
    let error = case.out()["out"].relative_error(&f32["out"]);
    assert!(error < 2e-2, "out is off by {error:e}");
}

#[test]
fn forward_gives_the_gradient_of_the_image_and_leaves_gradients_out_unless_asked() {
    let case = Case::new(COND);
    case.forward(&["--backend", "reference"]).succeeds();
    let reference = case.out();
    case.forward(&[]).succeeds();
    let cpu = case.out();
    assert!(cpu["grad.x"].relative_error(&reference["grad.x"]) < 5e-5);
    case.with_inputs(|inputs| {
        inputs.remove("grad_out");
    })
    .succeeds();
    let plain = case.out();
    assert_eq!(plain.keys().collect::<Vec<_>>(), ["out"]);
    assert_eq!(plain["out"], cpu["out"]);
}

#[test]
fn forward_takes_times_and_labels_of_any_number_type_and_prefixed_names() {
    let case = Case::new(COND);
    case.forward(&[]).succeeds();
    let expected = case.out();
    let both = model_golden(COND);
    let args: [&dyn inspect::AsArg; 9] = [
        &"forward",
        &"--weights",
        &both,
        &"--prefix",
        &"param.",
        &"--inputs",
        &case.path("inputs.safetensors"),
        &"--out",
        &case.path("prefixed.safetensors"),
    ];
    dis(&args).succeeds();
    assert_eq!(tensors::read(case.path("prefixed.safetensors")), expected);
    case.with_inputs(|inputs| {
        inputs.insert("t".into(), Tensor::f32(&[2], &[900.0, 551.0]));
    })
    .succeeds();
    assert_eq!(case.out(), expected);
}

#[test]
fn weights_that_are_not_a_network_are_refused_by_name() {
    let case = Case::new(COND);
    let path = case.path("weights.safetensors");
    let whole = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    case.forward(&[]).refuses(65, &["weights.safetensors"]);
    for length in [0, 5, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        case.forward(&[]).refuses(65, &["weights.safetensors"]);
    }
    let d_b = "mid_block.mixer.D_b";
    case.with_weights(|w| drop(w.remove(d_b))).refuses(65, &[d_b]);
    case.with_weights(|w| drop(w.insert("module.extra".into(), Tensor::f32(&[1], &[0.0]))))
        .refuses(65, &["module.extra"]);
    case.with_weights(|w| drop(w.insert(d_b.into(), Tensor::f32(&[32], &[1.0; 32]))))
        .refuses(65, &[d_b, "[64]", "[32]"]);
    let mut poisoned = [1.0; 64];
    poisoned[7] = f32::NAN;
    case.with_weights(|w| drop(w.insert(d_b.into(), Tensor::f32(&[64], &poisoned))))
        .refuses(65, &[d_b]);
    case.with_weights(Tensors::clear).refuses(65, &["norm_f.weight", "no tensors"]);
    case.with_weights(|w| {
        *w = std::mem::take(w).into_iter().map(|(n, t)| (format!("net.{n}"), t)).collect();
    })
    .refuses(65, &["--prefix net."]);
    assert!(!case.path("out.safetensors").exists());
}

#[test]
fn inputs_that_do_not_fit_are_refused_by_name() {
    let case = Case::new(COND);
    let (x, y) = (case.inputs["x"].clone(), |labels: &[i64]| Tensor::i64(&[labels.len()], labels));
    case.with_inputs(|i| drop(i.remove("x"))).refuses(65, &["no tensor x", "grad_out, t, y"]);
    case.with_inputs(|i| drop(i.remove("t"))).refuses(65, &["no tensor t"]);
    case.with_inputs(|i| drop(i.remove("y"))).refuses(2, &["no tensor y", "0 to 10"]);
    case.with_inputs(|i| drop(i.insert("y".into(), y(&[3, 11])))).refuses(2, &["y holds 11", "10"]);
    case.with_inputs(|i| drop(i.insert("y".into(), y(&[-1, 3])))).refuses(2, &["y holds -1"]);
    case.with_inputs(|i| drop(i.insert("y".into(), y(&[3])))).refuses(65, &["y", "[1]", "[2]"]);
    case.with_inputs(|i| drop(i.insert("label".into(), y(&[3])))).refuses(2, &["label", "x, t, y"]);
    case.with_inputs(|i| drop(i.insert("t".into(), Tensor::f32(&[2], &[f32::NAN, 1.0]))))
        .refuses(65, &["t holds NaN at element 0"]);
    let flat = Tensor { shape: vec![2, 256], ..x.clone() };
    case.with_inputs(|i| drop(i.insert("x".into(), flat))).refuses(65, &["[2, 256]", "4, 8, 8"]);
    case.with_inputs(|i| drop(i.insert("x".into(), y(&[1])))).refuses(65, &["x has shape [1]"]);
    case.with_inputs(|i| drop(i.insert("grad_out".into(), x.clone())))
        .refuses(65, &["grad_out has shape [2, 4, 8, 8], expected [2, 8, 8, 8]"]);
    std::fs::write(case.path("inputs.safetensors"), b"nothing").unwrap();
    case.forward(&[]).refuses(65, &["inputs.safetensors"]);

    let unconditional = Case::new(UNCOND);
    unconditional
        .with_inputs(|i| drop(i.insert("y".into(), y(&[0, 0]))))
        .refuses(2, &["y", "unconditional"]);
    unconditional.forward(&["--out", "x.png"]).refuses(2, &["--out"]);
}

#[test]
fn info_prints_the_official_counts() {
    let rows = [
        (vec!["S/4"], "28,457,168 in 459 tensors", "3.742 GFLOP", "0.432 GFLOP"),
        (vec!["S-384/4"], "30,889,440 in 459 tensors", "4.05", "0.470 GFLOP"),
        (vec!["H", "--patch", "4"], "900,558,432 in 891 tensors", "116.154 GFLOP", "14.789 GFLOP"),
        (
            vec!["h/2", "--channels", "4", "--classes", "1000"],
            "906,966,560 in 894 tensors",
            "460.863 GFLOP",
            "GFLOP",
        ),
        (
            vec!["DiS-H/2", "--channels", "4", "--classes", "1000", "--image-size", "64"],
            "908,146,208 in 894 tensors",
            "1832.5",
            "GFLOP",
        ),
        (vec!["B", "--classes", "10"], "120,394,008 in 462 tensors", "GFLOP", "GFLOP"),
        (
            vec!["M/8", "--channels", "4", "--image-size", "64"],
            "229,869,824 in 891",
            "GFLOP",
            "GFLOP",
        ),
    ];
    for (args, parameters, total, paper) in rows {
        let mut all: Vec<&dyn inspect::AsArg> = vec![&"info"];
        all.extend(args.iter().map(|arg| arg as &dyn inspect::AsArg));
        let text = dis(&all).succeeds().stdout;
        let line = |start: &str| text.lines().find(|l| l.starts_with(start)).unwrap().to_string();
        assert!(line("parameters").contains(parameters), "{args:?}\n{text}");
        assert!(line("value pass").contains(total), "{args:?}\n{text}");
        assert!(line("paper's count").contains(paper), "{args:?}\n{text}");
    }
}

#[test]
fn info_lists_all_sizes_and_speaks_json() {
    let table = dis(&[&"info", &"--patch", &"4"]).succeeds().stdout;
    for parameters in
        ["28,457,168", "30,889,440", "119,139,168", "229,390,176", "404,026,464", "900,558,432"]
    {
        assert!(table.contains(parameters), "{table}");
    }
    let text = dis(&[&"info", &"--patch", &"4", &"--json"]).succeeds().stdout;
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 6);
    let h = &all[5];
    assert_eq!((&h["name"], &h["parameters"]), (&"H".into(), &900_558_432_u64.into()));
    assert_eq!((&h["tokens"], &h["tensors"]), (&65.into(), &891.into()));
    assert_eq!(h["config"]["hidden_size"], 1536);
    assert_eq!(h["bytes"]["training_state"], 20 * 900_558_432_u64);
    for (key, expected) in [
        ("matrix_products", 113.891),
        ("scans", 2.270),
        ("total", 116.154),
        ("paper_convention", 14.789),
    ] {
        let got = h["gflop"][key].as_f64().unwrap();
        assert!((got / expected - 1.0).abs() < 1e-3, "{key} is {got}, expected {expected}");
    }
}

#[test]
fn info_reads_files_of_weights_and_refuses_what_it_does_not_know() {
    let file = model_golden("mini_checkpoint.safetensors");
    let text = dis(&[&"info", &file]).succeeds().stdout;
    assert!(text.contains("width 32, depth 4 (5 blocks), patch 2, 8x8x4, 10 classes"), "{text}");
    assert!(text.contains("85,824") && text.contains("sum 18928.518251"), "{text}");
    dis(&[&"info", &file, &"--key", &"model"])
        .refuses(65, &["no tensor model.norm_f.weight", "--key ema"]);
    dis(&[&"info", &file, &"--patch", &"4"]).refuses(2, &["--patch"]);
    dis(&[&"info", &"XL/2"]).refuses(2, &["XL/2", "S-384"]);
    dis(&[&"info", &"S/two"]).refuses(2, &["\"two\""]);
    dis(&[&"info", &"S/2", &"--patch", &"4"]).refuses(2, &["--patch says 4"]);
    dis(&[&"info", &"S/5"]).refuses(2, &["patch_size is 5", "16, 32"]);
    dis(&[&"info", &"nothing.safetensors"]).refuses(65, &["nothing.safetensors"]);
    dis(&[&"info", &"nothing.toml"]).refuses(2, &["nothing.toml"]);
}

#[test]
fn doctor_describes_the_machine_and_measures_it() {
    let text = dis(&[&"doctor"]).succeeds().stdout;
    for row in ["dis ", "processor", "kernels", "threads", "memory", "disk", "products", "copying"]
    {
        assert!(text.lines().any(|line| line.starts_with(row)), "no {row} in\n{text}");
    }
    assert!(text.contains("GFLOP/s") && text.contains("GB/s"), "{text}");
    let run = Command::new(env!("CARGO_BIN_EXE_dis"))
        .arg("doctor")
        .env("DIS_CPU_ISA", "baseline")
        .output()
        .unwrap();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains("warning: the kernels use baseline instructions"), "{text}");
}

#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_disk_is() {
    let start = |stdout: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dis"));
        command.arg("info").stdout(stdout).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start(Stdio::piped());
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert_eq!((run.status.code(), run.stderr.len()), (Some(0), 0));
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = start(full.into()).wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(74));
}
