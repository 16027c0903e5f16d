//! What the API can do: one table of operations, from which the routes, the checks of what is asked, and the document are made. So an
//! operation that is not in the document cannot be reached, and a parameter that is not in it is refused.

use crate::console::{Kind, Role};
use actix_web::Route;

/// Something that can be asked for.
pub(super) struct Operation {
    /// Its name in the document.
    pub(super) id: &'static str,
    pub(super) verb: Verb,
    /// Behind `/api/v1`, with `{name}` for what varies.
    pub(super) path: &'static str,
    /// In a few words.
    pub(super) about: &'static str,
    /// What else there is to know.
    pub(super) more: &'static str,
    /// Who may ask.
    pub(super) role: Role,
    pub(super) parameters: &'static [Parameter],
    /// The schema of the body, for those that take one.
    pub(super) body: Option<&'static str>,
    pub(super) answer: Answer,
    /// Refusals besides those that every operation may answer with.
    pub(super) refusals: &'static [Kind],
    pub(super) route: fn() -> Route,
}

impl Operation {
    /// One that only reads; the rest is filled in with `..`.
    pub(super) const fn get(id: &'static str, path: &'static str, about: &'static str, answer: Answer, route: fn() -> Route) -> Self {
        let (verb, role) = (Verb::Get, Role::Read);
        Self { id, verb, path, about, more: "", role, parameters: &[], body: None, answer, refusals: &[], route }
    }

    /// One that takes a body.
    pub(super) const fn post(id: &'static str, path: &'static str, about: &'static str, answer: Answer, route: fn() -> Route) -> Self {
        Self { verb: Verb::Post, role: Role::Operate, ..Self::get(id, path, about, answer, route) }
    }
}

/// The method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

impl Verb {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// A parameter of the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    pub(super) about: &'static str,
}

/// How a parameter is written.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    Text,
    /// A moment, a day, or an age.
    Moment,
    Flag,
    /// One of these words.
    Word(&'static [&'static str]),
    /// How many, at most.
    Limit,
    /// What `next` of the page before said.
    Cursor,
}

/// What is answered.
pub(super) enum Answer {
    /// One thing of this schema.
    One(&'static str),
    /// A list of things of this schema, whole.
    List(&'static str),
    /// A page of a longer list.
    Page(&'static str),
    /// This very document.
    Document,
    /// Server-sent events.
    Stream,
}

/// Entries on a page, if nobody says otherwise, and at most.
pub(super) const PAGE: u32 = 50;
pub(super) const LONGEST_PAGE: u32 = 200;

pub(super) const LIMIT: Parameter = Parameter { name: "limit", shape: Shape::Limit, about: "How many at most; a page may have fewer." };
pub(super) const CURSOR: Parameter =
    Parameter { name: "cursor", shape: Shape::Cursor, about: "The next page: what `next` of the page before said." };
pub(super) const SINCE: Parameter = Parameter { name: "since", shape: Shape::Moment, about: "Received at or after." };

pub(super) const fn text(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, shape: Shape::Text, about }
}

pub(super) const fn flag(name: &'static str, about: &'static str) -> Parameter {
    Parameter { name, shape: Shape::Flag, about }
}

pub(super) const fn word(name: &'static str, words: &'static [&'static str], about: &'static str) -> Parameter {
    Parameter { name, shape: Shape::Word(words), about }
}
