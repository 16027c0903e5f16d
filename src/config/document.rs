//! The file: its text, where each key and value stands in it, and which of it may be shown.

use super::diagnostics::{Diagnostic, Excerpt, Place};
use super::shown;
use leadwire_connector::settings::Fault;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// Keys and indexes from the top of the file.
pub(super) type Path = Vec<String>;

/// Where one value stands.
#[derive(Debug, Clone)]
struct Item {
    /// `None` for the items of a list.
    key: Option<Range<usize>>,
    value: Range<usize>,
    /// Neither a table nor a list.
    single: bool,
}

/// A file whose syntax is right.
#[derive(Debug)]
pub(super) struct Document<'t> {
    name: String,
    text: &'t str,
    table: DeTable<'t>,
    items: BTreeMap<Path, Item>,
    /// The paths of the single values, in the order of their places in the text.
    singles: Vec<(Range<usize>, Path)>,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'t> Document<'t> {
    /// Reads the syntax.
    ///
    /// # Errors
    /// Every syntax error, one for each line.
    pub(super) fn parse(name: &str, text: &'t str) -> Result<Self, Vec<Diagnostic>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            return Err(syntax_errors(name, text, &errors));
        }
        let table = table.into_inner();
        let mut items = BTreeMap::new();
        index_table(&table, &mut Vec::new(), &mut items);
        let singles = items.iter().filter(|(_, item)| item.single).map(|(path, item)| (item.value.clone(), path.clone()));
        let mut singles: Vec<(Range<usize>, Path)> = singles.collect();
        singles.sort_by_key(|(span, _)| span.start);
        Ok(Self { name: name.to_owned(), text, table, items, singles, lines: line_starts(text) })
    }

    pub(super) fn table(&self) -> &DeTable<'t> {
        &self.table
    }

    pub(super) fn contains(&self, path: &[String]) -> bool {
        self.items.contains_key(path)
    }

    /// The place of a fault: its value, or its key when that is what is wrong, or the nearest table above it.
    pub(super) fn place(&self, fault: &Fault) -> Place {
        let known = (1..=fault.path.len()).rev().find_map(|depth| self.items.get_key_value(&fault.path[..depth]));
        let Some((path, item)) = known else { return Place::File };
        let span = match &item.key {
            Some(key) if shown::is_about_key(fault) && path.len() == fault.path.len() => key,
            _ => &item.value,
        };
        Place::Line(self.excerpt(span, fault))
    }

    /// The line of the value at `path`, or of what it is a part of.
    pub(super) fn line(&self, path: &[String]) -> Option<usize> {
        let item = (1..=path.len()).rev().find_map(|depth| self.items.get(&path[..depth]))?;
        Some(self.position(item.value.start).0)
    }

    /// Line and column of the byte `at`, both from 1, the column in characters.
    fn position(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[..line].last().copied().unwrap_or_default();
        (line, self.get(&(start..at)).chars().count() + 1)
    }

    /// The single values of which something is in a range.
    fn singles_in(&self, range: &Range<usize>) -> &[(Range<usize>, Path)] {
        let first = self.singles.partition_point(|(span, _)| span.end <= range.start);
        let end = self.singles.partition_point(|(span, _)| span.start < range.end);
        self.singles.get(first..end).unwrap_or_default()
    }

    fn excerpt(&self, span: &Range<usize>, fault: &Fault) -> Excerpt {
        let line = line_around(self.text, span.start);
        let end = self.without_comment(line.clone());
        let span = span.start..span.end.min(end).max(span.start);
        let show = |range: Range<usize>| self.show(range, fault);
        let before = show(line.start..span.start);
        let within = show(span.clone());
        let after = show(span.end..end.max(span.end));
        let (row, column) = self.position(span.start);
        let (start, width) = (before.chars().count(), within.chars().count());
        Excerpt { line: row, column, text: format!("{before}{within}{after}").trim_end().to_owned(), start, width }
    }

    /// The text of a range, with dots in place of every value that may be secret.
    fn show(&self, range: Range<usize>, fault: &Fault) -> String {
        let is_hidden = |(span, path): &&(Range<usize>, Path)| !shown::may_be_shown(path, self.get(span), fault);
        let mut text = String::new();
        let mut at = range.start;
        for (span, _) in self.singles_in(&range).iter().filter(is_hidden) {
            text.push_str(self.get(&(at..span.start.max(at))));
            text.push_str(shown::DOTS);
            at = span.end.min(range.end).max(at);
        }
        text + self.get(&(at..range.end))
    }

    /// Where the comment at the end of a line starts: an old secret may stand in it.
    fn without_comment(&self, range: Range<usize>) -> usize {
        let in_value = |at: usize| !self.singles_in(&(at..at + 1)).is_empty();
        let hashes = self.get(&range).match_indices('#').map(|(at, _)| range.start + at);
        hashes.into_iter().find(|at| !in_value(*at)).unwrap_or(range.end)
    }

    fn get(&self, range: &Range<usize>) -> &'t str {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The name of the file, as it was given.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

fn index_table(table: &DeTable<'_>, path: &mut Path, items: &mut BTreeMap<Path, Item>) {
    for (key, value) in table {
        path.push(key.get_ref().to_string());
        index_value(Some(key.span()), value, path, items);
        path.pop();
    }
}

fn index_value(key: Option<Range<usize>>, value: &Spanned<DeValue<'_>>, path: &mut Path, items: &mut BTreeMap<Path, Item>) {
    let single = !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
    items.insert(path.clone(), Item { key, value: value.span(), single });
    match value.get_ref() {
        DeValue::Table(table) => index_table(table, path, items),
        DeValue::Array(list) => {
            for (index, item) in list.iter().enumerate() {
                path.push(index.to_string());
                index_value(None, item, path, items);
                path.pop();
            }
        }
        _ => {}
    }
}

/// One for each line: the errors that follow the first in a line come from it.
fn syntax_errors(name: &str, text: &str, errors: &[Error]) -> Vec<Diagnostic> {
    let mut faults: BTreeMap<usize, Diagnostic> = BTreeMap::new();
    for error in errors {
        let at = floor(text, error.span().map_or(text.len(), |span| span.start));
        let line = line_around(text, at);
        let (row, column) = position(text, at);
        let shown = shown::of_broken_line(&text[line.clone()]);
        let start = text[line.start..at].chars().count().min(shown.chars().count());
        let excerpt = Excerpt { line: row, column, text: shown.trim_end().to_owned(), start, width: 1 };
        let help = shown::help_for_broken_line(&text[line]).map(str::to_owned);
        let message = format!("this is not TOML: {}", error.message());
        faults.entry(row).or_insert(Diagnostic { file: name.to_owned(), place: Place::Line(excerpt), path: String::new(), message, help });
    }
    faults.into_values().collect()
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The line that holds the byte `at`, without its line break.
fn line_around(text: &str, at: usize) -> Range<usize> {
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
    start..end
}

/// Line and column of the byte `at`, both from 1, the column in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The nearest place at or before `at` where the text can be cut.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at)
}
