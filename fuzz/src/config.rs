//! The configuration: any text is read or refused with places that are in it, and no message tells a secret.

use leadwire::config::{Diagnostics, Place, Settings, parse, schema};
use leadwire::connectors::builtin;
use std::path::Path;

const SECRET: &str = "whk_7Zq4mXb9KpLw";
/// Where a secret stands before what the fuzzer writes, on the same line and on the lines above.
const FRAME: &str = "[sources.acme]\nsigning_keys = [\"whk_7Zq4mXb9KpLw\"";

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // Names of files would be opened, and some of this machine's never end.
    if text.contains("/dev/") || text.contains("/proc/") || text.contains("/sys/") {
        return;
    }
    let read = read(&text);
    match &read {
        Ok(settings) => is_told_alike(&text, settings),
        Err(faults) => is_told(&text, faults),
    }
    let framed = format!("{FRAME}{text}");
    match self::read(&framed) {
        Ok(settings) => assert!(!format!("{settings:?}").contains(SECRET), "the settings print a secret"),
        Err(faults) => {
            is_told(&framed, &faults);
            assert!(
                !faults.to_string().contains(SECRET) && !faults.to_json().to_string().contains(SECRET),
                "a fault tells a secret:\n{faults}"
            );
        }
    }
}

fn read(text: &str) -> Result<Settings, Diagnostics> {
    parse(Path::new("leadwire.toml"), text, &builtin(), std::iter::empty())
}

/// Each fault has a place that is in the file, and none steers a terminal.
fn is_told(text: &str, faults: &Diagnostics) {
    assert!(!faults.faults().is_empty(), "a file is refused without a fault");
    let lines: Vec<&str> = text.split('\n').collect();
    for fault in faults.faults() {
        assert!(!fault.message.is_empty());
        if let Place::Line(excerpt) = &fault.place {
            let line = lines.get(excerpt.line.wrapping_sub(1)).expect("a fault is on a line of the file");
            assert!((1..=line.chars().count() + 1).contains(&excerpt.column), "column {} of {line:?}", excerpt.column);
        }
    }
    assert!(!faults.to_string().contains(|c: char| c.is_control() && c != '\n'), "a fault steers the terminal");
}

/// The same text is read the same way each time, and the schema's sections are all there are.
fn is_told_alike(text: &str, settings: &Settings) {
    let again = read(text).expect("what was read once is read again");
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
    let sections = schema(&builtin())["properties"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let root = text.lines().map(str::trim).filter(|line| line.starts_with('[') && !line.starts_with("[[") && line.ends_with(']'));
    for section in root.filter_map(|line| line[1..line.len() - 1].split('.').next()) {
        let is_bare = section.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        // A line within a text of several lines may look like one.
        assert!(!is_bare || sections.iter().any(|known| known == section) || text.contains("\"\"\"") || text.contains("'''"), "{section}");
    }
}
