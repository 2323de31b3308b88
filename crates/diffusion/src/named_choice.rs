//! Choices with numbers, as a configuration writes them: `uniform`, `logit_normal(0, 1)`.

use crate::DiffusionError;

/// A choice as written: its name and the numbers in parentheses.
pub(crate) struct NamedChoice<'a> {
    what: &'static str,
    text: &'a str,
    name: &'a str,
    numbers: Vec<f64>,
    expected: &'static str,
}

impl<'a> NamedChoice<'a> {
    /// Reads `name` or `name(number, ..)`. `what` is being chosen, among `expected`.
    pub(crate) fn parse(
        what: &'static str,
        text: &'a str,
        expected: &'static str,
    ) -> Result<Self, DiffusionError> {
        let bad = || DiffusionError::Choice { what, text: text.into(), expected };
        let (name, numbers) = match text.split_once('(') {
            None => (text.trim(), Vec::new()),
            Some((name, rest)) => {
                let inside = rest.trim_end().strip_suffix(')').ok_or_else(bad)?;
                let numbers = inside.split(',').map(|number| number.trim().parse::<f64>());
                (name.trim(), numbers.collect::<Result<_, _>>().map_err(|_| bad())?)
            }
        };
        let choice = Self { what, text, name, numbers, expected };
        if choice.numbers.iter().all(|number| number.is_finite()) { Ok(choice) } else { Err(bad()) }
    }

    /// Name and numbers to choose by.
    pub(crate) fn parts(&self) -> (&'a str, &[f64]) {
        (self.name, &self.numbers)
    }

    /// The error for a name or numbers that mean nothing.
    pub(crate) fn refuse<T>(&self) -> Result<T, DiffusionError> {
        let Self { what, text, expected, .. } = *self;
        Err(DiffusionError::Choice { what, text: text.into(), expected })
    }
}

/// Reading and writing of a choice as text, from its `parse` and `Display`.
macro_rules! text_choice {
    ($choice:ty) => {
        impl std::str::FromStr for $choice {
            type Err = $crate::DiffusionError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $choice {
            type Error = $crate::DiffusionError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$choice> for String {
            fn from(choice: $choice) -> Self {
                choice.to_string()
            }
        }
    };
}
pub(crate) use text_choice;
