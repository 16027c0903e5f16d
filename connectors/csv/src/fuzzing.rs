//! What the fuzz targets reach of the inside. No part of the interface: a fuzzer needs functions of bytes, and the connector is one of
//! folders.

use crate::map::{Table, default_columns};
use crate::scan::scan;
use leadwire_connector::Event;
use std::fs::File;
use std::io;

/// Where the columns of [`written`] stand that hold what a visitor wrote: first name, last name, e-mail, phone and content.
pub const WRITTEN_BY_VISITORS: std::ops::Range<usize> = 3..8;

/// A file with the default columns: its header, and the row of this event.
///
/// # Errors
/// Why there is no row, for a person.
pub fn written(event: &Event, delivery: &str, delimiter: u8, byte_order_mark: bool) -> Result<(Vec<u8>, Vec<u8>), String> {
    let table = Table::new(default_columns(), delimiter, byte_order_mark).map_err(|faults| format!("{faults:?}"))?;
    let row = table.row(event, delivery).map_err(|error| error.to_string())?;
    Ok((table.header().map_err(|error| error.to_string())?, row.csv))
}

/// How many whole rows a file begins with, where they end, and whether somebody edited what follows.
///
/// # Errors
/// When the file cannot be read.
pub fn whole_rows(file: &mut File) -> io::Result<(usize, u64, bool)> {
    scan(file).map(|found| (found.leading, found.end, found.is_edited))
}
