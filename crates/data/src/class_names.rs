//! Names for people of classes that are numbered by the names of their folders.

use crate::DataError;
use std::fs;
use std::path::Path;

/// Files that can hold the names, the second being ImageNet's own.
const FILES: [&str; 2] = ["classes.txt", "LOC_synset_mapping.txt"];

/// What `classes.txt` or `LOC_synset_mapping.txt` in `folder` calls classes, or the names of their
/// folders where there is no such file.
///
/// A line is a folder's name, a space, and the name for people; empty lines are passed over.
///
/// # Errors
/// [`DataError::Field`] when a class is listed twice or not at all, or a line has no such folder.
pub(crate) fn readable_names(
    folder: &Path,
    mut classes: Vec<String>,
) -> Result<Vec<String>, DataError> {
    let files = FILES.map(|name| folder.join(name));
    let Some(file) = files.iter().find(|file| file.exists()) else {
        return Ok(classes);
    };
    let wrong = |field: String, expected: &str, got: String| {
        let expected = expected.to_owned();
        Err(DataError::Field { file: file.clone(), field, expected, got })
    };
    let text = fs::read_to_string(file).map_err(DataError::io(file))?;
    let mut readable = vec![None; classes.len()];
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let (class, name) = line.trim().split_once(' ').unwrap_or((line.trim(), line.trim()));
        let Ok(label) = classes.binary_search_by(|known| known.as_str().cmp(class)) else {
            return wrong(format!("line {number}"), "the name of a class's folder", class.into());
        };
        if readable[label].replace(name.trim().to_owned()).is_some() {
            return wrong(format!("line {number}"), "each class once", format!("{class} again"));
        }
    }
    for (class, readable) in classes.iter_mut().zip(readable) {
        match readable {
            Some(readable) => *class = readable,
            None => {
                return wrong("content".into(), "a line for every class", format!("no {class}"));
            }
        }
    }
    Ok(classes)
}
