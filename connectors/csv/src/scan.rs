//! Reads a file that rows were appended to: which rows are whole, and where the whole ones end.

use crate::index::Id;
use crate::map::DELIVERY_ID;
use csv::{ByteRecord, ReaderBuilder, Terminator};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Longer than any header row this connector writes.
const HEADER_MOST: u64 = 1 << 20;

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The first line, with its line feed if it has one.
    pub(crate) header: Vec<u8>,
    /// Of every whole row, in order.
    pub(crate) ids: Vec<Id>,
    /// How many of `ids` come before anything that is not a whole row.
    pub(crate) leading: usize,
    /// Where those end.
    pub(crate) end: u64,
    /// Whether whole rows follow on something that no failed write leaves: somebody edited the file.
    pub(crate) is_edited: bool,
}

/// Reads all of `file`.
///
/// A row is whole when it ends in a line feed and its last cell of as many as the header has, the delivery's id, is not empty: that
/// cell is written last, so a row that was cut anywhere lacks it or its line feed.
pub(crate) fn scan(file: &mut File) -> io::Result<Scan> {
    let ends_in_line_feed = ends_in_line_feed(file)?;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let mut header = Vec::new();
    reader.by_ref().take(HEADER_MOST).read_until(b'\n', &mut header)?;
    let Some(delimiter) = delimiter(&header) else {
        return Ok(Scan { header, ids: Vec::new(), leading: 0, end: 0, is_edited: false });
    };

    let mut found = Scan { end: header.len() as u64, header: header.clone(), ids: Vec::new(), leading: 0, is_edited: false };
    let mut rows = ReaderBuilder::new()
        .delimiter(delimiter)
        .terminator(Terminator::Any(b'\n'))
        .has_headers(false)
        .flexible(true)
        .from_reader(header.as_slice().chain(reader));
    let mut row = ByteRecord::new();
    rows.read_byte_record(&mut row)?;
    let cells = row.len();
    let mut failed_write = true;
    let mut is_broken = false;
    while rows.read_byte_record(&mut row)? {
        let end = rows.position().byte();
        let id = row.get(cells.saturating_sub(1)).filter(|id| row.len() == cells && !id.is_empty() && !row.as_slice().contains(&0));
        let Some(id) = id.filter(|_| end < length || ends_in_line_feed) else {
            is_broken = true;
            // A hole that the power failure left is full of NUL, which no row has.
            failed_write &= row.as_slice().contains(&0) || end == length;
            continue;
        };
        found.ids.push(Id::of(id));
        if is_broken {
            found.is_edited |= !failed_write;
        } else {
            (found.leading, found.end) = (found.ids.len(), end);
        }
    }
    Ok(found)
}

fn ends_in_line_feed(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// The byte before the last column's name; `None` when the line is no header of ours.
fn delimiter(header: &[u8]) -> Option<u8> {
    let before = header.strip_suffix(b"\n")?.strip_suffix(DELIVERY_ID.as_bytes())?;
    match before.last() {
        Some(delimiter @ (b',' | b';' | b'|' | b'\t')) => Some(*delimiter),
        None | Some(0xBF) => Some(b','),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use std::io::Write;

    fn scanned(text: &[u8]) -> Scan {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        scan(&mut file).unwrap()
    }

    const WHOLE: &[u8] = b"content,delivery_id\nhi,1\n\"a \"\"b\"\"\n\nc, d\",2\n";

    #[test]
    fn every_whole_row_is_found() {
        let found = scanned(WHOLE);
        assert_eq!(found.ids, [Id::of(b"1"), Id::of(b"2")]);
        assert_eq!((found.leading, found.end, found.is_edited), (2, WHOLE.len() as u64, false));
    }

    #[test]
    fn a_row_cut_at_any_byte_is_not_whole() {
        let first_end = WHOLE.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 1;
        for cut in first_end..WHOLE.len() {
            let found = scanned(&WHOLE[..cut]);
            assert_eq!((found.leading, found.end, found.is_edited), (1, first_end as u64, false), "cut at {cut}");
        }
    }

    #[test]
    fn a_hole_of_zeros_ends_the_whole_rows_and_is_nobodys_edit() {
        let mut holed = WHOLE.to_vec();
        holed[first_row_end() + 1..first_row_end() + 6].fill(0);
        holed.extend_from_slice(b"more,3\n");
        let found = scanned(&holed);
        assert_eq!((found.leading, found.end, found.is_edited), (1, first_row_end() as u64, false));
    }

    fn first_row_end() -> usize {
        b"content,delivery_id\nhi,1\n".len()
    }

    #[test]
    fn rows_behind_a_row_of_another_shape_are_an_edit() {
        let found = scanned(b"content,delivery_id\nhi,1\na note\nho,2\n");
        assert_eq!(found.ids.len(), 2);
        assert_eq!((found.leading, found.is_edited), (1, true));
    }

    #[test]
    fn a_header_of_somebody_else_is_left_alone() {
        for text in [&b""[..], b"content,deliv", b"a,b\n1,2\n", b"\xFF\xD8\xFF"] {
            let found = scanned(text);
            assert_eq!((found.ids.len(), found.end), (0, 0));
        }
    }
}
