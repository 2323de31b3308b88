//! Ranges, and what belongs together.

use super::{assert_message, assert_set_fails, edited, line_of, parse, quickstart, set};

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
    ("diffusion.path=gvp", "diffusion.path is \"gvp\", expected no such key: it is for"),
    ("diffusion.time_scale=1", "diffusion.time_scale is 1, expected no such key: it is for"),
    ("diffusion.sigma_data=0.5", "diffusion.sigma_data is 0.5, expected no such key: it is for"),
    (
        "diffusion.log_variance_lr=0.1",
        "diffusion.log_variance_lr is 0.1, expected no such key: it is for",
    ),
    ("diffusion.cosine_direction=-1", "diffusion.cosine_direction is -1, expected 0 or a positive"),
    (
        "sample.churn=5",
        "sample.churn is 5, expected no such key: it is for sample.sampler \"heun\"",
    ),
    ("sample.diffusion_form=sbdm", "sample.diffusion_form is \"sbdm\", expected no such key"),
    ("sample.diffusion_form=constant", "sample.diffusion_form is \"constant\", expected one of"),
    ("sample.churn=-1", "sample.churn is -1, expected 0 or a positive number"),
    ("guidance.interval=[2, 1]", "guidance.interval is [2, 1], expected noise per data, the least"),
    ("guidance.interval=3", "guidance.interval is 3, expected a list of two numbers"),
    ("guidance.rescale=2", "guidance.rescale is 2, expected 0 (none) to 1"),
    (
        "diffusion.timestep_density=loss",
        "diffusion.timestep_density is \"loss\", expected \"uniform\", \"logit_normal(0, 1)\"",
    ),
    ("diffusion.loss_weighting=min_snr", "diffusion.loss_weighting is \"min_snr\", expected"),
    ("sample.spacing=even", "sample.spacing is \"even\", expected \"uniform\", \"quadratic\""),
    ("sample.sampler=dpm", "sample.sampler is \"dpm\", expected one of \"ddpm\", \"ddim\""),
    ("sample.weak_model=3", "sample.weak_model is 3, expected a string in quotes"),
    ("train.steps=0", "train.steps is 0, expected 1 to 1000000000"),
    ("train.batch_size=0", "train.batch_size is 0, expected 1 to 1048576"),
    ("train.micro_batch=5", "train.micro_batch is 5, expected a divisor of train.batch_size 32"),
    ("train.micro_batch=0", "train.micro_batch is 0, expected a divisor of train.batch_size 32"),
    ("train.lr_max=0", "train.lr_max is 0, expected a positive number"),
    ("train.lr_max=-1", "train.lr_max is -1, expected a positive number"),
    ("train.lr_min=1", "train.lr_min is 1, expected 0 to train.lr_max 0.002"),
    ("train.lr_min=-1", "train.lr_min is -1, expected 0 to train.lr_max 0.002"),
    ("train.warmup_steps=721", "train.warmup_steps is 721, expected at most 720"),
    ("train.tail_fraction=1.5", "train.tail_fraction is 1.5, expected 0 to 1"),
    ("train.beta1=1", "train.beta1 is 1, expected 0 or more and below 1"),
    ("train.beta2=1", "train.beta2 is 1, expected 0 or more and below 1"),
    ("train.adam_eps=0", "train.adam_eps is 0, expected a positive number"),
    ("train.weight_decay=-1", "train.weight_decay is -1, expected 0 or a positive number"),
    ("train.grad_clip=0", "train.grad_clip is 0, expected a positive number, or inf"),
    ("train.ema_decay=1", "train.ema_decay is 1, expected 0 or more and below 1"),
    ("train.ema_decay=[0.9, 1.5]", "train.ema_decay is 1.5, expected 0 or more and below 1"),
    ("train.ema_decay=[]", "train.ema_decay is [], expected a number, or a list of numbers"),
    (
        "train.ema_decay=[0.9, 0.99, 0.90]",
        "train.ema_decay is 0.9 twice, expected different numbers",
    ),
    (
        "train.ema_power=0",
        "train.ema_power is 0, expected 0.0001 to 0.28: it is a share of the run",
    ),
    ("train.ema_power=[0.05, 0.29]", "train.ema_power is 0.29, expected 0.0001 to 0.28"),
    ("train.ema_power=nan", "train.ema_power is NaN, expected 0.0001 to 0.28"),
    ("train.ema_power=[]", "train.ema_power is [], expected a number, or a list of numbers"),
    ("train.ema_power=[0.1, 0.1]", "train.ema_power is 0.1 twice, expected different numbers"),
    ("train.ema_snapshot_every=0", "train.ema_snapshot_every is 0, expected 1 to"),
    ("train.ema_snapshot_every=5", "expected no such key without train.ema_power"),
    ("train.decay_after=5", "train.decay_after is 5, expected no such key: it is the steps before"),
    (
        "train.lr_schedule=inverse_sqrt",
        "train.decay_after is missing, expected the steps before train.lr_schedule",
    ),
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

    assert_set_fails(
        &["data.kind=image_folder"],
        "x.toml: data.path is missing, expected the folder or file of data.kind \"image_folder\"",
    );
}

/// What the parts allow and the whole does not, with the nearest that does.
#[test]
fn impossible_combinations_are_refused() {
    let flow = "diffusion.objective=flow";
    for (sets, expected) in [
        (
            &["diffusion.zero_terminal_snr=true", "diffusion.objective=eps"][..],
            "there is nothing but noise at its end; predict \"v\" or \"x0\"",
        ),
        (
            &[flow, "diffusion.timestep_density=loss_aware"],
            "the nearest for continuous time is \"logit_normal(0, 1)\"",
        ),
        (
            &["diffusion.objective=eps_hybrid", "diffusion.loss_weighting=learned"],
            "use objective \"eps\", or \"min_snr(5)\"",
        ),
        (
            &["diffusion.objective=eps", "diffusion.cosine_direction=1"],
            "it is for \"v\" and \"flow\"",
        ),
        (
            &[flow, "diffusion.zero_terminal_snr=true"],
            "no such key: it is for objectives of a noise",
        ),
        (
            &["guidance.guidance_scale=1", "sample.weak_model=runs/x"],
            "guidance.guidance_scale is 1 and guides nothing",
        ),
    ] {
        let message = parse(&quickstart(), sets).unwrap_err().to_string();
        assert!(message.contains(expected), "{sets:?}: {message}");
    }
    // A weaker network guides an unconditional one too.
    set(&["model.num_classes=0", "sample.weak_model=runs/x"]);
    let flow = set(&[flow, "diffusion.path=gvp", "sample.sampler=heun", "sample.steps=2000"]);
    assert_eq!(flow.diffusion.kind(), diffusion::ObjectiveKind::Flow(diffusion::FlowPath::Gvp));
}

#[test]
fn every_sampler_has_a_place_on_every_objective() {
    for objective in ["eps_hybrid", "eps", "x0", "v", "flow", "edm"] {
        for sampler in diffusion::SamplerKind::ALL {
            let sampler = format!("sample.sampler={}", sampler.name());
            set(&[&format!("diffusion.objective={objective}"), &sampler]);
        }
    }
}
