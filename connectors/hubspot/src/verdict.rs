//! What HubSpot's answers mean. Statuses and bodies follow <https://developers.hubspot.com/docs/api-reference/error-handling> and
//! <https://developers.hubspot.com/docs/developer-tooling/platform/usage-guidelines>; of a body, every field is optional.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::http::Answer;
pub(crate) use leadwire_connector::refusal::id;
use leadwire_connector::refusal::word;
use leadwire_connector::{DeliveryError, ErrorKind, Verdict};
use serde_json::Value;
use std::time::Duration;

/// The code of every error that says: there is no such record (any more).
pub(crate) const GONE: &str = "OBJECT_NOT_FOUND";
const HOUR: Duration = Duration::from_secs(3_600);
/// HubSpot's longest wait, during a migration of the account.
const DAY: Duration = Duration::from_secs(86_400);
/// Two clocks never agree on when midnight is.
const AFTER_MIDNIGHT: SignedDuration = SignedDuration::from_secs(60);

/// What must be known of the account to judge an answer.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Whether tokens come from an app instead of a service key.
    pub(crate) is_app: bool,
    /// The account's time zone, if it is known.
    pub(crate) zone: Option<TimeZone>,
}

/// An answer that the connector can go on from.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A 2xx with a body that is no error.
    Done(Value),
    /// A contact with this unique value is there already, with this id if HubSpot says so.
    Conflict { existing: Option<String>, property: Option<String>, error: DeliveryError },
    /// These properties are not accepted, or missing.
    Invalid { properties: Vec<String>, error: DeliveryError },
}

impl Outcome {
    /// For requests that nothing but success can be made of.
    pub(crate) fn done(self) -> Result<Value, DeliveryError> {
        match self {
            Self::Done(body) => Ok(body),
            Self::Conflict { error, .. } | Self::Invalid { error, .. } => Err(error),
        }
    }
}

/// Whether the record that the request was about does not exist (any more).
pub(crate) fn is_gone(error: &DeliveryError) -> bool {
    error.code.as_deref() == Some(GONE)
}

/// The id of the record that a write made or changed. A 2xx without one, or with errors inside, is no success.
pub(crate) fn written(body: &Value) -> Result<String, DeliveryError> {
    let errors = body["numErrors"].as_u64().unwrap_or(0) > 0 || body["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    let unexpected = |what: &str| DeliveryError::retry(ErrorKind::Unexpected, format!("HubSpot answered with success, but {what}"));
    if errors {
        return Err(unexpected("with errors inside").with_excerpt(body.to_string().as_bytes()));
    }
    id(&body["id"]).ok_or_else(|| unexpected("without the record's id").with_excerpt(body.to_string().as_bytes()))
}

/// What an answer means.
///
/// # Errors
/// Every answer that is not an [`Outcome`], with its verdict.
pub(crate) fn read(answer: &Answer, account: &Account) -> Result<Outcome, DeliveryError> {
    let body = answer.json().unwrap_or(Value::Null);
    let says_error = body["status"] == "error" || body["category"] == "VALIDATION_ERROR";
    match answer.status {
        200..=299 if body.is_object() && !says_error => Ok(Outcome::Done(body)),
        200..=299 if body["category"] == "VALIDATION_ERROR" => Ok(invalid(answer, &body)),
        400 if mentions_missing_object(&body) => Err(gone(answer)),
        400 | 422 => Ok(taken_value(answer, &body).unwrap_or_else(|| invalid(answer, &body))),
        404 if is_hubspots_own(&body) => Err(gone(answer)),
        404 => Err(misplaced(answer)),
        409 => Ok(conflict(answer, &body)),
        _ => Err(failure(answer, &body, account)),
    }
}

fn failure(answer: &Answer, body: &Value, account: &Account) -> DeliveryError {
    let after = |seconds| at_least(answer, seconds);
    let error = match answer.status {
        401 => DeliveryError::hold(ErrorKind::Credentials, refused_token(account), None),
        402 => {
            let message =
                "HubSpot wants the account's subscription or its payment put in order (402); do that, then resume the destination";
            DeliveryError::hold(ErrorKind::Quota, message, None)
        }
        403 => forbidden(body, account),
        423 => DeliveryError::retry_after(ErrorKind::RateLimited, "HubSpot has locked the record for a moment (423)", after(2)),
        429 => return rate_limited(answer, body, account),
        477 => {
            let until = answer.at.checked_add(answer.retry_after().unwrap_or(HOUR).min(DAY)).ok();
            DeliveryError::hold(ErrorKind::Server, "HubSpot is moving this account to another data centre (477)", until)
        }
        // HubSpot asks to be told of these when they stay.
        522 | 525 | 526 => {
            let message = format!("HubSpot cannot be reached by its own front door ({}); if this stays, ask its support", answer.status);
            DeliveryError::retry_after(ErrorKind::Server, message, after(3))
        }
        500.. => DeliveryError::retry_after(ErrorKind::Server, format!("HubSpot failed ({})", answer.status), after(3)),
        _ => return answer.error("HubSpot").with_code_of(body),
    };
    error.with_status(answer.status).with_excerpt(&answer.body).with_code_of(body)
}

fn refused_token(account: &Account) -> &'static str {
    if account.is_app {
        "HubSpot refused a fresh access token of the app (401); see that the app is still connected to this account, then resume the \
         destination"
    } else {
        "HubSpot refused the token (401); set a valid service key as `token`, then resume the destination"
    }
}

