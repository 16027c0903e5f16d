//! What a person reads when the configuration is wrong: each fault with its place, its line, and what would be right.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Of an offending line, in characters; longer ones are cut around the place.
const WIDEST: usize = 160;

/// The offending line and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The line, without what may be secret.
    pub text: String,
    /// Where in `text` the fault starts, in characters.
    pub start: usize,
    /// How many characters of `text` it covers.
    pub width: usize,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of the file.
    Line(Excerpt),
    /// An environment variable.
    Variable(String),
    /// The file as a whole.
    File,
}

/// Of what is said of many places, so many are shown.
const SHOWN_OF_A_KIND: usize = 3;

/// What a person is told of warnings: each of them, and where the same is said of many places, the first and how many there are.
pub(super) fn in_short(warnings: &[Diagnostic]) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut told = Vec::new();
    for warning in warnings {
        let count = counts.entry(warning.kind()).or_default();
        *count += 1;
        if *count <= SHOWN_OF_A_KIND {
            told.push(warning.to_string());
        }
    }
    let more = counts.into_iter().filter(|(_, count)| *count > SHOWN_OF_A_KIND);
    told.extend(
        more.map(|(kind, count)| format!("{} more places, which `check --json` lists: {}", count - SHOWN_OF_A_KIND, printable(&kind))),
    );
    told
}

/// One fault or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, as it was named.
    pub file: String,
    /// Where.
    pub place: Place,
    /// The key, dotted: `server.listen`. Empty for the file as a whole.
    pub path: String,
    /// What is wrong, in a sentence without the final dot.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
}

impl Diagnostic {
    /// About the file as a whole.
    pub(super) fn whole(file: &str, message: impl Into<String>, help: &str) -> Self {
        Self { file: file.to_owned(), place: Place::File, path: String::new(), message: message.into(), help: Some(help.to_owned()) }
    }

    /// For `--json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (line, column, variable) = match &self.place {
            Place::Line(excerpt) => (Some(excerpt.line), Some(excerpt.column), None),
            Place::Variable(name) => (None, None, Some(name)),
            Place::File => (None, None, None),
        };
        json!({
            "file": self.file, "line": line, "column": column, "variable": variable,
            "path": self.path, "message": self.message, "help": self.help,
        })
    }

    /// What it says, whichever source or destination it is about. One that names another, too, is of a kind of its own.
    fn kind(&self) -> String {
        let name = self.path.split('.').nth(1).unwrap_or_default();
        self.message.replace(&format!("`{name}`"), "`…`")
    }

    /// By line, then what has no line.
    fn order(&self) -> (usize, usize, &str) {
        match &self.place {
            Place::File => (0, 0, ""),
            Place::Line(excerpt) => (excerpt.line, excerpt.column, ""),
            Place::Variable(name) => (usize::MAX, 0, name),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = printable(&self.message);
        match &self.place {
            Place::File => write!(f, "{}: {message}", self.file)?,
            Place::Variable(name) => write!(f, "environment variable {}: {message}", printable(name))?,
            Place::Line(excerpt) => {
                write!(f, "{}:{}:{}: {message}\n{}", self.file, excerpt.line, excerpt.column, quote(excerpt))?;
            }
        }
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {}", printable(help)))
    }
}

/// The line with its number, and the caret line below.
fn quote(excerpt: &Excerpt) -> String {
    let skipped = (excerpt.start + excerpt.width.min(WIDEST / 2)).saturating_sub(WIDEST);
    let text: String = printable(&excerpt.text).chars().skip(skipped).take(WIDEST).collect();
    let start = excerpt.start - skipped;
    let width = excerpt.width.min(WIDEST - start).max(1);
    let number = excerpt.line.to_string();
    let gutter = " ".repeat(number.len());
    format!("  {number} | {text}\n  {gutter} | {}{}", " ".repeat(start), "^".repeat(width))
}

/// A file may hold anything; a terminal must not be steered by it. One character stays one character, so that carets fit.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Everything that is wrong, in the order of the file. Displayed as the text a person reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    faults: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(mut faults: Vec<Diagnostic>) -> Self {
        faults.sort_by(|a, b| a.order().cmp(&b.order()));
        Self { faults }
    }

    /// In the order of the file; those of the environment come last.
    #[must_use]
    pub fn faults(&self) -> &[Diagnostic] {
        &self.faults
    }

    pub(super) fn into_faults(self) -> Vec<Diagnostic> {
        self.faults
    }

    /// For `--json`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"faults": self.faults.iter().map(Diagnostic::to_json).collect::<Vec<_>>()})
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            writeln!(f, "{fault}\n")?;
        }
        match self.faults.len() {
            1 => f.write_str("1 fault; nothing was started"),
            many => write!(f, "{many} faults; nothing was started"),
        }
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;

    fn at(start: usize, width: usize, text: &str) -> Diagnostic {
        let excerpt = Excerpt { line: 12, column: start + 1, text: text.to_owned(), start, width };
        Diagnostic {
            file: "l.toml".into(),
            place: Place::Line(excerpt),
            path: "server.listn".into(),
            message: "unknown key `listn`".into(),
            help: None,
        }
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        let mut fault = at(2, 5, "  listn = 1");
        fault.help = Some("did you mean `listen`?".into());
        assert_eq!(
            fault.to_string(),
            "l.toml:12:3: unknown key `listn`\n  12 |   listn = 1\n     |   ^^^^^\n  help: did you mean `listen`?"
        );
    }

    #[test]
    fn what_holds_at_many_places_is_shown_at_the_first_and_counted() {
        let of = |n: usize, message: String| Diagnostic { path: format!("sources.s{n}.key"), message, ..at(n, 1, "xxxxxxxxx") };
        let many = (0..9).map(|n| of(n, format!("the source `s{n}` is odd")));
        let others = (0..4).map(|n| of(n, format!("the source `o{n}` has this key, too")));
        let told = in_short(&many.chain(others).collect::<Vec<_>>());
        assert_eq!(told.len(), 3 + 4 + 1, "{told:?}");
        assert!(told[2].starts_with("l.toml:12:3:") && told[6].contains("`o3`"), "whose key it is, is always told: {told:?}");
        assert_eq!(told[7], "6 more places, which `check --json` lists: the source `…` is odd");
        assert_eq!(in_short(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_file_cannot_steer_the_terminal() {
        assert!(!at(0, 1, "\u{1b}[31m\u{7}").to_string().contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn faults_come_in_the_order_of_the_file_and_the_environment_last() {
        let variable = Diagnostic { place: Place::Variable("LEADWIRE__X".into()), ..at(0, 1, "") };
        let all =
            Diagnostics::new(vec![variable, at(5, 1, "      "), at(0, 1, "      "), Diagnostic::whole("l.toml", "no source", "add one")]);
        let columns: Vec<Value> = all.faults().iter().map(|fault| fault.to_json()["column"].clone()).collect();
        assert_eq!(columns, [Value::Null, json!(1), json!(6), Value::Null]);
        assert!(all.to_string().ends_with("\n\n4 faults; nothing was started"));
    }

    proptest! {
        #[test]
        fn a_caret_is_shown_for_every_place_in_a_line_of_any_length(length in 0_usize..600, start in 0_usize..600, width in 0_usize..600) {
            let start = start.min(length);
            let shown = at(start, width, &"x".repeat(length)).to_string();
            let carets = shown.lines().nth(2).unwrap();
            prop_assert!(carets.contains('^') && carets.chars().count() <= WIDEST + 8);
        }
    }
}
