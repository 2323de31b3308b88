//! Runs that score what they draw, and `dis sample` that does.

use super::{Case, LONG, TINY, dis, finish};
use rustix::process::Signal;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use trainer::{Experiment, deterministic_part};

/// Twenty images against the 64 that the run is trained on, after steps 5, 10 and 12.
const EVAL: [&str; 5] = [
    "eval.every=5",
    "eval.count=20",
    "eval.features=pixels",
    "eval.protocol=adm",
    "eval.metrics=[\"fid\", \"pr\"]",
];

/// A case of [`EVAL`] with changes.
fn evaluated(changes: &[&str]) -> Case {
    let mut case = Case::new(&[&EVAL[..], changes].concat());
    let file = reference(&case);
    case.sets.push(format!("eval.reference={file}"));
    case
}

/// An experiment file whose images are those of the run.
fn reference(case: &Case) -> String {
    let experiment =
        Experiment::load(case.path("quickstart.toml"), &TINY.map(String::from)).unwrap();
    let file = case.path("reference.toml");
    fs::write(&file, experiment.to_toml()).unwrap();
    file.display().to_string()
}

/// What the experiment decides of the lines of the file.
fn lines(case: &Case) -> Vec<String> {
    let text = fs::read_to_string(case.run_dir().join("evaluations.jsonl")).unwrap_or_default();
    text.lines().map(|line| deterministic_part(line).to_owned()).collect()
}

/// `dis` with the arguments and `--features-from pixels`.
fn pixels(command: &str, args: &[&str]) -> Command {
    dis([&[command], args, &["--features-from", "pixels"]].concat())
}