/// Mostly a missing scope, which HubSpot names. Associations may also be forbidden to the user of an app
/// (<https://developers.hubspot.com/changelog/crm-api-write-validation-enforcement>).
fn forbidden(body: &Value, account: &Account) -> DeliveryError {
    let context = |of: &Value| [of["context"]["requiredGranularScopes"].clone(), of["context"]["missingScopes"].clone()];
    let scopes: Vec<Value> = [body, &body["errors"][0]].into_iter().flat_map(context).collect();
    let scopes = words(&scopes.iter().collect::<Vec<_>>());
    let whose = if account.is_app { "app" } else { "service key" };
    let message = if scopes.is_empty() && body["category"] != "MISSING_SCOPES" {
        format!("HubSpot does not allow this to the {whose} (403); see what it may do in this account, then resume the destination")
    } else {
        let missing = if scopes.is_empty() { "a scope".to_owned() } else { scopes.join(", ") };
        format!("HubSpot says that the {whose} lacks {missing} (403); add it, then resume the destination")
    };
    DeliveryError::hold(ErrorKind::Credentials, message, None)
}

/// Whether the requests of the day are spent. Search answers without a `policyName`, so the text counts as well.
pub(crate) fn is_daily_limit(answer: &Answer) -> bool {
    answer.status == 429 && answer.json().is_some_and(|body| policy(&body) == Policy::Daily)
}

#[derive(Debug, PartialEq, Eq)]
enum Policy {
    Daily,
    TenSecondly,
    Secondly,
}

/// The official client for Node.js (`RetryDecorator` of `@hubspot/api-client`) tells them apart in the same way.
fn policy(body: &Value) -> Policy {
    let name = body["policyName"].as_str().unwrap_or_default();
    let message = body["message"].as_str().unwrap_or_default().to_lowercase();
    match name {
        "DAILY" => Policy::Daily,
        "SECONDLY" => Policy::Secondly,
        "" if message.contains("daily") => Policy::Daily,
        "" if message.contains("your secondly") => Policy::Secondly,
        _ => Policy::TenSecondly,
    }
}

fn rate_limited(answer: &Answer, body: &Value, account: &Account) -> DeliveryError {
    let fewer = |per: &str, seconds| {
        let after = answer.retry_after().unwrap_or(Duration::from_secs(seconds));
        DeliveryError::retry_after(ErrorKind::RateLimited, format!("HubSpot asks for fewer requests per {per}"), Some(after))
    };
    let error = match policy(body) {
        Policy::Daily => {
            let until = renewed(answer, account.zone.as_ref());
            DeliveryError::hold(ErrorKind::Quota, "the HubSpot account has spent its requests for today", until)
        }
        Policy::Secondly => fewer("second", 1),
        Policy::TenSecondly => fewer("10 seconds", 10),
    };
    let code = body["policyName"].as_str().and_then(word).unwrap_or("RATE_LIMITS");
    error.with_status(answer.status).with_code(code).with_excerpt(&answer.body)
}

