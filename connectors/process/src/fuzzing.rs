//! What the fuzz targets reach of the inside. No part of the interface: a fuzzer needs functions of bytes, and the connector is one of
//! programs.

use crate::answer::Reader;
use crate::lines::{self, Line};
use crate::protocol::{FromChild, LONGEST_LINE, Message, ToChild, parse};
use leadwire_connector::{Event, Redactor, Report};
use serde_json::Map;
use tokio::io::BufReader;

/// Everything that is told, in logs and on pages, of what a child wrote about an event.
pub async fn told(output: &[u8], event: &Event, redactor: &Redactor) -> Vec<String> {
    let (mut from, mut line, mut told) = (BufReader::with_capacity(64, output), Vec::new(), Vec::new());
    while lines::next(&mut from, &mut line, LONGEST_LINE).await != Line::End {
        told.extend(tell(&line, event, redactor));
    }
    told
}

fn tell(line: &[u8], event: &Event, redactor: &Redactor) -> Vec<String> {
    let reader = Reader { who: "child", redactor, person: Some(&event.person), now: event.received_at };
    match parse(line) {
        Err(why) => vec![why],
        Ok(FromChild::Hello(hello)) => vec![format!("{:?}", hello.clean(redactor))],
        // The store keeps these for the child, and shows them to nobody but it and those who see the event.
        Ok(FromChild::Of(_, Message::Step { .. })) => Vec::new(),
        Ok(FromChild::Of(_, Message::Answer(answer))) => vec![
            format!("{:?}", reader.receipt(&answer)),
            format!("{:?}", reader.report(&answer, Report::default())),
            format!("{:?}", reader.preview(&answer)),
        ],
    }
}

/// The line that brings a child this event.
#[must_use]
pub fn sent(event: &Event) -> Vec<u8> {
    ToChild::Deliver { id: 1, delivery_id: "d-1", attempt: 1, event, steps: &Map::new() }.line()
}
