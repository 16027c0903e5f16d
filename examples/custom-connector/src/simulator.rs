//! Acme as far as this connector uses it, for staging and tests: a pure state machine from request to answer.

use leadwire_connector::reexport::Url;
use leadwire_connector::simulator::{Request, Response, Service};
use serde_json::{Value, json};

/// The token that the simulated Acme takes.
pub const TOKEN: &str = "acme-simulated-token";

/// Contacts by e-mail, and notes that anybody may add twice.
#[derive(Debug, Default)]
pub struct Simulated {
    contacts: Vec<Value>,
    notes: Vec<Value>,
}

/// For [`Simulation::service`](leadwire_connector::Simulation).
pub(crate) fn boxed() -> Box<dyn Service> {
    Box::<Simulated>::default()
}

/// For [`Simulation::settings`](leadwire_connector::Simulation).
pub(crate) fn settings(url: &Url) -> String {
    format!("type = \"acme\"\nurl = \"{url}\"\ntoken = \"{TOKEN}\"\n")
}

impl Simulated {
    fn put_contact(&mut self, email: &str, fields: &Value) -> Value {
        let known = self.contacts.iter().position(|contact| contact["email"] == email);
        let id = known.unwrap_or(self.contacts.len()).to_string();
        let contact = json!({"id": id, "email": email, "fields": fields});
        match known.and_then(|place| self.contacts.get_mut(place)) {
            Some(place) => *place = contact,
            None => self.contacts.push(contact),
        }
        json!({"id": id})
    }

    fn add_note(&mut self, contact: &str, note: &Value) -> Value {
        let id = self.notes.len().to_string();
        self.notes.push(json!({"id": id, "contact": contact, "text": note["text"], "delivery": note["delivery"]}));
        json!({"id": id})
    }

    fn notes_of(&self, contact: &str) -> Value {
        json!({"notes": self.notes.iter().filter(|note| note["contact"] == contact).collect::<Vec<_>>()})
    }
}

impl Service for Simulated {
    fn answer(&mut self, request: &Request) -> Response {
        if request.bearer() != Some(TOKEN) {
            return Response::json(401, &json!({"error": "the token is not valid"}));
        }
        let path = request.segments();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let body = match (request.method.as_str(), path.as_slice()) {
            ("GET", ["account"]) => json!({"name": "Acme Ltd"}),
            ("PUT", ["contacts", email]) => self.put_contact(email, &request.json()),
            ("GET", ["contacts", contact, "notes"]) => self.notes_of(contact),
            ("POST", ["contacts", contact, "notes"]) => self.add_note(contact, &request.json()),
            _ => return Response::json(404, &json!({"error": "there is no such thing"})),
        };
        Response::json(200, &body)
    }

    fn error_inside(&self) -> Response {
        Response::json(200, &json!({"error": "not now"}))
    }

    fn rate_limited(&self) -> Response {
        Response::json(429, &json!({"error": "too many requests"}))
    }

    fn state(&self) -> Value {
        json!({"contacts": self.contacts, "notes": self.notes})
    }
}
