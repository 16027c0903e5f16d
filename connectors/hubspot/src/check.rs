//! Whether deliveries can succeed, found out without changing anything.

use crate::client::Api;
use crate::config::Settings;
use crate::verdict::is_gone;
use leadwire_connector::{DeliveryError, ErrorKind, Report};
use serde_json::Value;

pub(crate) async fn check(api: &Api, settings: &Settings) -> Report {
    let report = match get(api, api.account()).await {
        Ok(account) => Report::default().good("credentials", about(&account)),
        Err(error) => return Report::default().bad("credentials", error.message),
    };
    let report = match get(api, api.one_contact()).await {
        Ok(_) => report.good("scopes", "contacts can be read; that they can be written shows with the first delivery"),
        Err(error) => return report.bad("scopes", error.message),
    };
    properties(api, settings, report).await
}

async fn properties(api: &Api, settings: &Settings, mut report: Report) -> Report {
    for (name, template) in &settings.templates {
        report = match get(api, api.property(name)).await {
            Ok(property) => match fault(&property, template) {
                Some(fault) => report.bad("properties", format!("`{name}`: {fault}")),
                None => report,
            },
            Err(error) if is_gone(&error) => {
                report.bad("properties", format!("HubSpot has no contact property `{name}`; create it there, or take it out of `fields`"))
            }
            // Deliveries do not need this scope.
            Err(error) if error.kind == ErrorKind::Credentials && error.status == Some(403) => {
                return report.good("properties", "not looked at, because the service key may not read them (crm.schemas.contacts.read)");
            }
            Err(error) => return report.bad("properties", error.message),
        };
    }
    if report.is_good() { report.good("properties", format!("all {} are there", settings.templates.len())) } else { report }
}

async fn get(api: &Api, request: leadwire_connector::http::Request) -> Result<Value, DeliveryError> {
    api.send(&request).await?.done()
}

fn about(account: &Value) -> String {
    match account["portalId"].as_u64() {
        Some(portal) => format!("the token is valid for account {portal}"),
        None => "the token is valid".to_owned(),
    }
}

/// Why a property cannot be filled as the template says.
fn fault(property: &Value, template: &str) -> Option<String> {
    if property["modificationMetadata"]["readOnlyValue"] == true {
        return Some("HubSpot does not let anybody write it".to_owned());
    }
    let is_choice = property["type"] == "enumeration";
    let options: Vec<&str> = property["options"].as_array().into_iter().flatten().filter_map(|option| option["value"].as_str()).collect();
    let is_constant = !template.contains("{{") && !template.contains("{%");
    (is_choice && is_constant && !options.contains(&template.trim()))
        .then(|| format!("`{}` is none of its options: {}", template.trim(), options.join(", ")))
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
}
