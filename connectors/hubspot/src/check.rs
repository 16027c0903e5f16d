//! Whether deliveries can succeed, found out without changing anything.

use crate::client::{Api, DAILY, PER_WINDOW};
use crate::config::{Otherwise, Settings};
use crate::verdict::is_gone;
use leadwire_connector::http::{Answer, Request};
use leadwire_connector::note::Conversations;
use leadwire_connector::{DeliveryError, ErrorKind, Report};
use serde_json::Value;

/// No record has this id.
const NOBODY: &str = "0";

pub(crate) async fn check(api: &Api, settings: &Settings) -> Report {
    let (answer, account) = match get(api, api.account()).await {
        Ok(found) => found,
        Err(error) => return Report::default().failed(subject(&error), &error).remedy(remedy(&error)),
    };
    let report = Report::default().good("credentials", about(&account)).clock(&answer);
    let report = quota(report, &answer);
    let report = scopes(api, settings, report).await;
    if !report.is_good() {
        return report;
    }
    properties(api, settings, report).await
}

/// An answer that never came says nothing of the credentials.
fn subject(error: &DeliveryError) -> &'static str {
    match error.kind {
        ErrorKind::Credentials => "credentials",
        ErrorKind::Quota | ErrorKind::RateLimited => "quota",
        _ => "reachable",
    }
}

fn remedy(error: &DeliveryError) -> &'static str {
    match error.kind {
        ErrorKind::Credentials => "see HubSpot: Development, Keys, Service keys; or connect the app again",
        ErrorKind::Quota | ErrorKind::RateLimited => "wait until HubSpot takes requests again, or raise the account's limit",
        _ => "see that `base_url` and `api_version` are right, that this machine may reach it, and https://status.hubspot.com",
    }
}

fn quota(report: Report, answer: &Answer) -> Report {
    let report = match DAILY.read(answer) {
        Some(quota) => report.quota("requests for today", &quota),
        None => report,
    };
    match PER_WINDOW.read(answer) {
        Some(quota) => report.quota("requests for the next seconds", &quota),
        None => report,
    }
}

/// A read of every kind of record that deliveries write; and a change of a contact that does not exist, which nothing but the right to
/// write it can get as far as.
async fn scopes(api: &Api, settings: &Settings, mut report: Report) -> Report {
    for objects in objects(settings) {
        if let Err(error) = get(api, api.first_of(objects)).await {
            let error = DeliveryError { message: format!("{objects} cannot be read: {}", error.message), ..error };
            return report.failed("scopes", &error).remedy("add the scope crm.objects.contacts.read");
        }
    }
    let probe = match api.ask(&api.update_contact(NOBODY, &[])).await {
        Ok(answer) => api.read(&answer).await.map(drop),
        Err(error) => Err(error),
    };
    report = match probe {
        Err(error) if error.kind == ErrorKind::Credentials => {
            let error = DeliveryError { message: format!("contacts cannot be written: {}", error.message), ..error };
            report.failed("scopes", &error).remedy("add the scope crm.objects.contacts.write")
        }
        Err(error) if !is_gone(&error) => {
            report.warn("scopes", format!("contacts can be read; whether they can be written is not known: {}", error.message))
        }
        _ => report.good("scopes", "contacts and what stands beside them can be read and written"),
    };
    report
}

fn objects(settings: &Settings) -> Vec<&'static str> {
    let mut objects = vec!["contacts"];
    if settings.config.notes || settings.config.conversations == Conversations::Note {
        objects.push("notes");
    }
    if settings.config.appointments.otherwise == Otherwise::Task {
        objects.push("tasks");
    }
    objects.push("meetings");
    objects
}

