//! A simulated HubSpot: contacts, notes and their associations, with the rules that a connector trips over. It has no users
//! and no limits, and its search lags only if asked to; faults are the server's business.

mod answers;
mod properties;
mod records;
mod search;

use crate::API_VERSION;
use answers::{error, rejected};
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::{Request, Response, Service};
use records::{Object, Records};
use serde_json::{Value, json};

/// The account's number in the simulated account details.
const PORTAL: u32 = 1_234_567;

/// For [`Simulation::service`](leadwire_connector::Simulation).
pub(crate) fn boxed() -> Box<dyn Service> {
    Box::new(Simulator::default())
}

/// For [`Simulation::settings`](leadwire_connector::Simulation).
pub(crate) fn settings(url: &Url) -> String {
    format!("type = \"hubspot\"\nbase_url = \"{url}\"\ntoken = \"made-up-token\"\n")
}

/// The simulated account. The default accepts every token.
#[derive(Debug, Default)]
pub struct Simulator {
    token: Option<String>,
    records: Records,
}

impl Simulator {
    /// An account that accepts this token only.
    #[must_use]
    pub fn accepting(token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), records: Records::default() }
    }

    /// Search finds a record only when so many requests came after the one that made it.
    #[must_use]
    pub fn with_search_lag(mut self, requests: u64) -> Self {
        self.records.set_search_lag(requests);
        self
    }

    fn is_authorized(&self, request: &Request) -> bool {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        !token.is_empty() && self.token.as_ref().is_none_or(|expected| expected == token)
    }

    fn route(&mut self, request: &Request) -> Result<Response, Response> {
        let path = decoded_path(request);
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let body = request.json();
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["account-info", API_VERSION, "details"]) => Ok(account()),
            ("GET", ["crm", "properties", API_VERSION, "0-1" | "contacts", name]) => properties::describe(name),
            ("GET", ["crm", "objects", API_VERSION, "contacts", id, "associations", "notes"]) => {
                self.records.notes_of(id, query(request, "limit"), query(request, "after"))
            }
            (method, ["crm", "objects", API_VERSION, object, rest @ ..]) => {
                let object = Object::named(object).ok_or_else(|| error(400, "VALIDATION_ERROR", "Unable to infer object type"))?;
                self.objects(method, object, rest, request, &body)
            }
            _ => Err(error(404, "OBJECT_NOT_FOUND", "resource not found")),
        }
    }

    fn objects(&mut self, method: &str, object: Object, rest: &[&str], request: &Request, body: &Value) -> Result<Response, Response> {
        let id_property = query(request, "idProperty");
        match (method, rest) {
            ("POST", []) => self.records.create(object, body, now()),
            ("GET", []) => Ok(self.records.list(object, query(request, "limit"))),
            ("POST", ["search"]) => search::answer(&self.records, object, body),
            ("POST", ["batch", "read"]) => self.records.read_batch(object, body),
            ("POST", ["merge"]) if object == Object::Contact => self.records.merge(body, now()),
            ("GET", [id]) => self.records.read(object, id, id_property.as_deref()),
            ("PATCH", [id]) => self.records.update(object, id, id_property.as_deref(), body, now()),
            ("DELETE", [id]) => self.records.archive(object, id),
            _ => Err(error(405, "METHOD_NOT_ALLOWED", "HTTP 405 Method Not Allowed")),
        }
    }
}

impl Service for Simulator {
    fn answer(&mut self, request: &Request) -> Response {
        if !self.is_authorized(request) {
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.");
        }
        self.records.count_request();
        self.route(request).unwrap_or_else(|refusal| refusal)
    }

    fn failing(&self, status: u16) -> Option<Response> {
        let (category, message) = match status {
            401 => ("EXPIRED_AUTHENTICATION", "The OAuth token used to make this call expired."),
            403 => ("MISSING_SCOPES", "This app hasn't been granted all required scopes to make this call."),
            409 => ("CONFLICT", "Contact already exists."),
            500.. => ("INTERNAL_ERROR", "internal error"),
            _ => return None,
        };
        Some(error(status, category, message))
    }

    fn invalid_field(&self, field: &str) -> Response {
        rejected(&[json!({"isValid": false, "message": "it is not accepted", "error": "INVALID_OPTION", "name": field})])
    }

