//! What hangs on a contact: tags, notes, tasks and appointments.

use crate::appointment::{Start, start_of};
use crate::client::{Call, Task};
use crate::config::Status;
use crate::contact::unexpected;
use crate::deliver::HighLevel;
use crate::map::Contact;
use crate::note;
use crate::verdict::{GONE, SLOT_TAKEN, is_gone, written};
use leadwire_connector::note::Note;
use leadwire_connector::reexport::Timestamp;
use leadwire_connector::refusal::{self, Outcome};
use leadwire_connector::{DeliveryError, ErrorKind, Event, Steps, text};
use serde_json::{Value, json};

pub(crate) const TAGS: &str = "tags";
pub(crate) const TASK: &str = "task";
/// The step that keeps the appointment's id, or why there is none.
pub(crate) const APPOINTMENT: &str = "appointment";
const REFUSED: &str = "refused ";
pub(crate) const PAST: &str = "this time has passed";
/// An appointment is looked for so far around its start.
const AROUND: i64 = 60_000;
const MAX_TITLE: usize = 200;

/// What became of a wish for an appointment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Booking {
    /// There is no calendar, or no time that cannot be misread.
    None,
    /// It is in the calendar, at this time.
    Booked(String),
    /// GoHighLevel did not take it, for this reason.
    Refused(String),
}

impl HighLevel {
    /// Never with the upsert, which would replace all tags that the contact has.
    pub(crate) async fn tags(&self, id: &str, contact: &Contact, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        if contact.tags.is_empty() || steps.done(TAGS).is_some() {
            return Ok(());
        }
        self.api.send(&self.api.add_tags(id, &contact.tags)).await?.done()?;
        steps.keep(TAGS, "added").await
    }

    /// Writes a note unless an earlier attempt, whose answer never arrived, wrote it.
    pub(crate) async fn note(&self, contact: &str, note: &Note, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        if steps.done(&note.step).is_some() {
            return Ok(());
        }
        let may_be_there = steps.announce(&note.step).await?;
        let known = if may_be_there { self.marked(&self.api.notes(contact), "notes", &note.marker).await? } else { None };
        let id = match known {
            Some(id) => id,
            None => written(&self.api.send(&self.api.create_note(contact, &note.body)).await?.done()?, "note")?,
        };
        steps.keep(&note.step, &id).await
    }

    /// The id of the note or task that carries the marker.
    async fn marked(&self, list: &Call, name: &str, marker: &str) -> Result<Option<String>, DeliveryError> {
        let body = self.api.send(list).await?.done()?;
        let items = body[name].as_array().ok_or_else(|| unexpected("a list that is none", &body))?;
        let has = |item: &&Value| ["body", "bodyText"].iter().any(|key| item[*key].as_str().is_some_and(|text| text.contains(marker)));
        Ok(items.iter().find(has).and_then(|item| refusal::text(&item["id"])))
    }

    /// Books the appointment, if the event says exactly when. A time that is not free is no error: the wish becomes a task.
    pub(crate) async fn appointment(
        &self,
        contact: &str,
        event: &Event,
        delivery: &str,
        steps: &mut Steps<'_>,
    ) -> Result<Booking, DeliveryError> {
        let Some((start, call)) = self.booking(contact, event, delivery) else { return Ok(Booking::None) };
        if let Some(known) = steps.done(APPOINTMENT) {
            let refused = known.strip_prefix(REFUSED).map(|why| Booking::Refused(why.to_owned()));
            return Ok(refused.unwrap_or(Booking::Booked(start.text)));
        }
        if start.is_past() && !steps.is_announced(APPOINTMENT) {
            return Ok(Booking::Refused(PAST.to_owned()));
        }
        let may_be_there = steps.announce(APPOINTMENT).await?;
        let known = if may_be_there { self.booked(contact, &start).await? } else { None };
        let booked = match known {
            Some(id) => Ok(id),
            None if start.is_past() => Err(PAST.to_owned()),
            None => self.book(contact, &start, &call).await?,
        };
        let (kept, booking) = match booked {
            Ok(id) => (id, Booking::Booked(start.text)),
            Err(why) => (format!("{REFUSED}{why}"), Booking::Refused(why)),
        };
        steps.keep(APPOINTMENT, &kept).await?;
        Ok(booking)
    }

    /// The id, or why it was refused.
    async fn book(&self, contact: &str, start: &Start, call: &Call) -> Result<Result<String, String>, DeliveryError> {
        match self.api.send(call).await {
            Ok(Outcome::Done(body)) => written(&body, "appointment").map(Ok),
            Ok(Outcome::Conflict { error, .. } | Outcome::Invalid { error, .. }) => Ok(Err(why(&error))),
            // Perhaps it is this very appointment that takes the time. That needs another scope, which is not worth a hold.
            Err(error) if error.code.as_deref() == Some(SLOT_TAKEN) => match self.booked(contact, start).await {
                Ok(Some(id)) => Ok(Ok(id)),
                Err(other) if other.kind != ErrorKind::Credentials => Err(other),
                _ => Ok(Err(why(&error))),
            },
            // The contact, or the calendar?
            Err(error) if is_gone(&error) => match self.api.send(&self.api.contact(contact)).await {
                Ok(_) => Ok(Err(why(&error))),
                Err(other) => Err(other),
            },
            Err(error) => Err(error),
        }
    }

