//! Other spellings of the same weights.

/// Linear maps of attention before and since diffusers 0.14.
const ATTENTION: [[&str; 2]; 4] =
    [["query", "to_q"], ["key", "to_k"], ["value", "to_v"], ["proj_attn", "to_out.0"]];

/// Name and shape in today's spelling.
///
/// Old files call the linear maps of attention `query`, `key`, `value` and `proj_attn`, and some
/// store them as 1x1 convolutions, `[C, C, 1, 1]`.
pub(super) fn normalised(name: &str, mut shape: Vec<usize>) -> (String, Vec<usize>) {
    let Some((block, part)) = name.split_once(".mid_block.attentions.0.") else {
        return (name.into(), shape);
    };
    if part.ends_with(".weight") && shape.len() == 4 && shape[2..] == [1, 1] {
        shape.truncate(2);
    }
    let renamed = ATTENTION.iter().find_map(|[old, new]| {
        let rest = part.strip_prefix(old)?;
        rest.starts_with('.').then(|| format!("{block}.mid_block.attentions.0.{new}{rest}"))
    });
    (renamed.unwrap_or_else(|| name.into()), shape)
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn both_spellings_of_attention_are_one() {
        let at = |part: &str| format!("encoder.mid_block.attentions.0.{part}");
        for (old, new) in [
            ("query.weight", "to_q.weight"),
            ("key.bias", "to_k.bias"),
            ("value.weight", "to_v.weight"),
            ("proj_attn.weight", "to_out.0.weight"),
            ("to_q.weight", "to_q.weight"),
        ] {
            assert_eq!(normalised(&at(old), vec![4, 4]), (at(new), vec![4, 4]));
        }
        assert_eq!(normalised(&at("key.weight"), vec![4, 4, 1, 1]).1, [4, 4]);
        assert_eq!(normalised(&at("key.weight"), vec![4, 4, 3, 1]).1, [4, 4, 3, 1]);
    }

    #[test]
    fn other_names_stay() {
        let name = "encoder.conv_in.weight";
        assert_eq!(normalised(name, vec![8, 8, 1, 1]), (name.into(), vec![8, 8, 1, 1]));
        let name = "encoder.mid_block.attentions.0.keys.weight";
        assert_eq!(normalised(name, vec![8]), (name.into(), vec![8]));
    }
}
