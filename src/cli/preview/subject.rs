//! The events that are previewed: one of the store, those of a body, or a sample.

use super::PreviewArgs;
use crate::cli::show::note;
use crate::cli::{Context, Failure, time};
use crate::config::{Settings, Source};
use crate::inspect::vouch;
use crate::normalize::{Profile, normalize};
use crate::simulate::{Samples, write};
use crate::verify::Form;
use jiff::Timestamp;
use leadwire_connector::Event;
use leadwire_connector::settings::did_you_mean;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use uuid::Uuid;

/// The same sample each time, but for its moment.
const SEED: u64 = 1;

/// An event, and what is known of its way to the destination.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) event: Event,
    /// Whether a route of the configuration sends it there.
    pub(super) is_routed: bool,
    /// Conditions of routes that could not be evaluated.
    pub(super) faults: Vec<String>,
    /// Steps that its delivery has behind it, with the remote ids.
    pub(super) steps: Vec<(String, String)>,
}

impl Subject {
    fn new(event: Event, settings: &Settings, destination: &str) -> Self {
        let routed = settings.routes.route(&event);
        let is_routed = routed.destinations.iter().any(|name| name == destination);
        Self { event, is_routed, faults: routed.faults, steps: Vec::new() }
    }
}

pub(super) async fn find(args: &PreviewArgs, settings: &Settings, destination: &str, context: &Context) -> Result<Vec<Subject>, Failure> {
    if let Some(id) = &args.event {
        return Ok(vec![stored(id, settings, destination, context).await?]);
    }
    let now = Timestamp::now();
    let (name, source) = source(args, settings)?;
    let body = match &args.file {
        Some(path) => read(path, source.max_body_bytes)?,
        None => {
            note("leadwire: a sample; --event or --file previews your own, --kind another one");
            write(&Samples::new(SEED, now).make(args.kind.unwrap_or_default(), now), Form::Raw).to_vec()
        }
    };
    let profile = Profile { source: name.to_owned(), default_country: source.default_country.clone() };
    let verified = vouch(&body, now).map_err(|refusal| Failure::Failed(refusal.to_string()))?;
    let events = normalize(&verified, &profile, &mut Uuid::now_v7).into_iter();
    Ok(events.map(|normalized| Subject::new(normalized.event, settings, destination)).collect())
}

async fn stored(id: &super::Id, settings: &Settings, destination: &str, context: &Context) -> Result<Subject, Failure> {
    let store = context.store().await?;
    let row = id.find_in(&store).await?;
    if let Some(at) = row.erased_at {
        return Err(Failure::Failed(format!("the person of {} was erased at {}; nothing is left to send", row.event.id, time::long(at))));
    }
    let steps = store.event(row.event.id).await?.map(|detail| detail.steps).unwrap_or_default();
    let own = steps.into_iter().filter(|(name, ..)| name == destination).map(|(_, step, remote)| (step, remote));
    Ok(Subject { steps: own.collect(), ..Subject::new(row.event, settings, destination) })
}

/// The source of a file must be certain, since phone numbers and routes depend on it; a sample may be of the first one.
fn source<'a>(args: &'a PreviewArgs, settings: &'a Settings) -> Result<(&'a str, &'a Source), Failure> {
    let known: Vec<&str> = settings.sources.keys().map(String::as_str).collect();
    let name = match (&args.source, known.as_slice()) {
        (Some(name), _) => name,
        (None, [first, rest @ ..]) if rest.is_empty() || args.file.is_none() => *first,
        (None, _) => return Err(Failure::Usage(format!("which source? Add `--source` with one of {}", known.join(", ")))),
    };
    let source = settings.sources.get(name);
    source
        .map(|source| (name, source))
        .ok_or_else(|| Failure::Usage(format!("there is no source `{name}`; {}", did_you_mean(name, &known))))
}

/// No more of it than the source would take.
fn read(path: &Path, limit: usize) -> Result<Vec<u8>, Failure> {
    let room = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let mut body = Vec::new();
    let result = if path == Path::new("-") {
        std::io::stdin().lock().take(room).read_to_end(&mut body)
    } else {
        File::open(path).and_then(|file| file.take(room).read_to_end(&mut body))
    };
    result.map_err(|error| Failure::Failed(format!("{} cannot be read: {error}", path.display())))?;
    if body.len() > limit {
        let shown = path.display();
        return Err(Failure::Failed(format!("{shown} is longer than the {limit} bytes that the source takes; see its `max_body_bytes`")));
    }
    Ok(body)
}
