//! `.env` beside the configuration: variables for those who start the bridge without a supervisor that sets them. The environment wins.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where it is looked for.
#[must_use]
pub fn variables_file(config: &Path) -> PathBuf {
    config.with_file_name(".env")
}

/// What it says; nothing when it cannot be read.
pub(super) fn read(config: &Path) -> BTreeMap<String, String> {
    variables(&std::fs::read_to_string(variables_file(config)).unwrap_or_default())
}

/// The variables of such a text. What is no `NAME=value` is none.
#[must_use]
pub fn variables(text: &str) -> BTreeMap<String, String> {
    text.lines().filter_map(variable).collect()
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let unquoted = ['\'', '"'].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    is_name.then(|| (name.to_owned(), unquoted.unwrap_or(value).to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    #[test]
    fn a_line_is_a_name_and_a_value_and_quotes_around_it_are_no_part_of_it() {
        let read = variables("# a remark\nA=1\n B = 'two words' \nexport C=\"3=3\"\nno variable\nD-E=4\nF=\n");
        let read: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(read, [("A", "1"), ("B", "two words"), ("C", "3=3"), ("F", "")]);
    }
}
