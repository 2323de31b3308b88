//! What the network promises beside its numbers: repeatable bits, accumulation, refusals.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use dis_model::{
    Activations, Conditioning, Dis, DisConfig, DisPreset, Input, ModelError, ParamLayout, Params,
    Recompute, Skip,
};
use ssm_kernels::{Cpu, HostBackend, Real, Reference};
use support::production::{rounded, run};
use support::{SampleInputs, Values};

fn conditional() -> DisConfig {
    DisConfig { hidden_size: 24, depth: 4, ..DisConfig::official(DisPreset::S, 8, 3, 2, 5) }
}

fn unconditional() -> DisConfig {
    DisConfig { num_classes: 0, ..conditional() }
}

/// A network of `config` with its parameters.
struct Network<B: HostBackend> {
    dis: Dis<B>,
    params: Vec<B::Elem>,
}

impl<B: HostBackend> Network<B> {
    fn new(config: DisConfig) -> Self {
        let dis = Dis::<B>::new(config).unwrap();
        let params = support::sample_params(dis.layout(), 11);
        let params = rounded(&support::arena(dis.layout(), &params));
        Self { dis, params }
    }

    fn output(&self, input: &Input<'_, B::Elem>, at: &mut Activations<B>) -> Vec<B::Elem> {
        self.dis.forward(Params::host(&self.params), input, at).unwrap();
        at.output().to_vec()
    }
}

/// Inputs in the precision of a backend.
struct Operands<T> {
    x: Vec<T>,
    timesteps: Vec<f64>,
    labels: Option<Vec<u32>>,
}

impl<T: Real> Operands<T> {
    fn new(config: &DisConfig, batch: usize) -> Self {
        let sample = SampleInputs::new(config, batch);
        let input = sample.input();
        Self {
            x: rounded(input.x),
            timesteps: input.timesteps.to_vec(),
            labels: input.labels.map(<[u32]>::to_vec),
        }
    }

    fn input(&self) -> Input<'_, T> {
        Input {
            x: &self.x,
            timesteps: &self.timesteps,
            labels: self.labels.as_deref(),
            drop_path: None,
        }
    }
}

fn every_kind() -> Vec<DisConfig> {
    let official = conditional();
    vec![
        unconditional(),
        DisConfig { conditioning: Conditioning::Adaln, ..official.clone() },
        DisConfig { skip: Skip::Add, ..official.clone() },
        DisConfig { skip: Skip::None, ..official.clone() },
        DisConfig { depth: 2, hidden_size: 46, ..official.clone() },
        DisConfig { normalize_ssm_inputs: true, ..official.clone() },
        official,
    ]
}

fn inference_equals_training<B: HostBackend>() {
    for config in every_kind() {
        let operands = Operands::new(&config, 3);
        let network = Network::<B>::new(config);
        let mut training = Activations::for_training(&network.dis, 3).unwrap();
        let mut inference = Activations::for_inference(&network.dis, 3).unwrap();
        let kept = network.output(&operands.input(), &mut training);
        let lean = network.output(&operands.input(), &mut inference);
        assert_eq!(kept, lean, "{:?}", network.dis.config());
        let again = network.output(&operands.input(), &mut inference);
        assert_eq!(lean, again, "second pass: {:?}", network.dis.config());
    }
}

#[test]
fn inference_gives_the_bits_of_training() {
    inference_equals_training::<Reference<f64>>();
    inference_equals_training::<Cpu>();
}

/// Gradients of one backward pass after a forward pass.
fn step<B: HostBackend>(
    network: &Network<B>,
    input: &Input<'_, B::Elem>,
    activations: &mut Activations<B>,
    grads: &mut [B::Elem],
) -> Vec<B::Elem> {
    let Network { dis, params } = network;
    let output = network.output(input, activations);
    let probe = rounded(&support::probe(output.len()));
    let mut grad_x = vec![B::Elem::NAN; input.x.len()];
    dis.backward(Params::host(params), input, activations, &probe, grads, Some(&mut grad_x))
        .unwrap();
    grad_x
}

fn recomputing_changes_no_bit<B: HostBackend>() {
    for config in every_kind() {
        let operands = Operands::new(&config, 2);
        let network = Network::<B>::new(config);
        let [kept, scans, blocks] =
            [Recompute::None, Recompute::Scan, Recompute::Block].map(|recompute| {
                let mut activations =
                    Activations::for_training_with(&network.dis, 2, recompute).unwrap();
                let mut grads = vec![B::Elem::ZERO; network.params.len()];
                let grad_x = step(&network, &operands.input(), &mut activations, &mut grads);
                (activations.output().to_vec(), grad_x, grads)
            });
        assert!(kept == scans, "scans: {:?}", network.dis.config());
        assert!(kept == blocks, "blocks: {:?}", network.dis.config());
    }
}

