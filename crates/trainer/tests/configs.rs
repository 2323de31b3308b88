//! Every file in `configs/` is a valid experiment and describes the network that it says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use dis_model::{Conditioning, DisConfig, DisPreset, ParamLayout, Skip};
use std::fs;
use std::path::{Path, PathBuf};
use trainer::{DataKind, Experiment};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

fn load(name: &str) -> Experiment {
    Experiment::load(configs().join(name).with_extension("toml"), &[]).unwrap()
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(configs())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn all_files_load_and_are_named_like_their_experiment() {
    let expected = [
        "celeba64-dis-s2",
        "cifar10-dis-s2",
        "cifar10-dis-s2-adaln",
        "cifar10-dis-s2-add-skip",
        "cifar10-dis-s2-flow",
        "cifar10-dis-s2-no-skip",
        "cifar10-dis-s4",
        "cifar10-dis-s8",
        "imagenet256-dis-h2",
        "imagenet512-dis-h2",
        "quickstart",
        "quickstart-flow",
        "scaling-b",
        "scaling-h",
        "scaling-l",
        "scaling-m",
        "scaling-s",
    ];
    let found = names();
    assert_eq!(found, expected);
    for name in &found {
        let experiment = load(name);
        assert_eq!(experiment.name, *name);
        let again = Experiment::parse(&experiment.to_toml(), name, &[]).unwrap();
        assert_eq!(again, experiment, "{name}: resolved and read again");
        experiment.dis_config().validate().unwrap();
    }
}

#[test]
fn every_number_has_its_source_beside_it() {
    // Lines that explain themselves.
    let plain = ["name", "image_size = 32", "batch_size = 32", "warmup_steps = 50", "beta1 = 0.9"];
    for name in names() {
        let text = fs::read_to_string(configs().join(&name).with_extension("toml")).unwrap();
        assert!(text.starts_with("# "), "{name}: the first line says what it is");
        for (number, line) in (1..).zip(text.lines()) {
            let is_key = line.contains('=') && !line.starts_with('#');
            let known = line.contains('#') || plain.iter().any(|start| line.starts_with(start));
            assert!(!is_key || known, "{name}.toml:{number}: no comment: {line}");
        }
    }
}

#[test]
fn parameter_counts_are_those_in_the_comments() {
    // Built and counted with the official class.
    let counts = [
        ("cifar10-dis-s2", 28_488_008),
        ("cifar10-dis-s2-flow", 28_483_580),
        ("scaling-s", 28_488_008),
        ("scaling-b", 119_203_608),
        ("scaling-m", 229_454_616),
        ("scaling-l", 404_112_408),
        ("scaling-h", 900_687_384),
        ("celeba64-dis-s2", 28_770_632),
        ("imagenet256-dis-h2", 906_966_560),
        ("imagenet512-dis-h2", 908_146_208),
        ("cifar10-dis-s4", 28_457_168),
        ("cifar10-dis-s8", 28_598_768),
    ];
    for (name, count) in counts {
        assert_eq!(ParamLayout::new(&load(name).dis_config()).len(), count, "{name}");
    }
}

#[test]
fn official_configurations_differ_from_the_official_network_where_they_say_so() {
    let cifar = DisConfig::official(DisPreset::S, 32, 3, 2, 0);
    assert_eq!(load("cifar10-dis-s2").dis_config(), cifar);
    assert_eq!(load("scaling-s").dis_config(), cifar);
    let expect = |name: &str, config: DisConfig| {
        assert_eq!(load(name).dis_config(), config, "{name}");
    };
    expect("cifar10-dis-s4", DisConfig { patch_size: 4, ..cifar.clone() });
    expect("cifar10-dis-s8", DisConfig { patch_size: 8, ..cifar.clone() });
    expect("cifar10-dis-s2-no-skip", DisConfig { skip: Skip::None, ..cifar.clone() });
    expect("cifar10-dis-s2-add-skip", DisConfig { skip: Skip::Add, ..cifar.clone() });
    let adaln = DisConfig { conditioning: Conditioning::Adaln, ..cifar };
    expect("cifar10-dis-s2-adaln", adaln);
    expect("celeba64-dis-s2", DisConfig::official(DisPreset::S, 64, 3, 2, 0));
    expect("imagenet256-dis-h2", DisConfig::official(DisPreset::H, 32, 4, 2, 1000));
    expect("imagenet512-dis-h2", DisConfig::official(DisPreset::H, 64, 4, 2, 1000));
}

/// Ablations and the scaling study are the CIFAR-10 experiment but for one key and the name.
#[test]
fn studies_change_one_thing() {
    let base = load("cifar10-dis-s2");
    let studies = [
        ("cifar10-dis-s4", "model.patch_size"),
        ("cifar10-dis-s8", "model.patch_size"),
        ("cifar10-dis-s2-no-skip", "model.skip"),
        ("cifar10-dis-s2-add-skip", "model.skip"),
        ("cifar10-dis-s2-adaln", "model.conditioning"),
        ("scaling-b", "model.preset"),
        ("scaling-m", "model.preset"),
        ("scaling-l", "model.preset"),
        ("scaling-h", "model.preset"),
    ];
    for (name, key) in studies {
        let changes = base.differences(&load(name));
        let keys: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(keys, ["name", key], "{name}");
    }
}

/// The flow quickstart differs in the process and its sampler alone.
#[test]
fn the_flow_quickstart_changes_the_process_alone() {
    let changes = load("quickstart").differences(&load("quickstart-flow"));
    let tables = ["name", "diffusion.", "sample."];
    for change in changes {
        assert!(tables.iter().any(|table| change.key.starts_with(table)), "{change}");
    }
}

#[test]
fn quickstart_resolves_to_the_recorded_values() {
    let recorded = include_str!("goldens/quickstart-resolved.toml");
    let resolved = load("quickstart").to_toml();
    assert!(
        resolved == recorded,
        "quickstart resolves to other values than recorded in \
         tests/goldens/quickstart-resolved.toml; if that is meant, replace the file by:\n{resolved}"
    );
    assert_eq!(load("quickstart").data.kind, DataKind::Shapes);
}
