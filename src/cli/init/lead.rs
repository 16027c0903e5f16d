//! A made-up lead on its whole way, so that the first one in a CRM is not a customer's.

use crate::app::Bridge;
use crate::cli::near::nearby;
use crate::cli::{Context, Failure, reload, send, show};
use crate::config::{Settings, Source};
use crate::simulate::{SampleKind, Samples, Sender, write};
use crate::store::{EventFilter, EventRow, State, Store};
use crate::verify::{Form, SigningKey};
use jiff::{SignedDuration, Timestamp};
use leadwire_connector::settings::Secret;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use url::Url;

/// How long the deliveries may take; what has not ended then is told with the reason, and goes on in the bridge.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long a console of this machine may take to show that it is there.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Sends a lead to this source of the configuration and waits for its deliveries: by a bridge that runs for so long, or by the one that
/// runs on the store already and takes the configuration first.
///
/// # Errors
/// When the lead was not taken, or has not arrived everywhere.
pub(super) async fn travel(source: &str, context: &Context) -> Result<(), Failure> {
    let (settings, key) = for_a_moment(context.settings()?, source);
    let bridge = match Box::pin(Bridge::start(settings)).await {
        Ok(bridge) => bridge,
        Err(_) if is_running(&context.settings()?) => return by_the_running_one(source, context).await,
        Err(error) => return Err(Failure::Failed(format!("no test lead was sent: {error}"))),
    };
    let url = format!("http://{}/hooks/{source}", bridge.address);
    let arrived = match url.parse() {
        Ok(url) => send_and_wait(source, url, &key, &bridge.store).await,
        Err(error) => Err(Failure::Failed(format!("`{url}` is no address: {error}"))),
    };
    bridge.stop().await;
    tell(&arrived?, context)
}

/// The same settings, but reached from this process alone. A source that awaits its key gets one that nobody else knows.
fn for_a_moment(mut settings: Settings, source: &str) -> (Settings, SigningKey) {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    (settings.server.listen, settings.console.listen) = (anywhere, anywhere);
    (settings.server.tls, settings.console.tls) = (None, false);
    let made_up = Secret::literal(format!("{:032x}", rand::random::<u128>()));
    let Some(source) = settings.sources.get_mut(source) else { return (settings, SigningKey::new(made_up.expose())) };
    // The list is of the platform's addresses, and the lead comes from here.
    source.allow_ips.clear();
    if source.signing_keys.is_empty() {
        source.signing_keys.push(made_up);
    }
    let key = first_key(source);
    (settings, key.unwrap_or_else(|| SigningKey::new("")))
}

fn first_key(source: &Source) -> Option<SigningKey> {
    source.signing_keys.first().map(|key| SigningKey::new(key.expose()))
}

/// Whether a console answers where the configuration has one.
fn is_running(settings: &Settings) -> bool {
    TcpStream::connect_timeout(&nearby(settings.console.listen), AT_ONCE).is_ok()
}

async fn by_the_running_one(source: &str, context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    let Some(key) = settings.sources.get(source).and_then(first_key) else {
        return Err(Failure::Failed(format!(
            "no test lead was sent: the source `{source}` has no signing key yet, and the bridge that runs takes signed leads only; give it one with --key {source}=KEY"
        )));
    };
    reload::own_bridge(&settings)?.post::<serde_json::Value>(&["reload"], &json!({})).await?;
    show::note("the bridge that runs has taken the configuration");
    let store = context.store_to_read().await?;
    let event = send_and_wait(source, send::hook(&settings, source)?, &key, &store).await?;
    tell(&event, context)
}

async fn send_and_wait(source: &str, url: Url, key: &SigningKey, store: &Store) -> Result<EventRow, Failure> {
    let began_at = Timestamp::now();
    let lead = Samples::start(None).make(SampleKind::Lead, began_at);
    let email = lead["Email"].as_str().unwrap_or_default().to_owned();
    let sender = Sender::new(url, Some(key.clone()), Form::Raw).map_err(Failure::Failed)?;
    let tried = sender.post(&write(&lead, Form::Raw), 1).await;
    if !tried.success {
        return Err(Failure::Failed(format!("the bridge did not take the test lead: {}", show::plain(tried.told()))));
    }
    let since = began_at.checked_sub(SignedDuration::from_secs(5)).unwrap_or(began_at);
    let filter =
        EventFilter { email: Some(email), source: Some(source.to_owned()), since: Some(since), limit: 1, ..EventFilter::default() };
    let began = Instant::now();
    loop {
        let event = store.events(filter.clone()).await?.into_iter().next();
        match event {
            Some(event) if is_decided(&event) || began.elapsed() > PATIENCE => return Ok(event),
            None if began.elapsed() > PATIENCE => {
                return Err(Failure::Failed("the bridge took the test lead, and it is not in the store of this configuration".to_owned()));
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

/// Whether each delivery has ended or says what is in its way, which a person wants to know now.
fn is_decided(event: &EventRow) -> bool {
    event.deliveries.iter().all(|delivery| delivery.ended_at.is_some() || delivery.remark.is_some())
}

fn tell(event: &EventRow, context: &Context) -> Result<(), Failure> {
    let has_arrived = event.deliveries.iter().all(|delivery| delivery.state == State::Delivered);
    if context.json {
        context.print_json(&json!({"test_lead": event.event.id, "arrived": has_arrived, "deliveries": event.deliveries}))?;
    } else {
        show::line(&format!("\nA made-up lead, {} <{}>:", name(event), event.event.person.email.as_deref().unwrap_or_default()))?;
        let row = |delivery: &crate::store::DeliveryRow| {
            let record = || delivery.record.as_ref().map(|record| record.url.clone().unwrap_or_else(|| format!("record {}", record.id)));
            vec![
                delivery.destination.clone(),
                delivery.state.as_str().to_owned(),
                delivery.remark.clone().or_else(record).unwrap_or_default(),
            ]
        };
        show::table(&["destination", "state", "remark"], event.deliveries.iter().map(row).collect(), "no route takes it")?;
    }
    if has_arrived && !event.deliveries.is_empty() { Ok(()) } else { Err(Failure::Silent) }
}

fn name(event: &EventRow) -> String {
    let person = &event.event.person;
    [&person.first_name, &person.last_name].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ")
}
