//! Training and sampling through the real binary, on an experiment of seconds.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use rustix::process::Signal;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::Duration;
use support::{Bits, Case, LONG, dis, finish};

/// What an uninterrupted run of [`LONG`] leaves behind.
fn uninterrupted() -> &'static Bits {
    static BITS: OnceLock<Bits> = OnceLock::new();
    BITS.get_or_init(|| Case::trained(&LONG).bits())
}

#[test]
fn a_whole_run_leaves_everything_and_running_it_again_changes_nothing() {
    let case = Case::new(&[]);
    let ended = finish(case.train(&[])).succeeds();
    assert_eq!(ended.stdout, "");
    assert!(ended.stderr.contains("step 12: loss"), "{}", ended.stderr);
    let run = case.run_dir();
    for file in ["config.toml", "environment.json", "metrics.jsonl", "run.lock"] {
        assert!(fs::metadata(run.join(file)).unwrap().len() > 0, "{file}");
    }
    let mut grids: Vec<_> = fs::read_dir(run.join("samples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    grids.sort();
    assert_eq!(grids, ["step-000000006.png", "step-000000012.png"]);
    for grid in grids {
        let (width, height) = image::image_dimensions(run.join("samples").join(grid)).unwrap();
        assert!(width >= 16 && height >= 16, "four images of 8x8 in {width}x{height}");
    }
    assert_eq!(case.checkpoints(), [4, 8, 12]);
    assert_eq!(metrics(&run).len(), 4);

    let before = case.bits();
    let again = finish(case.train(&[])).succeeds();
    assert!(again.stderr.contains("all 12 steps are made"), "{}", again.stderr);
    case.bits().assert_equal(&before);
    assert_eq!(case.checkpoints(), [4, 8, 12]);
}

fn metrics(run: &Path) -> Vec<String> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines().map(String::from).collect()
}

#[test]
fn a_run_in_two_parts_is_the_run_in_one() {
    in_two_parts(&[]);
}

#[test]
fn so_it_is_with_every_kind_of_random_number() {
    in_two_parts(&[
        "diffusion.objective=eps_hybrid",
        "model.drop_path=0.3",
        "model.label_dropout=0.3",
        "train.micro_batch=2",
        "train.weight_decay=0.01",
        "data.flip=true",
        "data.workers=2",
    ]);
}

fn in_two_parts(changes: &[&str]) {
    let (whole, parts) = (Case::trained(changes), Case::new(changes));
    finish(parts.train(&["--max-steps", "5"])).succeeds();
    assert_eq!((parts.checkpoints(), metrics(&parts.run_dir()).len()), (vec![4, 5], 1));
    let second = finish(parts.train(&[])).succeeds();
    assert!(second.stderr.contains("resuming after step 5"), "{}", second.stderr);
    parts.bits().assert_equal(&whole.bits());
    // A preview is drawn from the weights alone.
    for name in ["step-000000006.png", "step-000000012.png"] {
        let [a, b] =
            [&whole, &parts].map(|c| fs::read(c.run_dir().join("samples").join(name)).unwrap());
        assert!(a == b, "{name} differs");
    }
    // Which start wrote a line is in the line.
    let attempts: Vec<bool> =
        metrics(&parts.run_dir()).iter().map(|l| l.contains("\"attempt\":2")).collect();
    assert_eq!(attempts, [false, true, true, true]);
}

#[test]
fn a_longer_run_goes_on_from_a_shorter_one() {
    // A constant rate does not depend on the number of steps.
    let constant = "train.lr_schedule=constant";
    let (whole, grown) = (Case::trained(&[constant]), Case::trained(&[constant, "train.steps=6"]));
    let longer = grown.train(&["--set", "train.steps=12"]);
    let ended = finish(longer).succeeds();
    assert!(ended.stderr.contains("changed since the last start: train.steps: 6 -> 12"));
    grown.bits().assert_equal(&whole.bits());
}

#[test]
fn a_run_killed_again_and_again_is_the_run_that_was_not() {
    let case = Case::new(&LONG);
    // While it starts, or in its first steps.
    for wait in [1, 4, 9, 15] {
        let running = case.start();
        sleep(Duration::from_millis(wait));
        assert_eq!(running.end_by(Signal::KILL), Err(9), "after {wait} ms");
    }
    // Right after a checkpoint, and anywhere.
    for (step, wait) in [(5, 0), (10, 0), (30, 7), (40, 3)] {
        let running = case.start_until(step);
        sleep(Duration::from_millis(wait));
        assert_eq!(running.end_by(Signal::KILL), Err(9), "after step {step}");
    }
    assert!(*case.checkpoints().last().unwrap() < 300);
    finish(case.train(&[])).succeeds();
    case.bits().assert_equal(uninterrupted());
    let leftovers: Vec<_> = fs::read_dir(case.run_dir().join("checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with("step-"))
        .collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[test]
fn signals_save_and_the_same_command_goes_on() {
    let case = Case::new(&LONG);
    for (signal, step) in [(Signal::TERM, 5), (Signal::INT, 20), (Signal::USR1, 40)] {
        let running = case.start_until(step);
        assert_eq!(running.end_by(signal), Ok(75), "{signal:?}");
        let newest = *case.checkpoints().last().unwrap();
        assert!((step..300).contains(&newest), "saved at {newest}");
    }
    let ended = finish(case.train(&[])).succeeds();
    assert!(ended.stderr.contains("resuming after step"), "{}", ended.stderr);
    case.bits().assert_equal(uninterrupted());
}

#[test]
fn a_damaged_checkpoint_is_told_and_not_used() {
    let (whole, case) = (Case::trained(&[]), Case::new(&[]));
    finish(case.train(&["--max-steps", "8"])).succeeds();
    let file = case.checkpoint(8).join("model.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();

    let ended = finish(case.train(&[])).succeeds();
    let words = [
        "a damaged checkpoint is not used",
        "step-000000008/model.safetensors",
        "put aside as",
        "resuming after step 4",
    ];
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?} in\n{}", ended.stderr);
    }
    case.bits().assert_equal(&whole.bits());
    assert!(case.run_dir().join("checkpoints/rejected-1-step-000000008").is_dir());
}

#[test]
fn where_every_checkpoint_is_damaged_nothing_is_overwritten() {
    let case = Case::new(&[]);
    finish(case.train(&["--max-steps", "3"])).succeeds();
    let file = case.checkpoint(3).join("optimizer.safetensors");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let ended = finish(case.train(&[]));
    assert_eq!(ended.code, Some(65), "{}", ended.stderr);
    assert!(ended.stderr.contains("optimizer.safetensors"), "{}", ended.stderr);
    assert_eq!(case.checkpoints(), [3]);
}

#[test]
fn one_process_at_a_time_has_a_run() {
    let case = Case::new(&LONG);
    let first = case.start_until(5);
    // It holds the lock for as long as the test needs.
    first.signal(Signal::STOP);
    let second = finish(case.train(&[]));
    second.refuses(73, &["in use", &format!("pid {}", first.pid())]);
    first.signal(Signal::CONT);
    assert_eq!(first.end_by(Signal::TERM), Ok(75));
}

#[test]
fn fast_makes_five_steps_somewhere_else() {
    let case = Case::new(&[]);
    let folder = case.path("elsewhere");
    fs::create_dir(&folder).unwrap();
    let mut command = dis(["train", "--fast", "--set", "model.hidden_size=16"]);
    command.args(["--set", "model.depth=2"]).current_dir(&folder);
    let ended = finish(command).succeeds();
    assert!(ended.stderr.contains("step 5: loss"), "{}", ended.stderr);
    let runs: Vec<_> = fs::read_dir(folder.join("runs")).unwrap().collect();
    let name = runs[0].as_ref().unwrap().file_name().into_string().unwrap();
    assert!(runs.len() == 1 && name.starts_with("quickstart-fast-"), "{name}");
}

/// Recorded help: its file, how it is asked for, and words that have to be in it.
const HELP: [(&str, &[&str], &[&str]); 12] = [
    ("dis", &["--help"], &["train", "sample", "Exit codes", "75  checkpoint saved"]),
    (
        "train",
        &["train", "--help"],
        &["--set", "--run-dir", "--max-steps", "quickstart", "same command resumes", "75"],
    ),
    (
        "sample",
        &["sample", "--help"],
        &["--count", ".npz", "arr_0", "--classes", "--guidance", "not on the batch size"],
    ),
    (
        "ema",
        &["ema", "--help"],
        &["--std", "--step", "--out", "train.ema_power", "dis sample", "condition", "missed"],
    ),
    (
        "data-download",
        &["data", "download", "--help"],
        &["cifar10", "--out", "--url", "--sha256", "--list", "goes on where", "NO_PROXY"],
    ),
    (
        "data-check",
        &["data", "check", "--help"],
        &["webdataset", "--part", "--size", "--skip-broken", "--broken", "--grid", "a row a class"],
    ),
    (
        "encode",
        &["encode", "--help"],
        &["--skip-broken", "--shard-size", "--check", "[encode]", "data.path", "same bytes"],
    ),
    (
        "eval",
        &["eval", "--help"],
        &[
            "--reference",
            "random-inception",
            "pytorch-fid",
            "class-pr",
            "--force",
            "docs/evaluation.md",
        ],
    ),
    ("eval-stats", &["eval", "stats", "--help"], &["mu, sigma", "fingerprint", "--out"]),
    (
        "convert",
        &["convert", "--help"],
        &["<IN>", "--key", "Inception", "No code of a pickle is run"],
    ),
    ("data-verify", &["data", "verify", "--help"], &["<CACHE>", "hash", "after a copy"]),
    (
        "bench",
        &["bench", "--help"],
        &["S/2 --train", "--rounds", "--threads", "--json", "ceilings", "page faults"],
    ),
];

#[test]
fn help_is_as_recorded() {
    for (name, args, words) in HELP {
        let help = finish(dis(args)).succeeds().stdout;
        for word in words {
            assert!(help.contains(word), "no {word:?} in\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "wider than 100\n{help}");
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/help/{name}.txt"));
        if std::env::var_os("UPDATE_HELP").is_some() {
            fs::write(&file, &help).unwrap();
        }
        let recorded = fs::read_to_string(&file).unwrap();
        assert_eq!(help, recorded, "{name}: if it is meant, run again with UPDATE_HELP=1");
    }
}
