//! What GoHighLevel's answers mean. Shapes follow `common/common-schemas.json` of <https://github.com/GoHighLevel/highlevel-api-docs>, the
//! sentences are those that its users report there and in public integrations; of a body, every field is optional.

use leadwire_connector::http::{Answer, Quota, QuotaHeaders, Window};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::refusal::{self, Outcome};
use leadwire_connector::{DeliveryError, ErrorKind};
use serde_json::Value;
use std::time::Duration;

/// The code of every error that says: there is no such contact (any more).
pub(crate) const GONE: &str = "NOT_FOUND";
/// The code of an appointment whose time is not free.
pub(crate) const SLOT_TAKEN: &str = "SLOT_TAKEN";
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
/// The window of the burst limit, in case its header is missing.
const BURST_WINDOW: Duration = Duration::from_secs(10);

/// From <https://marketplace.gohighlevel.com/docs/other/rate-limits>.
const DAILY: QuotaHeaders = QuotaHeaders::new("x-ratelimit-limit-daily", "x-ratelimit-daily-remaining").window(Window::Fixed(86_400));
const BURST: QuotaHeaders =
    QuotaHeaders::new("x-ratelimit-max", "x-ratelimit-remaining").window(Window::Milliseconds("x-ratelimit-interval-milliseconds"));
pub(crate) const LIMITS: [(&str, QuotaHeaders); 2] = [("day", DAILY), ("window", BURST)];

/// Whether the contact that the request was about does not exist (any more).
pub(crate) fn is_gone(error: &DeliveryError) -> bool {
    error.code.as_deref() == Some(GONE)
}

/// What is left for today.
pub(crate) fn daily_quota(answer: &Answer) -> Option<Quota> {
    DAILY.read(answer)
}

/// The id of the contact, note, task or appointment that an answer is about, below `name` if that is where it stands.
pub(crate) fn written(body: &Value, name: &str) -> Result<String, DeliveryError> {
    let id = [&body[name]["id"], &body["id"]].into_iter().find_map(refusal::id);
    let missing = || {
        let message = format!("GoHighLevel answered with success, but without the id of the {name}");
        DeliveryError::retry(ErrorKind::Unexpected, message).with_excerpt(body.to_string().as_bytes())
    };
    id.ok_or_else(missing)
}

/// What an answer means; `scope` is the one that the request needs, which also says what the request was about.
///
/// # Errors
/// Every answer that is not an [`Outcome`], with its verdict.
pub(crate) fn read(answer: &Answer, scope: &str) -> Result<Outcome, DeliveryError> {
    let body = answer.json().unwrap_or(Value::Null);
    match answer.status {
        200..=299 if body.is_object() && !says_error(&body) => Ok(Outcome::Done(body)),
        400 | 404 | 422 => refused(answer, &body, scope),
        _ => Err(failure(answer, &body, scope)),
    }
}

/// `succeded` is how the documented answer to an update spells it, `succeeded` since version v3.
fn says_error(body: &Value) -> bool {
    let is_refusal = body["statusCode"].as_u64().is_some_and(|status| status >= 400);
    is_refusal || body["succeded"] == false || body["succeeded"] == false || body["success"] == false || body["error"].is_string()
}

fn failure(answer: &Answer, body: &Value, scope: &str) -> DeliveryError {
    let said = sentences(body).join(" ").to_lowercase();
    let error = match answer.status {
        401 if said.contains("version header") => DeliveryError::hold(
            ErrorKind::Configuration,
            "GoHighLevel does not know this version of its API (401); correct `api_version`, `contacts_version` or `calendars_version`, then \
             resume the destination",
            None,
        ),
        401 | 403 => DeliveryError::hold(ErrorKind::Credentials, refused_credentials(answer.status, &said, scope), None),
        402 => DeliveryError::hold(
            ErrorKind::Quota,
            "GoHighLevel asks for a payment (402); settle the sub-account's plan, then resume the destination",
            None,
        ),
        429 => return rate_limited(answer, body),
        500.. => DeliveryError::retry_after(ErrorKind::Server, format!("GoHighLevel failed ({})", answer.status), answer.retry_after()),
        _ => return answer.error("GoHighLevel"),
    };
    traced(error.with_status(answer.status).with_excerpt(&answer.body), body)
}

