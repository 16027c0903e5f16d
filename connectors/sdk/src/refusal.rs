//! Reading the bodies in which services say what is wrong: where the message, the code, the fields and the id of the record that is in
//! the way stand, as data.

use crate::{DeliveryError, ErrorKind};
use serde_json::Value;

/// A body names no more than a person can read.
const MOST_FIELDS: usize = 20;
const LONGEST_WORD: usize = 100;

/// Where in an error body things stand: JSON pointers (RFC 6901) in which `*` stands for every item of a list.
///
/// ```
/// use leadwire_connector::refusal::Shape;
/// // Salesforce: [{"errorCode": "...", "message": "...", "fields": ["Email"]}]
/// const SALESFORCE: Shape = Shape { code: &["/*/errorCode"], message: &["/*/message"], fields: &["/*/fields/*"], id: &[] };
/// let body = serde_json::json!([{"errorCode": "INVALID_FIELD", "message": "bad: a@b.example", "fields": ["Email"]}]);
/// let told = SALESFORCE.read(&body);
/// assert_eq!((told.code.as_deref(), told.fields), (Some("INVALID_FIELD"), vec!["Email".to_owned()]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// The service's own code; the first that is found counts.
    pub code: &'static [&'static str],
    /// The sentence; the first that is found counts.
    pub message: &'static [&'static str],
    /// The names of the fields that are refused; all count.
    pub fields: &'static [&'static str],
    /// The id of the record that is there already; the first that is found counts.
    pub id: &'static [&'static str],
}

impl Shape {
    /// Where most services put things.
    pub const COMMON: Self = Self {
        code: &["/code", "/errorCode", "/error/code", "/error/type", "/errors/*/code", "/*/errorCode", "/error"],
        message: &["/message", "/error/message", "/error_description", "/detail", "/*/message", "/errors/*/message", "/error"],
        fields: &["/field", "/error/field", "/errors/*/field", "/errors/*/fields/*", "/*/fields/*"],
        id: &["/existing_id", "/meta/id"],
    };

    /// What the body says, as far as it does.
    #[must_use]
    pub fn read(&self, body: &Value) -> Told {
        let first = |pointers: &[&str]| pointers.iter().find_map(|pointer| find(body, pointer).into_iter().find_map(text));
        let mut fields: Vec<String> = Vec::new();
        for name in self.fields.iter().flat_map(|pointer| find(body, pointer)).filter_map(|name| field_name(name.as_str()?)) {
            if fields.len() < MOST_FIELDS && !fields.iter().any(|known| known == name) {
                fields.push(name.to_owned());
            }
        }
        let code =
            self.code.iter().flat_map(|pointer| find(body, pointer)).filter_map(text).find_map(|code| word(&code).map(str::to_owned));
        Told { code, message: first(self.message), fields, id: first(self.id).filter(|id| word(id).is_some()) }
    }
}

/// What an error body says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The service's own code. A word, so that it may be shown.
    pub code: Option<String>,
    /// The service's own sentence. It may hold personal data: look into it, show it to nobody but in an excerpt.
    pub message: Option<String>,
    /// The fields that are refused. Names, so that they may be shown.
    pub fields: Vec<String>,
    /// The record that is there already.
    pub id: Option<String>,
}

/// Every value at the pointer, in which `*` stands for every item of a list.
#[must_use]
pub fn find<'v>(value: &'v Value, pointer: &str) -> Vec<&'v Value> {
    let mut found = vec![value];
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        found = found.into_iter().flat_map(|value| step(value, &part)).collect();
    }
    found
}

fn step<'v>(value: &'v Value, part: &str) -> Vec<&'v Value> {
    match value {
        Value::Array(items) if part == "*" => items.iter().collect(),
        Value::Array(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)).into_iter().collect(),
        Value::Object(table) => table.get(part).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// An id or a code, whether it came as text or as a number.
#[must_use]
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The text, if it is a code or an id: letters, digits, `_`, `-` and `.`. Whatever else a service writes may be personal data, and has
/// no place in a message.
#[must_use]
pub fn word(text: &str) -> Option<&str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!text.is_empty() && text.len() <= LONGEST_WORD && text.chars().all(is_word)).then_some(text)
}

/// The id of a record, whether it came as text or as a number. What is no [`word`] is no id that could be asked for.
#[must_use]
pub fn id(value: &Value) -> Option<String> {
    text(value).filter(|id| word(id).is_some())
}

