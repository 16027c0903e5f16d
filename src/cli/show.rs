//! Tables and lines on standard output, remarks on standard error.

use super::Failure;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width};
use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Write as _};
use uuid::Uuid;

/// Space between columns.
const GAP: u16 = 2;
/// A cell or word of so many characters, such as a state, is not worth breaking.
const SHORT: usize = 12;
/// Below, a list has two lines a row.
const NARROW: u16 = 110;

/// Prints a line. A reader that closed the pipe (`| head`) ends the command quietly.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Failed(format!("the result cannot be written: {error}")),
    })
}

/// Tells on standard error what is no result. That nobody reads it is no reason to stop.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Asks on standard error, and takes anything but yes for no.
///
/// # Errors
/// `Usage` with `without_terminal` when there is nobody to ask.
pub(super) fn ask(question: &str, without_terminal: &str) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(without_terminal.to_owned()));
    }
    write!(std::io::stderr(), "{question} [y/N] ").map_err(|_| Failure::Silent)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(|_| Failure::Silent)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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
    let unbroken: Vec<u16> = (0..heading.len()).map(|at| unbroken(&table, at).min(width)).collect();
    for ((column, is_number), unbroken) in table.column_iter_mut().zip(is_number).zip(unbroken) {
        column.set_padding((0, GAP)).set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(unbroken.saturating_add(GAP))));
        if is_number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The width of what is widest in this column of all that is not to be broken.
fn unbroken(table: &Table, at: usize) -> u16 {
    let cells = table.header().into_iter().chain(table.row_iter()).filter_map(|row| row.cell_iter().nth(at));
    let widest = cells.map(|cell| unbroken_in(&cell.content())).max().unwrap_or(0);
    u16::try_from(widest).unwrap_or(u16::MAX)
}

fn unbroken_in(cell: &str) -> usize {
    let short_words = || cell.split(' ').map(|word| word.chars().count()).filter(|width| *width <= SHORT);
    if is_whole(cell) { cell.chars().count() } else { short_words().max().unwrap_or(0) }
}

/// Whether breaking the cell makes it useless: people copy ids, compare moments, and read a short word at a glance.
fn is_whole(cell: &str) -> bool {
    let is_id = || !cell.contains(' ') && cell.get(..36).is_some_and(|start| Uuid::try_parse(start).is_ok());
    let is_moment = || cell.chars().all(|c| c.is_ascii_digit() || "-: ".contains(c));
    cell.chars().count() <= SHORT || is_moment() || is_id()
}

/// `1 source`, `2 sources`.
pub(super) fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Whether the terminal is too narrow for an id and much beside it.
pub(super) fn is_narrow() -> bool {
    width() < NARROW
}

/// What a sender wrote must not steer the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A pipe has no width; its reader gets one that fits a log.
pub(super) fn width() -> u16 {
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

    const ID: &str = "019abc12-3456-7000-8000-0123456789ab";

    #[test]
    fn ids_moments_and_short_words_are_never_broken() {
        let remark = "the endpoint answered 422: the field `budget` is not a number; mend the mapping of it";
        for width in [60, 80, 120] {
            let delivery = format!("{ID}_archive");
            let rows = vec![
                vec!["11-22 09:42:01".to_owned(), delivery.clone(), "dead".to_owned()],
                vec![String::new(), remark.to_owned(), "3 attempts".to_owned()],
            ];
            let text = render(&["received", "delivery and remark", "state"], rows, width);
            assert!(text.contains(&format!("11-22 09:42:01  {delivery}  ")) && text.contains("  3 attempts"), "{text}");
            assert!(width < 80 || text.lines().all(|line| line.chars().count() <= usize::from(width)), "{text}");
        }
    }

    #[test]
    fn what_a_sender_wrote_cannot_claim_the_width_of_an_id() {
        let rows = vec![vec!["1".repeat(500), format!("{ID} {}", "x".repeat(500))]];
        let text = render(&["phone", "remark"], rows, 80);
        assert!(text.lines().all(|line| line.chars().count() <= 160), "{text}");
    }

    #[test]
    fn whole_is_an_id_a_delivery_a_moment_or_a_short_word() {
        for cell in [ID, &format!("{ID}_crm"), "11-22 09:42:01", "2025-11-22 09:42:01", "7", "unrecognized"] {
            assert!(is_whole(cell), "{cell}");
        }
        for cell in ["David Garcia 7", &format!("{ID} is gone"), &"é".repeat(36)] {
            assert!(!is_whole(cell), "{cell}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb"), "a [31mb");
    }
}
