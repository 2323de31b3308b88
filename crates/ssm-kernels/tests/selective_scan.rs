//! The scan against its definition, the official code, central differences and its laws.

#[path = "selective_scan/problem.rs"]
mod problem;

use parity::{Golden, assert_close, check_gradient};
use problem::{Inputs, Problem, assert_agree, convert, reversed, token_major};
use proptest::prelude::*;
use ssm_kernels::selective_scan::cases::SHAPES;
use ssm_kernels::selective_scan::{
    Args, Direction, DirectionGrads, Grads, Kept, Output, Shape, cpu, reference,
};
use ssm_kernels::{InstructionSet, KernelError, Mat, MatMut, ScanOrder, Scratch};

use ScanOrder::{LeftToRight, RightToLeft};

/// f64 against the official code in f64.
const F64: f64 = 1e-12;

/// f32 against f64, relative to the largest value: the roundings of a recurrence over the sequence
/// and of sums over tokens and channels.
const F32: f64 = 2e-6;

#[test]
fn reference_equals_the_official_code() {
    let golden = Golden::open("tests/goldens/selective_scan.safetensors");
    for seq_len in [1, 3, 65, 66] {
        let name = |name: &str| format!("scan.L{seq_len}.{name}");
        let get = |key: &str| golden.get(&name(key)).to_vec();
        let shape = golden.shape(&name("in.u"));
        let shape = Shape { batch: shape[0], seq_len, channels: shape[1], states: 16 };
        let tokens = |key: &str, channels: usize| token_major(&get(key), channels, seq_len);
        let activation = |key: &str| tokens(key, shape.channels);
        let pairs = |b: Vec<f64>, c: Vec<f64>| -> Vec<f64> {
            b.chunks(16).zip(c.chunks(16)).flat_map(|(b, c)| [b, c].concat()).collect()
        };
        let problem = Problem {
            shape,
            directions: vec![Inputs {
                order: LeftToRight,
                u: activation("in.u"),
                delta_raw: activation("in.delta"),
                bc: pairs(tokens("in.B", 16), tokens("in.C", 16)),
                a_log: get("in.A").iter().map(|a| (-a).ln()).collect(),
                d_skip: get("in.D"),
                delta_bias: get("in.delta_bias"),
            }],
            z: activation("in.z"),
            direction_sum: 1.0,
            grad_gated: activation("gout0"),
            before: 0.0,
        };
        let (values, grads) = problem.reference();
        let check = |key: &str, got: &[f64], want: &[f64]| {
            assert_close(&name(key), got, want, F64);
        };
        check("out0", &values.gated, &activation("out0"));
        check("grad.z", &grads.z, &activation("grad.z"));
        let grads = &grads.directions[0];
        check("grad.u", &grads.u, &activation("grad.u"));
        check("grad.delta", &grads.delta_raw, &activation("grad.delta"));
        check("grad.B", &grads.b, &tokens("grad.B", 16));
        check("grad.C", &grads.c, &tokens("grad.C", 16));
        check("grad.D", &grads.d_skip, &get("grad.D"));
        check("grad.delta_bias", &grads.delta_bias, &get("grad.delta_bias"));
        let grad_a: Vec<f64> = grads.a_log.iter().zip(get("in.A")).map(|(g, a)| g / a).collect();
        check("grad.A", &grad_a, &get("grad.A"));
    }
}

#[test]
fn reference_gradients_equal_central_differences() {
    let shape = Shape { batch: 2, seq_len: 9, channels: 3, states: 4 };
    let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    assert!(problem.directions[0].delta_raw.iter().any(|&raw| raw > 20.0));
    let (_, grads) = problem.reference();
    differences("z", &problem, |p| &mut p.z, &grads.z);
    for (k, grads) in grads.directions.iter().enumerate() {
        let bc = grads.b.chunks(4).zip(grads.c.chunks(4));
        let bc: Vec<f64> = bc.flat_map(|(b, c)| [b, c].concat()).collect();
        differences("u", &problem, |p| &mut p.directions[k].u, &grads.u);
        differences("delta_raw", &problem, |p| &mut p.directions[k].delta_raw, &grads.delta_raw);
        differences("bc", &problem, |p| &mut p.directions[k].bc, &bc);
        differences("a_log", &problem, |p| &mut p.directions[k].a_log, &grads.a_log);
        differences("d_skip", &problem, |p| &mut p.directions[k].d_skip, &grads.d_skip);
        differences("delta_bias", &problem, |p| &mut p.directions[k].delta_bias, &grads.delta_bias);
    }
}

