//! From an event to a row: columns, cells that no spreadsheet runs, and their CSV.

use crate::index::Id;
use leadwire_connector::mapping::FieldMap;
use leadwire_connector::settings::Fault;
use leadwire_connector::{Author, Conversation, DeliveryError, ErrorKind, Event, Kind, timestamp};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Spreadsheets take 32,767 UTF-16 units in a cell; the rest is for the apostrophe and for programs that count otherwise.
pub(crate) const CELL_MOST: usize = 32_000;

/// The column that ends every row.
pub(crate) const DELIVERY_ID: &str = "delivery_id";

type Read = fn(&Event) -> String;

/// The columns by name; the first `DEFAULTS` of them are the default, before [`DELIVERY_ID`].
const STANDARD: [(&str, Read); 18] = [
    ("received_at", |event| timestamp::format(event.received_at)),
    ("created_at", |event| event.created_at.map(timestamp::format).unwrap_or_default()),
    ("kind", |event| event.kind.to_string()),
    ("first_name", |event| text(event.person.first_name.as_ref())),
    ("last_name", |event| text(event.person.last_name.as_ref())),
    ("email", |event| text(event.person.email.as_ref())),
    ("phone", |event| text(event.person.phone.as_ref())),
    ("content", content),
    ("session_id", |event| text(event.session_id.as_ref())),
    ("chatbot_id", |event| text(event.chatbot_id.as_ref())),
    ("page_url", |event| text(event.page_url.as_ref())),
    ("source", |event| event.source.clone()),
    ("event_id", |event| event.id.to_string()),
    ("full_name", |event| event.person.full_name().unwrap_or_default()),
    ("chatbot_name", |event| text(event.conversation.as_ref().and_then(|conversation| conversation.chatbot_name.as_ref()))),
    ("stale", |event| event.stale.to_string()),
    ("extra", |event| Value::Object(event.extra.clone()).to_string()),
    ("raw", |event| event.raw.to_string()),
];
const DEFAULTS: usize = 13;

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

/// A remark or transcript; for an event of no known shape its JSON, so that a person sees what came.
fn content(event: &Event) -> String {
    match (&event.conversation, &event.content) {
        (Some(conversation), _) => transcript(conversation, event.content.as_deref()),
        (None, Some(content)) => content.clone(),
        (None, None) if event.kind == Kind::Unrecognized => event.raw.to_string(),
        (None, None) => String::new(),
    }
}

fn transcript(conversation: &Conversation, remark: Option<&str>) -> String {
    let lines = conversation.messages.iter().map(|message| {
        let author = match message.author {
            Author::Ai => "ai",
            Author::User => "user",
        };
        format!("{author}: {}", message.text)
    });
    remark.map(str::to_owned).into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// One column of the configuration.
#[derive(Debug, Clone)]
pub(crate) enum Column {
    /// One that every event has.
    Standard(&'static str, Read),
    /// The delivery's id.
    DeliveryId,
    /// A template of the user's.
    Own { name: String, template: String },
}

impl Column {
    fn name(&self) -> &str {
        match self {
            Self::Standard(name, _) => name,
            Self::DeliveryId => DELIVERY_ID,
            Self::Own { name, .. } => name,
        }
    }
}

/// The column of that name.
pub(crate) fn standard(name: &str) -> Option<Column> {
    if name == DELIVERY_ID {
        return Some(Column::DeliveryId);
    }
    STANDARD.iter().find(|(known, _)| *known == name).map(|(name, read)| Column::Standard(name, *read))
}

/// Every name that [`standard`] knows.
pub(crate) fn standard_names() -> Vec<&'static str> {
    STANDARD.iter().map(|(name, _)| *name).chain([DELIVERY_ID]).collect()
}

/// The columns of a destination that names none.
pub(crate) fn default_columns() -> Vec<Column> {
    STANDARD.iter().take(DEFAULTS).map(|(name, read)| Column::Standard(name, *read)).collect()
}

/// A row, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) id: Id,
    pub(crate) csv: Vec<u8>,
    /// What a person should know of it: cells that are empty or cut.
    pub(crate) remark: Option<String>,
}

/// The columns of a destination and how they are written.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<Column>,
    templates: FieldMap,
    delimiter: u8,
    byte_order_mark: bool,
}

