//! What was found, for people.

use super::Asked;
use crate::cli::show::plain;
use leadwire_connector::{Finding, Severity};

/// Longer lines are hard to read.
const WIDEST: usize = 100;
/// A longer subject pushes its own message to the right, and no other.
const SUBJECT_WIDEST: usize = 14;
/// Before the subject: two spaces, the mark, a space.
const MARK: usize = 4;

pub(super) fn render(asked: &[Asked], counts: (usize, usize), width: u16) -> String {
    let width = usize::from(width).min(WIDEST);
    let subjects = asked.iter().flat_map(|asked| &asked.report.findings).map(|finding| finding.subject.chars().count());
    let column = subjects.filter(|length| *length <= SUBJECT_WIDEST).max().unwrap_or(0);
    let mut lines = Vec::new();
    for asked in asked {
        lines.push(heading(asked));
        lines.extend(asked.report.findings.iter().flat_map(|finding| finding_lines(finding, column, width)));
        lines.push(String::new());
    }
    lines.push(summary(counts));
    lines.join("\n")
}

fn heading(asked: &Asked) -> String {
    let kind = asked.kind.as_ref().map(|kind| format!(" ({kind})")).unwrap_or_default();
    plain(&format!("{} {}{kind}", asked.what, asked.name))
}

fn summary((bad, warn): (usize, usize)) -> String {
    match (bad, warn) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, warn) => format!("nothing is bad; {warn} to look at (!)"),
        (bad, 0) => format!("{bad} bad (✗)"),
        (bad, warn) => format!("{bad} bad (✗), {warn} to look at (!)"),
    }
}

fn mark(severity: Severity) -> char {
    match severity {
        Severity::Good => '✓',
        Severity::Warn => '!',
        Severity::Bad => '✗',
    }
}

fn finding_lines(finding: &Finding, column: usize, width: usize) -> Vec<String> {
    let indent = MARK + column + 2;
    let room = width.saturating_sub(indent).max(20);
    let first = format!("  {} {:<column$}  ", mark(finding.severity), plain(&finding.subject));
    let extra = first.chars().count().saturating_sub(indent);
    let mut lines = wrap(&plain(&finding.message), room, extra);
    let remedy = finding.remedy.as_deref().map(|remedy| wrap(&plain(&format!("→ {remedy}")), room, 0)).unwrap_or_default();
    let rest = lines.split_off(1.min(lines.len()));
    let below = rest.into_iter().chain(remedy).map(|text| format!("{}{text}", " ".repeat(indent)));
    std::iter::once(first.trim_end().to_owned() + &lines.first().map(|text| format!("{}{text}", gap(&first))).unwrap_or_default())
        .chain(below)
        .collect()
}

/// The spaces at the end of the first part of a line.
fn gap(first: &str) -> &str {
    first.get(first.trim_end().len()..).unwrap_or_default()
}

/// Breaks at spaces; a word that is longer than a line is left whole, so that it can be copied. The first line has so much less room.
fn wrap(text: &str, room: usize, less: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut left = room.saturating_sub(less);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if length < left => {
                line.push(' ');
                line.push_str(word);
                left -= length + 1;
            }
            last => {
                left = if last.is_none() { left } else { room }.saturating_sub(length);
                lines.push(word.to_owned());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::Report;
    use proptest::prelude::*;

    fn asked() -> Vec<Asked> {
        let store = Report::default().good("schema", "4, the one that this program writes").good("fsync", "0.4 ms, the median of 9 writes");
        let crm = Report::default()
            .good("credentials", "the token is valid for account 1234567")
            .bad("fields", "`lifecyclestage`: `Lead` is none of its options: subscriber, lead, marketingqualifiedlead, customer")
            .remedy("write one of the options as it stands there, or take the field out of [destinations.crm.fields]")
            .warn("quota", "210 of 250000 requests for today are left")
            .remedy("see what else uses this account, or raise its quota at the other side");
        let source = Report::default().warn("a-very-long-subject", "something that is said at some length about a subject of that length");
        vec![
            Asked { what: "store", name: "data/leadwire.db".to_owned(), kind: Some("sqlite".to_owned()), report: store },
            Asked { what: "destination", name: "crm".to_owned(), kind: Some("crm".to_owned()), report: crm },
            Asked { what: "source", name: "acme".to_owned(), kind: None, report: source },
        ]
    }

    #[test]
    fn findings_are_grouped_and_fit_eighty_columns() {
        let text = render(&asked(), (1, 2), 80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_last_line_sums_up() {
        assert_eq!(summary((0, 0)), "nothing is wrong");
        assert_eq!(summary((0, 2)), "nothing is bad; 2 to look at (!)");
        assert_eq!(summary((1, 2)), "1 bad (✗), 2 to look at (!)");
    }

    proptest! {
        #[test]
        fn no_word_is_lost_and_only_a_long_word_is_wider_than_the_line(text in "([a-z]{1,30} ?){0,20}", room in 20_usize..60, less in 0_usize..10) {
            let lines = wrap(&text, room, less);
            let joined = lines.join(" ");
            prop_assert_eq!(joined.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
            prop_assert!(lines.iter().all(|line| line.chars().count() <= room || !line.contains(' ')));
        }
    }
}
