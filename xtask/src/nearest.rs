//! "Did you mean": the known name closest to a misspelt one.

/// Returns the candidate closest to `name`, when it is close enough to be a slip of the hand.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    let is_part =
        |candidate: &str| name.len() >= 3 && (candidate.contains(name) || name.contains(candidate));
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= limit || is_part(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: how many letters to insert, delete or replace.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshtein() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("scan", "scan", 0), ("kitten", "sitting", 3)]
        {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
            assert_eq!(edit_distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn slips_and_parts_are_recognised() {
        let known = ["selective_scan", "causal_conv1d", "patchify"];
        for (typed, expected) in [
            ("selective_scann", Some("selective_scan")),
            ("scan", Some("selective_scan")),
            ("conv1d", Some("causal_conv1d")),
            ("patchfy", Some("patchify")),
            ("attention", None),
        ] {
            assert_eq!(nearest(typed, known), expected, "{typed}");
        }
    }
}