async fn properties(api: &Api, settings: &Settings, mut report: Report) -> Report {
    let key = settings.config.person_key_property.as_ref().map(|name| (name, None));
    let mapped = settings.templates.iter().map(|(name, template)| (name, Some(template.as_str())));
    for (name, template) in mapped.chain(key) {
        report = match get(api, api.property(name)).await {
            Ok((_, property)) => match template.map_or_else(|| key_fault(&property), |template| fault(&property, template)) {
                Some(fault) => {
                    report.bad("fields", format!("`{name}`: {fault}")).remedy(format!("correct `{name}` under `fields`, or in HubSpot"))
                }
                None => report,
            },
            // That the API is here is known by now, so that a 404 in any words is about the property.
            Err(error) if is_gone(&error) || error.status == Some(404) => {
                let report = report.bad("fields", format!("HubSpot has no contact property `{name}`"));
                report.remedy("create it there (Settings, Properties), or take it out of the configuration")
            }
            // Deliveries do not need this scope.
            Err(error) if error.kind == ErrorKind::Credentials && error.status == Some(403) => {
                let message = "the properties were not looked at, because the service key may not read them";
                return report.warn("fields", message).remedy("add the scope crm.schemas.contacts.read");
            }
            Err(error) => return report.failed("fields", &error),
        };
    }
    if report.is_good() { report.good("fields", format!("all {} mapped properties are there", settings.templates.len())) } else { report }
}

/// A 2xx and its body.
async fn get(api: &Api, request: Request) -> Result<(Answer, Value), DeliveryError> {
    let answer = api.ask(&request).await?;
    let body = api.read(&answer).await?.done()?;
    Ok((answer, body))
}

fn about(account: &Value) -> String {
    match account["portalId"].as_u64() {
        Some(portal) => format!("HubSpot takes the credentials, for account {portal}"),
        None => "HubSpot takes the credentials".to_owned(),
    }
}

/// Why a property cannot be filled as the template says.
fn fault(property: &Value, template: &str) -> Option<String> {
    if let Some(fault) = fault_of_writing(property) {
        return Some(fault);
    }
    let options: Vec<&str> = property["options"].as_array().into_iter().flatten().filter_map(|option| option["value"].as_str()).collect();
    let is_choice = property["type"] == "enumeration";
    let is_constant = !template.contains("{{") && !template.contains("{%");
    // Several choices of a list are written with semicolons.
    let wrong = template.split(';').map(str::trim).find(|choice| !options.contains(choice))?;
    (is_choice && is_constant).then(|| format!("`{wrong}` is none of its options: {}", options.join(", ")))
}

/// Why a property cannot hold the visitor's key.
fn key_fault(property: &Value) -> Option<String> {
    let is_fit = property["hasUniqueValue"] == true && property["type"] == "string";
    let fault = "it must be a single-line text with unique values; HubSpot decides that when a property is made";
    if is_fit { fault_of_writing(property) } else { Some(fault.to_owned()) }
}

fn fault_of_writing(property: &Value) -> Option<String> {
    let is_read_only = property["modificationMetadata"]["readOnlyValue"] == true || property["calculated"] == true;
    is_read_only.then(|| "HubSpot does not let anybody write it".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_constant_must_be_one_of_the_options() {
        let stage = json!({"type": "enumeration", "options": [{"value": "lead"}, {"value": "customer"}]});
        assert_eq!(fault(&stage, "lead"), None);
        assert_eq!(fault(&stage, "{{ extra.Stage }}"), None);
        assert!(fault(&stage, "Lead").is_some_and(|fault| fault.contains("lead, customer")));
    }

    #[test]
    fn a_read_only_property_is_found() {
        assert!(fault(&json!({"modificationMetadata": {"readOnlyValue": true}}), "x").is_some());
    }

    #[test]
    fn several_choices_are_looked_at_one_by_one() {
        let choices = json!({"type": "enumeration", "options": [{"value": "a"}, {"value": "b"}]});
        assert_eq!(fault(&choices, "a;b"), None);
        assert!(fault(&choices, "a;c").is_some_and(|fault| fault.starts_with("`c`")));
    }

    #[test]
    fn a_key_needs_unique_values() {
        assert_eq!(key_fault(&json!({"type": "string", "hasUniqueValue": true})), None);
        assert!(key_fault(&json!({"type": "string"})).is_some());
        assert!(key_fault(&json!({"type": "string", "hasUniqueValue": true, "calculated": true})).is_some());
    }
}
