//! The simulated calendars: appointments, and whether a time is free.

use super::answers::{error, invalid, ok};
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::simulator::Response;
use serde_json::{Value, json};

/// The calendars of the simulated location.
#[derive(Debug, Default)]
pub(super) struct Calendars {
    pub(super) appointments: Vec<Value>,
    /// The calendars that there are; every one when empty.
    pub(super) known: Vec<String>,
    /// Appointments of before, as moments that are taken in every calendar.
    pub(super) taken: Vec<Timestamp>,
}

fn moment(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

impl Calendars {
    fn is_known(&self, calendar: &str) -> bool {
        self.known.is_empty() || self.known.iter().any(|known| known == calendar)
    }

    pub(super) fn describe(&self, calendar: &str, location: &str) -> Result<Response, Response> {
        if !self.is_known(calendar) {
            return Err(error(400, "Calendar not found"));
        }
        Ok(ok(200, json!({"calendar": {"id": calendar, "locationId": location, "name": "Calls", "isActive": true}})))
    }

    /// `POST /calendars/events/appointments`. The caller knows whether the contact is there.
    pub(super) fn book(&mut self, body: &Value) -> Result<Response, Response> {
        let required = ["calendarId", "locationId", "contactId", "startTime"];
        let faults: Vec<String> = required
            .iter()
            .filter(|name| body[**name].as_str().is_none_or(str::is_empty))
            .map(|name| format!("{name} should not be empty"))
            .collect();
        if !faults.is_empty() {
            return Err(invalid(&faults));
        }
        if !self.is_known(body["calendarId"].as_str().unwrap_or_default()) {
            return Err(error(400, "Calendar not found"));
        }
        let Some(start) = moment(&body["startTime"]) else {
            return Err(invalid(&["startTime must be a valid ISO 8601 date string".to_owned()]));
        };
        if body["ignoreFreeSlotValidation"] != true && self.is_taken(&body["calendarId"], start) {
            return Err(error(400, "The slot you have selected is no longer available."));
        }
        let mut appointment = body.clone();
        if let Some(table) = appointment.as_object_mut() {
            table.retain(|name, _| !matches!(name.as_str(), "toNotify" | "ignoreFreeSlotValidation" | "ignoreDateRange"));
        }
        appointment["id"] = format!("appointment{:09}", self.appointments.len() + 1).into();
        if appointment.get("appointmentStatus").is_none() {
            appointment["appointmentStatus"] = "confirmed".into();
        }
        self.appointments.push(appointment.clone());
        Ok(ok(200, appointment))
    }

    fn is_taken(&self, calendar: &Value, start: Timestamp) -> bool {
        let booked = |appointment: &Value| appointment["calendarId"] == *calendar && moment(&appointment["startTime"]) == Some(start);
        self.taken.contains(&start) || self.appointments.iter().any(booked)
    }

    /// `GET /calendars/events`, with the window in milliseconds.
    pub(super) fn events(&self, calendar: &str, from: Option<i64>, to: Option<i64>) -> Result<Response, Response> {
        let (Some(from), Some(to)) = (from, to) else {
            return Err(invalid(&["startTime must be a number string".to_owned(), "endTime must be a number string".to_owned()]));
        };
        let is_within = |event: &&Value| {
            event["calendarId"] == calendar && moment(&event["startTime"]).is_some_and(|at| (from..=to).contains(&at.as_millisecond()))
        };
        let events: Vec<&Value> = self.appointments.iter().filter(is_within).collect();
        Ok(ok(200, json!({"events": events})))
    }
}