    /// This contact's appointment at this time: a second one is never meant.
    async fn booked(&self, contact: &str, start: &Start) -> Result<Option<String>, DeliveryError> {
        let Some(calendar) = &self.settings.config.calendar_id else { return Ok(None) };
        let at = start.at.as_millisecond();
        let body = self.api.send(&self.api.events(calendar, at - AROUND, at + AROUND)).await?.done()?;
        let events = body["events"].as_array().ok_or_else(|| unexpected("a list that is none", &body))?;
        let is_at =
            |event: &Value| event["startTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok()).is_none_or(|at| at == start.at);
        let is_ours = |event: &&Value| event["contactId"] == contact && event["appointmentStatus"] != "cancelled" && is_at(event);
        Ok(events.iter().find(is_ours).and_then(|event| refusal::text(&event["id"])))
    }

    /// The appointment that the event asks for, if there is a calendar and the event says exactly when.
    pub(crate) fn booking(&self, contact: &str, event: &Event, delivery: &str) -> Option<(Start, Call)> {
        let keys = &self.settings.config.appointments;
        let (text, title) = self.appointment_texts(event);
        let (calendar, start) = self.settings.config.calendar_id.as_ref().zip(start_of(&text))?;
        let mut body = json!({"calendarId": calendar, "startTime": start.text, "title": title});
        if let Some(end) = keys.minutes.and_then(|minutes| start.plus_minutes(minutes)) {
            body["endTime"] = end.into();
        }
        if let Some(status) = keys.status {
            body["appointmentStatus"] = if status == Status::New { "new" } else { "confirmed" }.into();
        }
        if let Some(user) = &keys.assigned_user {
            body["assignedUserId"] = user.as_str().into();
        }
        let remark = event.content.as_deref().unwrap_or_default();
        let most = self.settings.config.note_characters;
        body["description"] = note::task_body(remark, &text::marker(delivery, APPOINTMENT), most).into();
        body["ignoreFreeSlotValidation"] = (!keys.free_slots_only).into();
        body["ignoreDateRange"] = (!keys.free_slots_only).into();
        body["toNotify"] = keys.notify.into();
        Some((start, self.api.book(contact, body)))
    }

    /// The text that is the time, if it is one, and the title; a template that fails gives neither.
    fn appointment_texts(&self, event: &Event) -> (String, String) {
        let mut texts = self.settings.appointment.render(event).fields;
        let mut take =
            |name: &str| texts.iter().position(|(known, _)| known == name).map(|index| texts.remove(index).1).unwrap_or_default();
        let (start, title) = (take("start"), take("title"));
        let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
        let title = if title.is_empty() { "Chat appointment".to_owned() } else { text::truncate(&title, MAX_TITLE).into_owned() };
        (start, title)
    }

    /// Makes the task in place of an appointment unless an earlier attempt made it.
    pub(crate) async fn task(&self, contact: &str, event: &Event, delivery: &str, steps: &mut Steps<'_>) -> Result<(), DeliveryError> {
        if steps.done(TASK).is_some() {
            return Ok(());
        }
        let may_be_there = steps.announce(TASK).await?;
        let known = if may_be_there { self.marked(&self.api.tasks(contact), "tasks", &text::marker(delivery, TASK)).await? } else { None };
        let id = match known {
            Some(id) => id,
            None => written(&self.api.send(&self.task_call(contact, event, delivery)).await?.done()?, "task")?,
        };
        steps.keep(TASK, &id).await
    }

    pub(crate) fn task_call(&self, contact: &str, event: &Event, delivery: &str) -> Call {
        let config = &self.settings.config;
        let (_, title) = self.appointment_texts(event);
        let body = note::task_body(event.content.as_deref().unwrap_or_default(), &text::marker(delivery, TASK), config.note_characters);
        let from = event.created_at.unwrap_or(event.received_at);
        let hours = jiff::SignedDuration::from_hours(i64::from(config.appointments.task_due_hours));
        let due = from.checked_add(hours).unwrap_or(from).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let task = Task { title: &title, body: &body, due: &due, assigned: config.appointments.assigned_user.as_deref() };
        self.api.create_task(contact, &task)
    }
}

/// For salespeople, so without codes.
fn why(error: &DeliveryError) -> String {
    let words = match error.code.as_deref() {
        Some(SLOT_TAKEN) => "this time is not free in the calendar",
        Some(GONE) => "the calendar was not found",
        _ => "the calendar did not take it",
    };
    words.to_owned()
}
