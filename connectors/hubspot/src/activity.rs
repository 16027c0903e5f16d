//! What is written beside a contact: notes, tasks and meetings. Each carries a marker, by which it is found again when the answer to
//! its request never arrived.

use crate::config::{Otherwise, Settings};
use crate::deliver::HubSpot;
use crate::map::Contact;
use crate::note;
use crate::verdict::{GONE, Outcome, id, is_gone, written};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::http::Request;
use leadwire_connector::note::Note;
use leadwire_connector::refusal::{find, text as text_of};
use leadwire_connector::{DeliveryError, ErrorKind, Event, Kind as EventKind, Steps, text};
use serde_json::Value;

const AT_ONCE: usize = 20;
/// Read back at most so many of a contact's activities of one kind, newest first.
const READ_BACK: usize = 500;
/// Of the list of a contact's activities.
const MOST_LISTS: usize = 20;
const LONGEST_TITLE: usize = 200;
const OWNER: &str = "hubspot_owner_id";

/// The kinds of activities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Note,
    Task,
    Meeting,
}

impl Kind {
    pub(crate) fn objects(self) -> &'static str {
        match self {
            Self::Note => "notes",
            Self::Task => "tasks",
            Self::Meeting => "meetings",
        }
    }

    /// The step that writes the first one.
    fn step(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Task => "task",
            Self::Meeting => "meeting",
        }
    }

    /// The property with the text and the marker.
    pub(crate) fn body(self) -> &'static str {
        match self {
            Self::Note => "hs_note_body",
            Self::Task => "hs_task_body",
            Self::Meeting => "hs_meeting_body",
        }
    }

    /// `AssociationTypes` of the npm package `@hubspot/api-client` (13.5.0): `noteToContact`, `taskToContact`, `meetingToContact`.
    pub(crate) fn to_contact(self) -> u32 {
        match self {
            Self::Note => 202,
            Self::Task => 204,
            Self::Meeting => 200,
        }
    }
}

/// One activity.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) kind: Kind,
    pub(crate) step: String,
    pub(crate) marker: String,
    pub(crate) properties: Vec<(&'static str, String)>,
}

/// All activities of an event.
#[derive(Debug, Default)]
pub(crate) struct Activities {
    pub(crate) all: Vec<Activity>,
    /// Whether the text was too long for them.
    pub(crate) cut: bool,
}

impl Activities {
    pub(crate) fn of(event: &Event, contact: &Contact, settings: &Settings, delivery_id: &str) -> Self {
        let text = match event.kind {
            EventKind::Conversation => note::transcript(event),
            EventKind::Appointment => note::remark(event, &contact.left_out(), contact.failed()),
            _ if settings.config.notes => note::remark(event, &contact.left_out(), contact.failed()),
            _ => None,
        };
        let Some(text) = text else { return Self::default() };
        let start = if event.kind == EventKind::Appointment { settings.times.start_of(event) } else { None };
        let first = match (event.kind, start, settings.config.appointments.otherwise) {
            (EventKind::Appointment, Some(_), _) => Kind::Meeting,
            (EventKind::Appointment, None, Otherwise::Task) => Kind::Task,
            _ => Kind::Note,
        };
        let notes = note::pages(&text, delivery_id, first.step());
        let activity = |(index, page)| match (index, first, start) {
            (0, Kind::Meeting, Some(start)) => meeting(page, event, start, settings),
            (0, Kind::Task, _) => task(page, event, settings),
            _ => note(page, event),
        };
        Self { all: notes.notes.into_iter().enumerate().map(activity).collect(), cut: notes.cut }
    }
}

fn note(page: Note, event: &Event) -> Activity {
    of_page(Kind::Note, page, vec![("hs_timestamp", happened(event))])
}

/// Due at once: somebody is waiting. Properties as in <https://developers.hubspot.com/docs/api-reference/latest/crm/activities/tasks/guide>.
fn task(page: Note, event: &Event, settings: &Settings) -> Activity {
    let mut properties = vec![
        ("hs_timestamp", happened(event)),
        ("hs_task_subject", title(event)),
        ("hs_task_status", "NOT_STARTED".to_owned()),
        ("hs_task_type", "TODO".to_owned()),
    ];
    properties.extend(settings.config.appointments.owner_id.map(|owner| (OWNER, owner.to_string())));
    of_page(Kind::Task, page, properties)
}

