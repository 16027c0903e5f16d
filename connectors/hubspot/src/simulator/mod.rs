//! A simulated HubSpot: contacts, notes, tasks, meetings, their associations and the properties of contacts, with the rules that a
//! connector trips over. Limits, lagging searches, required properties, missing scopes and an app are there if asked for; faults are the
//! server's business.

mod answers;
mod limits;
mod properties;
mod records;
mod search;

use crate::API_VERSION;
use answers::{error, missing_scopes};
use leadwire_connector::reexport::{Timestamp, Url};
use leadwire_connector::simulator::{Door, FaultKind, Request, Response, Service, TokenEndpoint};
use limits::Limits;
use records::{Object, Records};
use serde_json::{Value, json};
use std::time::Duration;

/// The account's number in the simulated account details.
const PORTAL: u32 = 1_234_567;
/// That of HubSpot's access tokens.
const TOKEN_LIFETIME: Duration = Duration::from_secs(1_800);

/// The token of [`settings`], and the only one that [`boxed`] takes: staging must find a wrong one out.
const TOKEN: &str = "made-up-token";

/// For [`Simulation::service`](leadwire_connector::Simulation).
pub(crate) fn boxed() -> Box<dyn Service> {
    Box::new(Simulator::accepting(TOKEN))
}

/// For [`Simulation::settings`](leadwire_connector::Simulation).
pub(crate) fn settings(url: &Url) -> String {
    format!("type = \"hubspot\"\nbase_url = \"{url}\"\ntoken = \"{TOKEN}\"\n")
}

/// The simulated account. The default accepts every token.
#[derive(Debug)]
pub struct Simulator {
    door: Door,
    version: String,
    time_zone: String,
    missing_scope: Option<String>,
    limits: Limits,
    records: Records,
}

impl Default for Simulator {
    fn default() -> Self {
        Self {
            door: Door::default(),
            version: API_VERSION.to_owned(),
            time_zone: "UTC".to_owned(),
            missing_scope: None,
            limits: Limits::default(),
            records: Records::default(),
        }
    }
}

impl Simulator {
    /// An account that accepts this token only.
    #[must_use]
    pub fn accepting(token: impl Into<String>) -> Self {
        Self { door: Door::Token(token.into()), ..Self::default() }
    }

    /// An account that accepts the access tokens of this app only.
    #[must_use]
    pub fn of_app(client_id: &str, client_secret: &str, refresh_token: &str) -> Self {
        let app = TokenEndpoint::new(client_id, client_secret).refresh_token(refresh_token).lifetime(TOKEN_LIFETIME);
        Self { door: Door::App(app), ..Self::default() }
    }

    /// Search finds a record only when so many requests came after the one that made it.
    #[must_use]
    pub fn with_search_lag(mut self, requests: u64) -> Self {
        self.records.lag.set(requests);
        self
    }

    /// The API has this version only.
    #[must_use]
    pub fn with_version(self, version: &str) -> Self {
        Self { version: version.to_owned(), ..self }
    }

    /// The account is in this time zone, by its IANA name.
    #[must_use]
    pub fn in_time_zone(self, name: &str) -> Self {
        Self { time_zone: name.to_owned(), ..self }
    }

    /// An administrator requires this property of new contacts.
    #[must_use]
    pub fn with_required(mut self, property: &str) -> Self {
        self.records.properties.required.push(property.to_owned());
        self
    }

    /// Somebody made a contact property of this name, with unique values.
    #[must_use]
    pub fn with_unique_property(mut self, name: &str) -> Self {
        self.records.properties.add_unique(name);
        self
    }

    /// The account has these users; without, any number is one.
    #[must_use]
    pub fn with_owners(mut self, owners: &[u64]) -> Self {
        self.records.properties.owners = owners.to_vec();
        self
    }

    /// Every token lacks this scope: `crm.objects.contacts.read`, `crm.objects.contacts.write` or `crm.schemas.contacts.read`.
    #[must_use]
    pub fn without_scope(self, scope: &str) -> Self {
        Self { missing_scope: Some(scope.to_owned()), ..self }
    }

