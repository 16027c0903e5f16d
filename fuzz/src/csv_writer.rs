//! Rows for spreadsheets: what another reader of CSV finds is what went in, no cell runs, and a row that was cut off is known for one.
//!
//! The input is a choice of delimiter, then first name, last name, e-mail, phone and content.

use super::{normalizer, parts};
use csv::{ReaderBuilder, StringRecord};
use leadwire_connector_csv::fuzzing::{WRITTEN_BY_VISITORS, whole_rows, written};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

/// As the connector's reference says.
const LONGEST: usize = 32_000;

pub fn check(data: &[u8]) {
    let [choice, cells @ ..]: [&[u8]; 6] = parts(data);
    let texts = cells.map(|cell| String::from_utf8_lossy(cell).into_owned());
    let choice = choice.first().copied().unwrap_or_default();
    let (delimiter, mark) = (b",;|\t"[usize::from(choice % 4)], choice & 4 == 4);
    let mut event = normalizer::events_of(b"{}", None).remove(0).event;
    let given = texts.clone().map(Some);
    let person = &mut event.person;
    [person.first_name, person.last_name, person.email, person.phone, event.content] = given;
    let (header, row) = written(&event, "d-1", delimiter, mark).expect("every event has a row");
    comes_back(&[&header[..], &row].concat(), delimiter, &texts);
    is_whole_or_not(&header, &row, choice);
}

fn comes_back(file: &[u8], delimiter: u8, texts: &[String]) {
    let mut reader = ReaderBuilder::new().delimiter(delimiter).from_reader(file);
    let rows: Vec<StringRecord> = reader.records().map(|row| row.expect("each row has as many cells as the header")).collect();
    assert_eq!(rows.len(), 1, "one lead is one row");
    assert_eq!(rows[0].iter().next_back(), Some("d-1"));
    for (text, cell) in texts.iter().zip(rows[0].iter().skip(WRITTEN_BY_VISITORS.start)) {
        let text = text.replace('\0', "");
        let kept = cell.strip_prefix('\'').filter(|_| !text.starts_with('\'') || *cell == *format!("'{text}")).unwrap_or(cell);
        if text.encode_utf16().count() <= LONGEST {
            assert_eq!(kept, text, "another text comes back");
        } else {
            assert!(kept.strip_suffix('…').is_some_and(|kept| text.starts_with(kept)), "a text is not cut but changed");
        }
        assert!(cell.encode_utf16().count() <= LONGEST + 1);
        does_not_run(cell);
    }
}

/// What a spreadsheet takes for a formula, also one that drops what cannot be seen, or takes wide characters for narrow ones.
fn does_not_run(cell: &str) {
    let seen: String = cell.chars().filter(|c| !(c.is_whitespace() || c.is_control() || is_invisible(*c))).collect();
    assert!(!seen.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']), "{cell:?} is a formula");
    assert!(!cell.starts_with(['\t', '\r', '\n']), "{cell:?} begins a formula in some programs");
}

/// The characters that Unicode says are shown as nothing (`Default_Ignorable_Code_Point`), as far as any program is known to drop them.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// Cut anywhere, as a power failure does, a row does not count; whole, it does.
fn is_whole_or_not(header: &[u8], row: &[u8], choice: u8) {
    let mark: &[u8] = b"\xEF\xBB\xBF";
    let cut = row.len() * usize::from(choice) / 255;
    let mut file = tempfile();
    for (length, whole) in [(row.len(), 1), (cut, usize::from(cut == row.len()))] {
        file.set_len(0).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(&[header, &row[..length]].concat()).unwrap();
        let (found, end, is_edited) = whole_rows(&mut file).unwrap();
        assert_eq!((found, is_edited), (whole, false), "of {} bytes {length} are written, mark {}", row.len(), header.starts_with(mark));
        assert_eq!(end, (header.len() + if whole == 1 { row.len() } else { 0 }) as u64);
    }
}

/// Without a name, so that nothing is left of it.
fn tempfile() -> File {
    thread_local! {
        static FILE: File = tempfile::tempfile().unwrap();
    }
    FILE.with(|file| file.try_clone().unwrap())
}
