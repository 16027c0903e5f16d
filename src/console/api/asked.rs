//! What is asked for: parameters and bodies, read strictly. What is misspelt is refused, since a filter that is silently left out would
//! answer another question.

use super::document::schema;
use super::operation::{LONGEST_PAGE, Operation, PAGE, Shape};
use crate::console::{Kind, Refusal};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use bytes::Bytes;
use jiff::Timestamp;
use leadwire_connector::settings::did_you_mean;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use url::form_urlencoded;

/// No value of a parameter is longer.
const LONGEST: usize = 500;

/// The parameters of a request: known ones, each at most once. Empty ones are not given.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked(BTreeMap<&'static str, String>);

impl Asked {
    /// Reads a query by what the operation takes.
    pub(super) fn read(operation: &Operation, query: &str) -> Result<Self, Refusal> {
        let mut asked = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let Some(parameter) = operation.parameters.iter().find(|parameter| parameter.name == name) else {
                let known: Vec<&str> = operation.parameters.iter().map(|parameter| parameter.name).collect();
                return Err(invalid(format!("there is no parameter `{}` here; {}", shortened(&name), did_you_mean(&name, &known))));
            };
            let value = value.trim();
            if value.len() > LONGEST {
                return Err(invalid(format!("`{}` has at most {LONGEST} bytes", parameter.name)));
            }
            check(parameter.name, parameter.shape, value)?;
            if asked.insert(parameter.name, value.to_owned()).is_some() {
                return Err(invalid(format!("`{}` is given twice", parameter.name)));
            }
        }
        asked.retain(|_, value| !value.is_empty());
        Ok(Self(asked))
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| value == "true")
    }

    /// Whether anything is given besides these.
    pub(super) fn has_more_than(&self, names: &[&str]) -> bool {
        self.0.keys().any(|name| !names.contains(name))
    }

    pub(super) fn moment(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        self.0.get(name).map_or(Ok(None), |text| moment(text))
    }

    pub(super) fn limit(&self) -> u32 {
        self.0.get("limit").and_then(|text| text.parse().ok()).unwrap_or(PAGE)
    }

    /// The page before ended with this.
    pub(super) fn cursor<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Refusal> {
        let wrong = || invalid("`cursor` is what `next` of the page before said, as it is; leave it out for the first page");
        self.0.get("cursor").map(|text| read(text).ok_or_else(wrong)).transpose()
    }
}

fn check(name: &str, shape: Shape, value: &str) -> Result<(), Refusal> {
    match shape {
        _ if value.is_empty() => Ok(()),
        Shape::Text | Shape::Cursor => Ok(()),
        Shape::Moment => moment(value).map(drop),
        Shape::Flag if ["true", "false"].contains(&value) => Ok(()),
        Shape::Flag => Err(invalid(format!("`{name}` is `true` or `false`"))),
        Shape::Word(words) if words.contains(&value) => Ok(()),
        Shape::Word(words) => Err(invalid(format!("`{name}` cannot be `{}`; {}", shortened(value), did_you_mean(value, words)))),
        Shape::Limit if value.parse().is_ok_and(|number: u32| (1..=LONGEST_PAGE).contains(&number)) => Ok(()),
        Shape::Limit => Err(invalid(format!("`{name}` is a number from 1 to {LONGEST_PAGE}; `cursor` brings what follows"))),
    }
}

fn moment(text: &str) -> Result<Option<Timestamp>, Refusal> {
    crate::console::actions::moment(text)
}

impl FromRequest for Asked {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(request.extensions().get::<Self>().cloned().unwrap_or_default()))
    }
}

/// A body: a JSON object with fields that the schema of the operation knows. What is null is not given.
#[derive(Debug)]
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned + 'static> FromRequest for Given<T> {
    type Error = Refusal;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Refusal>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let name = request.extensions().get::<&'static Operation>().and_then(|operation| operation.body).unwrap_or_default();
        let body = Bytes::from_request(request, payload);
        Box::pin(async move {
            let body = body.await.map_err(|_| Refusal::new(Kind::TooLarge, "the body is larger than the console takes"))?;
            Ok(Self(read_body(name, &body)?))
        })
    }
}

