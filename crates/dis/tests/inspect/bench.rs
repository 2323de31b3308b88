//! `dis bench`: what it prints, never how fast it was.

use super::{AsArg, dis, model_golden};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn quickstart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml")
}

fn json(args: &[&dyn AsArg]) -> Value {
    let file = quickstart();
    let fixed: [&dyn AsArg; 7] = [&"bench", &file, &"--batch", &"2", &"--rounds", &"3", &"--json"];
    serde_json::from_str(&dis(&[&fixed, args].concat()).succeeds().stdout).unwrap()
}

#[test]
fn bench_accounts_for_the_time_of_both_passes() {
    for (flags, pass, optimises) in
        [(&[][..], "forward", false), (&[&"--train" as &dyn AsArg], "training", true)]
    {
        let found = json(flags);
        assert_eq!((&found["pass"], &found["images"]), (&pass.into(), &2.into()));
        let number = |value: &Value| value.as_f64().unwrap();
        let [min, median, max] = ["min", "median", "max"].map(|key| number(&found["ms"][key]));
        assert!(0.0 < min && min <= median && median <= max, "{found:#}");
        let parts = found["parts"].as_array().unwrap();
        let ms =
            |name: &str| number(&parts.iter().find(|part| part["name"] == name).unwrap()["ms"]);
        for name in ["matrix products", "scan", "convolution", "norms", "patches"] {
            assert!(ms(name) > 0.0, "{name} in {found:#}");
        }
        assert_eq!(ms("optimiser") > 0.0, optimises, "{found:#}");
        // Rounds of the total and of the parts differ by what else the machine does.
        let sum: f64 = parts.iter().map(|part| number(&part["ms"])).sum();
        assert!(ms("other") >= 0.0 && sum >= 0.999 * median && sum < 10.0 * max, "{found:#}");
        for ceiling in ["multiply_add_gflops", "exp_giga_per_second", "copy_gbytes_per_second"] {
            assert!(number(&found["ceilings"][ceiling]) > 0.0, "{found:#}");
        }
        assert!(number(&found["gflops"]) > 0.0 && number(&found["images_per_second"]) > 0.0);
        let weights = found["bytes"]["weights"].as_u64().unwrap();
        assert_eq!(found["bytes"]["moments"], if optimises { 2 * weights } else { 0 });
        if cfg!(target_os = "linux") {
            assert!(found["page_faults_per_round"].is_number(), "{found:#}");
        }
    }
}

#[test]
fn bench_prints_one_screen_and_takes_what_info_takes() {
    let weights = model_golden("mini_checkpoint.safetensors");
    let run = dis(&[&"bench", &weights, &"--batch", &"1", &"--rounds", &"2"]).succeeds();
    let rows = ["measured", "machine", "ceilings", "rounds", "speed", "matrix products", "total"];
    for row in rows {
        assert!(
            run.stdout.lines().any(|line| line.starts_with(row)),
            "no {row} in\n{}",
            run.stdout
        );
    }
    assert!(run.stdout.contains("width 32, depth 4") && run.stdout.lines().count() < 24);
}

#[test]
fn threads_are_as_many_as_asked_for() {
    for threads in [1_u64, 3] {
        assert_eq!(json(&[&"--threads", &threads.to_string().as_str()])["threads"], threads);
    }
    for command in ["bench S/2", "train", "sample runs/none", "forward"] {
        for wrong in ["0", "1025", "two", "-1"] {
            let flag = format!("--threads={wrong}");
            let mut args: Vec<&str> = command.split(' ').collect();
            args.push(&flag);
            let args: Vec<&dyn AsArg> = args.iter().map(|arg| arg as &dyn AsArg).collect();
            dis(&args).refuses(2, &["--threads", wrong]);
        }
    }
}

#[test]
fn bench_refuses_what_is_no_network_and_what_cannot_fit() {
    dis(&[&"bench", &"XL/2"]).refuses(2, &["XL/2", "S-384"]);
    dis(&[&"bench", &"S/5"]).refuses(2, &["patch_size is 5"]);
    dis(&[&"bench", &"nothing.safetensors"]).refuses(65, &["nothing.safetensors"]);
    dis(&[&"bench", &"nothing.toml"]).refuses(2, &["nothing.toml"]);
    dis(&[&"bench", &quickstart(), &"--patch", &"4"]).refuses(2, &["--patch"]);
    dis(&[&"bench", &"S/2", &"--batch", &"0"]).refuses(2, &["--batch"]);
    dis(&[&"bench", &"S/2", &"--rounds", &"0"]).refuses(2, &["--rounds"]);
    if cfg!(target_os = "linux") {
        dis(&[&"bench", &"H/2", &"--image-size", &"512", &"--batch", &"4096", &"--train"])
            .refuses(2, &["of memory", "--batch 1"]);
    }
}
