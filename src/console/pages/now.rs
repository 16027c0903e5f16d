//! *Now*: what came in, what went out, what waits, what needs a person.

use super::filters;
use super::view::{Nav, View};
use crate::console::Console;
use crate::console::status::{Status, collect};
use crate::store::Counts;
use actix_web::{HttpResponse, web};
use askama::Template;

#[derive(Template)]
#[template(path = "now.html")]
struct Now<'a> {
    status: &'a Status,
    totals: Totals,
}

/// Over all sources and destinations; unknown as soon as one of them is.
struct Totals {
    received: Option<i64>,
    delivered: Option<i64>,
    pending: Option<i64>,
    dead: Option<i64>,
}

impl Totals {
    fn of(status: &Status) -> Self {
        let sum = |figure: fn(&Counts) -> i64| status.destinations.iter().map(|row| row.counts().map(figure)).sum();
        Self {
            received: status.sources.iter().map(|source| source.received).sum(),
            delivered: sum(|counts| counts.delivered),
            pending: sum(|counts| counts.pending),
            dead: sum(|counts| counts.dead),
        }
    }

    fn needs_a_person(&self) -> bool {
        self.dead.is_some_and(|dead| dead > 0)
    }
}

pub(in crate::console) async fn now(view: View, console: web::Data<Console>) -> HttpResponse {
    let status = collect(&console).await;
    let totals = Totals::of(&status);
    view.show("Now", Some(Nav::Now), &Now { status: &status, totals })
}