/// Compares the gradient of the operand that `place` finds with central differences of the loss.
fn differences(
    name: &str,
    problem: &Problem,
    place: impl Fn(&mut Problem) -> &mut Vec<f64>,
    gradient: &[f64],
) {
    let mut moved = problem.clone();
    let x = place(&mut moved).clone();
    let loss = |x: &[f64]| {
        place(&mut moved).copy_from_slice(x);
        moved.loss()
    };
    check_gradient(name, loss, &x, gradient, 40, 1e-7);
}

#[test]
fn cpu_equals_reference_on_every_instruction_set() {
    for shape in SHAPES {
        let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
        let want = problem.reference();
        for set in InstructionSet::available() {
            let got = problem.cpu(set);
            assert_agree(&format!("{} {shape:?}", set.name()), &got, &want, F32);
        }
    }
}

#[test]
fn any_list_of_directions_is_scanned() {
    let shape = Shape { batch: 2, seq_len: 21, channels: 24, states: 16 };
    for orders in [&[LeftToRight][..], &[RightToLeft], &[RightToLeft, LeftToRight]] {
        let problem = Problem::new(shape, orders);
        let want = problem.reference();
        for set in InstructionSet::available() {
            let got = problem.cpu(set);
            assert_agree(&format!("{} {orders:?}", set.name()), &got, &want, F32);
        }
    }
}

/// Steps of 1e-4 to 1e-3 over a thousand tokens: a memory in which any drift adds up, and which
/// errors relative to the largest value would hide beside larger steps.
#[test]
fn small_steps_keep_their_accuracy() {
    let shape = Shape { batch: 1, seq_len: 1026, channels: 24, states: 16 };
    let mut problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    for inputs in &mut problem.directions {
        inputs.delta_bias.fill(0.0);
        for raw in &mut inputs.delta_raw {
            // Uniform raw values of -2 +- 4, mapped to logarithmically uniform steps.
            let delta = 1e-3 * 10f64.powf(-(raw.clamp(-6.0, 2.0) + 6.0) / 8.0);
            *raw = f64::from(delta.exp_m1().ln() as f32);
        }
    }
    let want = problem.reference();
    for set in InstructionSet::available() {
        assert_agree(set.name(), &problem.cpu(set), &want, F32);
    }
}

#[test]
fn gradients_of_parameters_are_added_to() {
    let shape = Shape { batch: 2, seq_len: 5, channels: 24, states: 8 };
    let mut problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    let (_, from_zero) = problem.cpu(InstructionSet::current());
    problem.before = 3.0;
    let (_, added) = problem.cpu(InstructionSet::current());
    for (from_zero, added) in from_zero.directions.iter().zip(&added.directions) {
        for (from_zero, added) in [
            (&from_zero.a_log, &added.a_log),
            (&from_zero.d_skip, &added.d_skip),
            (&from_zero.delta_bias, &added.delta_bias),
        ] {
            let sum: Vec<f32> = from_zero.iter().map(|x| 3.0 + x).collect();
            assert_eq!(&sum, added);
        }
        assert_eq!(from_zero.u, added.u);
    }
}

#[test]
fn equal_bits_whatever_the_threads_do() {
    let shape = Shape { batch: 3, seq_len: 66, channels: 200, states: 16 };
    let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| problem.cpu(InstructionSet::current()))
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads change the result");
    }
}

/// The same problem with the tokens of every image in reverse, seen by the other scan orders.
fn mirrored(problem: &Problem) -> Problem {
    let Shape { channels, states, .. } = problem.shape;
    let reverse =
        |x: &mut Vec<f64>, cols: usize| *x = reversed(x, problem.shape.seq_len * cols, cols);
    let mut mirror = problem.clone();
    reverse(&mut mirror.z, channels);
    reverse(&mut mirror.grad_gated, channels);
    for inputs in &mut mirror.directions {
        reverse(&mut inputs.u, channels);
        reverse(&mut inputs.delta_raw, channels);
        reverse(&mut inputs.bc, 2 * states);
        inputs.order = if inputs.order == LeftToRight { RightToLeft } else { LeftToRight };
    }
    mirror
}

