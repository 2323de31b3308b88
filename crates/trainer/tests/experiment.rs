//! Reading experiments: what is refused, and what the refusal says.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use diffusion::{GuidanceChannels, ObjectiveKind, SamplerKind};
use dis_model::DisPreset;
use dis_model::init::{DeltaBiasInit, InitOptions};
use std::fs;
use std::path::PathBuf;
use trainer::{ConfigError, DataKind, Experiment, LrScheduleKind, may_change};

/// A valid experiment whose line numbers the tests know.
fn quickstart() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/quickstart.toml"))
        .unwrap()
}

fn line_of(text: &str, start: &str) -> usize {
    1 + text.lines().position(|line| line.starts_with(start)).unwrap()
}

/// The quickstart with one text replaced by another.
fn edited(from: &str, to: &str) -> String {
    let text = quickstart();
    assert_eq!(text.matches(from).count(), 1, "{from:?} must be unique in the quickstart");
    text.replace(from, to)
}

fn parse(text: &str, sets: &[&str]) -> Result<Experiment, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    Experiment::parse(text, "x.toml", &sets)
}

fn set(sets: &[&str]) -> Experiment {
    parse(&quickstart(), sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"))
}

#[track_caller]
fn assert_message(result: Result<Experiment, ConfigError>, expected: &str) {
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[track_caller]
fn assert_set_fails(sets: &[&str], expected: &str) {
    assert_message(parse(&quickstart(), sets), expected);
}

#[test]
fn unknown_keys_name_file_line_and_the_nearest_key() {
    let text = edited("batch_size = 32", "batchsize = 32");
    let line = line_of(&text, "batchsize");
    let expected =
        format!("x.toml:{line}: unknown key train.batchsize; did you mean train.batch_size?");
    assert_message(parse(&text, &[]), &expected);

    let text = edited("[train]", "[trian]");
    let line = line_of(&text, "[trian]");
    let expected = format!("x.toml:{line}: unknown table [trian]; did you mean [train]?");
    assert_message(parse(&text, &[]), &expected);

    let text = quickstart() + "\n[wandb]\nproject = \"dis\"\n";
    let line = line_of(&text, "[wandb]");
    assert_message(parse(&text, &[]), &format!("x.toml:{line}: unknown table [wandb]"));

    assert_set_fails(
        &["train.stesp=5"],
        "--set train.stesp=5: unknown key train.stesp; did you mean train.steps?",
    );
    assert_set_fails(
        &["batch_size=5"],
        "--set batch_size=5: unknown key batch_size; did you mean train.batch_size?",
    );
    assert_set_fails(
        &["steps=5"],
        "--set steps=5: unknown key steps; did you mean train.steps or sample.steps?",
    );
    assert_set_fails(
        &["sample.guidance_scale=2"],
        "--set sample.guidance_scale=2: unknown key sample.guidance_scale; \
         did you mean guidance.guidance_scale?",
    );
    assert_set_fails(
        &["something.else.altogether=1"],
        "--set something.else.altogether=1: unknown key something.else.altogether",
    );
    assert_set_fails(
        &["data.path.x=1"],
        "--set data.path.x=1: unknown key data.path.x; did you mean data.path?",
    );
    let quoted = quickstart().replace("seed = 0 ", "seed = 0\n\"train.steps\" = 7 ");
    let message = parse(&quoted, &[]).unwrap_err().to_string();
    assert!(message.starts_with("x.toml:7: unknown key \"train.steps\""), "{message}");
}

#[test]
fn missing_keys_are_named_together() {
    let text = quickstart()
        .lines()
        .filter(|line| !line.starts_with("beta1") && !line.starts_with("seed"))
        .collect::<Vec<_>>()
        .join("\n");
    assert_message(
        parse(&text, &[]),
        "x.toml: missing key seed\nx.toml: missing key train.beta1\n\
         help: every key that changes a number must be present; configs/quickstart.toml has them \
         all, each with its meaning",
    );
    assert_eq!(parse(&text, &["seed=3", "train.beta1=0.8"]).unwrap().seed, 3);

    let text = quickstart();
    let text = &text[..text.find("[guidance]").unwrap()];
    let message = parse(text, &[]).unwrap_err().to_string();
    assert!(message.starts_with("x.toml: missing table [guidance]\nhelp: "), "{message}");
    let message = parse("", &[]).unwrap_err().to_string();
    assert_eq!(message.lines().filter(|line| line.contains("missing table")).count(), 6);
}

#[test]
fn wrong_types_name_the_line_the_value_and_what_would_do() {
    let cases = [
        (
            "steps = 900",
            "steps = \"many\"",
            "train.steps is \"many\", expected a whole number, 0 or more",
        ),
        ("steps = 900", "steps = -900", "train.steps is -900, expected a whole number, 0 or more"),
        ("steps = 900", "steps = 9.5", "train.steps is 9.5, expected a whole number, 0 or more"),
        ("lr_max = 2e-3", "lr_max = \"x\"", "train.lr_max is \"x\", expected a number"),
        ("flip = false", "flip = \"True\"", "data.flip is \"True\", expected true or false"),
        ("flip = false", "flip = 1", "data.flip is 1, expected true or false"),
        ("name = \"quickstart\"", "name = 7", "name is 7, expected a string in quotes"),
        (
            "skip = \"concat\"",
            "skip = \"concta\"",
            "model.skip is \"concta\", expected one of \"concat\", \"add\", \"none\"",
        ),
        (
            "sampler = \"ddim\"",
            "sampler = \"plms\"",
            "sample.sampler is \"plms\", expected \"ddpm\" or \"ddim\"",
        ),
        (
            "[guidance]",
            "[guidance]\n[guidance.guidance_scale]\nx=1\n[y]",
            "guidance.guidance_scale is",
        ),
    ];
    for (from, to, expected) in cases {
        let text = edited(from, to);
        let message = parse(&text, &[]).unwrap_err().to_string();
        let line = line_of(&text, to.split('\n').nth(1).unwrap_or(to));
        let expected = format!("x.toml:{line}: {expected}");
        assert!(message.contains(&expected), "{message}\nexpected {expected}");
    }
    assert_set_fails(
        &["train.steps=many"],
        "--set train.steps=many: train.steps is \"many\", expected a whole number, 0 or more",
    );
    assert_set_fails(&["train=5"], "--set train=5: train is 5, expected a table [train]");
    // An integer will do for a number.
    assert_eq!(set(&["guidance.guidance_scale=3"]).guidance.guidance_scale, 3.0);
}

#[test]
fn text_that_is_no_toml_shows_the_place() {
    let message = parse(&edited("steps = 900", "steps = = 9"), &[]).unwrap_err().to_string();
    assert!(message.starts_with("x.toml: TOML parse error at line "), "{message}");
    assert!(message.contains("steps = = 9") && message.contains('^'), "{message}");
    let twice = edited("steps = 900", "steps = 900\nsteps = 901");
    assert!(parse(&twice, &[]).unwrap_err().to_string().contains("duplicate key"));
    assert_set_fails(
        &["train.steps"],
        "--set train.steps: expected KEY=VALUE, such as train.steps=1000",
    );
    assert_set_fails(&["train.=5"], "--set train.=5: expected KEY=VALUE, such as train.steps=1000");
    assert_set_fails(&["=5"], "--set =5: expected KEY=VALUE, such as train.steps=1000");
}

#[test]
fn sets_override_any_kind_of_value() {
    let run = set(&[
        "train.steps=1_000",
        "train.warmup_steps = 10",
        "train.lr_max=1e-3",
        "model.skip=add",
        "model.conditioning=\"adaln\"",
        "data.flip=true",
        "guidance={guidance_scale=1.5, channels=\"first3\"}",
        "name=other-run",
        "train.grad_clip=inf",
        "train.micro_batch=8",
    ]);
    assert_eq!((run.train.steps, run.train.warmup_steps, run.train.lr_max), (1000, 10, 1e-3));
    assert_eq!(run.guidance.channels, GuidanceChannels::First3);
    assert_eq!((run.guidance.guidance_scale, run.train.micro_batch()), (1.5, 8));
    assert_eq!(run.default_run_dir(), PathBuf::from("runs/other-run"));
    assert!(run.data.flip && run.train.grad_clip.is_infinite());
    // The last of two wins, and `1\n[x]` is no way to smuggle in a second key.
    assert_eq!(set(&["seed=1", "seed=2"]).seed, 2);
    assert_set_fails(
        &["seed=1\nname=\"x\""],
        "--set seed=1\nname=\"x\": seed is \"1\\nname=\\\"x\\\"\", expected a whole number, 0 or more"
            .replace("\"1\\nname=\\\"x\\\"\"", "\"\"\"...")
            .as_str(),
    );
}

#[test]
fn setting_one_of_two_forms_removes_the_other() {
    let run = set(&["model.preset=B"]);
    assert_eq!(run.model.preset, Some(DisPreset::B));
    assert_eq!((run.model.hidden_size, run.model.depth), (None, None));
    assert_eq!((run.dis_config().hidden_size, run.dis_config().depth), (768, 24));
    let text = run.to_toml();
    let back = parse(&text, &["model.hidden_size=64", "model.depth=4"]).unwrap();
    assert_eq!(back.model.size(), Some((64, 4)));
    assert_message(
        parse(&text, &["model.hidden_size=64"]),
        "x.toml: model.depth is missing, expected an even depth, or model.preset in place of width \
         and depth",
    );
    assert_set_fails(
        &["model.preset=B", "model.depth=4"],
        "--set model.preset=B: model.preset is \"B\", expected no such key beside model.hidden_size or \
         model.depth",
    );

    let cifar = ["data.kind=cifar10", "data.path=d", "data.image_size=32", "model.num_classes=10"];
    let run = set(&cifar);
    assert_eq!((run.data.kind, run.data.count), (DataKind::Cifar10, None));
    assert_eq!(set(&["data.kind=shapes"]).data.count, Some(4096));
    let run = set(&["train.lr_schedule=cosine"]);
    assert_eq!((run.train.lr_schedule, run.train.tail_fraction), (LrScheduleKind::Cosine, None));
    assert_eq!(set(&["train.lr_schedule=linear_tail"]).train.tail_fraction, Some(0.4));
}

/// One `--set` each, and the problem that it must lead to.
const REFUSED: &[(&str, &str)] = &[
    ("name=a/b", "name is \"a/b\", expected 1 to 100 letters"),
    ("name=.hidden", "name is \".hidden\", expected 1 to 100 letters"),
    ("name=''", "name is \"\", expected 1 to 100 letters"),
    (
        "model.patch_size=5",
        "model.patch_size is 5, expected a divisor of data.image_size 16: 1, 2, 4, 8, 16",
    ),
    ("model.patch_size=0", "model.patch_size is 0, expected a divisor"),
    ("model.num_classes=3", "model.num_classes is 3, expected 0 or 4, the classes of shapes"),
    ("model.channels=4", "model.channels is 4, expected 3, the channels of an RGB image"),
    ("model.hidden_size=1", "model.hidden_size is 1, expected 2 to 65536"),
    ("model.depth=7", "model.depth is 7, expected an even number, 2 to 65536"),
    ("model.depth=0", "model.depth is 0, expected an even number, 2 to 65536"),
    ("model.d_state=0", "model.d_state is 0, expected 1 to 65536"),
    ("model.d_conv=0", "model.d_conv is 0, expected 1 to 65536"),
    ("model.direction_sum=0", "model.direction_sum is 0, expected a positive number"),
    ("model.drop_path=1", "model.drop_path is 1, expected 0 or more and below 1"),
    ("model.label_dropout=-0.1", "model.label_dropout is -0.1, expected 0 or more and below 1"),
    ("model.position_std=nan", "model.position_std is NaN, expected 0 or a positive number"),
    ("model.label_std=-1", "model.label_std is -1, expected 0 or a positive number"),
    ("model.norm_eps=0", "model.norm_eps is 0, expected a positive number"),
    ("model.final_eps=inf", "model.final_eps is inf, expected a positive number"),
    ("data.image_size=2", "data.image_size is 2, expected 4 to 4096"),
    ("data.count=0", "data.count is 0, expected 1 to"),
    ("data.path=x", "data.path is x, expected no such key: it is for data that lie in files"),
    ("data.workers=1000", "data.workers is 1000, expected 0 to 256"),
    ("diffusion.timesteps=20", "diffusion.timesteps is 20, expected 21 to 1000000"),
    ("train.steps=0", "train.steps is 0, expected 1 to 1000000000"),
    ("train.batch_size=0", "train.batch_size is 0, expected 1 to 1048576"),
    ("train.micro_batch=5", "train.micro_batch is 5, expected a divisor of train.batch_size 32"),
    ("train.micro_batch=0", "train.micro_batch is 0, expected a divisor of train.batch_size 32"),
    ("train.lr_max=0", "train.lr_max is 0, expected a positive number"),
    ("train.lr_max=-1", "train.lr_max is -1, expected a positive number"),
    ("train.lr_min=1", "train.lr_min is 1, expected 0 to train.lr_max 0.002"),
    ("train.lr_min=-1", "train.lr_min is -1, expected 0 to train.lr_max 0.002"),
    ("train.warmup_steps=541", "train.warmup_steps is 541, expected at most 540"),
    ("train.tail_fraction=1.5", "train.tail_fraction is 1.5, expected 0 to 1"),
    ("train.beta1=1", "train.beta1 is 1, expected 0 or more and below 1"),
    ("train.beta2=1", "train.beta2 is 1, expected 0 or more and below 1"),
    ("train.adam_eps=0", "train.adam_eps is 0, expected a positive number"),
    ("train.weight_decay=-1", "train.weight_decay is -1, expected 0 or a positive number"),
    ("train.grad_clip=0", "train.grad_clip is 0, expected a positive number, or inf"),
    ("train.ema_decay=1", "train.ema_decay is 1, expected 0 or more and below 1"),
    ("train.log_every=0", "train.log_every is 0, expected 1 to"),
    ("train.checkpoint_every=0", "train.checkpoint_every is 0, expected 1 to"),
    ("train.keep_checkpoints=1", "train.keep_checkpoints is 1, expected 2 or more"),
    ("sample.steps=1001", "sample.steps is 1001, expected 1 to diffusion.timesteps 1000"),
    ("sample.steps=0", "sample.steps is 0, expected 1 to diffusion.timesteps 1000"),
    ("sample.eta=1.1", "sample.eta is 1.1, expected 0 (deterministic) to 1"),
    ("sample.count=0", "sample.count is 0, expected 1 to 4096"),
    ("guidance.guidance_scale=nan", "guidance.guidance_scale is NaN, expected a finite number"),
    (
        "model.num_classes=0",
        "guidance.guidance_scale is 2, expected 1 (none), as model.num_classes is 0",
    ),
    (
        "model.label_dropout=0",
        "guidance.guidance_scale is 2, expected 1 (none), as model.label_dropout is 0",
    ),
    ("model.depth=65538", "model.depth is 65538, expected an even number"),
];

#[test]
fn every_range_is_checked() {
    for (argument, expected) in REFUSED {
        let message = parse(&quickstart(), &[argument]).unwrap_err().to_string();
        assert!(message.contains(expected), "{argument}: {message}");
    }
}

#[test]
fn all_problems_are_reported_with_their_places() {
    let text = edited("batch_size = 32", "batch_size = 0");
    let (batch, scale) = (line_of(&text, "batch_size"), line_of(&text, "guidance_scale"));
    assert_message(
        parse(&text, &["model.num_classes=0", "model.patch_size=5"]),
        &format!(
            "--set model.patch_size=5: model.patch_size is 5, expected a divisor of \
             data.image_size 16: 1, 2, 4, 8, 16\n\
             x.toml:{batch}: train.batch_size is 0, expected 1 to 1048576\n\
             x.toml:{scale}: guidance.guidance_scale is 2, expected 1 (none), as \
             model.num_classes is 0 and there is nothing to guide by"
        ),
    );
    let mut built = set(&[]);
    built.seed = u64::MAX;
    let message = built.validate().unwrap_err().to_string();
    assert!(
        message.starts_with("experiment quickstart: seed is 18446744073709551615"),
        "{message}"
    );
}

#[test]
fn data_sets_bring_their_own_rules() {
    let cifar = |more: &[&str]| {
        parse(&quickstart(), &[&["data.kind=cifar10", "data.path=d"], more].concat())
    };
    let message = cifar(&[]).unwrap_err().to_string();
    assert!(message.contains("data.image_size is 16, expected 32 for CIFAR-10"), "{message}");
    assert!(message.contains("model.num_classes is 4, expected 0 or 10"), "{message}");
    cifar(&["data.image_size=32", "model.num_classes=10"]).unwrap();

    let latents =
        ["data.kind=latents", "data.path=d", "data.image_size=32", "model.num_classes=1000"];
    let message = parse(&quickstart(), &latents).unwrap_err().to_string();
    assert!(
        message.contains("model.channels is 3, expected 4, the channels of a latent"),
        "{message}"
    );
    parse(&quickstart(), &[&latents[..], &["model.channels=4"]].concat()).unwrap();
    assert_set_fails(
        &["data.kind=image_folder"],
        "x.toml: data.path is missing, expected the folder of data.kind \"image_folder\"",
    );
}

/// One-edit slips in every key, as made by a hurried hand.
fn typos(key: &str) -> Vec<String> {
    let (table, name) = key
        .split_once('.')
        .map_or((String::new(), key), |(table, name)| (format!("{table}."), name));
    let letters: Vec<char> = name.chars().collect();
    let mut typos = Vec::new();
    for place in 0..letters.len() {
        let mut without = letters.clone();
        without.remove(place);
        typos.push(without);
        let mut other = letters.clone();
        other[place] = if other[place] == 'q' { 'w' } else { 'q' };
        typos.push(other);
        let mut double = letters.clone();
        double.insert(place, letters[place]);
        typos.push(double);
        if place + 1 < letters.len() {
            let mut swapped = letters.clone();
            swapped.swap(place, place + 1);
            typos.push(swapped);
        }
    }
    typos
        .into_iter()
        .filter(|typo| !typo.is_empty() && *typo != letters)
        .map(|typo| table.clone() + &typo.into_iter().collect::<String>())
        .collect()
}

#[test]
fn slips_of_the_hand_are_refused_and_nearly_all_are_understood() {
    let experiment = set(&["train.micro_batch=8", "data.workers=1"]);
    let table: toml::Table = experiment.to_toml().parse().unwrap();
    let mut keys = vec!["name".to_owned(), "seed".to_owned()];
    for (section, inner) in &table {
        keys.extend(
            inner
                .as_table()
                .into_iter()
                .flat_map(|t| t.keys())
                .map(|key| format!("{section}.{key}")),
        );
    }
    let (mut total, mut understood) = (0, 0);
    for key in &keys {
        for typo in typos(key) {
            if keys.contains(&typo) {
                continue;
            }
            let message = parse(&quickstart(), &[&format!("{typo}=1")]).unwrap_err().to_string();
            assert!(message.contains(&format!("unknown key {typo}")), "{typo}: {message}");
            total += 1;
            understood += usize::from(message.contains(&format!("did you mean {key}?")));
        }
    }
    assert!(total > 1000, "{total}");
    assert!(understood * 100 >= total * 98, "{understood} of {total} slips lead to the right key");
}

#[test]
fn resolved_experiments_read_back_as_themselves() {
    for sets in [
        &[][..],
        &["model.preset=S-384"],
        &["train.lr_max=0.1", "train.lr_min=1e-300", "train.grad_clip=inf"],
        &["name=a.b-c_d", "seed=9223372036854775807"],
        &["data.kind=image_folder", "data.path=/tmp/a \"b\"\\c"],
    ] {
        let experiment = set(sets);
        let text = experiment.to_toml();
        assert_eq!(Experiment::parse(&text, "resolved", &[]).unwrap(), experiment, "{text}");
        assert_eq!(Experiment::parse(&text, "resolved", &[]).unwrap().to_toml(), text);
    }
    let experiment = set(&["diffusion.objective=eps_hybrid"]);
    assert_eq!(experiment.diffusion.objective, ObjectiveKind::EpsHybrid);
    assert!(experiment.dis_config().learned_variance && !set(&[]).dis_config().learned_variance);
    assert_eq!(experiment.sample.sampler, SamplerKind::Ddim);
    let init = InitOptions {
        delta_bias: DeltaBiasInit::Symmetric,
        zero_head: true,
        position_std: 0.02,
        label_std: 1.0,
    };
    assert_eq!(experiment.init_options(), init);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no.toml");
    let message = Experiment::load(&missing, &[]).unwrap_err().to_string();
    assert!(message.starts_with(&format!("{}: ", missing.display())), "{message}");
    let large = folder.path().join("large.toml");
    fs::write(&large, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(matches!(Experiment::load(&large, &[]), Err(ConfigError::TooLarge { .. })));
    fs::write(&large, [0xff, 0xfe]).unwrap();
    assert!(matches!(Experiment::load(&large, &[]), Err(ConfigError::Read { .. })));
}

#[test]
fn differences_and_identity_follow_the_keys_that_may_change() {
    let base = set(&[]);
    let longer = set(&["train.steps=1000", "sample.steps=50", "data.workers=7"]);
    let changes: Vec<String> = base.differences(&longer).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        ["train.steps: 900 -> 1000", "sample.steps: 40 -> 50", "data.workers: (none) -> 7"]
    );
    assert_eq!(base.identity(), longer.identity());
    assert_eq!(base.identity().len(), 64);
    for other in ["seed=1", "train.batch_size=64", "model.d_state=8", "train.micro_batch=8"] {
        let other = set(&[other]);
        assert_ne!(base.identity(), other.identity());
        assert!(base.differences(&other).iter().any(|change| !may_change(&change.key)));
    }
    assert!(may_change("guidance.channels") && may_change("data.path") && may_change("sample.eta"));
    assert!(!may_change("data.path2") && !may_change("name") && !may_change("train.warmup_steps"));
    assert!(base.differences(&base.clone()).is_empty());
    // Values that differ only beyond what a message shows.
    let long = "x".repeat(80);
    let path = |end: &str| {
        let path = format!("data.path={long}{end}");
        set(&["data.kind=image_folder", &path])
    };
    assert_eq!(path("a").differences(&path("b")).len(), 1);
}