#[test]
fn what_is_made_again_has_the_bits_of_what_is_kept() {
    recomputing_changes_no_bit::<Reference<f64>>();
    recomputing_changes_no_bit::<Cpu>();
}

fn used_memory_is_as_good_as_new<B: HostBackend>() {
    for config in every_kind() {
        let operands = Operands::new(&config, 2);
        let other_x: Vec<B::Elem> = operands.x.iter().rev().copied().collect();
        let network = Network::<B>::new(config);
        let zeros = vec![B::Elem::ZERO; network.params.len()];
        let mut activations = Activations::for_training(&network.dis, 2).unwrap();
        let mut first = zeros.clone();
        let first_x = step(&network, &operands.input(), &mut activations, &mut first);
        let other = Input::<_> { x: &other_x, timesteps: &[3.0, 700.0], ..operands.input() };
        step(&network, &other, &mut activations, &mut zeros.clone());
        let mut again = zeros.clone();
        let again_x = step(&network, &operands.input(), &mut activations, &mut again);
        assert!(first == again && first_x == again_x, "{:?}", network.dis.config());

        // The same gradients on top of themselves are twice as large, up to rounding.
        step(&network, &operands.input(), &mut activations, &mut again);
        for param in network.dis.layout().iter() {
            let widened = |arena: &[B::Elem], factor: f64| -> Vec<f64> {
                arena[param.range.clone()].iter().map(|g| factor * g.to_f64()).collect()
            };
            let (twice, sum) = (widened(&first, 2.0), widened(&again, 1.0));
            parity::assert_close(&param.name, &sum, &twice, 1e-5);
        }
    }
}

#[test]
fn repeated_passes_give_equal_bits_and_gradients_accumulate() {
    used_memory_is_as_good_as_new::<Reference<f64>>();
    used_memory_is_as_good_as_new::<Cpu>();
}

/// Images of a batch do not see each other: alone, each has the output it has in company.
#[test]
fn images_of_a_batch_are_independent() {
    let config = conditional();
    let operands = Operands::<f64>::new(&config, 3);
    let (image, out) = (config.image_len(), config.output_len());
    let network = Network::<Reference<f64>>::new(config);
    let mut together = Activations::for_inference(&network.dis, 3).unwrap();
    let together = network.output(&operands.input(), &mut together);
    let mut alone = Activations::for_inference(&network.dis, 1).unwrap();
    for b in 0..3 {
        let input = Input {
            x: &operands.x[b * image..][..image],
            timesteps: &operands.timesteps[b..=b],
            labels: operands.labels.as_ref().map(|labels| &labels[b..=b]),
            drop_path: None,
        };
        assert_eq!(network.output(&input, &mut alone), together[b * out..][..out]);
    }
}

/// The gradient of the image has no golden; central differences are its judge.
#[test]
fn gradient_of_the_image_is_the_central_difference() {
    for config in every_kind() {
        let params: Values = support::sample_params(&ParamLayout::new(&config), 5);
        let inputs = SampleInputs::new(&config, 2);
        let probe: Vec<f64> = (0..2 * config.output_len()).map(|i| (i as f64).sin()).collect();
        let got = run::<Reference<f64>>(&config, &params, &inputs.input(), &probe);
        let network = Network::<Reference<f64>>::new(config.clone());
        let arena = support::arena(network.dis.layout(), &params);
        let mut activations = Activations::for_inference(&network.dis, 2).unwrap();
        let loss = |x: &[f64]| {
            let input = Input { x, ..inputs.input() };
            network.dis.forward(Params::host(&arena), &input, &mut activations).unwrap();
            activations.output().iter().zip(&probe).map(|(y, g)| y * g).sum()
        };
        parity::check_gradient("x", loss, inputs.input().x, &got.gradients["x"], 12, 1e-7);
    }
}

/// A pass without the gradient of the image adds the same gradients of parameters.
#[test]
fn the_gradient_of_the_image_is_optional() {
    let config = conditional();
    let operands = Operands::<f32>::new(&config, 2);
    let network = Network::<Cpu>::new(config);
    let mut activations = Activations::for_training(&network.dis, 2).unwrap();
    let mut with = vec![0.0; network.params.len()];
    step(&network, &operands.input(), &mut activations, &mut with);
    let output = network.output(&operands.input(), &mut activations);
    let probe = rounded::<f32>(&support::probe(output.len()));
    let mut without = vec![0.0; network.params.len()];
    let Network { dis, params } = &network;
    dis.backward(
        Params::host(params),
        &operands.input(),
        &mut activations,
        &probe,
        &mut without,
        None,
    )
    .unwrap();
    assert!(with == without);
}

