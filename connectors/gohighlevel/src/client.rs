//! The requests that GoHighLevel is sent, as values, and sending them. Paths, bodies and scopes follow `apps/contacts.json`,
//! `apps/calendars.json`, `apps/locations.json` and `docs/oauth/Scopes.md` of <https://github.com/GoHighLevel/highlevel-api-docs>.

use crate::config::Config;
use crate::fields;
use crate::verdict;
use leadwire_connector::http::{self, Answer, Client, HttpSettings, Method, Request};
use leadwire_connector::refusal::Outcome;
use leadwire_connector::token::{Token, Tokens};
use leadwire_connector::{DeliveryError, PreviewRequest};
use serde_json::{Value, json};
use url::Url;

const READ_CONTACTS: &str = "contacts.readonly";
const WRITE_CONTACTS: &str = "contacts.write";
const READ_CALENDARS: &str = "calendars.readonly";
const READ_EVENTS: &str = "calendars/events.readonly";
const WRITE_EVENTS: &str = "calendars/events.write";

/// The API of one location.
pub(crate) struct Api {
    base: Url,
    location: String,
    contacts_version: String,
    calendars_version: String,
    tokens: Tokens,
    client: Client,
}

/// A request before it has a token, and the scope that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    url: Url,
    version: String,
    body: Option<Value>,
    repeatable: bool,
    pub(crate) scope: &'static str,
}

impl Call {
    fn request(&self, token: &Token) -> Request {
        let mut request = Request::new(self.method, self.url.clone())
            .bearer(token.expose())
            .header("Version", self.version.clone())
            .header("Accept", "application/json");
        if let Some(body) = &self.body {
            request = request.json(body);
        }
        if self.repeatable { request.repeatable() } else { request }
    }

    fn query(mut self, pairs: &[(&str, &str)]) -> Self {
        self.url.query_pairs_mut().extend_pairs(pairs);
        self
    }

    fn json(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Says that sending it twice does no harm.
    fn repeatable(self) -> Self {
        Self { repeatable: true, ..self }
    }
}

/// What a new task says.
pub(crate) struct Task<'a> {
    pub(crate) title: &'a str,
    pub(crate) body: &'a str,
    pub(crate) due: &'a str,
    pub(crate) assigned: Option<&'a str>,
}

impl Api {
    pub(crate) fn new(config: &Config, tokens: Tokens, http: &HttpSettings) -> Result<Self, String> {
        Ok(Self {
            base: config.base_url.clone(),
            location: config.location_id.clone(),
            contacts_version: config.contacts_version().to_owned(),
            calendars_version: config.calendars_version().to_owned(),
            tokens,
            client: Client::new(http)?.watching(&verdict::LIMITS),
        })
    }

    /// Sends, and says what the answer means.
    pub(crate) async fn send(&self, call: &Call) -> Result<Outcome, DeliveryError> {
        verdict::read(&self.answer(call).await?, call.scope)
    }

    pub(crate) async fn answer(&self, call: &Call) -> Result<Answer, DeliveryError> {
        self.tokens.send(&self.client, |token| call.request(token)).await
    }

    pub(crate) fn preview(&self, call: &Call) -> PreviewRequest {
        call.request(&self.tokens.placeholder()).preview()
    }