/// Fields of tables have spaces and any letters in their names; neither a number nor an address passes.
fn field_name(text: &str) -> Option<&str> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '_' | '-' | '.' | '[' | ']' | '/');
    let has_letter = text.chars().any(char::is_alphabetic);
    (has_letter && text.len() <= LONGEST_WORD && text.chars().all(is_plain)).then_some(text)
}

/// A write that was answered, as far as a connector can go on from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<T = Value> {
    /// It is done.
    Done(T),
    /// A record with the same key is there already, with this id if the service says so.
    Conflict {
        /// The id, if the service gave it.
        existing_id: Option<String>,
        /// What to fail with when it cannot be turned into an update.
        error: DeliveryError,
    },
    /// These fields are not accepted; the write may do without them.
    Invalid {
        /// Their names.
        fields: Vec<String>,
        /// What to fail with when it cannot do without them.
        error: DeliveryError,
    },
}

impl<T> Outcome<T> {
    /// For requests that nothing but success can be made of.
    ///
    /// # Errors
    /// The error of every other outcome.
    pub fn done(self) -> Result<T, DeliveryError> {
        match self {
            Self::Done(done) => Ok(done),
            Self::Conflict { error, .. } | Self::Invalid { error, .. } => Err(error),
        }
    }
}

/// Makes a record, or updates the one that is there already: a conflict becomes an update **once**. `find` is asked for the id when the
/// service does not give it; a second conflict is an error, and so is a record that cannot be found.
///
/// # Errors
/// Those of the three; that of the conflict when there is nothing to update.
pub async fn create_or_update<T, C, F, FoundBy, U, UpdatedBy>(create: C, find: F, update: U) -> Result<Outcome<T>, DeliveryError>
where
    C: Future<Output = Result<Outcome<T>, DeliveryError>>,
    F: FnOnce() -> FoundBy,
    FoundBy: Future<Output = Result<Option<String>, DeliveryError>>,
    U: FnOnce(String) -> UpdatedBy,
    UpdatedBy: Future<Output = Result<Outcome<T>, DeliveryError>>,
{
    let (existing_id, error) = match create.await? {
        Outcome::Conflict { existing_id, error } => (existing_id, error),
        other => return Ok(other),
    };
    let id = match existing_id {
        Some(id) => Some(id),
        None => find().await?,
    };
    match update(id.ok_or(error)?).await? {
        Outcome::Conflict { error, .. } => Err(error),
        other => Ok(other),
    }
}

/// Where the results of a request with several records stand.
///
/// ```
/// use leadwire_connector::refusal::{BatchShape, Shape};
/// // Zoho: {"data": [{"code": "SUCCESS", "status": "success", "details": {"id": "1"}}]}
/// const ZOHO: BatchShape = BatchShape {
///     items: "/data",
///     id: &["/details/id"],
///     is_done: |item| item["status"] == "success",
///     error: Shape { code: &["/code"], message: &["/message"], fields: &["/details/api_name"], id: &["/details/duplicate_record/id"] },
/// };
/// let body = serde_json::json!({"data": [
///     {"status": "success", "details": {"id": "1"}},
///     {"status": "error", "code": "INVALID_DATA", "details": {"api_name": "Email"}},
/// ]});
/// let items = ZOHO.read(&body, 2, "Zoho").unwrap();
/// assert_eq!(items[0].as_deref(), Ok("1"));
/// assert_eq!(items[1].as_ref().unwrap_err().fields, ["Email"]);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct BatchShape {
    /// The list of results, in the order of the records; empty when the body itself is the list.
    pub items: &'static str,
    /// The record's id within a result; the first that is found counts.
    pub id: &'static [&'static str],
    /// Whether a result says that its record was taken. 2xx says nothing of it.
    pub is_done: fn(&Value) -> bool,
    /// What is wrong with a record that was not taken, within its result.
    pub error: Shape,
}

