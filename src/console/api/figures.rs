//! What the plots of the pages show.

use super::asked::Asked;
use super::ok;
use super::operation::{Answer, Operation, word};
use crate::console::{Console, Refusal};
use crate::store::Span;
use actix_web::{HttpResponse, web};
use jiff::Timestamp;

const SPANS: &[&str] = &["hour", "day", "week", "five_weeks"];

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    parameters: &[word(
        "span",
        SPANS,
        "Up to now: an hour by the minute, a day by the quarter of an hour, else by two hours. An hour without it.",
    )],
    more: "Of all bridges on the store together. Who is not in a step did nothing in it.",
    ..Operation::get("getFigures", "/figures", "What came in and what went out, in steps of time", Answer::One("Figures"), || {
        web::get().to(figures)
    })
}];

async fn figures(console: web::Data<Console>, asked: Asked) -> Result<HttpResponse, Refusal> {
    let span = match asked.text("span").as_deref() {
        Some("day") => Span::Day,
        Some("week") => Span::Week,
        Some("five_weeks") => Span::FiveWeeks,
        _ => Span::Hour,
    };
    Ok(ok(&console.store.tallies(span, Timestamp::now()).await?))
}
