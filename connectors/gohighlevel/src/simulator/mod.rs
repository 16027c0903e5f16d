//! A simulated GoHighLevel location: contacts with their notes, tasks and tags, and calendars, with the rules that a connector trips
//! over. Other faults are the server's business.

mod answers;
mod calendar;
mod limits;
mod records;

use answers::{error, invalid, ok};
use calendar::Calendars;
use leadwire_connector::reexport::{Timestamp, Url, Uuid};
use leadwire_connector::simulator::{Door, FaultKind, Request, Response, Service, TokenEndpoint};
use limits::Limits;
use records::{CUSTOM_FIELDS, Contacts};
use serde_json::{Value, json};
use std::time::Duration;

/// Every version that is published.
const VERSIONS: [&str; 4] = ["2021-04-15", "2021-07-28", "2023-02-21", "v3"];
const LOCATION: &str = "simulated-location";
/// That of GoHighLevel's access tokens: a day.
const TOKEN_LIFETIME: Duration = Duration::from_secs(86_399);
/// The limits of the real one, in 10 seconds and in a day.
const BURST: u64 = 100;
const DAILY: u64 = 200_000;

/// The token of [`settings`], and the only one that [`boxed`] takes: staging must find a wrong one out.
const TOKEN: &str = "made-up-token";

/// For [`Simulation::service`](leadwire_connector::Simulation): with the limits of the real one.
pub(crate) fn boxed() -> Box<dyn Service> {
    Box::new(Simulator::accepting(TOKEN, LOCATION).with_limits(BURST, DAILY))
}

/// For [`Simulation::settings`](leadwire_connector::Simulation).
pub(crate) fn settings(url: &Url) -> String {
    format!("type = \"gohighlevel\"\nbase_url = \"{url}\"\ntoken = \"{TOKEN}\"\nlocation_id = \"{LOCATION}\"\n")
}

/// The simulated location. The default accepts every token and every location, and has every calendar that is asked for.
#[derive(Debug, Default)]
pub struct Simulator {
    door: Door,
    location: Option<String>,
    missing_scopes: Vec<String>,
    contacts: Contacts,
    calendars: Calendars,
    limits: Option<Limits>,
}

impl Simulator {
    /// A location with this id that accepts this token only.
    #[must_use]
    pub fn accepting(token: impl Into<String>, location: impl Into<String>) -> Self {
        Self { door: Door::Token(token.into()), location: Some(location.into()), ..Self::default() }
    }

    /// The token lacks this scope.
    #[must_use]
    pub fn without_scope(mut self, scope: impl Into<String>) -> Self {
        self.missing_scopes.push(scope.into());
        self
    }

    /// Any location, by the tokens of this app only. Every refresh token is good once, and gives the next one.
    #[must_use]
    pub fn of_app(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        let app = TokenEndpoint::new(client_id, client_secret).refresh_token(refresh_token).rotating().lifetime(TOKEN_LIFETIME);
        let app = app.field("scope", "contacts.readonly contacts.write").field("userType", "Location");
        Self { door: Door::App(app), ..Self::default() }
    }

    /// So many requests in 10 seconds and in a day; one more is answered with 429.
    #[must_use]
    pub fn with_limits(mut self, burst: u64, daily: u64) -> Self {
        self.limits = Some(Limits::new(burst, daily));
        self
    }

    /// Look-ups find a contact only when so many requests came after the one that made it.
    #[must_use]
    pub fn with_search_lag(mut self, requests: u64) -> Self {
        self.contacts.lag.set(requests);
        self
    }

    /// The location looks for duplicates by phone first.
    #[must_use]
    pub fn with_phone_first(mut self) -> Self {
        self.contacts.phone_first = true;
        self
    }

    /// This field is accepted, and nothing of it is kept.
    #[must_use]
    pub fn dropping(mut self, field: impl Into<String>) -> Self {
        self.contacts.drops.push(field.into());
        self
    }

    /// This field is refused with a 422, as one that there is not.
    #[must_use]
    pub fn refusing(mut self, field: impl Into<String>) -> Self {
        self.contacts.refuses.push(field.into());
        self
    }

    /// The next upsert is refused with a 422, and makes the contact all the same.
    #[must_use]
    pub fn creating_despite_refusal(mut self) -> Self {
        self.contacts.creates_despite_refusal = true;
        self
    }

    /// There is this calendar, and no other that was not added.
    #[must_use]
    pub fn with_calendar(mut self, id: impl Into<String>) -> Self {
        self.calendars.known.push(id.into());
        self
    }

    /// This time is taken in every calendar.
    #[must_use]
    pub fn with_taken(mut self, at: Timestamp) -> Self {
        self.calendars.taken.push(at);
        self
    }

