//! *Now*: what came in, what went out, what waits, what needs a person.

use super::filters;
use super::plots::{Plots, Sum, Which, read};
use super::view::{Nav, View};
use crate::console::Console;
use crate::console::status::{Status, collect};
use crate::store::{Counts, Span};
use actix_web::{HttpResponse, web};
use askama::Template;

#[derive(Template)]
#[template(path = "now.html")]
struct Now<'a> {
    status: &'a Status,
    totals: Totals,
    /// Of the last hour; `None` while the store cannot be read.
    hour: Option<Sum>,
    plots: Plots,
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

pub(in crate::console) async fn now(view: View, console: web::Data<Console>, which: web::Query<Which>) -> HttpResponse {
    let status = collect(&console).await;
    let totals = Totals::of(&status);
    let hour = read(&console, Span::Hour).await.map(|tallies| Sum::of(tallies.points.iter().map(|point| &point.tally)));
    let plots = Plots::read(&console, &which).await;
    view.show("Now", Some(Nav::Now), &Now { status: &status, totals, hour, plots })
}