impl BatchShape {
    /// For each of the `expected` records, its id or what is wrong with it.
    ///
    /// # Errors
    /// To be tried again: a body that does not say what became of each record, which a person would otherwise believe to be there.
    pub fn read(&self, body: &Value, expected: usize, what: &str) -> Result<Vec<Result<String, Told>>, DeliveryError> {
        let unclear = |why: &str| {
            let message = format!("{what} answered with success, but {why}");
            DeliveryError::retry(ErrorKind::Unexpected, message).with_excerpt(body.to_string().as_bytes())
        };
        let items = body.pointer(self.items).and_then(Value::as_array).ok_or_else(|| unclear("says nothing of the records"))?;
        if items.len() != expected {
            return Err(unclear(&format!("speaks of {} records instead of {expected}", items.len())));
        }
        items.iter().map(|item| self.item(item).ok_or_else(|| unclear("gives no id of a record that it took"))).collect()
    }

    fn item(&self, item: &Value) -> Option<Result<String, Told>> {
        if !(self.is_done)(item) {
            return Some(Err(self.error.read(item)));
        }
        self.id.iter().flat_map(|pointer| find(item, pointer)).find_map(text).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn pointers_reach_into_lists() {
        let body = json!({"a": [{"b": 1}, {"c": 2}, {"b": [3, 4]}], "x/y": {"~": 5}});
        assert_eq!(find(&body, "/a/*/b"), [&json!(1), &json!([3, 4])]);
        assert_eq!(find(&body, "/a/2/b/*"), [&json!(3), &json!(4)]);
        assert_eq!(find(&body, "/x~1y/~0"), [&json!(5)]);
        assert_eq!(find(&body, ""), [&body]);
        assert!(find(&body, "/a/b").is_empty());
    }

    #[test]
    fn names_and_codes_are_shown_and_data_is_not() {
        let body = json!({"errors": [{"field": "First Name"}, {"field": "david@example.com"}, {"field": "+14155550123"}, {"field": "First Name"}],
            "code": "not a word", "existing_id": 101});
        let told = Shape::COMMON.read(&body);
        assert_eq!((told.fields, told.code, told.id.as_deref()), (vec!["First Name".to_owned()], None, Some("101")));
    }

    fn conflict(id: Option<&str>) -> Result<Outcome<u8>, DeliveryError> {
        let error = DeliveryError::reject(ErrorKind::Data, "there is one");
        Ok(Outcome::Conflict { existing_id: id.map(str::to_owned), error })
    }

    #[tokio::test]
    async fn a_conflict_becomes_an_update_once() {
        let never = || async { panic!("not asked for") };
        let update = |id: String| async move { Ok(Outcome::Done(if id == "7" { 1 } else { 2 })) };
        let run = create_or_update(async { conflict(Some("7")) }, never, update).await;
        assert_eq!(run, Ok(Outcome::Done(1)));
        let run = create_or_update(async { conflict(None) }, || async { Ok(Some("8".to_owned())) }, update).await;
        assert_eq!(run, Ok(Outcome::Done(2)));
        let run = create_or_update(async { conflict(None) }, || async { Ok(None) }, update).await;
        assert!(run.is_err());
        let run = create_or_update(async { conflict(Some("7")) }, never, |_| async { conflict(Some("7")) }).await;
        assert!(run.is_err());
        let run = create_or_update(async { Ok(Outcome::Done(3)) }, never, update).await;
        assert_eq!(run, Ok(Outcome::Done(3)));
    }

    #[test]
    fn a_batch_that_does_not_speak_of_every_record_is_no_success() {
        let shape = BatchShape { items: "", id: &["/id"], is_done: |item| item["success"] == true, error: Shape::COMMON };
        assert_eq!(shape.read(&json!([{"success": true, "id": 5}]), 1, "x").unwrap(), [Ok("5".to_owned())]);
        for body in [json!([]), json!({}), json!([{"success": true}]), json!(null), json!([{"success": true, "id": 5}, {}])] {
            assert!(shape.read(&body, 1, "x").is_err(), "{body}");
        }
    }

    fn json_values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(Value::Null), any::<i64>().prop_map(Value::from), ".{0,12}".prop_map(Value::from)];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let names = prop_oneof!["code", "errors", "field", "message", "[a-z*/~]{0,3}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..5).prop_map(|table| Value::Object(table.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_body_makes_a_shape_panic_or_tell_data(body in json_values(), pointer in "[/*a-z0-9~]{0,12}") {
            let told = Shape::COMMON.read(&body);
            prop_assert!(told.code.is_none_or(|code| word(&code).is_some()));
            prop_assert!(told.fields.iter().all(|name| !name.contains('@')));
            let _ = find(&body, &pointer);
        }
    }
}