/// When the requests of the day are renewed: when `Retry-After` says, else at midnight in the account's time zone. Where that is not
/// known, asking once an hour finds out.
fn renewed(answer: &Answer, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let midnight = || {
        let tomorrow = answer.at.to_zoned(zone?.clone()).tomorrow().ok()?;
        tomorrow.start_of_day().ok()?.timestamp().checked_add(AFTER_MIDNIGHT).ok()
    };
    match answer.retry_after() {
        Some(after) => answer.at.checked_add(after.min(DAY)).ok(),
        None => midnight().or_else(|| answer.at.checked_add(HOUR).ok()),
    }
}

/// What the answer asks for, but no less than that.
fn at_least(answer: &Answer, seconds: u64) -> Option<Duration> {
    Some(answer.retry_after().unwrap_or_default().max(Duration::from_secs(seconds)))
}

fn gone(answer: &Answer) -> DeliveryError {
    let message = format!("HubSpot has no such record (any more) ({})", answer.status);
    DeliveryError::retry(ErrorKind::Unexpected, message).with_status(answer.status).with_code(GONE).with_excerpt(&answer.body)
}

/// Not every 404 comes from HubSpot: a proxy, a wrong address and a retired version of the API answer the same status. Its own says so by
/// its category; reads of single records leave that out, and have only the fields of every error and this text.
fn is_hubspots_own(body: &Value) -> bool {
    let message = body["message"].as_str().unwrap_or_default().to_lowercase();
    let is_told = message == "resource not found" || message.starts_with("object not found");
    mentions_missing_object(body) || body["category"].is_null() && body["correlationId"].is_string() && is_told
}

/// A 404 that says nothing of a record: whatever else is sent there fares no better.
fn misplaced(answer: &Answer) -> DeliveryError {
    let message = "what answers at this address does not have HubSpot's API (404); check `base_url` and `api_version`, then resume the \
                   destination";
    DeliveryError::hold(ErrorKind::Configuration, message, None).with_status(answer.status).with_excerpt(&answer.body)
}

/// The same error for a request that named no record, which cannot be missing then.
pub(crate) fn of_no_record(error: DeliveryError) -> DeliveryError {
    if !is_gone(&error) {
        return error;
    }
    let message = "HubSpot has no such place to make a contact at; check `base_url` and `api_version`, then resume the destination";
    let verdict = Verdict::Hold { until: None };
    DeliveryError { kind: ErrorKind::Configuration, verdict, code: None, message: message.to_owned(), ..error }
}

/// Some endpoints report a missing record as a 400.
fn mentions_missing_object(body: &Value) -> bool {
    let codes = [&body["category"], &body["errors"][0]["code"], &body["errors"][0]["subCategory"]];
    codes.into_iter().any(|code| code == GONE)
}

fn taken(answer: &Answer, body: &Value, property: Option<&str>) -> DeliveryError {
    let of = property.map_or_else(String::new, |property| format!(" of `{property}`"));
    let message = format!("HubSpot has another record with the same unique value{of} ({})", answer.status);
    DeliveryError::reject(ErrorKind::Data, message).with_status(answer.status).with_code_of(body).with_excerpt(&answer.body)
}

fn conflict(answer: &Answer, body: &Value) -> Outcome {
    Outcome::Conflict { existing: existing_id(body), property: None, error: taken(answer, body, None) }
}

/// `Contact already exists. Existing ID: 101`: the text is not documented, but all there is
/// (<https://community.hubspot.com/t5/APIs-Integrations/Updated-409-Conflict-responses/m-p/951534>).
fn existing_id(body: &Value) -> Option<String> {
    let told = body["message"].as_str().and_then(|message| {
        let after = message.rsplit_once("Existing ID:")?.1.trim_start();
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        word(&after[..end]).map(str::to_owned)
    });
    told.or_else(|| id(&body["identityProfile"]["vid"]))
}

