//! `cargo xtask ci`: the stages that CI and a laptop run alike.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use xshell::Shell;

use crate::process::{cargo, format_duration, run_cargo};
use crate::{devices, kernels, suite, tidy};

struct Stage {
    name: &'static str,
    /// The command that runs this stage alone, as a person would type it.
    command: &'static str,
    action: Action,
}

enum Action {
    /// Run [`Stage::command`], which starts with `cargo`, with these environment variables.
    Cargo(&'static [(&'static str, &'static str)]),
    /// Call one of our own tasks.
    Task(fn(&Shell) -> Result<()>),
}

/// Cheap stages first. Nothing uses the release profile: dependencies are checked once, for lints
/// and docs, and built once, for tests.
const STAGES: [Stage; 7] = [
    Stage { name: "format", command: "cargo fmt --all -- --check", action: Action::Cargo(&[]) },
    Stage { name: "tidy", command: "cargo xtask tidy", action: Action::Task(tidy::run) },
    Stage {
        name: "clippy",
        // `--force-warn` keeps the length of functions a warning under `-D warnings`.
        command: "cargo clippy --workspace --all-targets -- \
                  -D warnings --force-warn clippy::too_many_lines",
        action: Action::Cargo(&[]),
    },
    Stage { name: "devices", command: devices::LINT, action: Action::Task(devices::lint) },
    Stage {
        name: "docs",
        command: "cargo doc --workspace --no-deps",
        action: Action::Cargo(&[("RUSTDOCFLAGS", "-Dwarnings")]),
    },
    Stage {
        name: "kernels",
        command: "cargo xtask kernels check && cargo xtask kernels bindings --check",
        action: Action::Task(kernels::ci),
    },
    Stage {
        name: "test",
        command: "cargo xtask test",
        action: Action::Task(|shell| suite::run(shell, &[])),
    },
];

/// Runs the stages in order, stops at the first failure, and ends with a table of times.
pub(crate) fn run(shell: &Shell) -> Result<()> {
    let mut times = Vec::new();
    for stage in &STAGES {
        println!("\n=== {}", stage.name);
        let start = Instant::now();
        let result = stage.run(shell);
        times.push(start.elapsed());
        println!("=== {} took {}", stage.name, format_duration(start.elapsed()));
        if let Err(error) = result {
            eprintln!("error: {error:#}");
            print!("\n{}", summary(&times, true));
            bail!("stage {} failed; run it alone with\n    {}", stage.name, stage.command_line());
        }
    }
    print!("\n{}", summary(&times, false));
    Ok(())
}

impl Stage {
    fn run(&self, shell: &Shell) -> Result<()> {
        match self.action {
            Action::Task(task) => task(shell),
            Action::Cargo(variables) => {
                let arguments = self.command.split_whitespace().skip(1);
                run_cargo(cargo(shell).args(arguments).envs(variables.iter().copied()))
            }
        }
    }

    fn command_line(&self) -> String {
        let variables = match self.action {
            Action::Task(_) => &[][..],
            Action::Cargo(variables) => variables,
        };
        let assignments: String =
            variables.iter().map(|(key, value)| format!("{key}={value} ")).collect();
        assignments + self.command
    }
}

fn summary(times: &[Duration], last_failed: bool) -> String {
    let mut table = String::new();
    for (index, stage) in STAGES.iter().enumerate() {
        let (result, time) = match times.get(index) {
            None => ("not run", String::new()),
            Some(time) if last_failed && index + 1 == times.len() => {
                ("FAILED", format_duration(*time))
            }
            Some(time) => ("ok", format_duration(*time)),
        };
        let row = format!("{:8} {result:7} {time:>12}", stage.name);
        table += &format!("{}\n", row.trim_end());
    }
    table + &format!("{:16} {:>12}\n", "total", format_duration(times.iter().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_shows_every_stage() {
        let times = [Duration::from_millis(800), Duration::from_secs(75)];
        let expected = "\
format   ok             0.8 s
tidy     FAILED    1 min 15 s
clippy   not run
devices  not run
docs     not run
kernels  not run
test     not run
total              1 min 16 s
";
        assert_eq!(summary(&times, true), expected);
        assert!(summary(&times, false).contains("tidy     ok        1 min 15 s"));
    }

    #[test]
    fn every_stage_can_be_typed_by_hand() {
        for stage in &STAGES {
            assert!(stage.command.starts_with("cargo "), "{}", stage.command);
        }
        assert_eq!(
            STAGES[4].command_line(),
            "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps"
        );
    }
}