    fn error_inside(&self) -> Response {
        let inner = json!({"status": "error", "category": "INTERNAL_ERROR", "message": "There was a problem with the request."});
        Response::json(200, &json!({"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [inner]}))
    }

    fn rate_limited(&self) -> Response {
        let body = json!({
            "status": "error", "message": "You have reached your ten_secondly_rolling limit.", "errorType": "RATE_LIMIT",
            "correlationId": answers::correlation_id(), "policyName": "TEN_SECONDLY_ROLLING",
        });
        Response::json(429, &body)
    }

    fn state(&self) -> Value {
        self.records.state()
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn account() -> Response {
    Response::json(
        200,
        &json!({
            "portalId": PORTAL, "accountType": "DEVELOPER_TEST", "timeZone": "UTC", "companyCurrency": "USD", "additionalCurrencies": [],
            "utcOffset": "+00:00", "utcOffsetMilliseconds": 0, "uiDomain": "app.hubspot.com", "dataHostingLocation": "na1",
        }),
    )
}

/// The parts of the path, percent-decoded.
fn decoded_path(request: &Request) -> Vec<String> {
    request.path().split('/').filter(|part| !part.is_empty()).map(decoded).collect()
}

fn decoded(part: &str) -> String {
    // The form decoder reads `+` as a space, which a path does not mean.
    let pair = format!("v={}", part.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

fn query(request: &Request, name: &str) -> Option<String> {
    let (_, query) = request.target.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// The properties of a body, or the refusal of a body that has none.
fn properties_of(body: &Value) -> Result<Vec<(String, String)>, Response> {
    let table =
        body["properties"].as_object().ok_or_else(|| error(400, "VALIDATION_ERROR", "Invalid input JSON: properties is missing"))?;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let properties = table.iter().map(|(name, value)| (name.clone(), text(value))).collect::<Vec<_>>();
    Ok(properties)
}

/// Checks all properties and reports every fault at once, as HubSpot does.
fn validated(object: Object, body: &Value) -> Result<Vec<(String, String)>, Response> {
    let given = properties_of(body)?;
    let faults: Vec<Value> = given.iter().filter_map(|(name, value)| properties::fault(object, name, value)).collect();
    if faults.is_empty() { Ok(given) } else { Err(rejected(&faults)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    struct Client(Simulator);

    impl Client {
        fn send(&mut self, method: &str, target: &str, body: &Value) -> (u16, Value) {
            let headers = vec![("Authorization".to_owned(), "Bearer x".to_owned())];
            let request = Request { method: method.to_owned(), target: target.to_owned(), headers, body: body.to_string().into() };
            let response = self.0.answer(&request);
            (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
        }

        fn create(&mut self, properties: &Value) -> (u16, Value) {
            self.send("POST", "/crm/objects/2026-09/contacts", &json!({"properties": properties, "associations": []}))
        }

        fn note(&mut self, contact: &str) -> (u16, Value) {
            self.send("POST", "/crm/objects/2026-09/notes", &json!({
                "properties": {"hs_timestamp": "2026-11-22T10:00:00Z", "hs_note_body": "hi"},
                "associations": [{"to": {"id": contact}, "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 202}]}],
            }))
        }
    }

    fn client() -> Client {
        Client(Simulator::default())
    }

    #[test]
    fn without_a_token_nothing_is_answered() {
        let request = Request { method: "GET".to_owned(), target: "/".to_owned(), headers: Vec::new(), body: Default::default() };
        assert_eq!(Simulator::default().answer(&request).status, 401);
        let headers = vec![("Authorization".to_owned(), "Bearer wrong".to_owned())];
        assert_eq!(Simulator::accepting("right").answer(&Request { headers, ..request }).status, 401);
    }

    #[test]
    fn an_email_belongs_to_one_contact_in_any_case_and_as_a_secondary_one() {
        let mut hubspot = client();
        assert_eq!(hubspot.create(&json!({"email": "A@b.example"})).0, 201);
        let (status, body) = hubspot.create(&json!({"email": "a@B.example"}));
        assert_eq!((status, body["message"].as_str().unwrap()), (409, "Contact already exists. Existing ID: 101"));
        hubspot.send("PATCH", "/crm/objects/2026-09/contacts/101", &json!({"properties": {"hs_additional_emails": "second@b.example"}}));
        assert_eq!(hubspot.create(&json!({"email": "second@b.example"})).0, 409);
        let (status, body) = hubspot.send("GET", "/crm/objects/2026-09/contacts/a%40b.example?idProperty=email", &Value::Null);
        assert_eq!((status, &body["id"]), (200, &json!("101")));
    }

    #[test]
    fn unknown_properties_bad_options_and_bad_addresses_are_refused_together() {
        let (status, body) = client().create(&json!({"email": "nope", "favcolor": "blue", "lifecyclestage": "Lead", "createdate": "1"}));
        assert_eq!(status, 400);
        let message = body["message"].as_str().unwrap();
        for code in ["INVALID_EMAIL", "PROPERTY_DOESNT_EXIST", "INVALID_OPTION", "READ_ONLY_VALUE"] {
            assert!(message.contains(code), "{message}");
        }
    }

    #[test]
    fn an_empty_text_clears_a_value_and_a_contact_needs_a_name_or_an_email() {
        let mut hubspot = client();
        hubspot.create(&json!({"email": "a@b.example", "phone": "1"}));
        hubspot.send("PATCH", "/crm/objects/2026-09/contacts/101", &json!({"properties": {"phone": ""}}));
        assert!(hubspot.0.state()["contacts"][0]["properties"].get("phone").is_none());
        assert_eq!(hubspot.create(&json!({"phone": "1"})).0, 400);
    }

    #[test]
    fn a_note_hangs_on_a_contact_that_is_there() {
        let mut hubspot = client();
        hubspot.create(&json!({"email": "a@b.example"}));
        assert_eq!(hubspot.note("101").0, 201);
        let (_, list) = hubspot.send("GET", "/crm/objects/2026-09/contacts/101/associations/notes?limit=500", &Value::Null);
        assert_eq!(list["results"][0]["toObjectId"], 102);
        hubspot.send("DELETE", "/crm/objects/2026-09/contacts/101", &Value::Null);
        assert_eq!(hubspot.note("101").0, 404);
    }

    #[test]
    fn a_merged_contact_answers_under_its_new_id() {
        let mut hubspot = client();
        hubspot.create(&json!({"email": "a@b.example"}));
        hubspot.create(&json!({"email": "c@d.example"}));
        hubspot.note("102");
        let (_, merged) =
            hubspot.send("POST", "/crm/objects/2026-09/contacts/merge", &json!({"primaryObjectId": "101", "objectIdToMerge": "102"}));
        let (_, old) = hubspot.send("GET", "/crm/objects/2026-09/contacts/102", &Value::Null);
        assert_eq!(merged["id"], old["id"]);
        let state = hubspot.0.state();
        assert_eq!(state["contacts"].as_array().unwrap().len(), 1);
        assert_eq!(state["notes"][0]["contact"], merged["id"]);
    }

    #[test]
    fn search_may_lag_behind_the_writes() {
        let mut hubspot = Client(Simulator::default().with_search_lag(2));
        hubspot.create(&json!({"lastname": "A", "phone": "+1"}));
        let filters = json!([{"propertyName": "phone", "operator": "EQ", "value": "+1"}]);
        let body = json!({"filterGroups": [{"filters": filters}], "sorts": [], "properties": [], "limit": 10, "after": "0"});
        let totals = [(); 4].map(|()| hubspot.send("POST", "/crm/objects/2026-09/contacts/search", &body).1["total"].clone());
        assert_eq!(totals, [0, 0, 1, 1]);
        assert_eq!(hubspot.send("GET", "/crm/objects/2026-09/contacts/101", &Value::Null).0, 200);
    }

    #[test]
    fn search_finds_by_phone_and_time() {
        let mut hubspot = client();
        hubspot.create(&json!({"lastname": "A", "phone": "+1"}));
        let search =
            |filters: Value| json!({"filterGroups": [{"filters": filters}], "sorts": [], "properties": [], "limit": 10, "after": "0"});
        let found = |hubspot: &mut Client, filters| {
            hubspot.send("POST", "/crm/objects/2026-09/contacts/search", &search(filters)).1["total"].clone()
        };
        assert_eq!(found(&mut hubspot, json!([{"propertyName": "phone", "operator": "EQ", "value": "+1"}])), 1);
        assert_eq!(found(&mut hubspot, json!([{"propertyName": "phone", "operator": "EQ", "value": "+2"}])), 0);
        assert_eq!(found(&mut hubspot, json!([{"propertyName": "createdate", "operator": "GTE", "value": "9999999999999"}])), 0);
        assert_eq!(found(&mut hubspot, json!([{"propertyName": "createdate", "operator": "GTE", "value": "0"}])), 1);
    }
}
