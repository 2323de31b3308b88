//! Several averages of the weights, their snapshots, and `dis ema`.

use super::{Case, LONG, dis, finish};
use rustix::process::Signal;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Two averages of each kind, snapshots every third step.
const FOUR: [&str; 3] =
    ["train.ema_decay=[0.995, 0.5]", "train.ema_power=[0.05, 0.10]", "train.ema_snapshot_every=3"];

/// Files of tensors below a folder of a run, by their path there.
fn tensors_below(case: &Case, folder: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for step in fs::read_dir(case.run_dir().join(folder)).unwrap() {
        for file in fs::read_dir(step.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "safetensors") {
                let name = path.strip_prefix(case.run_dir()).unwrap().to_path_buf();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

#[track_caller]
fn assert_equal_tensors(a: &Case, b: &Case, folder: &str) {
    let (a, b) = (tensors_below(a, folder), tensors_below(b, folder));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{} differs", name.display());
    }
}

/// All numbers of a file of weights.
fn values(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = tensors.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let bytes = tensors.iter().flat_map(|(_, tensor)| tensor.data().as_chunks::<4>().0);
    bytes.map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let squares = a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
    squares.sum::<f64>().sqrt()
}

fn norm(a: &[f32]) -> f64 {
    distance(a, &vec![0.0; a.len()])
}

fn ema(case: &Case, args: &[&str]) -> Command {
    let mut command = dis(["ema"]);
    command.arg(case.run_dir()).args(args);
    command
}

fn snapshot(case: &Case, step: u64, width: &str) -> PathBuf {
    case.run_dir().join(format!("ema-snapshots/step-{step:09}/ema-power-{width}.safetensors"))
}

#[test]
fn a_run_with_several_averages_in_two_parts_is_the_run_in_one() {
    let (whole, parts) = (Case::trained(&FOUR), Case::new(&FOUR));
    finish(parts.train(&["--max-steps", "5"])).succeeds();
    finish(parts.train(&["--max-steps", "9"])).succeeds();
    finish(parts.train(&[])).succeeds();
    let newest = tensors_below(&whole, "checkpoints");
    for name in ["model", "ema-0.995", "ema-0.5", "ema-power-0.05", "ema-power-0.1", "optimizer"] {
        let name = format!("checkpoints/step-000000012/{name}.safetensors");
        let other = fs::read(parts.run_dir().join(&name)).unwrap();
        assert!(newest[Path::new(&name)] == other, "{name} differs");
    }
    assert_equal_tensors(&whole, &parts, "ema-snapshots");
    // Steps 3, 6, 9 and 12, two widths of each: older checkpoints went, snapshots did not.
    assert_eq!(tensors_below(&whole, "ema-snapshots").len(), 8);
    // The plan of memory counts every average.
    let mut info = dis(["info", "--json"]);
    info.arg(whole.run_dir());
    let plan: serde_json::Value = serde_json::from_str(&finish(info).succeeds().stdout).unwrap();
    let parameters = plan["parameters"].as_u64().unwrap();
    assert_eq!(plan["bytes"]["training_state"], 4 * (4 + 4) * parameters);
    assert_eq!(plan["bytes"]["checkpoint"], 4 * (3 + 4) * parameters);
    // A snapshot is what the checkpoint of the same step has.
    let last = values(&whole.checkpoint(12).join("ema-power-0.05.safetensors"));
    assert!(values(&snapshot(&whole, 12, "0.05")) == last);
    // It is there before the checkpoint, after which no resumed run would come by its step again.
    let written = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let checkpoint = written(whole.checkpoint(12).join("model.safetensors"));
    assert!(written(snapshot(&whole, 12, "0.1")) <= checkpoint);
    // The averages are different ones, and change nothing else.
    assert!(values(&whole.checkpoint(12).join("ema-0.5.safetensors")) != last);
    let alone = Case::trained(&[]);
    whole.bits().assert_equal(&alone.bits());
}

#[test]
fn snapshots_beyond_the_checkpoint_are_written_again_with_the_same_bits() {
    let (whole, case) = (Case::trained(&FOUR), Case::trained(&FOUR));
    for step in [8, 12] {
        fs::remove_dir_all(case.checkpoint(step)).unwrap();
    }
    // One that is torn, which only a dying disk can do, is replaced like the others.
    let torn = snapshot(&case, 9, "0.1");
    fs::write(&torn, &fs::read(&torn).unwrap()[..99]).unwrap();
    let ended = finish(case.train(&[])).succeeds();
    assert!(ended.stderr.contains("resuming after step 4"), "{}", ended.stderr);
    assert_equal_tensors(&whole, &case, "ema-snapshots");
    let folders = fs::read_dir(case.run_dir().join("ema-snapshots")).unwrap();
    assert_eq!(folders.count(), 4, "leftovers");
}

#[test]
fn a_run_with_snapshots_killed_again_and_again_is_the_run_that_was_not() {
    let sets = [&LONG[..], &FOUR[..]].concat();
    let (whole, case) = (Case::trained(&sets), Case::new(&sets));
    for (step, wait) in [(5, 0), (15, 2), (30, 5), (60, 1), (100, 3)] {
        let running = case.start_until(step);
        sleep(Duration::from_millis(wait));
        assert_eq!(running.end_by(Signal::KILL), Err(9), "after step {step}");
    }
    finish(case.train(&[])).succeeds();
    assert_equal_tensors(&whole, &case, "ema-snapshots");
    assert_equal_tensors(&whole, &case, "checkpoints");
}

#[test]
fn an_interval_of_snapshots_may_change_and_an_average_may_not() {
    let case = Case::new(&FOUR);
    finish(case.train(&["--max-steps", "4"])).succeeds();
    finish(case.train(&["--set", "train.ema_snapshot_every=5"])).succeeds();
    let steps: Vec<_> = tensors_below(&case, "ema-snapshots").into_keys().collect();
    assert_eq!(steps.len(), 8, "{steps:?}");
    assert!(snapshot(&case, 5, "0.05").is_file() && snapshot(&case, 10, "0.05").is_file());
    finish(case.train(&["--set", "train.ema_power=[0.05]"]))
        .refuses(2, &["train.ema_power: [0.05, 0.1] -> 0.05"]);
}

/// Steps of the toy run, with a snapshot every tenth: 40 of them.
const TOY: [&str; 4] = [
    "train.steps=400",
    "train.checkpoint_every=400",
    "train.sample_every=0",
    "train.ema_snapshot_every=10",
];

/// A width that was not tracked, made of two that were, against the same width tracked.
#[test]
fn a_width_that_nobody_tracked_is_the_one_that_could_have_been() {
    let with = |widths: &str| Case::trained(&[&TOY[..], &[widths]].concat());
    let case = with("train.ema_power=[0.05, 0.10]");
    let tracked = with("train.ema_power=[0.07, 0.15]");
    // Found: 1.5e-7 and 5.9e-7 of the weights, which is the rounding of averages in f32, and 1.9e-4 and
    // 9.6e-5 of what they differ by from another width.
    for (std, bar) in [("0.07", 1e-6), ("0.15", 3e-6)] {
        let ended = finish(ema(&case, &["--std", std])).succeeds();
        assert!(!ended.stderr.contains("WARN"), "{}", ended.stderr);
        let file = case.run_dir().join(format!("ema-std-{std}.safetensors"));
        for word in ["wrote", "missed", "condition", &file.display().to_string()] {
            assert!(ended.stdout.contains(word), "no {word:?} in\n{}", ended.stdout);
        }
        let expected = values(&snapshot(&tracked, 400, std));
        let error = distance(&values(&file), &expected);
        // Against the whole, and against what the widths differ by.
        let apart = distance(&expected, &values(&snapshot(&case, 400, "0.05")));
        let shares = [error / norm(&expected), error / apart];
        assert!(shares[0] < bar && shares[1] < 1e-3, "width {std}: {shares:?}");
    }
    // It is a weight file like any other, and its network is found by itself.
    let mut sample = dis(["sample"]);
    sample.arg(case.run_dir().join("ema-std-0.07.safetensors")).args(["--count", "1"]);
    let ended = finish(sample).succeeds();
    assert!(ended.stderr.contains("ema-std-0.07.safetensors"), "{}", ended.stderr);
}

#[test]
fn a_tracked_width_is_its_snapshot() {
    let case = Case::trained(&FOUR);
    for (step, name) in [(12, "ema-std-0.1"), (9, "ema-std-0.1-step-000000009")] {
        let step_of = ["--step".to_string(), step.to_string()];
        let args: &[&str] = if step == 12 { &[] } else { &[&step_of[0], &step_of[1]] };
        finish(ema(&case, &[&["--std", "0.1"], args].concat())).succeeds();
        let found = values(&case.run_dir().join(format!("{name}.safetensors")));
        let expected = values(&snapshot(&case, step, "0.1"));
        let error = distance(&found, &expected) / norm(&expected);
        // One rounding to f32.
        assert!(error < 1e-7, "step {step}: {error:e}");
    }
}

#[test]
fn weights_are_chosen_by_name() {
    let case = Case::trained(&FOUR);
    let draw = |name: &str| {
        let out = case.path(name);
        let mut command = dis(["sample"]);
        command.arg(case.run_dir()).args(["--count", "1", "--weights", name, "--out"]).arg(&out);
        let ended = finish(command).succeeds();
        (fs::read(out.join("000000.png")).unwrap(), ended.stderr)
    };
    let (first, said) = draw("ema");
    assert!(said.contains("averaged weights of") && said.contains("ema-0.995"), "{said}");
    assert!(draw("ema-0.995").0 == first);
    let (power, said) = draw("ema-power-0.10");
    assert!(said.contains("ema-power-0.1.safetensors") && power != first, "{said}");
    assert!(draw("ema-0.5").0 != first && draw("model").0 != first);
    let refused = |name: &str| {
        let mut command = dis(["sample"]);
        command.arg(case.run_dir()).args(["--weights", name]);
        finish(command)
    };
    let there = "model, ema-0.995, ema-0.5, ema-power-0.05, ema-power-0.1";
    refused("ema-0.9").refuses(65, &["no ema-0.9 in it", there]);
    refused("0.9").refuses(2, &["--weights", "expected ema"]);
}

#[test]
fn widths_that_cannot_be_made() {
    let none = Case::trained(&["train.steps=3"]);
    finish(ema(&none, &["--std", "0.07"]))
        .refuses(65, &["no snapshots in it", "train.ema_power", "train.ema_snapshot_every"]);
    finish(dis(["ema", "nowhere", "--std", "0.07"])).refuses(65, &["nowhere: no such run"]);

    let case = Case::trained(&FOUR);
    let refuse = |args: &[&str], code: i32, words: &[&str]| {
        finish(ema(&case, args)).refuses(code, words);
    };
    for std in ["0", "-0.1", "0.3", "nan"] {
        let expected = "0.0001 to 0.28: it is a share of the run";
        refuse(&[&format!("--std={std}")], 2, &["--std", expected]);
    }
    refuse(&["--std", "0.07", "--step", "7"], 2, &["--step 7", "of steps 3, 6, 9, 12"]);
    refuse(&["--std", "0.07", "--step", "3"], 65, &["one snapshot up to step 3"]);
    let there = case.checkpoint(12).join("model.safetensors").display().to_string();
    refuse(&["--std", "0.07", "--out", &there], 2, &["exists", "--force"]);
    refuse(&["--std", "0.07", "--out", "x.pt"], 2, &["x.pt: FILE must end in .safetensors"]);
    // Far away: it is made, and said.
    let ended = finish(ema(&case, &["--std", "0.005"])).succeeds();
    let words = ["far from the widths that were tracked, 0.05 to 0.1", "the snapshots miss"];
    assert!(words.iter().all(|word| ended.stderr.contains(word)), "{}", ended.stderr);

    // A flipped bit; nothing is written then, and what was written before stays.
    let file = snapshot(&case, 6, "0.05");
    let whole = fs::read(&file).unwrap();
    let mut bytes = whole.clone();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    refuse(&["--std", "0.07"], 65, &["step-000000006/ema-power-0.05.safetensors: BLAKE3"]);
    assert!(!case.run_dir().join("ema-std-0.07.safetensors").exists());
    let hidden = fs::read_dir(case.run_dir()).unwrap();
    let hidden =
        hidden.filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains(".partial"));
    assert_eq!(hidden.count(), 0);
    fs::write(&file, whole).unwrap();

    // Folders of other runs.
    for (change, what) in [("model.hidden_size=20", "networks"), ("seed=1", "experiments")] {
        let other = Case::trained(&[&FOUR[..], &[change]].concat());
        let [from, to] = [&other, &case].map(|c| c.run_dir().join("ema-snapshots/step-000000003"));
        fs::remove_dir_all(&to).unwrap();
        fs::rename(from, to).unwrap();
        refuse(&["--std", "0.07"], 65, &["step-000000003", "of different", what]);
    }
}