/// A missing scope is a 401, a foreign location a 403; only the sentence tells a missing scope from a wrong token.
fn refused_credentials(status: u16, said: &str, scope: &str) -> String {
    if said.contains("scope") {
        return format!(
            "GoHighLevel says that the token lacks the scope {scope} ({status}); add it to the token, then resume the destination"
        );
    }
    if said.contains("location") {
        return format!(
            "GoHighLevel says that the token is not for this location ({status}); correct `location_id`, or make a token in that sub-account, \
             then resume the destination"
        );
    }
    if status == 403 {
        return format!("GoHighLevel forbids what needs the scope {scope} (403); add it to the token, then resume the destination");
    }
    format!("GoHighLevel refused the token ({status}); set a valid one, then resume the destination")
}

fn rate_limited(answer: &Answer, body: &Value) -> DeliveryError {
    let is_spent = DAILY.read(answer).is_some_and(|quota| quota.remaining == 0);
    let error = if is_spent {
        let wait = resets_in(answer).or(answer.retry_after()).unwrap_or(HOUR).min(DAY);
        let until = answer.at.checked_add(wait.max(Duration::from_secs(60))).ok();
        DeliveryError::hold(ErrorKind::Quota, "GoHighLevel says that the requests for today are spent (429)", until)
    } else {
        let window = BURST.read(answer).and_then(|quota| quota.window).filter(|window| !window.is_zero()).unwrap_or(BURST_WINDOW);
        let wait = answer.retry_after().unwrap_or_default().max(window.min(HOUR));
        DeliveryError::retry_after(ErrorKind::RateLimited, "GoHighLevel asks for fewer requests for a moment (429)", Some(wait))
    };
    traced(error.with_status(answer.status).with_code(if is_spent { "DAILY" } else { "BURST" }).with_excerpt(&answer.body), body)
}

/// `X-RateLimit-Daily-Reset` is sent and not documented, so that every form it may have is read: a moment as text, in seconds or
/// milliseconds since 1970, or seconds or milliseconds from now. Without it, asking once an hour finds out.
fn resets_in(answer: &Answer) -> Option<Duration> {
    let text = answer.header("x-ratelimit-daily-reset")?.trim();
    let until = |at: Timestamp| Duration::try_from(at.duration_since(answer.at)).ok();
    match text.parse::<i64>() {
        Ok(1..=86_400) => text.parse().ok().map(Duration::from_secs),
        Ok(86_401..=86_400_000) => text.parse().ok().map(Duration::from_millis),
        Ok(seconds @ 1_000_000_000..1_000_000_000_000) => until(Timestamp::from_second(seconds).ok()?),
        Ok(milliseconds @ 1_000_000_000_000..) => until(Timestamp::from_millisecond(milliseconds).ok()?),
        Ok(_) => None,
        Err(_) => until(text.parse().ok()?),
    }
}

/// Sentences may repeat what a visitor wrote, and fields have any names: one that names a field speaks of nothing else, and the others
/// count only where, and only in the form in which, GoHighLevel says them.
fn refused(answer: &Answer, body: &Value, scope: &str) -> Result<Outcome, DeliveryError> {
    let said = sentences(body);
    let (status, is_calendar) = (answer.status, scope.starts_with("calendars"));
    let is_any = |says: fn(&str) -> bool| said.iter().any(|sentence| says(&sentence.to_lowercase()));
    let finish = |error: DeliveryError| traced(error.with_status(status).with_excerpt(&answer.body), body);
    let fields: Vec<String> = said.iter().filter_map(|sentence| named(sentence)).collect();
    if fields.is_empty() && is_any(says_duplicate) {
        let message = format!("GoHighLevel has another contact with this e-mail or phone ({status})");
        let existing_id = refusal::id(&body["meta"]["contactId"]);
        let field = body["meta"]["matchingField"].as_str().and_then(refusal::word).unwrap_or_default();
        let error = finish(DeliveryError::reject(ErrorKind::Data, message)).with_code(field);
        return Ok(Outcome::Conflict { existing_id, error });
    }
    if fields.is_empty() && is_calendar && is_any(says_slot) {
        let message = format!("GoHighLevel says that this time is not free ({status})");
        return Err(finish(DeliveryError::reject(ErrorKind::Data, message)).with_code(SLOT_TAKEN));
    }
    if status == 404 || fields.is_empty() && is_any(says_no_contact) {
        let message = format!("GoHighLevel has no such record ({status}); it was deleted or merged, or `base_url` is wrong");
        return Err(finish(DeliveryError::retry(ErrorKind::Unexpected, message)).with_code(GONE));
    }
    Ok(invalid(fields, &said, status, finish))
}

