//! `[eval]`: evaluation of a run while it is trained.

use super::{assert_message, assert_set_fails, line_of, parse, quickstart, set};
use diffusion::{SamplerKind, Spacing};
use std::path::Path;
use trainer::{Experiment, may_change};

/// The least that the table says.
const LEAST: &str = "
[eval]
every = 300
count = 1000
reference = \"shapes.npz\"
features = \"pixels\"
protocol = \"adm\"
";

fn with_table(sets: &[&str]) -> Experiment {
    parse(&(quickstart() + LEAST), sets).unwrap_or_else(|error| panic!("{sets:?}: {error}"))
}

#[test]
fn the_table_may_be_absent_and_reads_back_where_it_is_not() {
    assert_eq!(set(&[]).eval, None);
    assert!(!set(&[]).to_toml().contains("[eval]"));
    let least = with_table(&[]);
    let eval = least.eval.as_ref().unwrap();
    assert_eq!((eval.every, eval.count, &*eval.features), (300, 1000, "pixels"));
    assert_eq!((eval.reference.as_path(), &*eval.protocol), (Path::new("shapes.npz"), "adm"));
    assert_eq!((&eval.metrics, eval.sampler, eval.steps, eval.batch), (&None, None, None, None));
    let full = with_table(&[
        "eval.metrics=[\"fid\", \"pr\"]",
        "eval.sampler=dpmpp_2m",
        "eval.steps=12",
        "eval.batch=64",
    ]);
    for experiment in [least, full] {
        let text = experiment.to_toml();
        assert_eq!(parse(&text, &[]).unwrap(), experiment, "{text}");
    }
}

#[test]
fn evaluation_may_change_while_a_run_goes_on() {
    let (without, with) = (set(&[]), with_table(&[]));
    assert_eq!(without.identity(), with.identity());
    let changes = without.differences(&with);
    assert_eq!(changes.len(), 5);
    assert!(changes.iter().all(|change| may_change(&change.key)), "{changes:?}");
    assert_eq!(
        with.differences(&with_table(&["eval.every=5"]))[0].to_string(),
        "eval.every: 300 -> 5"
    );
}

#[test]
fn its_sampler_is_that_of_previews_unless_it_says_otherwise() {
    let plan = |sets: &[&str]| {
        let experiment = with_table(&[&["sample.spacing=quadratic"], sets].concat());
        experiment.eval.as_ref().unwrap().plan(&experiment.sample).unwrap()
    };
    let previews = set(&["sample.spacing=quadratic"]).sample.plan().unwrap();
    assert_eq!(plan(&[]), previews);
    let longer = plan(&["eval.steps=100"]);
    assert_eq!(
        (longer.steps.to_string(), longer.spacing),
        ("100".into(), Some(Spacing::Quadratic))
    );
    let other = plan(&["eval.sampler=dpmpp_2m"]);
    assert_eq!((other.sampler, other.spacing), (SamplerKind::DpmPp2m, None));
    assert_eq!(other.steps, previews.steps);
    assert_eq!(plan(&["eval.sampler=ddim"]), previews);
}

#[test]
fn keys_are_missing_unknown_or_of_another_type() {
    assert_set_fails(
        &["eval.every=5"],
        "x.toml: missing key eval.count\nx.toml: missing key eval.reference\n\
         x.toml: missing key eval.features\nx.toml: missing key eval.protocol\n\
         help: every key that changes a number must be present; configs/quickstart.toml has them \
         all, each with its meaning",
    );
    let text = quickstart() + LEAST + "metric = [\"fid\"]\n";
    let line = line_of(&text, "metric = ");
    let expected = format!("x.toml:{line}: unknown key eval.metric; did you mean eval.metrics?");
    assert_message(parse(&text, &[]), &expected);
    let text = (quickstart() + LEAST).replace("[eval]", "[evall]");
    let line = line_of(&text, "[evall]");
    let expected = format!("x.toml:{line}: unknown table [evall]; did you mean [eval]?");
    assert_message(parse(&text, &[]), &expected);
    for value in ["fid", "[1]", "true"] {
        let message = parse(&(quickstart() + LEAST), &[&format!("eval.metrics={value}")])
            .unwrap_err()
            .to_string();
        let shown = if value == "fid" { "\"fid\"" } else { value };
        let expected =
            format!("eval.metrics is {shown}, expected a list of names: [\"fid\", \"is\"]");
        assert!(message.ends_with(&expected), "{message}");
    }
}

#[test]
fn ranges_are_checked_and_all_problems_told_at_once() {
    let refused = [
        ("eval.every=-1", "eval.every is -1, expected a whole number, 0 or more"),
        ("eval.count=1", "eval.count is 1, expected 2 to 100000000"),
        ("eval.reference=''", "eval.reference is \"\", expected a file or folder"),
        ("eval.features=''", "eval.features is \"\", expected the weights of Inception,"),
        ("eval.metrics=[]", "eval.metrics is [], expected a name or several, or no such key"),
        (
            "eval.metrics=['is', 'fid', 'is']",
            "eval.metrics is \"is\" twice, expected different names",
        ),
        ("eval.steps=0", "eval.steps is 0, expected 1 to diffusion.timesteps 1000"),
        ("eval.steps=1001", "eval.steps is 1001, expected 1 to diffusion.timesteps 1000"),
        ("eval.batch=0", "eval.batch is 0, expected 1 to 4096"),
        ("eval.sampler=plms", "eval.sampler is \"plms\", expected one of \"ddpm\", \"ddim\""),
    ];
    for (argument, expected) in refused {
        let message = parse(&(quickstart() + LEAST), &[argument]).unwrap_err().to_string();
        assert!(message.contains(expected), "{argument}: {message}");
    }
    let message = parse(&(quickstart() + LEAST), &["eval.count=1", "eval.batch=0", "eval.steps=0"])
        .unwrap_err()
        .to_string();
    assert_eq!(message.lines().count(), 3, "{message}");
    // An interval of zero switches it off.
    with_table(&["eval.every=0"]);
}
