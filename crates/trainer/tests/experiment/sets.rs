//! `--set`, resolved experiments, and how two differ.

use super::{assert_message, assert_set_fails, parse, set};
use diffusion::{GuidanceChannels, SamplerKind};
use dis_model::DisPreset;
use dis_model::init::{DeltaBiasInit, InitOptions};
use std::path::PathBuf;
use trainer::{DataKind, Experiment, LrScheduleKind, ObjectiveName, may_change};

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
fn norms_of_scan_inputs_are_off_without_their_key() {
    let (absent, on) = (set(&[]), set(&["model.normalize_ssm_inputs=true"]));
    assert_eq!(absent.model.normalize_ssm_inputs, None);
    assert!(!absent.to_toml().contains("normalize_ssm_inputs"));
    assert!(!absent.dis_config().normalize_ssm_inputs);
    assert!(on.dis_config().normalize_ssm_inputs);
    assert!(!set(&["model.normalize_ssm_inputs=false"]).dis_config().normalize_ssm_inputs);
    let back = parse(&on.to_toml(), &[]).unwrap();
    assert_eq!(back, on);
    // Another function of the same weights: another run.
    assert_ne!(absent.identity(), on.identity());
    assert!(!may_change("model.normalize_ssm_inputs"));
    assert_set_fails(
        &["model.normalize_ssm_inputs=1"],
        "--set model.normalize_ssm_inputs=1: model.normalize_ssm_inputs is 1, expected true or false",
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
    let run = set(&["train.lr_schedule=inverse_sqrt", "train.decay_after=100"]);
    assert_eq!((run.train.decay_after, run.train.tail_fraction), (Some(100), None));
    let back = parse(&run.to_toml(), &["train.lr_schedule=constant"]).unwrap();
    assert_eq!(back.train.decay_after, None);
}

#[test]
fn one_average_or_several() {
    let decays = |value: &str| set(&[&format!("train.ema_decay={value}")]).train;
    assert_eq!(decays("0.9").ema_decay[..], [0.9]);
    assert_eq!(decays("0").ema_decay[..], [0.0]);
    assert_eq!(decays("[0.99, 0, 0.999]").ema_decay[..], [0.99, 0.0, 0.999]);
    // A list of one is that number, so that a run goes on under either.
    assert_eq!(decays("[0.9]"), decays("0.9"));
    assert!(set(&["train.ema_decay=[0.9]"]).to_toml().contains("\nema_decay = 0.9\n"));
    let run = set(&["train.ema_power=[0.05, 0.10]", "train.ema_snapshot_every=5"]);
    assert_eq!(run.train.ema_power.as_deref(), Some(&[0.05, 0.1][..]));
    assert_eq!((run.train.averages(), set(&[]).train.averages()), (3, 1));
    let other = set(&["train.ema_power=[0.05, 0.10]", "train.ema_snapshot_every=7"]);
    assert_eq!(run.identity(), other.identity());
    assert_ne!(run.identity(), set(&[]).identity());
}

#[test]
fn resolved_experiments_read_back_as_themselves() {
    for sets in [
        &[][..],
        &["model.preset=S-384"],
        &["train.lr_max=0.1", "train.lr_min=1e-300", "train.grad_clip=inf"],
        &["name=a.b-c_d", "seed=9223372036854775807"],
        &["train.ema_decay=[0.5, 0.999]", "train.ema_power=1e-4", "train.ema_snapshot_every=9"],
        &["train.lr_schedule=inverse_sqrt", "train.decay_after=7"],
        &["data.kind=image_folder", "data.path=/tmp/a \"b\"\\c"],
    ] {
        let experiment = set(sets);
        let text = experiment.to_toml();
        assert_eq!(Experiment::parse(&text, "resolved", &[]).unwrap(), experiment, "{text}");
        assert_eq!(Experiment::parse(&text, "resolved", &[]).unwrap().to_toml(), text);
    }
    let experiment = set(&["diffusion.objective=eps_hybrid"]);
    assert_eq!(experiment.diffusion.objective, ObjectiveName::EpsHybrid);
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
fn differences_and_identity_follow_the_keys_that_may_change() {
    let base = set(&[]);
    let longer = set(&["train.steps=1000", "sample.steps=50", "data.workers=7"]);
    let changes: Vec<String> = base.differences(&longer).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes,
        ["train.steps: 1200 -> 1000", "sample.steps: 40 -> 50", "data.workers: (none) -> 7"]
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