/// `Cannot set PropertyValueCoordinates{…, propertyName=email, value=…} on 1. 101 already has that value.`: how HubSpot refuses a second
/// record with a unique value when its first look missed the other one, and always for custom properties. The text is not documented; of
/// the two ids, the first is of the record that is not made. A visitor's text may say the same in the value, so that only the whole
/// sentence counts, and not when the answer names other properties that are refused.
fn taken_value(answer: &Answer, body: &Value) -> Option<Outcome> {
    let (coordinates, ids) = body["message"].as_str()?.trim().strip_prefix("Cannot set PropertyValueCoordinates{")?.rsplit_once("} on ")?;
    let (own, existing) = ids.trim_end_matches('.').strip_suffix(" already has that value")?.split_once(". ")?;
    let is_id = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (before_value, _) = coordinates.split_once("value=")?;
    let property = before_value.split_once("propertyName=").and_then(|(_, rest)| word(rest.split(',').next()?)).map(str::to_owned);
    if !is_id(own) || !is_id(existing) || problems(body).iter().any(|(name, _)| Some(name) != property.as_ref()) {
        return None;
    }
    let error = taken(answer, body, property.as_deref());
    Some(Outcome::Conflict { existing: Some(existing.to_owned()), property, error })
}

fn invalid(answer: &Answer, body: &Value) -> Outcome {
    let problems = problems(body);
    let told: Vec<String> =
        problems.iter().map(|(name, code)| if code.is_empty() { name.clone() } else { format!("{name} ({code})") }).collect();
    let message = if told.is_empty() {
        format!("HubSpot refused the data ({}) without naming a property", answer.status)
    } else {
        format!("HubSpot refused the data ({}): {}", answer.status, told.join(", "))
    };
    let error = DeliveryError::reject(ErrorKind::Data, message).with_status(answer.status).with_code_of(body).with_excerpt(&answer.body);
    Outcome::Invalid { properties: problems.into_iter().map(|(name, _)| name).collect(), error }
}

/// The properties that are not accepted or missing, each with HubSpot's code: from the JSON inside `message`
/// (<https://developers.hubspot.com/changelog/upcoming-property-validations-rules-will-be-enforced-for-apis-and-integrations>), from
/// `errors`, from every `context` that speaks of properties (`propertyName`, `properties`, `CONTACT properties`).
fn problems(body: &Value) -> Vec<(String, String)> {
    let embedded = embedded_list(body["message"].as_str().unwrap_or_default());
    let listed = body["errors"].as_array().into_iter().flatten();
    let mut problems: Vec<(String, String)> = Vec::new();
    for item in embedded.iter().chain(listed).chain([body]) {
        let code = [&item["error"], &item["code"]].into_iter().find_map(|code| word(code.as_str()?)).unwrap_or_default();
        let context = item["context"].as_object().into_iter().flatten();
        let of_properties = context.filter(|(key, _)| key.to_lowercase().contains("propert")).map(|(_, value)| value);
        for name in words(&[&item["name"]].into_iter().chain(of_properties).collect::<Vec<_>>()) {
            if !problems.iter().any(|(known, _)| *known == name) {
                problems.push((name, code.to_owned()));
            }
        }
    }
    problems
}

/// `Property values were not valid: [{"name": …}]`. In other sentences, such a list may be a visitor's text.
fn embedded_list(message: &str) -> Vec<Value> {
    let is_ours = message.trim_start().starts_with("Property values were not valid");
    let Some(start) = message.find("[{").filter(|_| is_ours) else { return Vec::new() };
    let mut values = serde_json::Deserializer::from_str(&message[start..]).into_iter::<Vec<Value>>();
    values.next().and_then(Result::ok).unwrap_or_default()
}

/// All words in these values, each a text or a list of texts; with or without brackets, as HubSpot has it.
fn words(values: &[&Value]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for value in values {
        let texts = value.as_array().map_or(std::slice::from_ref(*value), Vec::as_slice);
        let new = texts.iter().filter_map(|text| word(text.as_str()?.trim_matches(['[', ']'])));
        for text in new.take(20) {
            if !found.iter().any(|known| known == text) {
                found.push(text.to_owned());
            }
        }
    }
    found
}

trait WithCode {
    fn with_code_of(self, body: &Value) -> Self;
}

