//! `leadwire demo`: the whole way of a lead in one process and a temporary folder, for everyone to see.
//!
//! The bridge is the real one, with its listener, its store and its retries; only the two ends are simulated.

mod proof;
mod timeline;
mod world;

use super::show::line;
use super::simulate::interrupted;
use super::{Context, Failure};
use crate::simulate::{SampleKind, Samples, write};
use crate::store::{EventFilter, EventRow};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use leadwire_connector::simulator::{FaultKind, FaultRule};
use proof::Proof;
use serde_json::json;
use std::io::IsTerminal as _;
use std::pin::pin;
use std::time::{Duration, Instant};
use timeline::Timeline;
use world::World;

const TICK: Duration = Duration::from_millis(100);
/// Ticks between two steps of the story, and between two leads after it.
const STEP_TICKS: u64 = 3;
const LATER_TICKS: u64 = 30;
/// How long the last deliveries may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// So many events are looked at while they travel; at the end, all.
const WATCHED: u32 = 50;
/// Every so many later leads, there is trouble again.
const TROUBLE_EVERY: u64 = 8;
/// Below the number of failures in a row after which the bridge lets a destination rest for seconds.
const FAULTS: u32 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End by itself; fails unless everything arrived.
    #[arg(long)]
    once: bool,
    /// How many leads the story has.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    leads: u32,
    /// The same seed makes the same people.
    #[arg(long)]
    seed: Option<u64>,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Post(SampleKind),
    /// The sender missed the answer and posts the same body again.
    Again,
    /// The CRM answers 503 so many times.
    Trouble(u32),
}

/// Leads, trouble in the middle, a repetition, an appointment and a chat log.
fn story(leads: u32) -> Vec<Step> {
    let mut steps: Vec<Step> = (0..leads).map(|_| Step::Post(SampleKind::Lead)).collect();
    steps.insert(steps.len().min(3), Step::Trouble(FAULTS));
    steps.extend([Step::Again, Step::Post(SampleKind::Appointment), Step::Post(SampleKind::ChatLog)]);
    steps
}

pub(super) async fn run(args: DemoArgs, context: &Context) -> Result<(), Failure> {
    let world = Box::pin(World::start(context)).await?;
    let mut stage = Stage::new(world, args.seed, context.json);
    stage.say(&stage.world.introduction())?;
    stage.play(&story(args.leads), args.once).await?;
    Box::pin(stage.end(context)).await
}

/// The running demo.
struct Stage {
    world: World,
    samples: Samples,
    timeline: Timeline,
    live: ProgressBar,
    is_silent: bool,
    /// The last lead, for posting it again.
    last: Option<Bytes>,
    posted: Vec<SampleKind>,
    repeated: usize,
    later: u64,
}

