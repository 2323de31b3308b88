//! What can be wrong with an experiment file.

use std::path::PathBuf;

/// Why an experiment was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is far larger than any experiment.
    #[error("{}: more than {limit} bytes, which is no experiment file", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes that are read.
        limit: u64,
    },
    /// The text is no TOML.
    #[error("{origin}: {message}")]
    Syntax {
        /// The file.
        origin: String,
        /// Place and reason, with the line and a caret.
        message: String,
    },
    /// A `--set` that does not say what to set.
    #[error("--set {argument}: expected KEY=VALUE, such as train.steps=1000")]
    Set {
        /// The argument as given.
        argument: String,
    },
    /// Keys or values that were refused: all of them, one to a line.
    #[error("{}", join(problems))]
    Problems {
        /// Every problem found.
        problems: Vec<Problem>,
    },
}

/// One key or value that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A key that no experiment has.
    #[error("{location}: unknown key {key}{}", did_you_mean(suggestions))]
    UnknownKey {
        /// File and line, or the `--set` argument.
        location: String,
        /// The key in full.
        key: String,
        /// The nearest keys that exist.
        suggestions: Vec<String>,
    },
    /// A table that no experiment has.
    #[error("{location}: unknown table [{table}]{}", did_you_mean(&in_brackets(suggestions)))]
    UnknownTable {
        /// File and line.
        location: String,
        /// Its name.
        table: String,
        /// The nearest tables that exist.
        suggestions: Vec<String>,
    },
    /// A key that every experiment must have.
    #[error("{origin}: missing key {key}")]
    MissingKey {
        /// The file.
        origin: String,
        /// The key in full.
        key: String,
    },
    /// A table that every experiment must have.
    #[error("{origin}: missing table [{table}]")]
    MissingTable {
        /// The file.
        origin: String,
        /// Its name.
        table: String,
    },
    /// A value of the wrong type, out of range, or contradicting another.
    #[error("{location}: {key} is {got}, expected {expected}")]
    Value {
        /// File and line, or the `--set` argument.
        location: String,
        /// The key in full.
        key: String,
        /// The value given.
        got: String,
        /// What would do.
        expected: String,
    },
    /// Values that do not go together.
    #[error("{location}: {what}; {help}")]
    Combination {
        /// File and line, or the `--set` argument, of one of them.
        location: String,
        /// The values.
        what: String,
        /// Why not, and the nearest that do.
        help: String,
    },
}

fn did_you_mean(suggestions: &[String]) -> String {
    if suggestions.is_empty() {
        return String::new();
    }
    format!("; did you mean {}?", suggestions.join(" or "))
}

fn in_brackets(tables: &[String]) -> Vec<String> {
    tables.iter().map(|table| format!("[{table}]")).collect()
}

fn join(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    if problems
        .iter()
        .any(|p| matches!(p, Problem::MissingKey { .. } | Problem::MissingTable { .. }))
    {
        lines.push(
            "help: every key that changes a number must be present; \
             configs/quickstart.toml has them all, each with its meaning"
                .into(),
        );
    }
    lines.join("\n")
}