    /// The account takes so many requests in 10 seconds and in a day, and refuses the next.
    #[must_use]
    pub fn with_limits(mut self, per_window: u64, per_day: u64) -> Self {
        self.limits = Limits::enforced(per_window, per_day);
        self
    }

    /// A second contact with an e-mail is found out late, and refused in other words.
    #[must_use]
    pub fn finding_twins_late(mut self) -> Self {
        self.records.finds_twins_late = true;
        self
    }

    fn route(&mut self, request: &Request) -> Result<Response, Response> {
        let path = request.segments();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let body = request.json();
        self.check_scope(request, &parts)?;
        let is_ours = |version: &str| version == self.version;
        match (request.method.as_str(), parts.as_slice()) {
            ("GET", ["account-info", version, "details"]) if is_ours(version) => Ok(self.account()),
            ("GET", ["crm", "properties", version, "0-1" | "contacts", name]) if is_ours(version) => self.records.properties.describe(name),
            ("POST", ["crm", "properties", version, "0-1" | "contacts"]) if is_ours(version) => self.records.properties.create(&body),
            ("POST", ["crm", "associations", version, "contacts" | "0-1", to, "batch", "read"]) if is_ours(version) => {
                self.records.associations(object_named(to)?, &body)
            }
            (method, ["crm", "objects", version, object, rest @ ..]) if is_ours(version) => {
                self.objects(method, object_named(object)?, rest, request, &body)
            }
            // What is no part of the API is not answered by it.
            _ => Err(answers::no_such_page()),
        }
    }

    fn check_scope(&self, request: &Request, parts: &[&str]) -> Result<(), Response> {
        let is_read = request.method == "GET" || parts.ends_with(&["read"]) || parts.ends_with(&["search"]);
        let needed = match parts.get(1) {
            Some(&"properties") => "crm.schemas.contacts.read",
            Some(&("objects" | "associations")) if is_read => "crm.objects.contacts.read",
            Some(&"objects") => "crm.objects.contacts.write",
            _ => return Ok(()),
        };
        match &self.missing_scope {
            Some(scope) if scope == needed => Err(missing_scopes(scope)),
            _ => Ok(()),
        }
    }

    fn objects(&mut self, method: &str, object: Object, rest: &[&str], request: &Request, body: &Value) -> Result<Response, Response> {
        let id_property = request.query("idProperty");
        match (method, rest) {
            ("POST", []) => self.records.create(object, body, now()),
            ("GET", []) => Ok(self.records.list(object, request.query("limit"))),
            ("POST", ["search"]) => search::answer(&self.records, object, body),
            ("POST", ["batch", "read"]) => self.records.read_batch(object, body),
            ("POST", ["merge"]) if object == Object::Contact => self.records.merge(body, now()),
            ("GET", [id]) => self.records.read(object, id, id_property.as_deref()),
            ("PATCH", [id]) => self.records.update(object, id, id_property.as_deref(), body, now()),
            ("DELETE", [id]) => self.records.archive(object, id),
            _ => Err(error(405, "METHOD_NOT_ALLOWED", "HTTP 405 Method Not Allowed")),
        }
    }

    fn account(&self) -> Response {
        Response::json(
            200,
            &json!({
                "portalId": PORTAL, "accountType": "DEVELOPER_TEST", "timeZone": self.time_zone, "companyCurrency": "USD",
                "additionalCurrencies": [], "utcOffset": "+00:00", "utcOffsetMilliseconds": 0, "uiDomain": "app.hubspot.com",
                "dataHostingLocation": "na1",
            }),
        )
    }

    fn token(&mut self, request: &Request) -> Option<Response> {
        let is_asked = request.path().starts_with("/oauth/") && request.path().ends_with("/token");
        let response = if is_asked { self.door.token(request)? } else { return None };
        let is_revoked = response.status == 400 && request.body.windows(13).any(|part| part == b"refresh_token");
        Some(if is_revoked { answers::bad_refresh_token() } else { response })
    }
}

