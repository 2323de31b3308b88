//! `--device`: what is said where it cannot be, and, in builds with the emulator, what is computed there.

use super::dis;

/// Commands that compute, each complete but for the device.
fn commands() -> [Vec<&'static str>; 3] {
    [vec!["bench", "S/4"], vec!["train"], vec!["doctor"]]
}

#[test]
fn a_gpu_that_is_not_there_is_an_error_and_never_the_cpu() {
    // With the feature there is a driver or none; a hundred GPUs there are not.
    let (code, words): (_, &[&str]) = match cfg!(feature = "cuda") {
        true => (74, &["--device cuda:99: "]),
        false => (
            2,
            &[
                "--device cuda:99: ",
                "CPU alone",
                "cargo build --release --features cuda",
                "cargo xtask train --device cuda",
            ],
        ),
    };
    for mut command in commands() {
        command.extend(["--device", "cuda:99"]);
        let args: Vec<&dyn super::AsArg> = command.iter().map(|arg| arg as _).collect();
        let run = dis(&args);
        if cfg!(feature = "cuda") {
            let why = ["no NVIDIA driver", "no cuBLAS", "cannot open GPU 99 of"];
            assert!(why.iter().any(|why| run.stderr.contains(why)), "{command:?}: {}", run.stderr);
        }
        run.refuses(code, words);
    }
}

#[test]
fn info_plans_for_gpus_that_are_not_there_and_says_so() {
    let text = dis(&[&"info", &"H/2", &"--device", &"cuda:99"]).succeeds().stdout;
    for words in [
        "on a GPU       19.8 GB training state, 22 bytes a parameter",
        "activations in bf16",
        "states every 16 tokens",
        "train.recompute = \"scan\"",
        "  24 GB\n",
        "  141 GB\n",
        "no GPU was looked at: --device cuda:99: ",
    ] {
        assert!(text.contains(words), "no {words:?} in\n{text}");
    }
    let json = dis(&[&"info", &"H/2", &"--device", &"cuda:99", &"--json"]).succeeds().stdout;
    let found: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["bytes"]["training_state"], 22 * found["parameters"].as_u64().unwrap());
    let spaces = found["images_at_once"].as_array().unwrap();
    let images: Vec<u64> = spaces.iter().map(|s| s["training"].as_u64().unwrap()).collect();
    assert!(images.len() == 4 && images.is_sorted() && images[3] > 50, "{images:?}");

    let table = dis(&[&"info", &"--device", &"cuda:99"]).succeeds().stdout;
    assert!(table.lines().any(|line| line.starts_with("S-384")), "{table}");
    assert!(table.contains("24 GB") && table.contains("no GPU was looked at"), "{table}");
    dis(&[&"info", &"S/2", &"--precision", &"bf16"]).refuses(2, &["--precision bf16", "CPU"]);
}

#[test]
fn doctor_says_which_gpus_there_are_or_why_there_are_none() {
    let text = dis(&[&"doctor"]).succeeds().stdout;
    let line = text.lines().find(|line| line.starts_with("GPUs")).unwrap();
    if cfg!(feature = "cuda") {
        assert!(text.contains("CPU and CUDA") && line.contains("cuda:0"), "{text}");
    } else {
        assert!(text.contains("CPU only") && text.contains("--features cuda"), "{text}");
    }
}

#[cfg(feature = "emulated")]
mod emulated {
    use crate::inspect::{COND, dis, model_golden, tensors::Tensors};
    use crate::{Case, UNCOND};

    const F32: [&str; 4] = ["--device", "emulated", "--precision", "f32"];
    const BF16: [&str; 2] = ["--device", "emulated"];

    #[test]
    fn forward_gives_the_outputs_and_gradients_of_the_cpu() {
        for name in [COND, UNCOND] {
            let case = Case::new(name);
            let cpu_run = case.forward(&[]).succeeds();
            let cpu = case.out();
            assert!(cpu_run.stdout.contains("backend  cpu, "), "{}", cpu_run.stdout);
            for (flags, format, out_bar, grad_bar) in
                [(&F32[..], "f32", 1e-5, 5e-5), (&BF16, "bf16", 2e-2, 5e-2)]
            {
                let run = case.forward(flags).succeeds();
                let words = format!("backend  emulated, {format}, ");
                assert!(run.stdout.contains(&words), "{}", run.stdout);
                let there = case.out();
                assert!(there.keys().eq(cpu.keys()));
                let error = there["out"].relative_error(&cpu["out"]);
                assert!(error < out_bar, "{name}, {format}: out is off by {error:e}");
                let error = error_of_gradients(&there, &cpu);
                assert!(error < grad_bar, "{name}, {format}: gradients are off by {error:e}");
            }
        }
    }

    /// Norm of the difference of all gradients in that of the gradients: sums of single ones cancel,
    /// and what remains has few of the digits of bf16.
    fn error_of_gradients(there: &Tensors, cpu: &Tensors) -> f64 {
        let all = |tensors: &Tensors| -> Vec<f64> {
            let grads = tensors.iter().filter(|(name, _)| name.starts_with("grad."));
            grads.flat_map(|(_, tensor)| tensor.values()).collect()
        };
        let (there, cpu) = (all(there), all(cpu));
        let norm =
            |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
        let difference = norm(&mut there.iter().zip(&cpu).map(|(a, b)| a - b));
        difference / norm(&mut cpu.iter().copied())
    }

    #[test]
    fn forward_refuses_two_computers_at_once() {
        let case = Case::new(COND);
        for backend in ["cpu", "reference"] {
            case.forward(&["--backend", backend, "--device", "emulated"])
                .refuses(2, &["--backend", backend, "not on emulated", "help: "]);
        }
    }

    #[test]
    fn bench_measures_totals_and_says_that_there_are_no_parts() {
        let weights = model_golden("mini_checkpoint.safetensors");
        for (train, pass) in [(false, "forward"), (true, "training")] {
            let mut args: Vec<&dyn crate::inspect::AsArg> =
                vec![&"bench", &weights, &"--batch", &"2", &"--rounds", &"3"];
            args.extend(BF16.iter().map(|arg| arg as &dyn crate::inspect::AsArg));
            if train {
                args.push(&"--train");
            }
            let text = dis(&args).succeeds().stdout;
            for row in ["measured", "machine      emulated", "rounds", "speed", "parts        not"]
            {
                assert!(text.lines().any(|line| line.starts_with(row)), "no {row} in\n{text}");
            }
            args.push(&"--json");
            let found: serde_json::Value =
                serde_json::from_str(&dis(&args).succeeds().stdout).unwrap();
            assert_eq!((&found["pass"], &found["precision"]), (&pass.into(), &"bf16".into()));
            assert!(found["images_per_second"].as_f64().unwrap() > 0.0, "{found:#}");
        }
    }
}
