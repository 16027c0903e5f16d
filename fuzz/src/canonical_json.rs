//! The canonical form of a body, which signatures and content keys are made over: the same as a reference makes that leans on serde's
//! parser, and its own canonical form.

use leadwire::verify::json::parse;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

pub fn check(data: &[u8]) {
    let parsed = parse(data);
    if let Some(expected) = reference(data) {
        let value = parsed.as_ref().unwrap_or_else(|error| panic!("what JSON.parse takes is refused: {error}"));
        assert_eq!(value.canonical(), expected, "differs from the reference");
    }
    let Ok(value) = parsed else { return };
    let canonical = value.canonical();
    let again = parse(canonical.as_bytes()).expect("a canonical text is acceptable");
    assert_eq!(again.canonical(), canonical, "the canonical text of a canonical text is another one");
    assert!(!canonical.bytes().any(|byte| byte < 0x20), "a canonical text is one line");
    // What the rest of the program has can be written and read again, but for a name that serde's JSON keeps for itself.
    let plain = value.to_json();
    if depth(data) < 100 && !canonical.contains("$serde_json::private") {
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain.to_string()).unwrap(), plain);
    }
}

/// What `JSON.stringify(JSON.parse(text))` gives, as far as serde's parser can tell: `None` for what it does not take, among it halves of
/// surrogate pairs, and for texts that nest too deep for it.
fn reference(data: &[u8]) -> Option<String> {
    let data = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    if data.is_empty() {
        return Some("{}".to_owned());
    }
    let text = String::from_utf8_lossy(data);
    let raw: &RawValue = serde_json::from_str(&text).ok().filter(|_| depth(data) < 100)?;
    matches!(raw.get().as_bytes().first(), Some(b'{' | b'[')).then(|| stringify(raw))?
}

fn stringify(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    match text.as_bytes().first()? {
        b'{' => {
            let entries = serde_json::from_str::<Entries>(text).ok()?.in_order();
            let each = |(key, value): &(String, Box<RawValue>)| Some(format!("{}:{}", quoted(key)?, stringify(value)?));
            Some(format!("{{{}}}", entries.iter().map(each).collect::<Option<Vec<_>>>()?.join(",")))
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Some(format!("[{}]", items.into_iter().map(stringify).collect::<Option<Vec<_>>>()?.join(",")))
        }
        b'"' => quoted(&serde_json::from_str::<String>(text).ok()?),
        b'-' | b'0'..=b'9' => {
            let number: f64 = text.parse().ok()?;
            Some(if number.is_finite() { ryu_js::Buffer::new().format(number).to_owned() } else { "null".to_owned() })
        }
        _ => Some(text.to_owned()),
    }
}

fn quoted(text: &str) -> Option<String> {
    serde_json::to_string(text).ok()
}

/// The entries of an object, repeated keys and all.
struct Entries(Vec<(String, Box<RawValue>)>);

impl Entries {
    /// As `OrdinaryOwnPropertyKeys` has them: a repeated key where it stood first, with its last value; array indexes before the others.
    fn in_order(self) -> Vec<(String, Box<RawValue>)> {
        let mut entries: Vec<(String, Box<RawValue>)> = Vec::new();
        for (key, value) in self.0 {
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some(known) => known.1 = value,
                None => entries.push((key, value)),
            }
        }
        let index = |key: &str| key.parse::<u32>().ok().filter(|index| *index != u32::MAX && index.to_string() == key);
        entries.sort_by_key(|(key, _)| index(key).map_or((1, 0), |index| (0, index)));
        entries
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Entries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// At most so deep does a text nest.
fn depth(data: &[u8]) -> usize {
    data.iter().filter(|byte| matches!(byte, b'{' | b'[')).count()
}