/// Shapes of the law tests: small, none a multiple of anything.
fn small_shape() -> impl Strategy<Value = Shape> {
    (1usize..4, 1usize..22, 1usize..40, prop::sample::select(vec![1, 2, 5, 8, 16]))
        .prop_map(|(batch, seq_len, channels, states)| Shape { batch, seq_len, channels, states })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_past_does_not_see_the_future(shape in small_shape(), cut in 0usize..22) {
        let problem = Problem::new(shape, &[LeftToRight]);
        let cut = cut.min(shape.seq_len);
        let mut changed = problem.clone();
        let change = |x: &mut [f64], cols: usize| {
            for image in x.chunks_mut(shape.seq_len * cols) {
                image[cut * cols..].iter_mut().for_each(|x| *x += 1.0);
            }
        };
        change(&mut changed.directions[0].u, shape.channels);
        change(&mut changed.directions[0].delta_raw, shape.channels);
        change(&mut changed.directions[0].bc, 2 * shape.states);
        let (before, _) = problem.cpu(InstructionSet::current());
        let (after, _) = changed.cpu(InstructionSet::current());
        let len = shape.seq_len * shape.channels;
        for (before, after) in before.gated.chunks(len).zip(after.gated.chunks(len)) {
            prop_assert_eq!(&before[..cut * shape.channels], &after[..cut * shape.channels]);
        }
    }

    #[test]
    fn one_order_mirrors_the_other(shape in small_shape(), two in any::<bool>()) {
        let orders = if two { &[LeftToRight, RightToLeft][..] } else { &[LeftToRight] };
        let problem = Problem::new(shape, orders);
        let (values, grads) = problem.cpu(InstructionSet::current());
        let (mirror_values, mirror_grads) = mirrored(&problem).cpu(InstructionSet::current());
        let back = |x: &[f32], cols: usize| reversed(x, shape.seq_len * cols, cols);
        prop_assert_eq!(&values.gated, &back(&mirror_values.gated, shape.channels));
        prop_assert_eq!(&grads.z, &back(&mirror_grads.z, shape.channels));
        for (grads, mirror) in grads.directions.iter().zip(&mirror_grads.directions) {
            prop_assert_eq!(&grads.u, &back(&mirror.u, shape.channels));
            prop_assert_eq!(&grads.delta_raw, &back(&mirror.delta_raw, shape.channels));
            prop_assert_eq!(&grads.b, &back(&mirror.b, shape.states));
            prop_assert_eq!(&grads.c, &back(&mirror.c, shape.states));
            prop_assert_eq!(&grads.a_log, &mirror.a_log);
            prop_assert_eq!(&grads.d_skip, &mirror.d_skip);
            prop_assert_eq!(&grads.delta_bias, &mirror.delta_bias);
        }
    }

    #[test]
    fn the_output_is_linear_in_u(shape in small_shape(), factor in -2.0f32..2.0) {
        let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
        let gated = |u: &dyn Fn(f64, f64) -> f64| {
            let mut problem = problem.clone();
            for inputs in &mut problem.directions {
                let other: Vec<f64> = inputs.u.iter().rev().copied().collect();
                inputs.u.iter_mut().zip(other).for_each(|(x, y)| *x = u(*x, y));
            }
            problem.cpu(InstructionSet::current()).0.gated
        };
        let factor = f64::from(factor);
        let whole = gated(&|x, y| x + factor * y);
        let parts = gated(&|x, _| x).into_iter().zip(gated(&|_, y| y));
        let sum: Vec<f64> = parts.map(|(x, y)| f64::from(x) + factor * f64::from(y)).collect();
        let largest = sum.iter().fold(0.0f64, |m, x| m.max(x.abs())).max(0.1);
        for (got, want) in whole.iter().zip(&sum) {
            prop_assert!((f64::from(*got) - want).abs() <= 1e-5 * largest);
        }
    }

    #[test]
    fn images_do_not_see_each_other(shape in small_shape()) {
        let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
        let mut swapped = problem.clone();
        let (tokens, mut activations) =
            (shape.seq_len, vec![&mut swapped.z, &mut swapped.grad_gated]);
        let mut pairs = Vec::new();
        for inputs in &mut swapped.directions {
            activations.extend([&mut inputs.u, &mut inputs.delta_raw]);
            pairs.push(&mut inputs.bc);
        }
        activations.into_iter().for_each(|x| x.rotate_left(tokens * shape.channels));
        pairs.into_iter().for_each(|x| x.rotate_left(tokens * 2 * shape.states));
        let rotated = |x: &[f32], cols: usize| {
            let mut x = x.to_vec();
            x.rotate_left(tokens * cols);
            x
        };
        let (values, grads) = problem.cpu(InstructionSet::current());
        let (swapped_values, swapped_grads) = swapped.cpu(InstructionSet::current());
        prop_assert_eq!(rotated(&values.gated, shape.channels), swapped_values.gated);
        prop_assert_eq!(rotated(&grads.z, shape.channels), swapped_grads.z);
        for (grads, swapped) in grads.directions.iter().zip(&swapped_grads.directions) {
            prop_assert_eq!(rotated(&grads.u, shape.channels), &swapped.u[..]);
            prop_assert_eq!(rotated(&grads.b, shape.states), &swapped.b[..]);
            prop_assert_eq!(rotated(&grads.c, shape.states), &swapped.c[..]);
        }
    }
}

/// Which operand to spoil.
type Spoil = fn(&mut Args<'_, f32>, &mut [Direction<'_, f32>]);