fn invalid(mut fields: Vec<String>, said: &[&str], status: u16, finish: impl FnOnce(DeliveryError) -> DeliveryError) -> Outcome {
    if fields.is_empty() {
        fields.extend(said.iter().filter_map(|sentence| blamed(sentence)).map(str::to_owned));
        fields.dedup();
    }
    let about = if fields.is_empty() { " without naming a field".to_owned() } else { format!(": {}", fields.join(", ")) };
    let error = DeliveryError::reject(ErrorKind::Data, format!("GoHighLevel refused the data ({status}){about}"));
    Outcome::Invalid { fields, error: finish(error) }
}

/// `Invalid phone number`, `The email is not valid`: says at once which of the two is wrong. Any other sentence that mentions one may
/// repeat what a visitor wrote; to leave out what a person is found by, on that word alone, could make somebody else of them.
fn blamed(sentence: &str) -> Option<&'static str> {
    let sentence = sentence.to_lowercase();
    let words: Vec<&str> = sentence.split(|c: char| !c.is_alphanumeric()).filter(|word| !matches!(*word, "" | "the")).take(5).collect();
    let name = |word: &str| ["phone", "email"].into_iter().find(|name| *name == word);
    match words.as_slice() {
        ["invalid", word, ..] => name(word),
        [word, rest @ ..] if rest.contains(&"invalid") || rest.ends_with(&["not", "valid"]) => name(word),
        _ => None,
    }
}

/// `This location does not allow duplicated contacts.`
fn says_duplicate(sentence: &str) -> bool {
    sentence.starts_with("this location does not allow duplicated contact")
}

/// `The slot you have selected is no longer available.`, in any words.
fn says_slot(sentence: &str) -> bool {
    sentence.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| matches!(word, "slot" | "slots"))
}

/// `Contact with id 7 not found`
fn says_no_contact(sentence: &str) -> bool {
    let sentence = sentence.strip_prefix("the ").unwrap_or(sentence).trim_end_matches('.');
    sentence.starts_with("contact ") && sentence.ends_with(" not found")
}

/// `message` is a text in a 400 and a list of texts in a 422.
fn sentences(body: &Value) -> Vec<&str> {
    let message = &body["message"];
    message
        .as_array()
        .map_or_else(|| message.as_str().into_iter().collect(), |list| list.iter().filter_map(Value::as_str).take(50).collect())
}

/// `property X should not exist`, or `X must be an email`: the field's name, or its path such as `customFields.1.field_value`. A sentence
/// that begins with a capital (`Slot is taken`) is about no field.
fn named(sentence: &str) -> Option<String> {
    let rest = sentence.strip_prefix("property ");
    let (name, after) = rest.unwrap_or(sentence).trim().split_once(' ')?;
    let is_about_a_field = ["should ", "must ", "is ", "has ", "cannot ", "contains "].iter().any(|verb| after.starts_with(verb));
    let is_field = if rest.is_some() { name.chars().any(char::is_alphabetic) } else { name.starts_with(|c: char| c.is_ascii_lowercase()) };
    (is_about_a_field && is_field).then(|| refusal::word(name)).flatten().map(str::to_owned)
}