impl Service for Simulator {
    fn answer(&mut self, request: &Request) -> Response {
        if let Some(response) = self.token(request) {
            return response;
        }
        if !self.door.admits(request) {
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.");
        }
        if let Some(refusal) = self.limits.count(now()) {
            return refusal;
        }
        self.records.lag.count();
        let response = self.route(request).unwrap_or_else(|refusal| refusal);
        // Search tells nothing of limits.
        if request.path().ends_with("/search") { response } else { self.limits.headers(response, self.door.is_for_apps()) }
    }

    fn error_inside(&self) -> Response {
        let inner = json!({"status": "error", "category": "INTERNAL_ERROR", "message": "There was a problem with the request."});
        Response::json(200, &json!({"status": "COMPLETE", "results": [], "numErrors": 1, "errors": [inner]}))
    }

    fn rate_limited(&self) -> Response {
        answers::rate_limited("TEN_SECONDLY_ROLLING")
    }

    fn is_hit(&self, kind: &FaultKind, request: &Request) -> bool {
        match kind {
            FaultKind::InvalidField(field) => sends(&request.json(), field),
            FaultKind::SearchLag => request.path().ends_with("/search"),
            _ => true,
        }
    }

    fn day_is_spent(&self) -> Response {
        answers::rate_limited("DAILY")
    }

    fn finds_nothing(&self, _: &Request) -> Response {
        Response::json(200, &json!({"total": 0, "results": []}))
    }

    fn failing(&self, status: u16) -> Option<Response> {
        Some(match status {
            401 => error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found."),
            403 => missing_scopes("crm.objects.contacts.write"),
            404 => error(404, "OBJECT_NOT_FOUND", "resource not found"),
            409 => error(409, "CONFLICT", "Contact already exists."),
            423 => error(423, "LOCKED", "Resource is locked"),
            477 => error(477, "MIGRATION_IN_PROGRESS", "The account is being migrated").header("Retry-After", "7200"),
            500 => error(500, "INTERNAL_ERROR", "internal error"),
            _ => return None,
        })
    }

    fn invalid_field(&self, field: &str) -> Response {
        let code = if field == "email" { "INVALID_EMAIL" } else { "INVALID_OPTION" };
        let fault = json!({"isValid": false, "message": "the value is not accepted", "error": code, "name": field});
        answers::rejected(&[fault])
    }

    fn state(&self) -> Value {
        self.records.state()
    }
}

/// Whether a record or one of a batch has this property.
fn sends(body: &Value, property: &str) -> bool {
    let has = |record: &Value| record["properties"].get(property).is_some();
    has(body) || body["inputs"].as_array().is_some_and(|records| records.iter().any(has))
}

