//! `leadwire events`: find an event, see its whole way.

use super::id::{self, Id};
use super::show::{is_narrow, line, plain, table};
use super::{Context, Failure, time};
use crate::store::{EventDetail, EventFilter, EventRow, Form, Receipt, State};
use jiff::Timestamp;
use leadwire_connector::Kind;

#[derive(Debug, clap::Args)]
pub(super) struct EventsArgs {
    #[command(subcommand)]
    command: EventsCommand,
}

#[derive(Debug, clap::Subcommand)]
enum EventsCommand {
    /// Newest first.
    List(Box<ListArgs>),
    /// The whole timeline of one event.
    Show {
        /// Its id, or the first 8 digits or more; or the id of one of its deliveries.
        #[arg(value_parser = id::parse)]
        id: Id,
    },
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// With these words, or beginnings of words: of the name, the e-mail or its domain, the phone or its last digits, the session, the
    /// chatbot, the content, or of what was said in the chat.
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Of the person with this e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Of the person with this phone number, in any spelling.
    #[arg(long)]
    phone: Option<String>,
    /// Of this chat session.
    #[arg(long)]
    session: Option<String>,
    /// From this source.
    #[arg(long)]
    source: Option<String>,
    /// lead, appointment, conversation, test or unrecognized.
    #[arg(long)]
    kind: Option<Kind>,
    /// Of the chatbot with this id or name.
    #[arg(long)]
    chatbot: Option<String>,
    /// With a delivery in this state: waiting, leased, blocked, delivered, skipped, dead or erased.
    #[arg(long, value_parser = parse_state)]
    state: Option<State>,
    /// With a delivery to this destination.
    #[arg(long)]
    destination: Option<String>,
    /// Received since: a moment, a day, or an age such as 2h.
    #[arg(long, value_parser = time::parse)]
    since: Option<Timestamp>,
    /// Received before.
    #[arg(long, value_parser = time::parse)]
    until: Option<Timestamp>,
    /// Only events that no route takes.
    #[arg(long)]
    unrouted: bool,
    /// Only events whose body came more than once.
    #[arg(long)]
    duplicates: bool,
    /// The next page: events received before this one, the last of the page before. Its id, or the first 8 digits or more.
    #[arg(long, value_name = "ID", value_parser = id::parse)]
    before: Option<Id>,
    /// How many at most.
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

fn parse_state(word: &str) -> Result<State, String> {
    let known = || State::ALL.map(State::as_str).join(", ");
    State::ALL.into_iter().find(|state| state.as_str() == word).ok_or_else(|| format!("unknown state `{word}`; known are {}", known()))
}

pub(super) async fn run(args: EventsArgs, context: &Context) -> Result<(), Failure> {
    match args.command {
        EventsCommand::List(args) => list(*args, context).await,
        EventsCommand::Show { id } => show_one(&id, context).await,
    }
}

async fn list(args: ListArgs, context: &Context) -> Result<(), Failure> {
    let desk = context.desk_to_read().await?;
    let before = match &args.before {
        Some(id) => Some(id.find(&desk).await?.event.id),
        None => None,
    };
    let filter = EventFilter {
        text: args.search,
        chatbot: args.chatbot,
        state: args.state,
        destination: args.destination,
        duplicates: args.duplicates,
        before,
        email: args.email,
        phone: args.phone,
        session: args.session,
        source: args.source,
        kind: args.kind.map(|kind| kind.as_str().to_owned()),
        since: args.since,
        until: args.until,
        unrouted: args.unrouted,
        limit: args.limit,
    };
    let events = desk.events(filter).await?;
    if context.json {
        return context.print_json(&events);
    }
    show(&events, is_narrow())
}

fn show(events: &[EventRow], is_narrow: bool) -> Result<(), Failure> {
    let none = "no event matches";
    if is_narrow {
        return table(&["received", "id and person", "kind and deliveries"], events.iter().flat_map(narrow).collect(), none);
    }
    table(&["received", "id", "kind", "source", "person", "deliveries"], events.iter().map(wide).collect(), none)
}

fn wide(row: &EventRow) -> Vec<String> {
    let event = &row.event;
    let (received, id) = (time::short(event.received_at), event.id.to_string());
    vec![received, id, event.kind.to_string(), event.source.clone(), who(row), deliveries(row)]
}

/// The id alone fills half of the line, so the rest has a second one.
fn narrow(row: &EventRow) -> [Vec<String>; 2] {
    let event = &row.event;
    [
        vec![time::short(event.received_at), event.id.to_string(), format!("{} from {}", event.kind, event.source)],
        vec![String::new(), who(row), deliveries(row)],
    ]
}

fn deliveries(row: &EventRow) -> String {
    let deliveries = row.deliveries.iter().map(|delivery| format!("{} {}", delivery.destination, delivery.state.as_str()));
    match row.event.kind {
        _ if !row.deliveries.is_empty() => deliveries.collect::<Vec<_>>().join(", "),
        Kind::Test => "none, a test".to_owned(),
        _ => "no route".to_owned(),
    }
}

fn who(row: &EventRow) -> String {
    if row.erased_at.is_some() {
        return "erased".to_owned();
    }
    let person = &row.event.person;
    let session = || row.event.session_id.as_ref().map(|id| format!("session {id}"));
    person.full_name().or_else(|| person.email.clone()).or_else(|| person.phone.clone()).or_else(session).unwrap_or_default()
}

async fn show_one(id: &Id, context: &Context) -> Result<(), Failure> {
    let desk = context.desk_to_read().await?;
    let detail = desk.event(id.find(&desk).await?.event.id).await?;
    if context.json { context.print_json(&detail) } else { line(&describe(&detail)) }
}

fn describe(detail: &EventDetail) -> String {
    let event = &detail.row.event;
    let mut lines = vec![format!("{} {} from {}", event.kind, event.id, event.source)];
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            lines.push(format!("  {name:<12}{}", plain(&value)));
        }
    };
    field("erased", detail.row.erased_at.map(|at| format!("its person was erased at {}; nothing of them is left here", time::long(at))));
    field("name", event.person.full_name());
    field("e-mail", event.person.email.clone());
    field("phone", event.person.phone.clone());
    field("content", event.content.clone());
    field("session", event.session_id.clone());
    field("chatbot", event.chatbot_id.clone());
    field("page", event.page_url.clone());
    field("stale", event.stale.then(|| "signed longer ago than the source tolerates".to_owned()));
    field("came", detail.row.receipt.map(|receipt| came(&receipt)));
    field("messages", event.conversation.as_ref().map(|conversation| conversation.messages.len().to_string()));
    lines.push(String::new());
    lines.extend(timeline(detail));
    lines.join("\n")
}

