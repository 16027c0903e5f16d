//! Tables and lines on standard output.

use super::Failure;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use std::io::Write as _;

/// Prints a line. A reader that closed the pipe (`| head`) ends the command quietly.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|_| Failure::Silent)
}

/// Prints rows under a heading, fitted to the terminal; without rows, says that there are none.
pub(super) fn table(heading: &[&str], rows: Vec<Vec<String>>, none: &str) -> Result<(), Failure> {
    if rows.is_empty() { line(none) } else { line(&render(heading, rows, width())) }
}

fn render(heading: &[&str], rows: Vec<Vec<String>>, width: u16) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(heading.iter().map(|name| name.to_uppercase()));
    let is_number: Vec<bool> =
        (0..heading.len()).map(|at| rows.iter().all(|row| row.get(at).is_some_and(|cell| cell.parse::<i64>().is_ok()))).collect();
    table.add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| plain(&cell)).collect::<Vec<_>>()));
    for (column, is_number) in table.column_iter_mut().zip(is_number) {
        column.set_padding((0, 2));
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// What a sender wrote must not steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A pipe has no width; its reader gets one that fits a log.
fn width() -> u16 {
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    columns.or_else(|| console::Term::stdout().size_checked().map(|(_, columns)| columns)).unwrap_or(120).max(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_its_width_and_numbers_stand_right() {
        let rows = vec![
            vec!["crm".to_owned(), "7".to_owned(), "a very long remark that does not fit into one line".to_owned()],
            vec!["drop".to_owned(), "12".to_owned(), String::new()],
        ];
        let text = render(&["name", "dead", "remark"], rows, 40);
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.starts_with("NAME  DEAD  REMARK"), "{text}");
        assert!(text.contains("crm      7"), "{text}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb"), "a [31mb");
    }
}