impl WithCode for DeliveryError {
    fn with_code_of(self, body: &Value) -> Self {
        match body["category"].as_str().and_then(word) {
            Some(category) => self.with_code(category),
            None => self,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn now() -> Timestamp {
        "2026-11-22T10:00:00Z".parse().unwrap()
    }

    fn answer(status: u16, retry_after: Option<&str>, body: &Value) -> Answer {
        let headers = retry_after.map(|value| ("retry-after".to_owned(), value.to_owned())).into_iter().collect();
        Answer { status, headers, body: body.to_string().into(), truncated: false, at: now() }
    }

    fn error(status: u16, retry_after: Option<&str>, body: &Value) -> DeliveryError {
        read(&answer(status, retry_after, body), &Account::default()).and_then(Outcome::done).unwrap_err()
    }

    fn retry(seconds: u64) -> Verdict {
        Verdict::Retry { after: Some(Duration::from_secs(seconds)) }
    }

    fn hold(until: Option<&str>) -> Verdict {
        Verdict::Hold { until: until.map(|text| text.parse().unwrap()) }
    }

    #[test]
    fn every_status_has_its_verdict() {
        let limit = |policy: &str| json!({"status": "error", "errorType": "RATE_LIMIT", "policyName": policy, "message": "limit"});
        let daily = json!({"status": "error", "message": "You have reached your daily limit."});
        let search = json!({"status": "error", "message": "You have reached your secondly limit."});
        let validation = json!({"status": "error", "category": "VALIDATION_ERROR", "message": "no"});
        let table = [
            (400, None, validation, ErrorKind::Data, Verdict::Reject),
            (401, None, json!({"category": "INVALID_AUTHENTICATION"}), ErrorKind::Credentials, hold(None)),
            (402, None, json!({}), ErrorKind::Quota, hold(None)),
            (422, None, json!({}), ErrorKind::Data, Verdict::Reject),
            (403, None, json!({"category": "MISSING_SCOPES"}), ErrorKind::Credentials, hold(None)),
            (404, None, json!({}), ErrorKind::Configuration, hold(None)),
            (404, None, json!(null), ErrorKind::Configuration, hold(None)),
            (404, None, json!({"message": "no such page", "correlationId": "1"}), ErrorKind::Configuration, hold(None)),
            (404, None, json!({"category": "OBJECT_NOT_FOUND"}), ErrorKind::Unexpected, Verdict::Retry { after: None }),
            (
                404,
                None,
                json!({"message": "resource not found", "correlationId": "1"}),
                ErrorKind::Unexpected,
                Verdict::Retry { after: None },
            ),
            (409, None, json!({"category": "CONFLICT"}), ErrorKind::Data, Verdict::Reject),
            (414, None, json!({}), ErrorKind::Data, Verdict::Reject),
            (423, None, json!({}), ErrorKind::RateLimited, retry(2)),
            (423, Some("7"), json!({}), ErrorKind::RateLimited, retry(7)),
            (429, None, limit("SECONDLY"), ErrorKind::RateLimited, retry(1)),
            (429, None, limit("TEN_SECONDLY_ROLLING"), ErrorKind::RateLimited, retry(10)),
            (429, Some("60"), limit("TEN_SECONDLY_ROLLING"), ErrorKind::RateLimited, retry(60)),
            (429, None, search, ErrorKind::RateLimited, retry(1)),
            (429, Some("90"), limit("DAILY"), ErrorKind::Quota, hold(Some("2026-11-22T10:01:30Z"))),
            (429, None, json!(null), ErrorKind::RateLimited, retry(10)),
            (429, None, limit("DAILY"), ErrorKind::Quota, hold(Some("2026-11-22T11:00:00Z"))),
            (429, None, daily, ErrorKind::Quota, hold(Some("2026-11-22T11:00:00Z"))),
            (477, Some("7200"), json!({}), ErrorKind::Server, hold(Some("2026-11-22T12:00:00Z"))),
            (477, Some("999999"), json!({}), ErrorKind::Server, hold(Some("2026-11-23T10:00:00Z"))),
            (500, None, json!({}), ErrorKind::Server, retry(3)),
            (503, Some("30"), json!({}), ErrorKind::Server, retry(30)),
            (525, None, json!({}), ErrorKind::Server, retry(3)),
            (524, None, json!({}), ErrorKind::Server, retry(3)),
            (302, None, json!({}), ErrorKind::Configuration, hold(None)),
            (200, None, json!("fine"), ErrorKind::Unexpected, Verdict::Retry { after: None }),
            (201, None, json!({"status": "error"}), ErrorKind::Unexpected, Verdict::Retry { after: None }),
            (200, None, json!({"category": "VALIDATION_ERROR"}), ErrorKind::Data, Verdict::Reject),
        ];
        for (status, retry_after, body, kind, verdict) in table {
            let error = error(status, retry_after, &body);
            assert_eq!((error.kind, &error.verdict, error.status), (kind, &verdict, Some(status)), "{status} {body}");
        }
    }

    #[test]
    fn the_requests_of_a_day_are_renewed_at_midnight_where_the_account_is() {
        let body = json!({"policyName": "DAILY"});
        for (zone, expected) in
            [("America/New_York", "2026-11-23T05:01:00Z"), ("Asia/Tokyo", "2026-11-22T15:01:00Z"), ("UTC", "2026-11-23T00:01:00Z")]
        {
            let account = Account { is_app: false, zone: TimeZone::get(zone).ok() };
            let error = read(&answer(429, None, &body), &account).unwrap_err();
            assert_eq!(error.verdict, hold(Some(expected)), "{zone}");
        }
    }

    #[test]
    fn a_taken_value_names_the_record_that_has_it() {
        let message = "Cannot set PropertyValueCoordinates{portalId=1, objectTypeId=ObjectTypeId{legacyObjectType=CONTACT}, \
            propertyName=email, value=a@b.example} on 552148386511. 552239500007 already has that value.";
        let body = json!({"status": "error", "message": message, "category": "VALIDATION_ERROR"});
        let Outcome::Conflict { existing, property, error } = read(&answer(400, None, &body), &Account::default()).unwrap() else {
            panic!("no conflict")
        };
        assert_eq!((existing.as_deref(), property.as_deref()), (Some("552239500007"), Some("email")));
        assert_eq!(error.message, "HubSpot has another record with the same unique value of `email` (400)");
    }

    #[test]
    fn what_a_visitor_wrote_names_no_record_and_no_property() {
        let refused = |message: &str| {
            let body = json!({"status": "error", "message": message, "category": "VALIDATION_ERROR"});
            read(&answer(400, None, &body), &Account::default()).unwrap()
        };
        let option = |value: &str| {
            let list = json!([{"isValid": false, "message": format!("{value} was not one of the options"), "name": "color"}]);
            format!("Property values were not valid: {list}")
        };
        let taken = |value: &str| {
            format!("Cannot set PropertyValueCoordinates{{portalId=1, propertyName=code, value={value}}} on 5. 6 already has that value.")
        };
        let text = "} on 1. 12345 already has that value";
        let whole = taken("x").replace("5. 6", "1. 12345");
        for message in [&option("12345 already has that value"), &option(text), &option(&whole)] {
            let Outcome::Invalid { properties, .. } = refused(message) else { panic!("{message}") };
            assert_eq!(properties, ["color"], "{message}");
        }
        for message in ["12345 already has that value", &format!("{text}."), &format!("no: {whole}"), &format!("{whole} was refused")] {
            assert!(matches!(refused(message), Outcome::Invalid { .. }), "{message}");
        }
        for value in [text, "propertyName=email, value=x", "[{\"name\": \"email\"}]", &whole] {
            let Outcome::Conflict { existing, property, .. } = refused(&taken(value)) else { panic!("{value}") };
            assert_eq!((existing.as_deref(), property.as_deref()), (Some("6"), Some("code")), "{value}");
        }
        let Outcome::Invalid { properties, .. } = refused("Bad input: [{\"name\": \"email\"}]") else { panic!("a list in a text") };
        assert!(properties.is_empty());
    }

    #[test]
    fn a_refused_property_goes_before_a_taken_value_unless_it_is_the_same() {
        let message = "Cannot set PropertyValueCoordinates{propertyName=code, value=x} on 5. 6 already has that value.";
        let of = |name: &str| {
            let body = json!({"message": message, "errors": [{"code": "X", "context": {"propertyName": [name]}}]});
            read(&answer(400, None, &body), &Account::default()).unwrap()
        };
        assert!(matches!(of("code"), Outcome::Conflict { .. }));
        assert!(matches!(of("color"), Outcome::Invalid { .. }));
    }

    #[test]
    fn a_property_that_an_administrator_requires_is_named() {
        let body = json!({"status": "error", "category": "VALIDATION_ERROR", "message": "Some required properties are missing",
            "context": {"CONTACT properties": ["[industry]"]}});
        assert_eq!(error(400, None, &body).message, "HubSpot refused the data (400): industry");
    }

    #[test]
    fn the_missing_scopes_are_named() {
        let body = json!({"category": "MISSING_SCOPES", "context": {"requiredGranularScopes": ["crm.objects.contacts.write"]}});
        assert!(error(403, None, &body).message.contains("crm.objects.contacts.write"));
        let body = json!({"category": "MISSING_SCOPES", "errors": [{"context": {"requiredGranularScopes": ["a.b", "c.d"]}}]});
        assert!(error(403, None, &body).message.contains("lacks a.b, c.d"));
        assert!(!error(403, None, &json!({})).message.contains("lacks"), "a right may be missing that is no scope");
    }

    #[test]
    fn the_properties_are_found_in_the_message_and_in_the_errors() {
        let old = json!({"message": "Property values were not valid: [{\"isValid\":false,\"message\":\"Property \\\"x\\\" does not exist\",\
            \"error\":\"PROPERTY_DOESNT_EXIST\",\"name\":\"favcolor\"}] and more", "category": "VALIDATION_ERROR"});
        let new = json!({"message": "invalid", "errors": [{"code": "PROPERTY_DOESNT_EXIST", "context": {"propertyName": ["favcolor"]}}]});
        for body in [old, new] {
            let Outcome::Invalid { properties, error } = read(&answer(400, None, &body), &Account::default()).unwrap() else {
                panic!("{body}")
            };
            assert_eq!(properties, ["favcolor"]);
            assert_eq!(error.message, "HubSpot refused the data (400): favcolor (PROPERTY_DOESNT_EXIST)");
        }
    }

    #[test]
    fn the_id_of_the_existing_contact_is_read_from_the_text() {
        for (body, expected) in [
            (json!({"message": "Contact already exists. Existing ID: 101"}), Some("101")),
            (json!({"message": "Existing ID:  7. Try again"}), Some("7")),
            (json!({"message": "Existing ID: none"}), None),
            (json!({"message": "Contact \"Existing ID: 12345\" already exists. Existing ID: 101"}), Some("101")),
            (json!({"identityProfile": {"vid": 55}}), Some("55")),
            (json!({}), None),
        ] {
            assert_eq!(existing_id(&body).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn a_write_needs_an_id_and_no_errors() {
        assert_eq!(written(&json!({"id": "7"})).unwrap(), "7");
        assert_eq!(written(&json!({"id": 7})).unwrap(), "7");
        for body in [json!({}), json!({"id": ""}), json!({"id": "7", "numErrors": 1}), json!({"id": "7", "errors": [{}]})] {
            assert_eq!(written(&body).unwrap_err().kind, ErrorKind::Unexpected, "{body}");
        }
    }

    #[test]
    fn a_missing_record_is_recognised_in_a_400_as_well() {
        assert!(is_gone(&error(404, None, &json!({"category": "OBJECT_NOT_FOUND"}))));
        assert!(!is_gone(&error(404, None, &json!({}))), "anybody says so");
        assert!(is_gone(&error(400, None, &json!({"category": "OBJECT_NOT_FOUND"}))));
        assert!(!is_gone(&error(400, None, &json!({}))));
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_no_value_gets_into_a_message(
            status in 100_u16..600, message in ".{0,80}", value in "[a-z]{5,10}@[a-z]{5,10}", code in ".{0,20}",
        ) {
            let body = json!({
                "message": format!("{message}[{{\"name\":\"{value}\"}}]"), "category": code,
                "errors": [{"code": value, "context": [1]}], "context": value,
            });
            if let Err(error) = read(&answer(status, Some(&message), &body), &Account::default()).and_then(Outcome::done) {
                prop_assert!(!error.message.contains(&value));
            }
        }
    }
}
