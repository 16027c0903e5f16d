//! The one task that looks after a sick store: proves that it is back, and brings the spool into it, in order.

use super::keeper::{Keeper, size_of};
use super::spool::entry::{Content, Entry};
use super::spool::{Aside, Reading, Spool};
use super::telling::Telling;
use super::{Error, NewEvent, QuarantineLimits, Refused, Result};
use std::time::{Duration, Instant};

/// How often a sick store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many looks pass until the files that need a person are counted anew.
const COUNT_EVERY: u32 = 20;
/// Events written together, and their bytes.
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 4 << 20;
/// So few records are brought over while new requests are held back, so that the spool runs empty also under load.
const LAST_RECORDS: u64 = 512;
/// For so long at most.
const HELD_BACK: Duration = Duration::from_secs(2);

/// Runs for ever.
pub(super) async fn run(keeper: Keeper) {
    let mut trouble = Telling::default();
    for look in 0_u32.. {
        if let Some(bytes) = keeper.sign_wanted() {
            prove(&keeper, bytes).await;
        }
        if let Some(spool) = &keeper.shared.spool {
            spool.look_again().await;
            if spool.pending() > 0 && keeper.sign_wanted().is_none() {
                empty(&keeper, spool, &mut trouble).await;
            }
            if look % COUNT_EVERY == 0 {
                spool.count_aside();
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Requests are refused while the store is sick, so that this is how it is seen to be well: by a commit as large as the one that
/// failed. A store that hangs is waited for, since a second question would only queue behind the first.
async fn prove(keeper: &Keeper, bytes: usize) {
    match keeper.shared.store.prove(bytes).await {
        Ok(()) => keeper.note(bytes, Some(&Ok(()))),
        Err(error) => keeper.tell_sick(&error),
    }
}

/// Brings over what there is. What fails is tried again at the next look.
pub(super) async fn empty(keeper: &Keeper, spool: &Spool, trouble: &mut Telling) {
    let records = spool.pending();
    while spool.pending() > 0 {
        let moved = if spool.pending() <= LAST_RECORDS {
            // Requests that are held back go straight to the store afterwards, and overtake nothing.
            let _all = keeper.shared.appending.write().await;
            tokio::time::timeout(HELD_BACK, move_all(keeper, spool)).await.unwrap_or(Ok(()))
        } else {
            move_oldest(keeper, spool).await.map(drop)
        };
        if let Err(error) = moved {
            let now = Instant::now();
            if trouble.trouble(now, now).is_some() {
                tracing::warn!(records = spool.pending(), "the rest of the spool stays where it is for now: {error}");
            }
            return;
        }
        // A record that is counted may not be written yet.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    trouble.over(Instant::now());
    tracing::info!(records, "the records of the spool are in the store; what is received goes straight into it again");
}

async fn move_all(keeper: &Keeper, spool: &Spool) -> Result<()> {
    while spool.pending() > 0 && move_oldest(keeper, spool).await? {}
    Ok(())
}

/// Brings one segment over. False when there was none.
async fn move_oldest(keeper: &Keeper, spool: &Spool) -> Result<bool> {
    let Some(readings) = spool.read_oldest().await? else { return Ok(false) };
    let mut batch = Batch::default();
    for Reading { end, bytes, entry } in readings {
        match understand(keeper, entry).await {
            Ok(Item::Events(events)) => {
                if !batch.has_room_for(&events) {
                    std::mem::take(&mut batch).store(keeper, spool).await?;
                }
                batch.push(Part { end, bytes, events });
            }
            Ok(Item::Promised(refused)) => {
                std::mem::take(&mut batch).store(keeper, spool).await?;
                store_promised(keeper, refused).await?;
                spool.note_done(end);
            }
            Err((Error::Refused(reason), aside)) => {
                std::mem::take(&mut batch).store(keeper, spool).await?;
                set_aside(spool, end, &bytes, aside, &reason)?;
            }
            Err((error, _)) => return Err(error),
        }
    }
    batch.store(keeper, spool).await?;
    spool.remove_oldest()?;
    Ok(true)
}

enum Item {
    Events(Vec<NewEvent>),
    Promised(Refused),
}

async fn understand(keeper: &Keeper, entry: Result<Entry>) -> std::result::Result<Item, (Error, Aside)> {
    let Entry { at, content } = entry.map_err(|error| (error, Aside::Broken))?;
    let spooled = match content {
        Content::Promised(body) => return body.into_refused(at).map(Item::Promised).map_err(|error| (error, Aside::Broken)),
        Content::Events(spooled) => spooled,
    };
    let mut events = Vec::with_capacity(spooled.len());
    for event in spooled {
        let mut destinations = Vec::with_capacity(event.destinations.len());
        for name in &event.destinations {
            // One that left the configuration keeps its deliveries, as those in the store do.
            let id = match keeper.shared.store.destination_id(name) {
                Some(id) => Ok(id),
                None => keeper.shared.store.find_destination(name).await,
            };
            destinations.push(id.map_err(|error| (error, Aside::Refused))?);
        }
        events.push(event.into_new(destinations).map_err(|error| (error, Aside::Broken))?);
    }
    Ok(Item::Events(events))
}

/// What was promised is kept, whatever the bound of the quarantine.
async fn store_promised(keeper: &Keeper, refused: Refused) -> Result<()> {
    let size = refused.body.len();
    keeper.once(size, keeper.shared.store.quarantine(refused, QuarantineLimits { max_bytes: u64::MAX })).await.map(drop)
}

fn set_aside(spool: &Spool, end: usize, bytes: &[u8], aside: Aside, reason: &str) -> Result<()> {
    let path = spool.set_aside(end, bytes, aside)?;
    tracing::error!(file = %path.display(), "a record of the spool cannot be brought into the store and is kept in a file of its own, which `leadwire audit` lists: {reason}");
    spool.note_done(end);
    Ok(())
}

/// A record of events on its way.
struct Part {
    end: usize,
    bytes: Vec<u8>,
    events: Vec<NewEvent>,
}

/// Records that are written together.
#[derive(Default)]
struct Batch {
    parts: Vec<Part>,
    count: usize,
    size: usize,
}

impl Batch {
    fn has_room_for(&self, events: &[NewEvent]) -> bool {
        self.parts.is_empty() || (self.count + events.len() <= MOST_EVENTS && self.size + size_of(events) <= MOST_BYTES)
    }

    fn push(&mut self, part: Part) {
        self.count += part.events.len();
        self.size += size_of(&part.events);
        self.parts.push(part);
    }

    async fn store(self, keeper: &Keeper, spool: &Spool) -> Result<()> {
        let Some(end) = self.parts.last().map(|part| part.end) else { return Ok(()) };
        let all: Vec<NewEvent> = self.parts.iter().flat_map(|part| part.events.iter().cloned()).collect();
        match keeper.once(self.size, keeper.shared.store.receive(all)).await {
            Ok(_) => spool.note_done(end),
            // One that is refused must not keep the others.
            Err(Error::Refused(_)) => {
                for part in self.parts {
                    part.store_alone(keeper, spool).await?;
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Part {
    async fn store_alone(self, keeper: &Keeper, spool: &Spool) -> Result<()> {
        match keeper.once(size_of(&self.events), keeper.shared.store.receive(self.events)).await {
            Ok(_) => spool.note_done(self.end),
            Err(Error::Refused(reason)) => set_aside(spool, self.end, &self.bytes, Aside::Refused, &reason)?,
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