impl Table {
    /// `columns` in order; [`DELIVERY_ID`] is put last.
    pub(crate) fn new(mut columns: Vec<Column>, delimiter: u8, byte_order_mark: bool) -> Result<Self, Vec<Fault>> {
        let mut faults = faults_of_names(&columns);
        let templates: BTreeMap<String, String> = columns
            .iter()
            .filter_map(|column| match column {
                Column::Own { name, template } => Some((name.clone(), template.clone())),
                Column::Standard(..) | Column::DeliveryId => None,
            })
            .collect();
        let compiled = FieldMap::compile(&templates).map_err(|more| faults.extend(at_their_columns(&columns, more)));
        columns.retain(|column| !matches!(column, Column::DeliveryId));
        columns.push(Column::DeliveryId);
        match compiled {
            Ok(templates) if faults.is_empty() => Ok(Self { columns, templates, delimiter, byte_order_mark }),
            _ => Err(faults),
        }
    }

    /// The first row of a file, and what stands before it.
    pub(crate) fn header(&self) -> Result<Vec<u8>, DeliveryError> {
        let mark: &[u8] = if self.byte_order_mark { b"\xEF\xBB\xBF" } else { b"" };
        let names: Vec<String> = self.columns.iter().map(|column| safe(column.name())).collect();
        Ok([mark, &encode(&names, self.delimiter)?].concat())
    }

    /// The row of a delivery.
    pub(crate) fn row(&self, event: &Event, delivery_id: &str) -> Result<Row, DeliveryError> {
        if delivery_id.is_empty() || delivery_id.chars().any(char::is_control) {
            return Err(DeliveryError::reject(ErrorKind::Internal, "the delivery's id is empty or has control characters"));
        }
        let (cells, remark) = self.cells(event, delivery_id);
        Ok(Row { id: Id::of(safe(delivery_id).as_bytes()), csv: encode(&cells, self.delimiter)?, remark })
    }

    /// Column → cell.
    pub(crate) fn preview(&self, event: &Event) -> Result<Value, DeliveryError> {
        let (cells, _) = self.cells(event, "(the delivery's own id)");
        let names = self.columns.iter().map(|column| column.name().to_owned());
        Ok(Value::Object(names.zip(cells.into_iter().map(Value::String)).collect()))
    }

    /// A column whose template fails has an empty cell, and a remark.
    fn cells(&self, event: &Event, delivery_id: &str) -> (Vec<String>, Option<String>) {
        let rendered = self.templates.render(event);
        let failed = rendered.remark();
        let mut own: HashMap<String, String> = rendered.fields.into_iter().collect();
        let mut is_cut = false;
        let mut cell = |column: &Column| {
            let mut text = match column {
                Column::Standard(_, read) => read(event),
                Column::DeliveryId => delivery_id.to_owned(),
                Column::Own { name, .. } => own.remove(name).unwrap_or_default(),
            };
            is_cut |= cut(&mut text);
            safe(&text)
        };
        let cells = self.columns.iter().map(&mut cell).collect();
        let cut = is_cut.then(|| format!("a cell was cut to {CELL_MOST} characters"));
        let remarks: Vec<String> = failed.into_iter().chain(cut).collect();
        (cells, (!remarks.is_empty()).then(|| remarks.join("; ")))
    }
}

fn faults_of_names(columns: &[Column]) -> Vec<Fault> {
    let mut seen = HashSet::new();
    let mut faults = Vec::new();
    let last = columns.len().saturating_sub(1);
    for (index, column) in columns.iter().enumerate() {
        let name = column.name();
        let own = matches!(column, Column::Own { .. });
        let message = if name.trim().is_empty() || name.chars().any(char::is_control) || name.chars().count() > 200 {
            "a column's name has 1 to 200 characters and no line breaks".to_owned()
        } else if !seen.insert(name) || (own && name == DELIVERY_ID) {
            format!("there are two columns `{name}`")
        } else if name == DELIVERY_ID && index != last {
            "`delivery_id` is always the last column; move it to the end, or leave it out".to_owned()
        } else {
            continue;
        };
        faults.push(Fault::new(["columns".to_owned(), index.to_string()], message));
    }
    faults
}

/// The mapping places a fault at `fields.NAME`; here it belongs to the column of that name.
fn at_their_columns(columns: &[Column], faults: Vec<Fault>) -> Vec<Fault> {
    let place = |fault: &Fault| columns.iter().position(|column| Some(column.name()) == fault.path.last().map(String::as_str));
    let moved = faults.into_iter().map(|mut fault| {
        let index = place(&fault).unwrap_or_default();
        fault.path = vec!["columns".to_owned(), index.to_string()];
        fault
    });
    moved.collect()
}