    fn refuse_token(&self, request: &Request) -> Result<(), Response> {
        let is_good = self.door.admits(request);
        match request.header("version") {
            _ if !is_good => Err(error(401, "Invalid token: access token is invalid")),
            None => Err(error(401, "version header was not found.")),
            Some(version) if !VERSIONS.contains(&version) => Err(error(401, "version header is invalid")),
            Some(_) => Ok(()),
        }
    }

    fn refuse_scope(&self, method: &str, path: &[&str]) -> Result<(), Response> {
        let is_missing = scope(method, path).is_some_and(|scope| self.missing_scopes.iter().any(|missing| missing == scope));
        if is_missing { Err(error(401, "The token is not authorized for this scope.")) } else { Ok(()) }
    }

    /// The location that a request is about, in its address, its query or its body.
    fn location_of(&self, request: &Request, path: &[&str], body: &Value) -> Result<String, Response> {
        let named = match path {
            ["locations", id, ..] => Some((*id).to_owned()),
            _ => body["locationId"].as_str().map(str::to_owned).or_else(|| request.query("locationId")),
        };
        match (&self.location, named) {
            (Some(own), Some(named)) if *own != named => Err(error(403, "The token does not have access to this location.")),
            (own, named) => Ok(named.or_else(|| own.clone()).unwrap_or_else(|| LOCATION.to_owned())),
        }
    }

    fn route(&mut self, request: &Request) -> Result<Response, Response> {
        let path = request.segments();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        if parts == ["oauth", "token"] {
            return self.door.token(request).ok_or_else(|| error(401, "there is no app here"));
        }
        self.refuse_token(request)?;
        self.refuse_scope(&request.method, &parts)?;
        let body = request.json();
        let location = self.location_of(request, &parts, &body)?;
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["locations", id]) => Ok(ok(200, json!({"location": {"id": id, "name": "Simulated", "timezone": "UTC"}}))),
            ("GET", ["locations", _, "customFields"]) => Ok(custom_fields()),
            ("GET", ["calendars", "events"]) => {
                let number = |name: &str| request.query(name).and_then(|value| value.parse().ok());
                self.calendars.events(&request.query("calendarId").unwrap_or_default(), number("startTime"), number("endTime"))
            }
            ("POST", ["calendars", "events", "appointments"]) => {
                self.contacts.get(body["contactId"].as_str().unwrap_or_default())?;
                self.calendars.book(&body)
            }
            ("GET", ["calendars", id]) => self.calendars.describe(id, &location),
            (method, ["contacts", rest @ ..]) => self.route_contacts(method, rest, &location, request, &body),
            (method, _) => Err(error(404, &format!("Cannot {method} {}", request.path()))),
        }
    }

    fn route_contacts(
        &mut self,
        method: &str,
        rest: &[&str],
        location: &str,
        request: &Request,
        body: &Value,
    ) -> Result<Response, Response> {
        match (method, rest) {
            ("GET", ["search", "duplicate"]) => {
                self.contacts.find(location, request.query("email").as_deref(), request.query("number").as_deref())
            }
            ("POST", ["search"]) => self.contacts.search(location, body),
            ("POST", ["upsert"]) => self.contacts.upsert(location, body, now()),
            ("POST", []) => self.contacts.create(location, body, now()),
            ("GET", [id]) => Ok(ok(200, json!({"contact": self.contacts.get(id)?.shown(location)}))),
            ("PUT", [id]) => self.contacts.update(location, id, body),
            ("DELETE", [id]) => {
                self.contacts.get(id)?;
                self.contacts.list.retain(|contact| contact.id != *id);
                Ok(ok(200, json!({"succeded": true})))
            }
            ("POST", [id, "tags"]) => self.add_tags(id, body),
            ("POST", [id, "additionalEmails"]) => self.add_email(id, body),
            ("GET", [id, "notes"]) => Ok(ok(200, json!({"notes": self.contacts.get(id)?.notes}))),
            ("POST", [id, "notes"]) => self.hang(id, "note", body, &["body"]),
            ("GET", [id, "tasks"]) => Ok(ok(200, json!({"tasks": self.contacts.get(id)?.tasks}))),
            ("POST", [id, "tasks"]) => self.hang(id, "task", body, &["title", "dueDate", "completed"]),
            _ => Err(error(404, &format!("Cannot {method} {}", request.path()))),
        }
    }

    fn add_tags(&mut self, id: &str, body: &Value) -> Result<Response, Response> {
        let contact = self.contacts.get(id)?;
        let tags = body["tags"].as_array().ok_or_else(|| invalid(&["tags must be an array".to_owned()]))?;
        let new: Vec<String> =
            tags.iter().filter_map(Value::as_str).map(str::to_lowercase).filter(|tag| !contact.tags.contains(tag)).collect();
        contact.tags.extend(new.clone());
        Ok(ok(201, json!({"tags": contact.tags, "tagsAdded": new})))
    }

    /// Of the simulator alone: in the real one, only its pages add secondary addresses.
    fn add_email(&mut self, id: &str, body: &Value) -> Result<Response, Response> {
        let contact = self.contacts.get(id)?;
        contact.additional_emails.extend(body["email"].as_str().map(str::to_owned));
        Ok(ok(201, json!({"additionalEmails": contact.additional_emails})))
    }

    /// Newest first, as the real one lists them.
    fn hang(&mut self, id: &str, kind: &str, body: &Value, required: &[&str]) -> Result<Response, Response> {
        let contact = self.contacts.get(id)?;
        let faults: Vec<String> =
            required.iter().filter(|name| body[**name].is_null()).map(|name| format!("{name} should not be empty")).collect();
        if !faults.is_empty() {
            return Err(invalid(&faults));
        }
        let mut item = body.clone();
        item["id"] = Uuid::now_v7().simple().to_string().into();
        item["contactId"] = id.into();
        let list = if kind == "note" { &mut contact.notes } else { &mut contact.tasks };
        list.insert(0, item.clone());
        Ok(ok(201, json!({kind: item})))
    }
}