/// The id by which GoHighLevel's support finds the request.
fn traced(mut error: DeliveryError, body: &Value) -> DeliveryError {
    if let Some(trace) = body["traceId"].as_str().and_then(refusal::word) {
        error.message = format!("{} [traceId {trace}]", error.message);
    }
    error
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use leadwire_connector::Verdict;
    use proptest::prelude::*;
    use serde_json::json;

    fn answer(status: u16, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Answer { status, headers, body: body.to_string().into(), truncated: false, at: "2026-11-22T10:00:00Z".parse().unwrap() }
    }

    /// Of a request about appointments.
    fn booking(status: u16, body: &Value) -> Result<Outcome, DeliveryError> {
        read(&answer(status, &[], body), "calendars/events.write")
    }

    fn outcome(status: u16, headers: &[(&str, &str)], body: &Value) -> Result<Outcome, DeliveryError> {
        read(&answer(status, headers, body), "contacts.write")
    }

    fn error(status: u16, headers: &[(&str, &str)], body: &Value) -> DeliveryError {
        outcome(status, headers, body).and_then(Outcome::done).unwrap_err()
    }

    fn retry(seconds: u64) -> Verdict {
        Verdict::Retry { after: Some(Duration::from_secs(seconds)) }
    }

    fn hold(until: &str) -> Verdict {
        Verdict::Hold { until: Some(until.parse().unwrap()) }
    }

    #[test]
    fn every_status_has_its_verdict() {
        let held = Verdict::Hold { until: None };
        let again = Verdict::Retry { after: None };
        let table = [
            (400, json!({"statusCode": 400, "message": "Bad Request"}), ErrorKind::Data, Verdict::Reject),
            (401, json!({"message": "Invalid token: access token is invalid"}), ErrorKind::Credentials, held.clone()),
            (401, json!({"message": "version header is invalid"}), ErrorKind::Configuration, held.clone()),
            (403, json!({"message": "The token does not have access to this location."}), ErrorKind::Credentials, held.clone()),
            (404, json!({}), ErrorKind::Unexpected, again.clone()),
            (422, json!({"message": ["property x should not exist"]}), ErrorKind::Data, Verdict::Reject),
            (429, json!(null), ErrorKind::RateLimited, retry(10)),
            (500, json!({}), ErrorKind::Server, again.clone()),
            (302, json!({}), ErrorKind::Configuration, held),
            (200, json!("fine"), ErrorKind::Unexpected, again.clone()),
            (200, json!({"succeded": false, "contact": null}), ErrorKind::Unexpected, again.clone()),
            (201, json!({"statusCode": 422, "message": ["x"]}), ErrorKind::Unexpected, again),
        ];
        for (status, body, kind, verdict) in table {
            let error = error(status, &[], &body);
            assert_eq!((error.kind, &error.verdict, error.status), (kind, &verdict, Some(status)), "{status} {body}");
        }
    }

    #[test]
    fn a_missing_scope_is_named_although_it_is_a_401() {
        let scope = error(401, &[], &json!({"message": "The token is not authorized for this scope.", "traceId": "t-1"}));
        assert!(scope.message.contains("contacts.write") && scope.message.contains("t-1"), "{scope}");
        let foreign = json!({"message": "The token does not have access to this location."});
        assert!(error(403, &[], &foreign).message.contains("location_id"));
    }

    #[test]
    fn a_spent_day_holds_until_it_begins_anew_and_a_burst_is_waited_out() {
        let spent = ("x-ratelimit-daily-remaining", "0");
        for (reset, until) in [
            ("", "2026-11-22T11:00:00Z"),
            ("7200", "2026-11-22T12:00:00Z"),
            ("7200000", "2026-11-22T12:00:00Z"),
            ("1795348800", "2026-11-22T12:00:00Z"),
            ("1795348800000", "2026-11-22T12:00:00Z"),
            ("2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z"),
            ("1995348800", "2026-11-23T10:00:00Z"),
            ("1", "2026-11-22T10:01:00Z"),
            ("soon", "2026-11-22T11:00:00Z"),
        ] {
            let error = error(429, &[spent, ("x-ratelimit-daily-reset", reset)], &json!({}));
            assert_eq!((error.kind, &error.verdict), (ErrorKind::Quota, &hold(until)), "{reset}");
        }
        let left = [("x-ratelimit-daily-remaining", "5"), ("x-ratelimit-interval-milliseconds", "20000"), ("x-ratelimit-remaining", "0")];
        assert_eq!(error(429, &left, &json!({})).verdict, retry(20));
        assert_eq!(error(429, &[("retry-after", "60")], &json!({})).verdict, retry(60));
    }

    #[test]
    fn the_existing_contact_the_taken_slot_and_the_deleted_contact_are_recognised() {
        let body = json!({"statusCode": 400, "message": "This location does not allow duplicated contacts.",
            "meta": {"contactId": "c7", "contactName": "x", "matchingField": "phone"}});
        let Outcome::Conflict { existing_id, error: conflict } = outcome(400, &[], &body).unwrap() else { panic!("{body}") };
        assert_eq!((existing_id.as_deref(), conflict.code.as_deref()), (Some("c7"), Some("phone")));
        for message in ["The slot you have selected is no longer available.", "Slot is taken", "this time slot is not available"] {
            let taken = booking(400, &json!({"message": message})).unwrap_err();
            assert_eq!(taken.code.as_deref(), Some(SLOT_TAKEN), "{message}");
        }
        assert!(is_gone(&error(400, &[], &json!({"message": "Contact with id c7 not found"}))));
        assert!(is_gone(&error(404, &[], &json!({}))));
    }

    #[test]
    fn a_field_and_a_visitors_text_are_no_taken_slot_no_duplicate_and_no_missing_contact() {
        for (message, expected) in [
            (json!(["property preferred_slot should not exist"]), vec!["preferred_slot"]),
            (json!(["property slot should not exist"]), vec!["slot"]),
            (json!(["contact_page must be a URL that is not found"]), vec!["contact_page"]),
            (json!(["tags must not say: duplicated contact"]), vec!["tags"]),
            (json!("The value \"any slot\" is bad"), vec![]),
            (json!("The value \"duplicated contact\" is bad"), vec![]),
            (json!("The page \"contact\" was not found"), vec![]),
        ] {
            let body = json!({"statusCode": 422, "message": message});
            let Ok(Outcome::Invalid { fields, .. }) = outcome(422, &[], &body) else { panic!("{message}") };
            assert_eq!(fields, expected, "{message}");
        }
        let body = json!({"message": ["selectedSlot must be a slot"]});
        assert!(matches!(booking(422, &body), Ok(Outcome::Invalid { .. })));
    }

    #[test]
    fn the_fields_that_a_422_names_are_found() {
        let body = json!({"message": ["property gender should not exist", "email must be an email", "customFields.1.field_value is wrong", "Oops x"]});
        let Outcome::Invalid { fields, error } = outcome(422, &[], &body).unwrap() else { panic!("{body}") };
        assert_eq!(fields, ["gender", "email", "customFields.1.field_value"]);
        assert_eq!(error.message, "GoHighLevel refused the data (422): gender, email, customFields.1.field_value");
    }

    #[test]
    fn a_sentence_about_a_phone_or_an_email_names_it() {
        for (message, expected) in [
            ("Invalid phone number", vec!["phone"]),
            ("The email is not valid", vec!["email"]),
            ("Phone number is invalid", vec!["phone"]),
            ("Bad Request", vec![]),
            ("companyName 'please email me' is too odd", vec![]),
            ("Invalid companyName: my phone", vec![]),
            ("This contact wants no calls by phone or email", vec![]),
        ] {
            let Outcome::Invalid { fields, .. } = outcome(400, &[], &json!({"message": message})).unwrap() else { panic!("{message}") };
            assert_eq!(fields, expected, "{message}");
        }
    }

    #[test]
    fn an_id_stands_below_the_name_or_at_the_top() {
        assert_eq!(written(&json!({"contact": {"id": "c1"}, "id": "x"}), "contact").unwrap(), "c1");
        assert_eq!(written(&json!({"id": "a1"}), "appointment").unwrap(), "a1");
        assert!(written(&json!({"contact": null}), "contact").is_err());
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic_and_no_value_gets_into_a_message(
            status in 100_u16..600, message in ".{0,60}", value in "[a-z]{5,10}@[a-z]{5,10}", reset in ".{0,20}",
        ) {
            let body = json!({"message": [format!("{value} {message}"), message, [1]], "meta": value, "traceId": value, "error": value});
            let headers = [("x-ratelimit-daily-remaining", "0"), ("x-ratelimit-daily-reset", reset.as_str())];
            if let Err(error) = outcome(status, &headers, &body).and_then(Outcome::done) {
                prop_assert!(!error.message.contains(&value));
            }
        }
    }
}