/// Cuts to [`CELL_MOST`] UTF-16 units, which is what spreadsheets count. True when something was cut.
fn cut(text: &mut String) -> bool {
    if text.len() <= CELL_MOST || text.encode_utf16().count() <= CELL_MOST {
        return false;
    }
    let mut units = 0;
    let too_far = text.char_indices().find(|(_, char)| {
        units += char.len_utf16();
        units >= CELL_MOST
    });
    text.truncate(too_far.map_or(0, |(at, _)| at));
    text.push('…');
    true
}

/// The text as a cell that no spreadsheet runs (see the OWASP page on CSV injection; the wide forms are for East Asian spreadsheets).
/// NUL is dropped: no program expects it, and it marks a hole that a failed disk write left.
fn safe(text: &str) -> String {
    let text = text.replace('\0', "");
    let start = text.trim_start_matches(is_unseen);
    let runs = text.starts_with(['\t', '\r', '\n']) || start.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if runs { format!("'{text}") } else { text }
}

/// White space, control characters and the characters of no width: programs that drop them see a formula behind them.
fn is_unseen(c: char) -> bool {
    let has_no_width =
        matches!(c, '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    c.is_whitespace() || c.is_control() || has_no_width
}

fn encode(cells: &[String], delimiter: u8) -> Result<Vec<u8>, DeliveryError> {
    let failed = |error: &dyn std::fmt::Display| DeliveryError::reject(ErrorKind::Internal, format!("the row cannot be made: {error}"));
    let mut csv = csv::WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
    csv.write_record(cells).map_err(|error| failed(&error))?;
    csv.into_inner().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn event(changes: &Value) -> Event {
        let mut event = json!({
            "id": "0199f3c2-0000-7000-8000-000000000001", "kind": "lead", "source": "acme", "chatbot_id": "bot",
            "person": {"first_name": "David", "last_name": "Garcia", "email": "test@qq.com", "phone": null},
            "content": "test", "session_id": "31305", "page_url": "https://www.google.com",
            "created_at": "2023-11-23T18:36:21.512302Z", "received_at": "2026-11-22T05:17:00Z", "extra": {"Company": "Acme"}, "raw": {"a": 1}
        });
        event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        serde_json::from_value(event).unwrap()
    }

    fn default_table() -> Table {
        Table::new(default_columns(), b',', false).unwrap()
    }

    fn written(table: &Table, event: &Event) -> String {
        String::from_utf8(table.row(event, "d-1").unwrap().csv).unwrap()
    }

    #[test]
    fn a_lead_is_a_row() {
        assert_eq!(
            written(&default_table(), &event(&json!({}))),
            "2026-11-22T05:17:00.000000Z,2023-11-23T18:36:21.512302Z,lead,David,Garcia,test@qq.com,,test,31305,bot,https://www.google.com,acme,\
             0199f3c2-0000-7000-8000-000000000001,d-1\n"
        );
    }

    #[test]
    fn cells_cannot_run_as_formulas() {
        for start in ["=", "+", "-", "@", "\t", "\r", "\n", "  =", "\u{FEFF}\t=", "＝"] {
            let hostile = format!("{start}cmd|' /C calc'!A0");
            assert_eq!(safe(&hostile), format!("'{hostile}"));
        }
        for unseen in
            ["\u{A0}", "\u{200B}", "\u{200C}", "\u{200D}", "\u{2060}", "\u{FEFF}", "\u{B}", "\u{1B}", "\u{7F}", "\u{AD}", "\u{202E}"]
        {
            for sign in ["=", "+", "-", "@"] {
                let hostile = format!("{unseen} {unseen}{sign}1");
                assert_eq!(safe(&hostile), format!("'{hostile}"), "{hostile:?}");
            }
        }
        assert_eq!(safe("2 - 1 = 1"), "2 - 1 = 1");
        assert_eq!(safe("\u{200B}hello"), "\u{200B}hello");
        let table = Table::new(vec![Column::Own { name: "=x".into(), template: "{{ content }}".into() }], b',', false).unwrap();
        let row = written(&table, &event(&json!({"content": "=HYPERLINK(\"http://evil\")"})));
        assert_eq!(row, "\"'=HYPERLINK(\"\"http://evil\"\")\",d-1\n");
        assert_eq!(table.header().unwrap(), b"'=x,delivery_id\n");
    }

    #[test]
    fn a_conversation_is_one_row_with_its_transcript() {
        let messages = json!([{"author": "ai", "text": "Hi"}, {"author": "user", "text": "=1+1\nplease"}]);
        let event = event(&json!({"kind": "conversation", "content": null, "messages": messages}));
        assert_eq!(content(&event), "ai: Hi\nuser: =1+1\nplease");
    }

    #[test]
    fn what_is_of_no_known_shape_shows_its_json() {
        assert_eq!(content(&event(&json!({"kind": "unrecognized", "content": null}))), "{\"a\":1}");
    }

    #[test]
    fn a_cell_fits_into_a_spreadsheet_and_says_so_when_it_was_cut() {
        let row = default_table().row(&event(&json!({"content": "😀".repeat(20_000)})), "d-1").unwrap();
        assert!(row.remark.unwrap().contains("cut to"));
        let mut exact = "x".repeat(CELL_MOST);
        assert!(!cut(&mut exact));
        exact.push('y');
        assert!(cut(&mut exact));
        assert_eq!((exact.encode_utf16().count(), exact.ends_with("x…")), (CELL_MOST, true));
    }

    #[test]
    fn columns_are_in_the_order_of_the_configuration_and_the_delivery_ends_the_row() {
        let own = Column::Own { name: "Company".into(), template: "{{ extra.Company }}".into() };
        let table = Table::new(vec![standard("email").unwrap(), own, standard("full_name").unwrap()], b';', true).unwrap();
        assert_eq!(table.header().unwrap(), b"\xEF\xBB\xBFemail;Company;full_name;delivery_id\n");
        assert_eq!(written(&table, &event(&json!({}))), "test@qq.com;Acme;David Garcia;d-1\n");
        let preview = table.preview(&event(&json!({}))).unwrap();
        assert_eq!(preview.as_object().unwrap().keys().collect::<Vec<_>>(), ["email", "Company", "full_name", "delivery_id"]);
    }

    #[test]
    fn a_column_whose_template_fails_on_a_value_is_empty_and_told() {
        let own = Column::Own { name: "zip".into(), template: "{{ content|int }}".into() };
        let row = Table::new(vec![own, standard("email").unwrap()], b',', false).unwrap().row(&event(&json!({})), "d-1").unwrap();
        assert_eq!(row.csv, b",test@qq.com,d-1\n");
        assert!(row.remark.unwrap().contains("`zip`"));
    }

    #[test]
    fn columns_that_make_no_table_are_faults() {
        let twice = vec![standard("email").unwrap(), standard("email").unwrap()];
        assert_eq!(Table::new(twice, b',', false).unwrap_err()[0].path, ["columns", "1"]);
        let early = vec![Column::DeliveryId, standard("email").unwrap()];
        assert_eq!(Table::new(early, b',', false).unwrap_err()[0].path, ["columns", "0"]);
        let broken = Column::Own { name: "a\nb".into(), template: String::new() };
        assert_eq!(Table::new(vec![broken], b',', false).unwrap_err().len(), 1);
    }

    #[test]
    fn an_id_that_could_break_a_row_is_refused() {
        assert!(default_table().row(&event(&json!({})), "").is_err());
        assert!(default_table().row(&event(&json!({})), "a\nb").is_err());
    }

    proptest! {
        #[test]
        fn every_text_comes_back_from_its_cell(texts in prop::collection::vec(".{0,60}|[\"',;=+@\t\r\n-]{0,12}", 1..6), semicolon: bool) {
            let delimiter = if semicolon { b';' } else { b',' };
            let cells: Vec<String> = texts.iter().map(|text| safe(text)).chain(["id".to_owned()]).collect();
            // As in a file, a header comes first: the reader takes a byte order mark away only there.
            let csv = [&b"header\n"[..], &encode(&cells, delimiter).unwrap()].concat();
            let mut reader = csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(csv.as_slice());
            let read: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(read.len(), 1);
            prop_assert_eq!(read[0].iter().collect::<Vec<_>>(), cells.iter().map(String::as_str).collect::<Vec<_>>());
            for (cell, text) in cells.iter().zip(&texts) {
                prop_assert!(!cell.trim_start_matches(is_unseen).starts_with(['=', '+', '-', '@']) && !cell.starts_with(['\t', '\r', '\n']));
                let kept = text.replace('\0', "");
                prop_assert!(cell.strip_prefix('\'').unwrap_or(cell) == kept || *cell == kept);
            }
        }
    }
}
