//! Keys and types: unknown, missing and mistyped ones.

use super::{assert_message, assert_set_fails, edited, line_of, parse, quickstart, set};
use std::fs;
use trainer::{ConfigError, Experiment};

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
        "--set steps=5: unknown key steps; did you mean train.steps or sample.steps or eval.steps?",
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
            "steps = 1200",
            "steps = \"many\"",
            "train.steps is \"many\", expected a whole number, 0 or more",
        ),
        (
            "steps = 1200",
            "steps = -1200",
            "train.steps is -1200, expected a whole number, 0 or more",
        ),
        ("steps = 1200", "steps = 9.5", "train.steps is 9.5, expected a whole number, 0 or more"),
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
            "sample.sampler is \"plms\", expected one of \"ddpm\", \"ddim\"",
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
    for key in ["ema_decay", "ema_power"] {
        for value in ["\"x\"", "true", "[0.9, \"x\"]", "[[0.9]]"] {
            assert_set_fails(
                &[&format!("train.{key}={value}")],
                &format!(
                    "--set train.{key}={value}: train.{key} is {value}, expected a number, or a \
                     list of numbers: [0.1, 0.2]"
                ),
            );
        }
    }
    let whole = "expected a whole number, 0 or more";
    for key in ["ema_snapshot_every", "decay_after"] {
        assert_set_fails(
            &[&format!("train.{key}=0.5")],
            &format!("--set train.{key}=0.5: train.{key} is 0.5, {whole}"),
        );
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
    let message = parse(&edited("steps = 1200", "steps = = 9"), &[]).unwrap_err().to_string();
    assert!(message.starts_with("x.toml: TOML parse error at line "), "{message}");
    assert!(message.contains("steps = = 9") && message.contains('^'), "{message}");
    let twice = edited("steps = 1200", "steps = 1200\nsteps = 901");
    assert!(parse(&twice, &[]).unwrap_err().to_string().contains("duplicate key"));
    assert_set_fails(
        &["train.steps"],
        "--set train.steps: expected KEY=VALUE, such as train.steps=1000",
    );
    assert_set_fails(&["train.=5"], "--set train.=5: expected KEY=VALUE, such as train.steps=1000");
    assert_set_fails(&["=5"], "--set =5: expected KEY=VALUE, such as train.steps=1000");
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
    let experiment =
        set(&["train.micro_batch=8", "data.workers=1", "model.normalize_ssm_inputs=false"]);
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
