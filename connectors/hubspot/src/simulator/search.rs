//! `POST …/search` over the simulated records: groups are alternatives, the filters of a group hold together.

use super::answers::error;
use super::records::{Entry, Object, Records};
use leadwire_connector::simulator::Response;
use serde_json::{Value, json};

pub(super) fn answer(records: &Records, object: Object, body: &Value) -> Result<Response, Response> {
    let invalid = |message: &str| error(400, "VALIDATION_ERROR", message);
    let groups = body["filterGroups"].as_array().filter(|groups| groups.len() <= 6);
    let groups = groups.ok_or_else(|| invalid("filterGroups must be a list of at most 6"))?;
    let filters = || groups.iter().flat_map(|group| group["filters"].as_array().into_iter().flatten());
    if filters().any(|filter| !matches!(filter["operator"].as_str(), Some("EQ" | "GTE" | "CONTAINS_TOKEN"))) {
        return Err(invalid("The simulated search knows the operators EQ, GTE and CONTAINS_TOKEN"));
    }
    let limit = body["limit"].as_u64().and_then(|limit| usize::try_from(limit).ok()).unwrap_or(10).min(200);
    let found: Vec<u64> =
        records.searchable(object).filter(|(_, entry)| groups.iter().any(|group| holds(entry, group))).map(|(id, _)| id).collect();
    let results: Vec<Value> = found.iter().take(limit).map(|id| records.shown(*id)).collect();
    Ok(Response::json(200, &json!({"total": found.len(), "results": results})))
}

fn holds(entry: &Entry, group: &Value) -> bool {
    group["filters"].as_array().into_iter().flatten().all(|filter| {
        let wanted = filter["value"].as_str().unwrap_or_default();
        let name = filter["propertyName"].as_str().unwrap_or_default();
        match (name, filter["operator"].as_str()) {
            ("createdate", Some("GTE")) => wanted.parse().is_ok_and(|since: i64| entry.created.as_millisecond() >= since),
            ("hs_searchable_calculated_phone_number", Some("CONTAINS_TOKEN")) => ends_in(entry, "phone", wanted),
            ("hs_searchable_calculated_mobile_number", Some("CONTAINS_TOKEN")) => ends_in(entry, "mobilephone", wanted),
            (name, Some("EQ")) => entry.properties.get(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted)),
            _ => false,
        }
    })
}

/// Of a number, only the digits count; a token may begin with anything (`*5550100`).
fn ends_in(entry: &Entry, name: &str, token: &str) -> bool {
    let digits = entry.properties.get(name).map(|value| value.chars().filter(char::is_ascii_digit).collect::<String>());
    let is_it = |digits: String| token.strip_prefix('*').map_or(digits == token, |end| digits.ends_with(end));
    digits.is_some_and(is_it)
}