/// By which way, from where, and by what it was verified.
fn came(receipt: &Receipt) -> String {
    let client = receipt.client.map(|client| format!(", posted by {client}")).unwrap_or_default();
    let signed = receipt.signed.map(|signed| {
        let form = match signed.form {
            Form::Raw => "the body as it was sent",
            Form::Canonical => "its canonical JSON",
        };
        let age = signed.age_s.unsigned_abs();
        let age = if signed.age_s < 0 { format!("{age} s ahead of the clock here") } else { format!("{age} s before") };
        format!(", signed over {form} by key {}, {age}", signed.key)
    });
    format!("{}{client}{}", receipt.via.as_words(), signed.unwrap_or_default())
}

fn timeline(detail: &EventDetail) -> Vec<String> {
    let event = &detail.row.event;
    let mut moments: Vec<(Timestamp, String)> = vec![(event.received_at, format!("received by source {}", event.source))];
    moments.extend(event.created_at.map(|at| (at, "created, says the sender".to_owned())));
    moments.extend(detail.attempts.iter().map(|(destination, attempt)| {
        let status = attempt.status.map(|status| format!(" ({status})")).unwrap_or_default();
        let message = attempt.message.clone().unwrap_or_default();
        (attempt.at, format!("{destination}: {}{status} after {} ms  {message}", attempt.outcome, attempt.duration_ms))
    }));
    moments.extend(detail.row.deliveries.iter().filter_map(|delivery| {
        let record =
            delivery.record.as_ref().map(|record| format!(", record {}", record.url.as_ref().unwrap_or(&record.id))).unwrap_or_default();
        let remark = delivery.remark.as_ref().map(|remark| format!(": {remark}")).unwrap_or_default();
        Some((delivery.ended_at?, format!("{}: {}{record}{remark}", delivery.destination, delivery.state.as_str())))
    }));
    moments.sort_by_key(|(at, _)| *at);
    let mut lines: Vec<String> = moments.iter().map(|(at, what)| format!("{}  {}", time::long(*at), plain(what))).collect();
    lines.extend(detail.row.deliveries.iter().filter(|delivery| delivery.state.is_pending()).map(|delivery| {
        let due = delivery.not_before.map(|at| format!(", due {}", time::long(at))).unwrap_or_default();
        let remark = delivery.remark.as_ref().map(|remark| format!("; last said: {remark}")).unwrap_or_default();
        format!("pending              {}: {}{due}{}", delivery.destination, delivery.state.as_str(), plain(&remark))
    }));
    if detail.row.duplicates > 0 {
        lines.push(format!("the same body came {} more times and was not delivered again", detail.row.duplicates));
    }
    lines
}
