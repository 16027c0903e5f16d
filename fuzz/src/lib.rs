//! What holds for every input, however hostile: a function for each target, which panics when it does not. Each has its seeds in
//! `corpus/` and, where the input has words, a dictionary in `dictionaries/`.

pub mod canonical_json;
pub mod config;
pub mod contact;
pub mod csv_writer;
pub mod normalizer;
pub mod process_protocol;
pub mod redactor;
pub mod retry_after;
pub mod signature;
pub mod template;

/// Panics when what must hold does not hold for this input.
pub type Check = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: [(&str, Check); 10] = [
    ("canonical_json", canonical_json::check),
    ("config", config::check),
    ("contact", contact::check),
    ("csv_writer", csv_writer::check),
    ("normalizer", normalizer::check),
    ("process_protocol", process_protocol::check),
    ("redactor", redactor::check),
    ("retry_after", retry_after::check),
    ("signature", signature::check),
    ("template", template::check),
];

/// Separates the parts of an input that has several. No text in use has this character, and a person can type it into a seed.
const SEPARATOR: u8 = 0x1f;

/// The first parts of an input and the rest of it; parts that are not there are empty.
fn parts<const N: usize>(data: &[u8]) -> [&[u8]; N] {
    let mut parts = data.splitn(N, |byte| *byte == SEPARATOR);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}