#[test]
fn forward_refuses_what_does_not_fit() {
    let network = Network::<Cpu>::new(conditional());
    let operands = Operands::<f32>::new(network.dis.config(), 2);
    let good = operands.input();
    let mut activations = Activations::for_inference(&network.dis, 2).unwrap();
    let mut refused = |input: &Input<'_, f32>, operand: &str| {
        let error = network
            .dis
            .forward(Params::host(&network.params), input, &mut activations)
            .unwrap_err();
        let ModelError::Input { operand: named, .. } = &error else { panic!("{error}") };
        assert_eq!(*named, operand, "{error}");
    };
    refused(&Input { x: &good.x[1..], ..good }, "x");
    refused(&Input { timesteps: &[1.0], ..good }, "timesteps");
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(&Input { timesteps: &[1.0, bad], ..good }, "timesteps");
    }
    refused(&Input { labels: None, ..good }, "labels");
    refused(&Input { labels: Some(&[1]), ..good }, "labels");
    refused(&Input { labels: Some(&[1, 6]), ..good }, "labels");
    refused(&Input { labels: Some(&[u32::MAX, 1]), ..good }, "labels");
    refused(&Input { drop_path: Some(&[1.0; 11]), ..good }, "drop_path");
    network.dis.forward(Params::host(&network.params), &good, &mut activations).unwrap();

    let short = network
        .dis
        .forward(Params::host(&network.params[1..]), &good, &mut activations)
        .unwrap_err();
    assert!(short.to_string().contains("params"), "{short}");
    let mut three = Activations::for_inference(&network.dis, 3).unwrap();
    assert!(
        network.dis.forward(Params::host(&network.params), &good, &mut three).is_err(),
        "another batch"
    );

    let plain = Network::<Cpu>::new(unconditional());
    let mut activations = Activations::for_inference(&plain.dis, 2).unwrap();
    let labelled =
        plain.dis.forward(Params::host(&plain.params), &good, &mut activations).unwrap_err();
    assert!(labelled.to_string().contains("unconditional"), "{labelled}");
}

#[test]
fn backward_refuses_what_does_not_fit() {
    let network = Network::<Cpu>::new(conditional());
    let operands = Operands::<f32>::new(network.dis.config(), 1);
    let input = operands.input();
    let Network { dis, params } = &network;
    let grad_output = vec![1.0; dis.config().output_len()];
    let mut grads = vec![0.0; params.len()];
    let mut training = Activations::for_training(dis, 1).unwrap();
    dis.forward(Params::host(params), &input, &mut training).unwrap();
    let mut refused = |params: &[f32], grad_output: &[f32], cut: usize, operand: &str| {
        let error = dis
            .backward(
                Params::host(params),
                &input,
                &mut training,
                grad_output,
                &mut grads[cut..],
                None,
            )
            .unwrap_err();
        assert!(error.to_string().starts_with(&format!("input {operand}:")), "{error}");
    };
    refused(&params[1..], &grad_output, 0, "params");
    refused(params, &grad_output[1..], 0, "grad_output");
    refused(params, &grad_output, 1, "grads");
    let mut short = vec![0.0; input.x.len() - 1];
    let error = dis
        .backward(
            Params::host(params),
            &input,
            &mut training,
            &grad_output,
            &mut grads,
            Some(&mut short),
        )
        .unwrap_err();
    assert!(error.to_string().starts_with("input grad_x:"), "{error}");
    assert!(grads.iter().all(|&g| g == 0.0), "a refused pass adds nothing");

    let mut inference = Activations::for_inference(dis, 1).unwrap();
    dis.forward(Params::host(params), &input, &mut inference).unwrap();
    let error = dis
        .backward(Params::host(params), &input, &mut inference, &grad_output, &mut grads, None)
        .unwrap_err();
    assert!(error.to_string().contains("for inference"), "{error}");
}

#[test]
fn configurations_out_of_range_are_refused() {
    let good = conditional();
    for (field, bad) in [
        ("patch_size", DisConfig { patch_size: 3, ..good.clone() }),
        ("depth", DisConfig { depth: 5, ..good.clone() }),
        ("hidden_size", DisConfig { hidden_size: 0, ..good.clone() }),
        ("norm_eps", DisConfig { norm_eps: 0.0, ..good.clone() }),
    ] {
        let error = Dis::<Cpu>::new(bad).unwrap_err();
        assert!(matches!(error, ModelError::Config { field: f, .. } if f == field), "{error}");
    }
}

#[test]
fn an_empty_batch_is_refused() {
    let dis = Dis::<Cpu>::new(DisConfig::official(DisPreset::S, 8, 3, 4, 0)).unwrap();
    let mut activations = Activations::for_inference(&dis, 0).unwrap();
    let params = vec![0.0; dis.layout().len()];
    let input = Input::<_> { x: &[], timesteps: &[], labels: None, drop_path: None };
    let error =
        dis.forward(Params::host(&params), &input, &mut activations).unwrap_err().to_string();
    assert!(error.contains("input x: no image"), "{error}");
}