impl Stage {
    fn new(world: World, seed: Option<u64>, is_silent: bool) -> Self {
        let has_colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let timeline = Timeline::new(world.stations(), has_colour);
        let live = if is_silent { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        live.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { world, samples: Samples::start(seed), timeline, live, is_silent, last: None, posted: Vec::new(), repeated: 0, later: 0 }
    }

    /// Prints lines above what is shown live.
    fn say(&self, text: &str) -> Result<(), Failure> {
        if self.is_silent { Ok(()) } else { self.live.suspend(|| line(text)) }
    }

    /// Plays the story, then goes on until the process is asked to stop unless it is to end by itself. Returns when everything
    /// that was posted has ended, or after a while.
    async fn play(&mut self, story: &[Step], once: bool) -> Result<(), Failure> {
        let mut steps = story.iter().copied();
        let mut stop = pin!(interrupted());
        let mut last_step: Option<Instant> = None;
        for tick in 0_u64.. {
            if last_step.is_none() && tick % STEP_TICKS == 0 {
                match steps.next() {
                    Some(step) => self.perform(step).await?,
                    None if once => last_step = Some(Instant::now()),
                    None if tick % LATER_TICKS == 0 => self.go_on().await?,
                    None => {}
                }
            }
            let has_ended = self.look().await?;
            if last_step.is_some_and(|since| has_ended || since.elapsed() > PATIENCE) {
                break;
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                stopped = &mut stop => {
                    stopped?;
                    if last_step.replace(Instant::now()).is_some() {
                        return Err(Failure::Failed("stopped before everything had arrived".to_owned()));
                    }
                    stop.set(interrupted());
                }
            }
        }
        Ok(())
    }

    /// A lead, and now and then trouble before it.
    async fn go_on(&mut self) -> Result<(), Failure> {
        self.later += 1;
        if self.later.is_multiple_of(TROUBLE_EVERY) {
            self.perform(Step::Trouble(1)).await?;
        }
        self.perform(Step::Post(SampleKind::Lead)).await
    }

    async fn perform(&mut self, step: Step) -> Result<(), Failure> {
        match step {
            Step::Trouble(times) => self.trouble(times),
            Step::Again => {
                let Some(body) = self.last.clone() else { return Ok(()) };
                self.repeated += 1;
                self.post(&body).await
            }
            Step::Post(kind) => {
                let body = write(&self.samples.make(kind, Timestamp::now()), self.world.sender.form);
                self.posted.push(kind);
                if kind == SampleKind::Lead {
                    self.last = Some(body.clone());
                }
                self.post(&body).await
            }
        }
    }

    async fn post(&self, body: &Bytes) -> Result<(), Failure> {
        let mut why = String::new();
        let is_taken = self.world.sender.send(body, |tried, _| why = tried.told().to_owned()).await;
        if is_taken { Ok(()) } else { Err(Failure::Failed(format!("the bridge did not take what was posted: {why}"))) }
    }

    fn trouble(&self, times: u32) -> Result<(), Failure> {
        let Some(crm) = self.world.crms.first() else { return Ok(()) };
        crm.server.order(FaultRule::next(times, FaultKind::Status(503)));
        let often = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        self.say(&self.timeline.remark(&format!("trouble: {} answers 503, {often}", crm.destination), Timestamp::now()))
    }

    /// Shows what is new. Returns whether everything has ended.
    async fn look(&mut self) -> Result<bool, Failure> {
        let rows = self.rows(WATCHED).await?;
        let pending = self.timeline.pending(&rows);
        self.live.set_message(pending.join("\n"));
        for text in self.timeline.update(&rows, Timestamp::now()) {
            self.say(&text)?;
        }
        self.live.tick();
        Ok(pending.is_empty())
    }

    async fn rows(&self, limit: u32) -> Result<Vec<EventRow>, Failure> {
        Ok(self.world.bridge.store.events(EventFilter { limit, ..EventFilter::default() }).await?)
    }

    /// Proves that all of it arrived, stops everything and says what to do next.
    async fn end(self, context: &Context) -> Result<(), Failure> {
        self.live.finish_and_clear();
        let rows = self.rows(u32::MAX).await?;
        let audit = self.world.bridge.store.audit().await?;
        let proof = Proof::new(&self.posted, self.repeated, &rows, &audit, &self.world.look());
        let summary = format!("\n{}\n{}", proof.summary(), self.world.farewell());
        self.say(&summary)?;
        if context.json {
            let folder = &self.world.folder;
            context.print_json(
                &json!({"arrived": proof.holds(), "problems": proof.problems, "folder": folder, "audit": audit, "events": rows}),
            )?;
        }
        self.world.stop().await;
        if proof.holds() { Ok(()) } else { Err(Failure::Silent) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use crate::connectors;

    #[test]
    fn the_story_has_trouble_while_leads_come() {
        let steps = story(8);
        let leads = |steps: &[Step]| steps.iter().filter(|step| **step == Step::Post(SampleKind::Lead)).count();
        let trouble = steps.iter().position(|step| matches!(step, Step::Trouble(_))).unwrap();
        assert_eq!((leads(&steps[..trouble]), leads(&steps[trouble..])), (3, 5));
        assert_eq!(story(1)[..2], [Step::Post(SampleKind::Lead), Step::Trouble(FAULTS)]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everything_arrives() {
        let context = Context { config: "none".into(), connectors: connectors::builtin(), json: false, server: None };
        let world = Box::pin(World::start(&context)).await.unwrap();
        let folder = world.folder.clone();
        let mut stage = Stage::new(world, Some(1), true);
        stage.play(&story(4), true).await.unwrap();
        Box::pin(stage.end(&context)).await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }
}