#[test]
fn operands_that_do_not_fit_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, channels: 5, states: 4 };
    let problem = Problem::new(shape, &[LeftToRight, RightToLeft]);
    let spoils: [(&str, Spoil); 9] = [
        ("u has", |_, d| d[1].u = &d[1].u[1..]),
        ("delta_raw has", |_, d| d[0].delta_raw = &d[0].delta_raw[1..]),
        ("bc is 6x4", |_, d| d[0].bc = Mat::new(&d[0].u[..24], 6, 4)),
        ("a_log has", |_, d| d[0].a_log = &d[0].a_log[1..]),
        ("d_skip has", |_, d| d[0].d_skip = &d[0].d_skip[1..]),
        ("delta_bias has", |_, d| d[0].delta_bias = &d[0].delta_bias[1..]),
        ("z is 5x6", |a, _| a.z = a.z.t()),
        ("states is 0", |a, _| a.shape.states = 0),
        ("u has 30 elements, expected 60", |a, _| a.shape.batch = 4),
    ];
    for (name, spoil) in spoils {
        problem.with_args(|args: &Args<'_, f32>| {
            // Operands of one call share a lifetime, which a local would not outlive.
            let directions = args.directions.to_vec().leak();
            let mut args = *args;
            spoil(&mut args, directions);
            assert_refused(name, &Args { directions, ..args }, 30);
        });
    }
    problem.with_args(|args: &Args<'_, f32>| {
        assert_refused("number of directions is 0", &Args { directions: &[], ..*args }, 30);
        assert_refused("gated has 29 elements", args, 29);
    });
}

/// Both value passes refuse with a message that holds `part`.
#[track_caller]
fn assert_refused(part: &str, args: &Args<'_, f32>, out_len: usize) {
    let mut gated = vec![0.0; out_len];
    for run in [cpu::forward, reference::forward] {
        let out = Output::<_> { gated: &mut gated, kept: None };
        let error = run(args, out, &mut Scratch::new()).expect_err(part).to_string();
        assert!(error.contains("selective_scan") && error.contains(part), "{error}: no {part}");
    }
}

#[test]
fn gradients_that_do_not_fit_are_named() {
    let shape = Shape { batch: 2, seq_len: 3, channels: 5, states: 4 };
    let problem = Problem::new(shape, &[LeftToRight]);
    let states = cpu::states_len(shape, 1);
    let whole = [30, states, 30, 30, 30, 8, 20, 5, 5, 5, 30, 1];
    let names = [
        "pre_gate",
        "states",
        "grad_gated",
        "grads.u",
        "grads.delta_raw",
        "grads.bc",
        "grads.a_log",
        "grads.d_skip",
        "grads.delta_bias",
        "grads.z",
        "gated",
        "grads.directions",
    ];
    refuse_gradients(&problem, whole).expect("all operands fit");
    for (k, name) in names.into_iter().enumerate() {
        let mut lengths = whole;
        lengths[k] -= 1;
        let error = refuse_gradients(&problem, lengths).expect_err(name).to_string();
        assert!(error.contains("selective_scan") && error.contains(name), "{error}: no {name}");
    }
}

/// The gradient pass with operands of the given lengths; of matrices, columns.
fn refuse_gradients(problem: &Problem, lengths: [usize; 12]) -> Result<(), KernelError> {
    let [
        pre_gate,
        states,
        grad_gated,
        u,
        delta_raw,
        bc,
        a_log,
        d_skip,
        delta_bias,
        z,
        gated,
        directions,
    ] = lengths.map(|len| vec![0.0f32; 6 * len]);
    let cut = |x: &[f32]| convert::<f32>(&vec![0.0; x.len() / 6]);
    let [mut u, mut delta_raw, mut a_log, mut d_skip, mut delta_bias] =
        [u, delta_raw, a_log, d_skip, delta_bias].map(|x| cut(&x));
    let (mut bc, mut z) = (bc, z);
    let (bc_cols, z_cols) = (bc.len() / 6, z.len() / 6);
    let grads = DirectionGrads::<_> {
        u: &mut u,
        delta_raw: &mut delta_raw,
        bc: MatMut::new(&mut bc, 6, bc_cols),
        a_log: &mut a_log,
        d_skip: &mut d_skip,
        delta_bias: &mut delta_bias,
    };
    let mut all = [grads];
    let mut gated = cut(&gated);
    let grads = Grads {
        directions: &mut all[..directions.len() / 6],
        z: MatMut::new(&mut z, 6, z_cols),
        gated: &mut gated,
    };
    problem.with_args(|args| {
        let kept = Kept::<_> { pre_gate: &cut(&pre_gate), states: &cut(&states) };
        cpu::backward(args, kept, &cut(&grad_gated), grads, &mut Scratch::new())
    })
}
