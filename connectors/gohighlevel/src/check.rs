//! Whether deliveries can succeed, found out without changing anything.

use crate::client::{Api, Call};
use crate::config::Settings;
use crate::fields;
use crate::verdict::{self, daily_quota, is_gone};
use leadwire_connector::http::Answer;
use leadwire_connector::{DeliveryError, ErrorKind, Report};
use serde_json::Value;

pub(crate) async fn check(api: &Api, settings: &Settings) -> Report {
    // An address that nobody has: what counts is whether the question may be asked. It needs no scope that deliveries do not need.
    let probe = api.find("email", "nobody@leadwire.invalid");
    let report = match ask(api, &probe).await {
        Ok((_, answer)) => {
            about_answer(Report::default().good("credentials", "the token is valid for this location and reads contacts"), &answer)
        }
        Err(error) => return Report::default().failed(subject(&error), &error),
    };
    let report = location(api, report).await;
    let report = calendar(api, settings, report).await;
    let report = custom_fields(api, settings, report).await;
    let more = if settings.config.calendar_id.is_some() { " and calendars/events.write are" } else { " is" };
    report.good("scopes", format!("whether contacts.write{more} there shows with the first delivery: nothing is written to find out"))
}

async fn ask(api: &Api, call: &Call) -> Result<(Value, Answer), DeliveryError> {
    let answer = api.answer(call).await?;
    verdict::read(&answer, call.scope)?.done().map(|body| (body, answer))
}

fn subject(error: &DeliveryError) -> &'static str {
    match error.kind {
        ErrorKind::Credentials if error.message.contains("scope") => "scopes",
        ErrorKind::Credentials => "credentials",
        ErrorKind::Quota | ErrorKind::RateLimited => "quota",
        ErrorKind::Configuration => "configuration",
        _ => "reachable",
    }
}

fn about_answer(report: Report, answer: &Answer) -> Report {
    let report = report.clock(answer);
    match daily_quota(answer) {
        Some(quota) => report.quota("requests for today", &quota),
        None => report,
    }
}

/// Deliveries do not need to read the location, so that a missing scope is worth no more than a remark.
async fn location(api: &Api, report: Report) -> Report {
    match ask(api, &api.location()).await {
        Ok((body, _)) => match body["location"]["timezone"].as_str() {
            Some(zone) => report.good("location", format!("the location is there, in the time zone {zone}")),
            None => report.good("location", "the location is there"),
        },
        Err(error) if error.kind == ErrorKind::Credentials && error.message.contains("scope") => {
            report.good("location", "not looked at, because the token may not read it (locations.readonly)")
        }
        Err(error) if is_gone(&error) => report.bad("location", "there is no such location").remedy("correct `location_id`"),
        Err(error) => report.failed("location", &error),
    }
}

async fn calendar(api: &Api, settings: &Settings, report: Report) -> Report {
    let Some(calendar) = &settings.config.calendar_id else {
        return report.good("calendar", "none is set: wishes for an appointment become tasks and notes");
    };
    match ask(api, &api.calendar(calendar)).await {
        Ok((body, _)) if body["calendar"]["isActive"] == false => report
            .warn("calendar", "the calendar is switched off, so that nothing can be booked in it")
            .remedy("switch it on in GoHighLevel"),
        Ok(_) => report.good("calendar", "the calendar is there"),
        Err(error) if is_gone(&error) || error.kind == ErrorKind::Data => {
            report.bad("calendar", "there is no such calendar in this location").remedy("correct `calendar_id`, or leave it out")
        }
        Err(error) => report.failed("calendar", &error),
    }
}

async fn custom_fields(api: &Api, settings: &Settings, mut report: Report) -> Report {
    let session = settings.config.session_field.as_deref();
    let wanted: Vec<&str> = settings.fields.names().filter(|name| !fields::is_standard(name)).chain(session).collect();
    if wanted.is_empty() {
        return report.good("fields", "all mapped fields are standard ones");
    }
    let body = match ask(api, &api.custom_fields()).await {
        Ok((body, _)) => body,
        Err(error) if error.kind == ErrorKind::Credentials && error.message.contains("scope") => {
            let message = "not looked at, because the token may not read them (locations/customFields.readonly)";
            return report.warn("fields", message).remedy("add that scope to the token, or compare the names by hand");
        }
        Err(error) => return report.failed("fields", &error),
    };
    let known: Vec<&Value> = body["customFields"].as_array().into_iter().flatten().collect();
    let missing: Vec<&&str> = wanted.iter().filter(|name| !known.iter().any(|field| is_named(field, name))).collect();
    for name in &missing {
        report = report.bad("fields", format!("this location has no custom field `{name}`")).remedy(nearest(name, &known));
    }
    if missing.is_empty() { report.good("fields", format!("all {} custom fields are there", wanted.len())) } else { report }
}

fn is_named(field: &Value, name: &str) -> bool {
    field["id"] == name || field["fieldKey"].as_str().is_some_and(|known| fields::key(known) == fields::key(name))
}

fn nearest(name: &str, known: &[&Value]) -> String {
    let keys: Vec<&str> = known.iter().filter_map(|field| field["fieldKey"].as_str()).take(50).collect();
    leadwire_connector::settings::did_you_mean(name, &keys)
}
