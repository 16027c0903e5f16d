//! Reads the rows of a file that users may have saved over since, for finding a person in them. More lenient than
//! [`scan`](crate::scan), which decides whether rows may be appended.

use crate::map::DELIVERY_ID;
use csv::{ByteRecord, ReaderBuilder, Terminator};
use leadwire_connector::Kept;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

/// Longer than any header row this connector writes.
const HEADER_MOST: u64 = 1 << 20;

/// One row.
pub(crate) struct Row<'a> {
    /// From 1, not counting the header.
    pub(crate) number: u64,
    /// Where it stands in the file, with its line feed.
    pub(crate) bytes: Range<u64>,
    pub(crate) cells: &'a ByteRecord,
    /// The last cell of a row with as many cells as the header; else empty.
    pub(crate) delivery: &'a [u8],
}

impl Row<'_> {
    /// For people.
    pub(crate) fn kept(&self, header: &ByteRecord, path: &Path) -> Kept {
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).trim_start_matches('\u{FEFF}').trim_end_matches('\r').to_owned();
        let name = |at: usize| header.get(at).map_or_else(|| format!("column {}", at + 1), text);
        Kept {
            delivery: text(self.delivery),
            place: path.display().to_string(),
            number: self.number,
            values: self.cells.iter().enumerate().map(|(at, cell)| (name(at), text(cell))).collect(),
        }
    }
}

/// Calls `each` with the header and every row. False when the file has no header of ours.
pub(crate) fn walk(path: &Path, each: &mut dyn FnMut(&ByteRecord, &Row<'_>)) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(delimiter) = delimiter(&mut file)? else { return Ok(false) };
    file.seek(SeekFrom::Start(0))?;
    // A line feed alone ends a row, so that the bytes of a row are known to the last; a carriage return stays in its cell.
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .terminator(Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .from_reader(BufReader::new(file));
    let (mut header, mut cells) = (ByteRecord::new(), ByteRecord::new());
    rows.read_byte_record(&mut header)?;
    let mut start = rows.position().byte();
    let mut number = 0;
    while rows.read_byte_record(&mut cells)? {
        number += 1;
        let end = rows.position().byte();
        let last = cells.get(header.len().saturating_sub(1)).filter(|_| cells.len() == header.len()).unwrap_or_default();
        let delivery = last.strip_suffix(b"\r").unwrap_or(last);
        each(&header, &Row { number, bytes: start..end, cells: &cells, delivery });
        start = end;
    }
    Ok(true)
}

/// What stands before the last column's name, which spreadsheets may have put in quotes.
fn delimiter(file: &mut File) -> io::Result<Option<u8>> {
    let mut header = Vec::new();
    BufReader::new(file).take(HEADER_MOST).read_until(b'\n', &mut header)?;
    let unquoted: Vec<u8> = header.into_iter().filter(|byte| !b"\"\r\n".contains(byte)).collect();
    let Some(before) = unquoted.strip_suffix(DELIVERY_ID.as_bytes()) else { return Ok(None) };
    Ok(match before.last() {
        Some(delimiter @ (b',' | b';' | b'|' | b'\t')) => Some(*delimiter),
        None | Some(0xBF) => Some(b','),
        Some(_) => None,
    })
}