/// Properties as in <https://developers.hubspot.com/docs/api-reference/latest/crm/activities/meetings/guide>.
fn meeting(page: Note, event: &Event, start: Timestamp, settings: &Settings) -> Activity {
    let appointments = &settings.config.appointments;
    let end = appointments.minutes.and_then(|minutes| start.checked_add(SignedDuration::from_mins(minutes.into())).ok());
    let mut properties = vec![
        ("hs_timestamp", format(start)),
        ("hs_meeting_title", title(event)),
        ("hs_meeting_start_time", format(start)),
        ("hs_meeting_outcome", "SCHEDULED".to_owned()),
    ];
    properties.extend(end.map(|end| ("hs_meeting_end_time", format(end))));
    properties.extend(appointments.owner_id.map(|owner| (OWNER, owner.to_string())));
    of_page(Kind::Meeting, page, properties)
}

fn of_page(kind: Kind, page: Note, mut properties: Vec<(&'static str, String)>) -> Activity {
    properties.push((kind.body(), page.body));
    Activity { kind, step: page.step, marker: page.marker, properties }
}

fn happened(event: &Event) -> String {
    format(event.created_at.unwrap_or(event.received_at))
}

fn format(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn title(event: &Event) -> String {
    let person = &event.person;
    let who = person.full_name().or_else(|| person.email.clone()).or_else(|| person.phone.clone());
    let title = format!("Appointment: {}", who.as_deref().unwrap_or("a chat visitor"));
    text::truncate(&title, LONGEST_TITLE).into_owned()
}

impl HubSpot {
    pub(crate) fn activity_request(&self, contact: &str, activity: &Activity) -> Request {
        self.api.create_activity(activity.kind, contact, &activity.properties)
    }

    /// Writes an activity unless an earlier attempt, whose answer never arrived, wrote it. Its id, and whether its owner was left out.
    pub(crate) async fn write(
        &self,
        contact: &str,
        activity: &mut Activity,
        steps: &mut Steps<'_>,
    ) -> Result<(String, bool), DeliveryError> {
        let may_be_there = steps.announce(&activity.step).await?;
        let contact = &if may_be_there { self.current_id(contact, steps).await? } else { contact.to_owned() };
        if may_be_there && let Some(id) = self.find_activity(contact, activity).await? {
            return Ok((id, false));
        }
        match self.api.send(&self.activity_request(contact, activity)).await {
            // A user who left the company is no reason to lose the wish for an appointment.
            Ok(Outcome::Invalid { properties, .. }) if properties.iter().any(|name| name == OWNER) && has_owner(activity) => {
                activity.properties.retain(|(name, _)| *name != OWNER);
                Ok((self.send_activity(contact, activity).await?, true))
            }
            outcome => match outcome.and_then(Outcome::done) {
                Err(error) if is_doubtful(&error) => Ok((self.write_to_current(contact, activity, error, steps).await?, false)),
                body => Ok((written(&body?)?, false)),
            },
        }
    }

    async fn send_activity(&self, contact: &str, activity: &Activity) -> Result<String, DeliveryError> {
        written(&self.api.send(&self.activity_request(contact, activity)).await?.done()?)
    }

    /// How HubSpot refuses an activity because its contact was archived or merged a moment ago is not documented.
    ///
    /// # Errors
    /// One that is of a gone contact, when it was archived; `error`, when it is there as it was.
    async fn write_to_current(
        &self,
        contact: &str,
        activity: &Activity,
        error: DeliveryError,
        steps: &mut Steps<'_>,
    ) -> Result<String, DeliveryError> {
        let current = self.current_id(contact, steps).await?;
        if current == contact { Err(error) } else { self.send_activity(&current, activity).await }
    }

    async fn find_activity(&self, contact: &str, activity: &Activity) -> Result<Option<String>, DeliveryError> {
        let mut are_all_read = Ok(());
        for ids in self.activities_of(contact, activity.kind).await?.chunks(AT_ONCE) {
            let found = self.api.send(&self.api.read_activities(activity.kind, ids)).await?.done()?;
            let body =
                |found: &Value| found["properties"][activity.kind.body()].as_str().is_some_and(|body| body.contains(&activity.marker));
            if let Some(found) = results(&found)?.iter().find(|found| body(found)) {
                return written(found).map(Some);
            }
            are_all_read = are_all_read.and_then(|()| without_errors(&found, is_missing));
        }
        are_all_read.map(|()| None)
    }

    /// The ids of a contact's newest activities, newest first: HubSpot counts upwards.
    async fn activities_of(&self, contact: &str, kind: Kind) -> Result<Vec<u64>, DeliveryError> {
        let mut ids: Vec<u64> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..MOST_LISTS {
            let list = self.api.send(&self.api.activities_of(kind, contact, after.as_deref())).await?.done()?;
            without_errors(&list, is_without_any)?;
            results(&list)?;
            ids.extend(find(&list, "/results/*/to/*/toObjectId").into_iter().filter_map(|to| id(to)?.parse::<u64>().ok()));
            ids.sort_unstable_by(|one, other| other.cmp(one));
            ids.truncate(READ_BACK);
            // A cursor is no id: it may have any characters.
            after = text_of(&list["results"][0]["paging"]["next"]["after"]);
            if after.is_none() {
                break;
            }
        }
        Ok(ids)
    }
}

/// Whether it may be about the contact rather than the activity.
fn is_doubtful(error: &DeliveryError) -> bool {
    matches!(error.status, Some(400 | 404 | 422)) && !is_gone(error)
}

fn has_owner(activity: &Activity) -> bool {
    activity.properties.iter().any(|(name, _)| *name == OWNER)
}

/// A contact without activities of the kind is told as an error inside a success: 207 with
/// `"subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND"`.
fn is_without_any(error: &Value) -> bool {
    error["subCategory"].as_str().is_some_and(|what| what.ends_with("NO_ASSOCIATIONS_FOUND"))
}

/// What was deleted since it was listed is not there, and that is certain.
fn is_missing(error: &Value) -> bool {
    ["category", "subCategory", "code"].into_iter().any(|key| error[key] == GONE)
}

/// # Errors
/// When a success has errors inside that are not harmless: then nothing is known of what it does not show.
pub(crate) fn without_errors(body: &Value, is_harmless: fn(&Value) -> bool) -> Result<(), DeliveryError> {
    let errors = body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_counted = errors.is_empty() && body["numErrors"].as_u64().unwrap_or(0) > 0;
    if is_counted || !errors.iter().all(is_harmless) {
        let error = DeliveryError::retry(ErrorKind::Unexpected, "HubSpot did not say for certain what is there already");
        return Err(error.with_excerpt(body.to_string().as_bytes()));
    }
    Ok(())
}

/// The list in an answer that has one.
pub(crate) fn results(body: &Value) -> Result<&Vec<Value>, DeliveryError> {
    let missing = || DeliveryError::retry(ErrorKind::Unexpected, "HubSpot answered a question with success, but without results");
    body["results"].as_array().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::config::tests::settings;
    use crate::map::tests::{contact, event};
    use serde_json::json;

    fn first(config: &Value, changes: &Value) -> Activity {
        let settings = settings(config);
        let event = event(changes);
        let contact = contact(changes, config);
        Activities::of(&event, &contact, &settings, "d1").all.remove(0)
    }

    #[test]
    fn an_appointment_is_a_meeting_only_when_its_time_is_certain() {
        let wish = |content: &str| json!({"kind": "appointment", "content": content});
        assert_eq!(first(&json!({}), &wish("2026-11-24T15:00:00+01:00")).kind, Kind::Meeting);
        assert_eq!(first(&json!({}), &wish("tomorrow at 3")).kind, Kind::Task);
        assert_eq!(first(&json!({"appointments": {"otherwise": "note"}}), &wish("tomorrow at 3")).kind, Kind::Note);
        assert_eq!(first(&json!({}), &json!({"content": "2026-11-24T15:00:00+01:00"})).kind, Kind::Note, "a lead is no appointment");
    }

    #[test]
    fn a_meeting_has_an_end_only_when_it_is_told_how_long_it_takes() {
        let wish = json!({"kind": "appointment", "content": "2026-11-24T15:00:00+01:00"});
        let property = |config: Value, name: &str| {
            let meeting = first(&config, &wish);
            meeting.properties.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        assert_eq!(property(json!({}), "hs_meeting_start_time").as_deref(), Some("2026-11-24T14:00:00.000Z"));
        assert_eq!(property(json!({}), "hs_meeting_end_time"), None);
        let minutes = json!({"appointments": {"minutes": 30, "owner_id": 7}});
        assert_eq!(property(minutes.clone(), "hs_meeting_end_time").as_deref(), Some("2026-11-24T14:30:00.000Z"));
        assert_eq!(property(minutes, OWNER).as_deref(), Some("7"));
    }

    #[test]
    fn no_activities_is_an_answer_and_any_other_error_is_none() {
        let error = |what: &str| json!({"results": [], "numErrors": 1, "errors": [{"subCategory": what}]});
        let list = |list: Value| without_errors(&list, is_without_any);
        assert!(list(error("crm.associations.NO_ASSOCIATIONS_FOUND")).is_ok());
        assert!(list(json!({"results": []})).is_ok());
        assert!(list(error("crm.associations.OTHER")).is_err());
        assert!(list(json!({"results": [], "numErrors": 1})).is_err());
        assert!(without_errors(&json!({"numErrors": 1, "errors": [{"category": GONE}]}), is_missing).is_ok());
        assert!(without_errors(&json!({"numErrors": 1, "errors": [{"category": GONE}, {"category": "INTERNAL"}]}), is_missing).is_err());
    }
}