fn object_named(name: &str) -> Result<Object, Response> {
    Object::named(name).ok_or_else(|| error(400, "VALIDATION_ERROR", "Unable to infer object type"))
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;

    struct Client(Simulator);

    impl Client {
        fn send(&mut self, method: &str, target: &str, body: &Value) -> (u16, Value) {
            let request = Request::new(method, target).with_header("Authorization", "Bearer x").with_json(body);
            let response = self.0.answer(&request);
            (response.status, serde_json::from_slice(&response.body).unwrap_or_default())
        }

        fn create(&mut self, properties: &Value) -> (u16, Value) {
            self.send("POST", "/crm/objects/2026-09/contacts", &json!({"properties": properties, "associations": []}))
        }

        fn associations(&mut self, to: &str, contact: &str) -> (u16, Value) {
            let path = format!("/crm/associations/2026-09/contacts/{to}/batch/read");
            self.send("POST", &path, &json!({"inputs": [{"id": contact}]}))
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
        let request = Request::new("GET", "/");
        assert_eq!(Simulator::default().answer(&request).status, 401);
        assert_eq!(Simulator::accepting("right").answer(&request.with_header("Authorization", "Bearer wrong")).status, 401);
    }

    #[test]
    fn staging_wants_the_token_that_it_prints() {
        let details = Request::new("GET", "/account-info/2026-09/details");
        let with = |token| details.clone().with_header("Authorization", format!("Bearer {token}"));
        assert_eq!((boxed().answer(&with("x")).status, boxed().answer(&with(TOKEN)).status), (401, 200));
        assert!(settings(&"http://127.0.0.1:9090/".parse().unwrap()).contains(TOKEN));
    }

    #[test]
    fn an_ordered_fault_is_in_hubspots_words_and_hits_what_it_is_about() {
        let hubspot = Simulator::default();
        let told = |response: Response| String::from_utf8_lossy(&response.body).into_owned();
        assert!(told(hubspot.day_is_spent()).contains("\"policyName\":\"DAILY\""));
        assert!(told(hubspot.invalid_field("email")).contains("INVALID_EMAIL"));
        let request = |target: &str, body: Value| Request::new("POST", target).with_json(&body);
        let email = FaultKind::InvalidField("email".to_owned());
        let contact = request("/crm/objects/2026-09/contacts", json!({"properties": {"email": "a@b.example"}}));
        let note = request("/crm/objects/2026-09/notes", json!({"properties": {"hs_note_body": "email"}}));
        let search = request("/crm/objects/2026-09/contacts/search", json!({"filterGroups": []}));
        assert!(hubspot.is_hit(&email, &contact) && !hubspot.is_hit(&email, &note) && !hubspot.is_hit(&email, &search));
        assert!(hubspot.is_hit(&FaultKind::SearchLag, &search) && !hubspot.is_hit(&FaultKind::SearchLag, &contact));
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
        let (status, list) = hubspot.associations("notes", "101");
        assert_eq!((status, &list["results"][0]["to"][0]["toObjectId"]), (200, &json!("102")));
        let (status, none) = hubspot.associations("meetings", "101");
        assert_eq!((status, &none["errors"][0]["subCategory"]), (207, &json!("crm.associations.NO_ASSOCIATIONS_FOUND")));
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

    #[test]
    fn a_property_can_be_made_and_its_values_be_unique() {
        let mut hubspot = client();
        let property = json!({"name": "visitor", "label": "Visitor", "type": "string", "fieldType": "text", "hasUniqueValue": true});
        assert_eq!(hubspot.send("POST", "/crm/properties/2026-09/0-1", &property).0, 201);
        assert_eq!(hubspot.create(&json!({"lastname": "A", "visitor": "1"})).0, 201);
        let (status, body) = hubspot.create(&json!({"lastname": "B", "visitor": "1"}));
        assert_eq!(status, 400);
        assert!(body["message"].as_str().unwrap().ends_with("on 102. 101 already has that value."), "{body}");
        let (_, found) = hubspot.send("GET", "/crm/objects/2026-09/contacts/1?idProperty=visitor", &Value::Null);
        assert_eq!(found["id"], "101");
    }

    #[test]
    fn limits_are_told_and_enforced_if_asked_for() {
        let mut hubspot = Client(Simulator::default().with_limits(100, 2));
        assert_eq!([(); 3].map(|()| hubspot.send("GET", "/crm/objects/2026-09/contacts", &Value::Null).0), [200, 200, 429]);
        let mut hubspot = Client(Simulator::default().with_limits(1, 100));
        assert_eq!([(); 2].map(|()| hubspot.send("GET", "/crm/objects/2026-09/contacts", &Value::Null).0), [200, 429]);
    }

    #[test]
    fn another_version_and_a_missing_scope_are_refused() {
        let mut hubspot = client();
        assert_eq!(hubspot.send("GET", "/crm/objects/2025-09/contacts", &Value::Null).0, 404);
        let mut hubspot = Client(Simulator::default().without_scope("crm.objects.contacts.write"));
        assert_eq!(hubspot.send("GET", "/crm/objects/2026-09/contacts", &Value::Null).0, 200);
        assert_eq!(hubspot.create(&json!({"email": "a@b.example"})).0, 403);
    }
}
