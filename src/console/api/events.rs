//! Events: search, one with its whole timeline, and those related to it.

use super::asked::{Asked, invalid};
use super::operation::{Answer, CURSOR, LIMIT, Operation, Parameter, SINCE, flag, text, word};
use super::page::page;
use super::status::List;
use super::{masked, ok};
use crate::console::{Console, Kind, Mask, Refusal, Visitor};
use crate::store::{EventFilter, EventRow, State, ids_like};
use actix_web::{HttpResponse, web};
use uuid::Uuid;

const KINDS: &[&str] = &["lead", "appointment", "conversation", "test", "unrecognized"];
pub(super) const STATES: &[&str] = &["waiting", "leased", "blocked", "delivered", "skipped", "dead", "erased"];

const FILTERS: &[Parameter] = &[
    text(
        "q",
        "Words, or beginnings of words, as a person types them: of the name, the e-mail or its domain, a phone in any writing or its last \
         digits, the session, the chatbot, the content, the chat; or an event's id. Every word must be there. Who sees persons masked may \
         ask for a whole e-mail address, a whole phone number, or a session or other id.",
    ),
    text("id", "Events whose ids begin like this: 8 digits or more, or the whole id. Cannot be combined with other filters."),
    text("email", "Of the person with this e-mail address."),
    text("phone", "Of the person with this phone number, in any writing."),
    text("session", "Of this chat session."),
    text("source", "From this source."),
    word("kind", KINDS, "Of this kind."),
    text("chatbot", "Of the chatbot with this id or name."),
    word("state", STATES, "With a delivery in this state."),
    text("destination", "With a delivery to this destination; with `state`, one that is both."),
    SINCE,
    Parameter { name: "until", shape: super::operation::Shape::Moment, about: "Received before." },
    flag("unrouted", "Only events that no route took, tests aside."),
    flag("duplicates", "Only events whose body came more than once."),
    LIMIT,
    CURSOR,
];

pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        parameters: FILTERS,
        more: "Newest first. Events that come meanwhile do not move what is on a page.",
        refusals: &[Kind::Forbidden],
        ..Operation::get("listEvents", "/events", "Find events", Answer::Page("Event"), || web::get().to(list))
    },
    Operation {
        refusals: &[Kind::NotFound],
        ..Operation::get("getEvent", "/events/{id}", "One event with its whole timeline", Answer::One("EventDetail"), || web::get().to(one))
    },
    Operation {
        more: "By e-mail, phone and session, newest first; 100 at most.",
        refusals: &[Kind::NotFound],
        ..Operation::get(
            "listRelatedEvents",
            "/events/{id}/related",
            "Other events of the same person and session",
            Answer::List("Event"),
            || web::get().to(related),
        )
    },
];

async fn list(visitor: Visitor, console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let mask = Mask::of(&visitor);
    for name in ["q", "phone"] {
        mask.may_search(&asked.text(name).unwrap_or_default())?;
    }
    let limit = asked.limit();
    let rows = match asked.text("id") {
        Some(id) => like(&console, &asked, &id, limit + 1).await?,
        None => console.store.events(EventFilter { limit: limit + 1, ..filter(&asked)? }).await?,
    };
    let rows: Vec<_> = rows.into_iter().map(|row| masked::event(mask, row)).collect();
    page(&rows, limit, |row: &EventRow| row.event.id.to_string())
}

async fn like(console: &Console, asked: &Asked, id: &str, limit: u32) -> Result<Vec<EventRow>, Refusal> {
    if asked.has_more_than(&["id", "limit", "cursor"]) {
        return Err(invalid("`id` cannot be combined with other filters"));
    }
    let (first, last) = ids_like(id).ok_or_else(|| invalid("`id` is an event's id, or its first 8 digits or more"))?;
    let before = asked.cursor(|text| Uuid::try_parse(text).ok())?.map(|id| Uuid::from_u128(id.as_u128().saturating_sub(1)));
    Ok(console.store.events_between(first, before.map_or(last, |before| before.min(last)), limit).await?)
}

fn filter(asked: &Asked) -> Result<EventFilter, Refusal> {
    let state = asked.text("state").and_then(|word| State::ALL.into_iter().find(|state| state.as_str() == word));
    Ok(EventFilter {
        text: asked.text("q"),
        email: asked.text("email"),
        phone: asked.text("phone"),
        session: asked.text("session"),
        source: asked.text("source"),
        kind: asked.text("kind"),
        chatbot: asked.text("chatbot"),
        state,
        destination: asked.text("destination"),
        since: asked.moment("since")?,
        until: asked.moment("until")?,
        unrouted: asked.flag("unrouted"),
        duplicates: asked.flag("duplicates"),
        before: asked.cursor(|text| Uuid::try_parse(text).ok())?,
        limit: 0,
    })
}

async fn one(visitor: Visitor, console: web::Data<Console>, id: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let detail = console.store.event(read_id(&id)?).await?.ok_or_else(unknown)?;
    Ok(ok(&masked::detail(Mask::of(&visitor), detail)))
}

async fn related(visitor: Visitor, console: web::Data<Console>, id: web::Path<String>) -> Result<HttpResponse, Refusal> {
    let (id, mask) = (read_id(&id)?, Mask::of(&visitor));
    console.store.event(id).await?.ok_or_else(unknown)?;
    let rows = console.store.related(id).await?.into_iter().map(|row| masked::event(mask, row));
    Ok(ok(&List { items: rows.collect() }))
}

pub(super) fn read_id(id: &str) -> Result<Uuid, Refusal> {
    Uuid::try_parse(id).map_err(|_| unknown())
}

pub(super) fn unknown() -> Refusal {
    Refusal::new(Kind::NotFound, "there is no event of this id; it may have been removed, since what is delivered is kept for a while only")
}