fn read_json(file: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn a_run_is_scored_as_it_goes_on_with_the_scores_of_its_images() {
    let case = evaluated(&[]);
    let ended = finish(case.train(&[])).succeeds();
    let steps: Vec<u64> = trainer::read_evaluations(&case.run_dir().join("evaluations.jsonl"))
        .unwrap()
        .iter()
        .map(|line| line.step)
        .collect();
    assert_eq!(steps, [5, 10, 12]);
    for word in ["step 5: fd ", " (best), precision ", "step 12: fd "] {
        assert!(ended.stderr.contains(word), "no {word:?} in\n{}", ended.stderr);
    }
    // The same every time, so it is said once.
    assert_eq!(ended.stderr.matches("samples: 20 images").count(), 1, "{}", ended.stderr);
    let events: Vec<Vec<u8>> = fs::read_dir(case.run_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("tfevents"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    for tag in ["eval/fd", "eval/precision", "eval/recall"] {
        let has_tag = |events: &Vec<u8>| events.windows(tag.len()).any(|w| w == tag.as_bytes());
        assert!(events.iter().any(has_tag), "no {tag}");
    }

    // What is drawn from the last checkpoint afterwards has the scores of the last evaluation.
    let (run, report) = (case.run_dir(), case.path("report.json"));
    let reference = case.path("reference.toml");
    let [run, report_file, reference] =
        [&run, &report, &reference].map(|path| path.to_str().unwrap());
    let args = [run, "--count", "20", "--eval-reference", reference, "--report", report_file];
    let metrics = ["--metrics", "fid,pr"];
    finish(pixels("sample", &[&args[..], &metrics].concat())).succeeds();
    let report = read_json(&report);
    let last = lines(&case)[2].clone();
    for name in ["fd", "precision", "recall"] {
        let field = format!("\"{name}\":{}", report["metrics"][name]["value"]);
        assert!(last.contains(&field), "{field} in {last}");
    }
}

#[test]
fn an_interrupted_run_has_the_scores_of_one_that_was_not() {
    let whole = evaluated(&[]);
    finish(whole.train(&[])).succeeds();
    let parts = evaluated(&[]);
    finish(parts.train(&["--max-steps", "7"])).succeeds();
    finish(parts.train(&[])).succeeds();
    assert_eq!((lines(&parts), lines(&parts).len()), (lines(&whole), 3));

    let long = [&LONG[..], &["train.steps=60", "eval.every=10"]].concat();
    let whole = evaluated(&long);
    finish(whole.train(&[])).succeeds();
    let killed = evaluated(&long);
    for step in [10, 30] {
        assert_eq!(killed.start_until(step).end_by(Signal::KILL), Err(9), "after step {step}");
    }
    finish(killed.train(&[])).succeeds();
    assert_eq!((lines(&killed), lines(&killed).len()), (lines(&whole), 6));
    killed.bits().assert_equal(&whole.bits());
}

#[test]
fn an_evaluation_is_given_up_for_a_signal_and_made_up_for() {
    let case = evaluated(&["train.checkpoint_every=5"]);
    let mut running = case.start_with(&["--set", "eval.count=100000000"]);
    running.wait_for(&case, 5);
    assert_eq!(running.end_by(Signal::TERM), Ok(75));
    assert_eq!((case.checkpoints(), lines(&case).len()), (vec![5], 0));
    let ended = finish(case.train(&[])).succeeds();
    assert!(ended.stderr.contains("step 5: fd "), "{}", ended.stderr);
    let whole = evaluated(&[]);
    finish(whole.train(&[])).succeeds();
    assert_eq!(lines(&case), lines(&whole));
}

#[test]
fn what_cannot_be_used_is_found_before_the_first_step() {
    let case = evaluated(&[]);
    for (set, code, words) in [
        ("eval.reference=nowhere.npz", 65, &["nowhere.npz", "--set eval.every=0"][..]),
        ("eval.features=nowhere.safetensors", 65, &["nowhere.safetensors"]),
        ("eval.protocol=amd", 2, &["eval.protocol", "\"amd\"", "pytorch-fid"]),
        ("eval.metrics=[\"fid\", \"FID\"]", 2, &["eval.metrics", "\"FID\"", "sfid"]),
        ("eval.metrics=[\"is\"]", 2, &["is needs logits"]),
    ] {
        finish(case.train(&["--set", set])).refuses(code, words);
        assert!(!case.run_dir().exists(), "{set} left a run directory");
    }
    // Nothing of it is looked at where it is switched off.
    let off = ["--set", "eval.every=0", "--set", "eval.reference=nowhere.npz"];
    finish(case.train(&off)).succeeds();
    assert!(!case.run_dir().join("evaluations.jsonl").exists());
}

#[test]
fn scores_of_drawn_images_are_those_of_the_archive() {
    let case = Case::trained(&["train.steps=6"]);
    let (run, reference) = (case.run_dir(), reference(&case));
    let archive = case.path("drawn.npz");
    let [run, archive_file] = [&run, &archive].map(|path| path.to_str().unwrap().to_owned());
    let metrics = ["--metrics", "fid,pr,kid", "--bootstrap", "20"];
    let sample = |name: &str, more: &[&str]| {
        let file = case.path(name);
        let file_name = file.display().to_string();
        let args = [&run, "--count", "30", "--seed", "5", "--eval-reference", &reference];
        let args = [&args[..], &["--report", &file_name], &metrics, more].concat();
        let ended = finish(pixels("sample", &args)).succeeds();
        (read_json(&file), ended.stdout)
    };
    let (drawn, stdout) = sample("both.json", &["--out", &archive_file, "--batch", "7"]);
    assert!(stdout.contains("drawn.npz") && stdout.contains("precision"), "{stdout}");
    assert_eq!(drawn["samples"]["origin"]["sampler"]["seed"], "5");
    assert_eq!(drawn["samples"]["count"], 30);

    let report = case.path("eval.json");
    let report_file = report.display().to_string();
    let args = ["--samples", &archive_file, "--reference", &reference, "--out", &report_file];
    finish(pixels("eval", &[&args[..], &metrics].concat())).succeeds();
    assert_eq!(read_json(&report)["metrics"], drawn["metrics"]);

    // Without a place for images there are none, and the scores are the same.
    fs::remove_file(&archive).unwrap();
    let before = fs::read_dir(case.run_dir().join("samples")).unwrap().count();
    let (alone, stdout) = sample("alone.json", &["--batch", "30"]);
    assert_eq!(alone["metrics"], drawn["metrics"]);
    assert!(!stdout.contains(".png"), "{stdout}");
    assert_eq!(fs::read_dir(case.run_dir().join("samples")).unwrap().count(), before);
}

#[test]
fn flags_of_scores_need_a_reference() {
    let case = Case::trained(&["train.steps=3"]);
    let run = case.run_dir().display().to_string();
    for flags in [
        &["--metrics", "fid"][..],
        &["--features-from", "pixels"],
        &["--protocol", "adm"],
        &["--drop-alpha"],
        &["--report", "a.json"],
    ] {
        let ended = finish(dis([&["sample", &run], flags].concat()));
        ended.refuses(2, &["--eval-reference"]);
    }
    let reference = reference(&case);
    let scored = ["sample", &run, "--eval-reference", &reference, "--features-from", "pixels"];
    let with = |flags: &[&str]| finish(dis([&scored[..], flags].concat()));
    with(&["--trajectory"]).refuses(2, &["--trajectory", "--out"]);
    with(&["--count", "1"]).refuses(2, &["--count is 1"]);
    with(&["--report", "no/such/folder/a.json"]).refuses(74, &["no/such/folder"]);
    with(&["--metrics", "class-pr"]).refuses(2, &["a class of each image"]);
}
