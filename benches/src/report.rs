//! The table of results: on screen as it grows, and as Markdown.

use std::fmt::Write as _;
use std::io::{self, Write};

/// A number with its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// How many times as fast as the peer.
    Times(f64),
    /// A part of one.
    Share(f64),
    /// Events a second.
    PerSecond(f64),
    /// Bytes; less is better.
    Bytes(f64),
    /// A cost over another; less is better.
    Growth(f64),
}

impl Figure {
    fn value(self) -> f64 {
        match self {
            Self::Times(v) | Self::Share(v) | Self::PerSecond(v) | Self::Bytes(v) => v,
            Self::Growth(v) => v,
        }
    }

    fn less_is_better(self) -> bool {
        matches!(self, Self::Bytes(_) | Self::Growth(_))
    }

    /// The number alone, with the digits that its noise leaves.
    fn shown(self, value: f64) -> String {
        match self {
            Self::Times(_) if value < 10.0 => format!("{value:.2}x"),
            Self::Times(_) => format!("{value:.1}x"),
            Self::Share(_) => format!("{:.1} %", 100.0 * value),
            Self::PerSecond(_) => format!("{value:.1}/s"),
            Self::Bytes(_) => format!("{:.2} GB", value / 1e9),
            Self::Growth(_) => format!("{value:.2}x"),
        }
    }
}

/// What a figure should be, in its own unit.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// At least this, or at most where less is better.
    pub least: f64,
    /// Better this.
    pub goal: f64,
}

/// One result.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What was measured.
    pub case: String,
    /// Our time or rate.
    pub ours: String,
    /// The peer's.
    pub peer: String,
    /// What comes of it.
    pub result: Option<Figure>,
    /// What should come of it.
    pub mark: Option<Mark>,
}

const HEADER: [&str; 7] = ["case", "ours", "peer", "result", "mark", "goal", "met"];
const WIDTHS: [usize; 7] = [38, 25, 27, 10, 11, 11, 6];

impl Line {
    fn cells(&self) -> [String; 7] {
        let result = self.result.map_or(String::new(), |result| result.shown(result.value()));
        let (mark, goal, met) = match (self.result, self.mark) {
            (Some(result), Some(mark)) => {
                let sign = if result.less_is_better() { "<= " } else { "" };
                let met = verdict(result, mark).to_string();
                (sign.to_string() + &result.shown(mark.least), result.shown(mark.goal), met)
            }
            _ => Default::default(),
        };
        [self.case.clone(), self.ours.clone(), self.peer.clone(), result, mark, goal, met]
    }
}

fn verdict(result: Figure, mark: Mark) -> &'static str {
    let sign = if result.less_is_better() { -1.0 } else { 1.0 };
    let reaches = |bar: f64| sign * result.value() >= sign * bar;
    match (reaches(mark.least), reaches(mark.goal)) {
        (true, true) => "goal",
        (true, false) => "yes",
        _ => "NO",
    }
}

/// Prints lines as they come and keeps them.
pub struct Report {
    screen: Box<dyn Write>,
    markdown: String,
}

impl Report {
    /// Starts a table below some words on the run.
    ///
    /// # Errors
    /// When the screen cannot be written.
    pub fn new(screen: impl Write + 'static, about: &[String]) -> io::Result<Self> {
        let mut markdown = String::new();
        let mut screen = Box::new(screen);
        for line in about {
            writeln!(screen, "{line}")?;
            markdown += &format!("{line}\n");
        }
        let rule = "|---".repeat(HEADER.len());
        markdown += &format!("\n| {} |\n{rule}|\n", HEADER.join(" | "));
        writeln!(screen, "\n{}", aligned(&HEADER.map(String::from)))?;
        Ok(Self { screen, markdown })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the screen cannot be written.
    pub fn add(&mut self, line: &Line) -> io::Result<()> {
        let cells = line.cells();
        writeln!(self.screen, "{}", aligned(&cells))?;
        self.markdown += &format!("| {} |\n", cells.join(" | "));
        Ok(())
    }

    /// The same as Markdown.
    pub fn markdown(&self) -> &str {
        &self.markdown
    }
}

/// The first column to the left, the others to the right.
fn aligned(cells: &[String; 7]) -> String {
    let mut out = String::new();
    for (i, (cell, width)) in cells.iter().zip(WIDTHS).enumerate() {
        // Writing to a string does not fail.
        let _ = if i == 0 { write!(out, "{cell:<width$}") } else { write!(out, "{cell:>width$}") };
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_met_from_the_side_that_is_better() {
        let (speed, growth) = (Mark { least: 28.0, goal: 45.0 }, Mark { least: 4.3, goal: 4.05 });
        for (result, mark, met) in [
            (Figure::Times(27.9), speed, "NO"),
            (Figure::Times(28.0), speed, "yes"),
            (Figure::Times(50.0), speed, "goal"),
            (Figure::Growth(4.4), growth, "NO"),
            (Figure::Growth(4.2), growth, "yes"),
            (Figure::Growth(4.0), growth, "goal"),
            (Figure::Times(f64::NAN), speed, "NO"),
        ] {
            assert_eq!(verdict(result, mark), met, "{result:?}");
        }
    }

    #[test]
    fn screen_and_markdown_hold_the_same_cells() {
        let line = Line {
            case: "scan".into(),
            ours: "4.70 ms".into(),
            result: Some(Figure::Bytes(1.5e9)),
            mark: Some(Mark { least: 2.0e9, goal: 1.2e9 }),
            ..Line::default()
        };
        let mut report = Report::new(io::sink(), &["about".into()]).unwrap();
        report.add(&line).unwrap();
        let last = "| scan | 4.70 ms |  | 1.50 GB | <= 2.00 GB | 1.20 GB | yes |\n";
        assert!(report.markdown().starts_with("about\n\n| case | ours |"));
        assert!(report.markdown().ends_with(last), "{}", report.markdown());
        assert!(aligned(&line.cells()).ends_with(" <= 2.00 GB    1.20 GB   yes"));
    }
}