impl Service for Simulator {
    fn answer(&mut self, request: &Request) -> Response {
        if self.limits.as_mut().is_some_and(|limits| !limits.count(now())) {
            return self.rate_limited();
        }
        self.contacts.lag.count();
        let response = self.route(request).unwrap_or_else(|refusal| refusal);
        self.told(response)
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"succeded": false, "traceId": answers::trace()}))
    }

    /// The body is not documented; this one is in the shape of the others.
    fn rate_limited(&self) -> Response {
        self.told(error(429, "Too Many Requests"))
    }

    fn is_hit(&self, kind: &FaultKind, request: &Request) -> bool {
        match kind {
            FaultKind::InvalidField(field) => sends(&request.json(), field),
            FaultKind::SearchLag => is_search(request),
            _ => true,
        }
    }

    fn day_is_spent(&self) -> Response {
        let response = error(429, "Too Many Requests");
        self.limits.as_ref().map_or_else(|| Limits::new(BURST, DAILY).with_day_spent(), Limits::with_day_spent).tell(response)
    }

    fn finds_nothing(&self, request: &Request) -> Response {
        let is_look_up = request.method == "GET";
        ok(200, if is_look_up { json!({"contact": null}) } else { json!({"total": 0, "contacts": []}) })
    }

    fn failing(&self, status: u16) -> Option<Response> {
        match status {
            401 => Some(error(401, "Invalid token: access token is invalid")),
            403 => Some(error(403, "The token does not have access to this location.")),
            _ => None,
        }
    }

    fn invalid_field(&self, field: &str) -> Response {
        invalid(&[format!("{field} is not accepted")])
    }

    fn state(&self) -> Value {
        let location = self.location.as_deref().unwrap_or(LOCATION);
        let hung = |name: &str| -> Vec<Value> {
            let lists = self.contacts.list.iter().map(|contact| if name == "note" { &contact.notes } else { &contact.tasks });
            lists.flat_map(|list| list.iter().rev().cloned()).collect()
        };
        json!({
            "contacts": self.contacts.state(location), "notes": hung("note"), "tasks": hung("task"), "appointments": self.calendars.appointments,
        })
    }
}

impl Simulator {
    fn told(&self, response: Response) -> Response {
        match &self.limits {
            Some(limits) => limits.tell(response),
            None => response,
        }
    }
}

/// Whether a contact or another record has this field, also among its custom ones.
fn sends(body: &Value, field: &str) -> bool {
    let is_custom = |custom: &Value| custom["id"] == field || custom["key"] == field;
    body.get(field).is_some() || body["customFields"].as_array().is_some_and(|fields| fields.iter().any(is_custom))
}

fn is_search(request: &Request) -> bool {
    matches!((request.method.as_str(), request.path()), ("GET", "/contacts/search/duplicate") | ("POST", "/contacts/search"))
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn custom_fields() -> Response {
    let list: Vec<Value> = CUSTOM_FIELDS
        .iter()
        .map(|(id, key)| json!({"id": id, "name": key, "fieldKey": key, "dataType": "TEXT", "model": "contact"}))
        .collect();
    ok(200, json!({"customFields": list}))
}

/// From `docs/oauth/Scopes.md` of <https://github.com/GoHighLevel/highlevel-api-docs>.
fn scope(method: &str, path: &[&str]) -> Option<&'static str> {
    Some(match (method, path) {
        ("GET", ["contacts", ..]) | ("POST", ["contacts", "search"]) => "contacts.readonly",
        (_, ["contacts", ..]) => "contacts.write",
        ("GET", ["calendars", "events", ..]) => "calendars/events.readonly",
        (_, ["calendars", "events", ..]) => "calendars/events.write",
        ("GET", ["calendars", ..]) => "calendars.readonly",
        (_, ["locations", _, "customFields"]) => "locations/customFields.readonly",
        (_, ["locations", ..]) => "locations.readonly",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