fn read_body<T: DeserializeOwned>(name: &str, body: &[u8]) -> Result<T, Refusal> {
    // What is sent without a body gives nothing.
    let body = if body.iter().all(u8::is_ascii_whitespace) { b"{}".as_slice() } else { body };
    let value: Value = serde_json::from_slice(body).map_err(|error| invalid(format!("the body is no JSON: {error}")))?;
    let Value::Object(mut fields) = value else { return Err(invalid("the body is a JSON object, such as {\"destination\": \"crm\"}")) };
    let known: Vec<&str> =
        schema(name)["properties"].as_object().map(|known| known.keys().map(String::as_str).collect()).unwrap_or_default();
    if let Some(name) = fields.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(invalid(format!("there is no field `{}` here; {}", shortened(name), did_you_mean(name, &known))));
    }
    fields.retain(|_, value| !value.is_null());
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|error| {
        let path = error.path().to_string();
        invalid(format!("`{path}` cannot be read: {}", error.into_inner()))
    })
}

pub(super) fn invalid(message: impl Into<String>) -> Refusal {
    Refusal::new(Kind::Invalid, message)
}

/// What somebody sent, short enough to be repeated.
fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(60)]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::console::api::operations;
    use proptest::prelude::*;

    fn events(query: &str) -> Result<Asked, String> {
        let operation = operations().find(|operation| operation.id == "listEvents").unwrap();
        Asked::read(operation, query).map_err(|refusal| refusal.message)
    }

    #[test]
    fn what_is_known_is_read_and_what_is_empty_is_not_given() {
        let asked = events("q=jane%20doe&source=&unrouted=true&limit=7&since=2026-11-22").unwrap();
        assert_eq!(
            (asked.text("q").as_deref(), asked.text("source"), asked.flag("unrouted"), asked.limit()),
            (Some("jane doe"), None, true, 7)
        );
        assert_eq!(asked.moment("since").unwrap(), Some("2026-11-22T00:00:00Z".parse().unwrap()));
        assert_eq!(events("").unwrap().limit(), PAGE);
    }

    #[test]
    fn what_is_misspelt_or_out_of_bounds_is_refused_with_what_would_be_right() {
        for (query, told) in [
            ("sorce=a", "did you mean `source`?"),
            ("source=a&source=b", "given twice"),
            ("kind=lad", "did you mean `lead`?"),
            ("state=gone", "known are `waiting`"),
            ("unrouted=yes", "`true` or `false`"),
            ("limit=0", "from 1 to 200"),
            ("limit=201", "from 1 to 200"),
            ("limit=-1", "from 1 to 200"),
            ("since=yesterday", "2026-11-22"),
        ] {
            let message = events(query).unwrap_err();
            assert!(message.contains(told), "{query}: {message}");
        }
        assert!(events(&format!("q={}", "a".repeat(LONGEST + 1))).unwrap_err().contains("at most"));
    }

    #[test]
    fn a_body_is_an_object_of_known_fields() {
        let read = |text: &str| read_body::<BTreeMap<String, Value>>("HoldRequest", text.as_bytes()).map_err(|refusal| refusal.message);
        assert_eq!(read(" \n").unwrap().len(), 0);
        assert_eq!(read(r#"{"destination": "crm", "for": null}"#).unwrap().len(), 1);
        assert!(read(r#"{"destinaton": "crm"}"#).unwrap_err().contains("did you mean `destination`?"));
        assert!(read("[]").unwrap_err().contains("JSON object") && read("{").unwrap_err().contains("no JSON"));
    }

    proptest! {
        #[test]
        fn no_query_and_no_body_makes_it_panic(query in "\\PC{0,80}", body: Vec<u8>, name in "\\PC{0,80}") {
            let _ = events(&query);
            let _ = events(&format!("{name}=é"));
            let _ = read_body::<BTreeMap<String, Value>>("HoldRequest", &body);
            let _ = read_body::<BTreeMap<String, Value>>("HoldRequest", format!("{{{}: 1}}", Value::from(name)).as_bytes());
        }
    }
}
