//! Rust source text taken apart: code without comments and literals, and comments alone.

/// Two copies of a source text, in which what is left out is blank.
///
/// Both are as long as the source, so an offset or a line number means the same in all three.
pub(crate) struct RustText {
    pub(crate) code: String,
    pub(crate) comments: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Code,
    Comment,
    Literal,
}

/// Splits a source text; never fails, since text that does not parse is the compiler's affair.
pub(crate) fn split(source: &str) -> RustText {
    let mut text = RustText { code: String::new(), comments: String::new() };
    let mut offset = 0;
    while offset < source.len() {
        let (part, length) = next_part(source, offset);
        let piece = &source[offset..offset + length];
        push(&mut text.code, piece, part == Part::Code);
        push(&mut text.comments, piece, part == Part::Comment);
        offset += length;
    }
    text
}

fn push(target: &mut String, piece: &str, keep: bool) {
    if keep {
        target.push_str(piece);
    } else {
        target.extend(piece.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
    }
}

/// The part that starts at `offset` and its length in bytes, at least 1.
fn next_part(source: &str, offset: usize) -> (Part, usize) {
    let rest = &source[offset..];
    let after_word = source[..offset].chars().next_back().is_some_and(is_word);
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, block_comment_length(rest));
    }
    if rest.starts_with('"') {
        return (Part::Literal, quoted_length(rest, b'"'));
    }
    if rest.starts_with('\'')
        && let Some(length) = char_literal_length(rest)
    {
        return (Part::Literal, length);
    }
    if !after_word && let Some(length) = raw_string_length(rest) {
        return (Part::Literal, length);
    }
    (Part::Code, rest.chars().next().map_or(1, char::len_utf8))
}

fn block_comment_length(rest: &str) -> usize {
    let (mut depth, mut end) = (0, 0);
    while end < rest.len() {
        if rest.as_bytes()[end..].starts_with(b"/*") {
            depth += 1;
            end += 2;
        } else if rest.as_bytes()[end..].starts_with(b"*/") {
            depth -= 1;
            end += 2;
            if depth == 0 {
                break;
            }
        } else {
            end += 1;
        }
    }
    end
}

/// The length of a literal with escapes, which starts and ends with `quote`.
fn quoted_length(rest: &str, quote: u8) -> usize {
    let bytes = rest.as_bytes();
    let mut end = 1;
    while end < bytes.len() && bytes[end] != quote {
        end += if bytes[end] == b'\\' { 2 } else { 1 };
    }
    // An escape may have been cut off by the end of the text.
    let mut end = (end + 1).min(bytes.len());
    while !rest.is_char_boundary(end) {
        end += 1;
    }
    end
}

/// `None` for a lifetime.
fn char_literal_length(rest: &str) -> Option<usize> {
    let mut characters = rest.chars().skip(1);
    let first = characters.next()?;
    if first == '\\' {
        return Some(quoted_length(rest, b'\''));
    }
    (characters.next()? == '\'').then(|| first.len_utf8() + 2)
}

/// `r"…"`, `r#"…"#` and their `b` and `c` forms; `None` for anything else, also `r#name`.
fn raw_string_length(rest: &str) -> Option<usize> {
    let prefix = if rest.starts_with(['b', 'c']) { 2 } else { 1 };
    if rest.as_bytes().get(prefix - 1) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix..].bytes().take_while(|&byte| byte == b'#').count();
    let start = prefix + hashes + 1;
    if rest.as_bytes().get(start - 1) != Some(&b'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[start..].find(&close).map_or(rest.len(), |end| start + end + close.len()))
}

/// Identifiers, keywords and numbers of a text, each with its offset.
pub(crate) fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr().addr();
    text.split(|character| !is_word(character))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr().addr() - start, word))
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_told_from_code() {
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for (source, code, comments) in [
            ("a // b\nc", "a c", "// b"),
            ("a /* b /* c */ d */ e", "a e", "/* b /* c */ d */"),
            (r#"f("a // \" b", c)"#, "f( , c)", ""),
            ("x = r#\"un\"safe\"# + r#type", "x = + r#type", ""),
            ("br\"a\\\" b", "b", ""),
            ("&'a str '\\'' 'x' '\"' y", "&'a str y", ""),
            ("\"two\nlines\" c", "c", ""),
            ("// é\nf()", "f()", "// é"),
            ("\"open \\", "", ""),
            ("'\\", "", ""),
            ("/* open", "", "/* open"),
        ] {
            let text = split(source);
            assert_eq!(squeeze(&text.code), code, "{source}");
            assert_eq!(squeeze(&text.comments), comments, "{source}");
        }
    }

    #[test]
    fn offsets_and_lines_stay() {
        let source = "é /* é\n */ \"é\n\" 'é' r\"\n\" f()";
        let text = split(source);
        assert_eq!(text.code.len(), source.len());
        assert_eq!(text.comments.len(), source.len());
        assert_eq!(text.code.find("f()"), source.find("f()"));
        assert_eq!(text.code.matches('\n').count(), 3);
        assert_eq!(text.comments.matches('\n').count(), 3);
    }

    #[test]
    fn words_have_offsets() {
        let found: Vec<_> = words("pub(crate) mod  a_1;").collect();
        assert_eq!(found, [(0, "pub"), (4, "crate"), (11, "mod"), (16, "a_1")]);
        assert_eq!(words("").count(), 0);
    }
}