    /// Version v3 names the values of custom fields anew, and calls the name of before deprecated (`apps/v3/contacts-v3.json`).
    fn value_name(&self) -> &'static str {
        if self.contacts_version.starts_with('v') { "fieldValue" } else { "field_value" }
    }

    fn call(&self, method: Method, path: &[&str], scope: &'static str) -> Call {
        let repeatable = matches!(method, Method::Get | Method::Put);
        let version = if path.first() == Some(&"calendars") { &self.calendars_version } else { &self.contacts_version };
        Call { method, url: http::join(&self.base, path), version: version.clone(), body: None, repeatable, scope }
    }

    /// The contact with this `email` or `number`, if there is one. When there is none, the answer is 200 with `contact: null`.
    pub(crate) fn find(&self, by: &str, value: &str) -> Call {
        let call = self.call(Method::Get, &["contacts", "search", "duplicate"], READ_CONTACTS);
        call.query(&[("locationId", &self.location), (by, value)])
    }

    /// Contacts whose custom field has this value. The specification leaves the filters to another page
    /// (<https://doc.clickup.com/8631005/d/h/87cpx-158396/6e629989abe7fad>); `customFields.ID` with `eq` is what public integrations use.
    pub(crate) fn search(&self, field: &str, value: &str) -> Call {
        let filter = json!({"field": format!("customFields.{field}"), "operator": "eq", "value": value});
        let body = json!({"locationId": self.location, "page": 1, "pageLimit": 20, "filters": [filter]});
        self.call(Method::Post, &["contacts", "search"], READ_CONTACTS).json(body).repeatable()
    }

    /// Makes a contact, or updates the one with the same e-mail or phone: sending it twice does no harm.
    pub(crate) fn upsert(&self, fields: &[(&str, &str)]) -> Call {
        let mut body = fields::body(fields, self.value_name());
        body.insert("locationId".to_owned(), self.location.clone().into());
        self.call(Method::Post, &["contacts", "upsert"], WRITE_CONTACTS).json(body.into()).repeatable()
    }

    /// Without the location, which is refused here.
    pub(crate) fn update(&self, contact: &str, fields: &[(&str, &str)]) -> Call {
        self.call(Method::Put, &["contacts", contact], WRITE_CONTACTS).json(fields::body(fields, self.value_name()).into())
    }

    pub(crate) fn contact(&self, contact: &str) -> Call {
        self.call(Method::Get, &["contacts", contact], READ_CONTACTS)
    }

    /// Adds to the tags that the contact has; one that is there already stays as it is.
    pub(crate) fn add_tags(&self, contact: &str, tags: &[String]) -> Call {
        self.call(Method::Post, &["contacts", contact, "tags"], WRITE_CONTACTS).json(json!({"tags": tags})).repeatable()
    }

    pub(crate) fn create_note(&self, contact: &str, body: &str) -> Call {
        self.call(Method::Post, &["contacts", contact, "notes"], WRITE_CONTACTS).json(json!({"body": body}))
    }

    pub(crate) fn notes(&self, contact: &str) -> Call {
        self.call(Method::Get, &["contacts", contact, "notes"], READ_CONTACTS)
    }

    pub(crate) fn create_task(&self, contact: &str, task: &Task<'_>) -> Call {
        let mut body = json!({"title": task.title, "body": task.body, "dueDate": task.due, "completed": false});
        if let Some(user) = task.assigned {
            body["assignedTo"] = user.into();
        }
        self.call(Method::Post, &["contacts", contact, "tasks"], WRITE_CONTACTS).json(body)
    }

    pub(crate) fn tasks(&self, contact: &str) -> Call {
        self.call(Method::Get, &["contacts", contact, "tasks"], READ_CONTACTS)
    }

    /// `details` are the members of the body beside the location and the contact.
    pub(crate) fn book(&self, contact: &str, mut details: Value) -> Call {
        details["locationId"] = self.location.clone().into();
        details["contactId"] = contact.into();
        self.call(Method::Post, &["calendars", "events", "appointments"], WRITE_EVENTS).json(details)
    }

    /// What is in a calendar between these moments, in milliseconds.
    pub(crate) fn events(&self, calendar: &str, from: i64, to: i64) -> Call {
        let call = self.call(Method::Get, &["calendars", "events"], READ_EVENTS);
        let (from, to) = (from.to_string(), to.to_string());
        call.query(&[("locationId", &self.location), ("calendarId", calendar), ("startTime", &from), ("endTime", &to)])
    }

    pub(crate) fn calendar(&self, calendar: &str) -> Call {
        self.call(Method::Get, &["calendars", calendar], READ_CALENDARS)
    }

    pub(crate) fn location(&self) -> Call {
        self.call(Method::Get, &["locations", &self.location], "locations.readonly")
    }

    pub(crate) fn custom_fields(&self) -> Call {
        let call = self.call(Method::Get, &["locations", &self.location, "customFields"], "locations/customFields.readonly");
        call.query(&[("model", "contact")])
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;

    pub(crate) fn api(config: &Value) -> Api {
        let config = settings(config).config;
        let tokens = Tokens::fixed(config.token.as_ref().unwrap());
        Api::new(&config, tokens, &HttpSettings::default()).unwrap()
    }

    #[test]
    fn what_stands_in_an_address_is_escaped() {
        let api = api(&json!({"base_url": "https://crm.example/hl/"}));
        let found = api.find("number", "+1 415&x").url.to_string();
        assert_eq!(found, "https://crm.example/hl/contacts/search/duplicate?locationId=LOC1&number=%2B1+415%26x");
        assert_eq!(api.contact("a/b").url.as_str(), "https://crm.example/hl/contacts/a%2Fb");
    }

    #[test]
    fn each_family_has_its_version() {
        let api = api(&json!({}));
        assert_eq!((api.contact("1").version.as_str(), api.calendar("1").version.as_str()), ("2021-07-28", "2021-04-15"));
        let preview = api.preview(&api.contact("1"));
        assert!(preview.headers.contains(&("Version".to_owned(), "2021-07-28".to_owned())));
        assert!(!format!("{preview:?}").contains("0123456789"));
    }

    #[test]
    fn only_what_may_be_sent_twice_says_so() {
        let api = api(&json!({}));
        assert!(api.upsert(&[]).repeatable && api.update("1", &[]).repeatable && api.add_tags("1", &[]).repeatable);
        let task = Task { title: "", body: "", due: "", assigned: None };
        assert!(!api.create_note("1", "x").repeatable && !api.create_task("1", &task).repeatable && !api.book("1", json!({})).repeatable);
    }
}
