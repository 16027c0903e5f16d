//! What people did, newest first: the trail of all actions, from pages, programs and commands.

use super::filters;
use super::view::{Nav, View};
use crate::console::{Console, Refusal};
use crate::store::{ActionFilter, ActionRow, INTERRUPTED};
use actix_web::{HttpResponse, web};
use askama::Template;
use serde::Deserialize;

/// Lines on a page.
const PAGE: u32 = 50;

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::console) struct Place {
    /// Lines before this one; the newest without.
    before: Option<i64>,
}

#[derive(Template)]
#[template(path = "trail.html")]
struct Trail {
    lines: Vec<Line>,
    is_newest: bool,
    older: Option<i64>,
}

/// A line of the trail, as it is shown.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) row: ActionRow,
    /// The class of its badge, and the word on it.
    pub(super) badge: (&'static str, &'static str),
}

impl Line {
    pub(super) fn of(row: ActionRow) -> Self {
        let badge = match (&row.ended_at, &row.failure) {
            (_, Some(failure)) if failure == INTERRUPTED => ("held", "interrupted"),
            (_, Some(_)) => ("down", "failed"),
            (Some(_), None) => ("fine", "done"),
            (None, None) => ("waiting", "under way"),
        };
        Self { row, badge }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.row.ended_at.is_none() && self.row.failure.is_none()
    }

    /// Whether what it left undone can be asked for once more.
    pub(super) fn can_go_on(&self) -> bool {
        self.row.failure.is_some() && self.row.again.is_some()
    }

    /// How many; of how many, when that is not the same.
    pub(super) fn amount(&self) -> String {
        let ActionRow { count, planned, .. } = self.row;
        if planned > count { format!("{count} of {planned}") } else { count.to_string() }
    }
}

pub(in crate::console) async fn trail(view: View, console: web::Data<Console>, place: web::Query<Place>) -> Result<HttpResponse, Refusal> {
    let filter = ActionFilter { before: place.before, limit: PAGE + 1, ..ActionFilter::default() };
    let mut rows = console.store.actions(filter).await?;
    let has_more = rows.len() > PAGE as usize;
    rows.truncate(PAGE as usize);
    let older = rows.last().filter(|_| has_more).map(|row| row.id);
    let content = Trail { lines: rows.into_iter().map(Line::of).collect(), is_newest: place.before.is_none(), older };
    Ok(view.show("What people did", Some(Nav::Person), &content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    #[test]
    fn a_line_tells_how_far_it_is() {
        let row = ActionRow {
            id: 1,
            at: Timestamp::UNIX_EPOCH,
            who: "ann".to_owned(),
            client: None,
            action: "replay".to_owned(),
            target: "crm".to_owned(),
            planned: 500,
            count: 100,
            detail: String::new(),
            ended_at: None,
            failure: None,
            again: None,
        };
        let (going, done) =
            (Line::of(row.clone()), Line::of(ActionRow { count: 500, ended_at: Some(Timestamp::UNIX_EPOCH), ..row.clone() }));
        assert_eq!((going.badge.1, going.amount().as_str(), going.is_under_way()), ("under way", "100 of 500", true));
        assert_eq!((done.badge.1, done.amount().as_str(), done.is_under_way()), ("done", "500", false));
        assert_eq!(Line::of(ActionRow { failure: Some("disk full".to_owned()), ..row.clone() }).badge.1, "failed");
        let stopped = Line::of(ActionRow { failure: Some(INTERRUPTED.to_owned()), again: Some(BTreeMap::new()), ..row });
        assert_eq!((stopped.badge.1, stopped.is_under_way(), stopped.can_go_on()), ("interrupted", false, true));
    }
}
