//! `/api/v1`: everything that the pages show and do, for programs, as JSON. `docs/openapi.json` describes it; it is made from the same
//! table as the routes.
//!
//! A new operation is a handler and an entry in the table of its file.

mod acts;
mod asked;
mod configuration;
mod deliveries;
mod destinations;
mod document;
mod events;
mod figures;
mod masked;
mod missed;
mod operation;
mod page;
mod quarantine;
mod status;
mod trail;
mod trial;

use super::{Kind, Refusal, Visitor, live};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::ALLOW;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, ServiceConfig};
use actix_web::{Error, HttpMessage as _, HttpResponse};
use asked::Asked;
use operation::{Answer, Operation};
use std::collections::BTreeMap;

/// Before every path of the table.
const BASE: &str = "/api/v1";

const OWN: &[Operation] = &[
    Operation {
        more: "It never needs more than a token: whoever writes a client starts here.",
        ..Operation::get("getDocument", "/openapi.json", "This document", Answer::Document, || web::get().to(document::show))
    },
    Operation {
        more: "A message whenever something has changed, at most one every 250 ms, and a comment every 15 s while nothing does. It says \
            that something changed, and not what: ask again for what you show. A client that comes back with `Last-Event-ID` and missed \
            something is told at once. 64 clients at most; others get 429.",
        refusals: &[Kind::TooMany],
        ..Operation::get("watch", "/live", "Be told of changes (server-sent events)", Answer::Stream, || web::get().to(live::watch))
    },
];

/// The whole table, in the order of the document.
fn operations() -> impl Iterator<Item = &'static Operation> {
    let tables = [
        status::OPERATIONS,
        events::OPERATIONS,
        deliveries::OPERATIONS,
        destinations::OPERATIONS,
        quarantine::OPERATIONS,
        missed::OPERATIONS,
        figures::OPERATIONS,
        trail::OPERATIONS,
        trial::OPERATIONS,
        acts::OPERATIONS,
        configuration::OPERATIONS,
        OWN,
    ];
    tables.into_iter().flatten()
}

/// The routes of the table.
pub(super) fn routes(config: &mut ServiceConfig) {
    let mut paths: BTreeMap<&str, Vec<&'static Operation>> = BTreeMap::new();
    for operation in operations() {
        paths.entry(operation.path).or_default().push(operation);
    }
    for (path, operations) in paths {
        let mut resource = web::resource(format!("{BASE}{path}"));
        for operation in &operations {
            resource = resource.route((operation.route)());
        }
        let allowed: Vec<&str> = operations.iter().map(|operation| operation.verb.as_str()).collect();
        let allowed = allowed.join(", ");
        let others = move || {
            let allowed = allowed.clone();
            async move { HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).finish() }
        };
        let strict = from_fn(move |request, next| admit(find(&operations, &request), request, next));
        config.service(resource.default_service(web::to(others)).wrap(strict));
    }
}

fn find(operations: &[&'static Operation], request: &ServiceRequest) -> Option<&'static Operation> {
    operations.iter().find(|operation| request.method() == operation.verb.as_str()).copied()
}

/// Lets a handler see only what its operation takes, from whom it takes it.
async fn admit(
    operation: Option<&'static Operation>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if let Some(operation) = operation {
        match judge(operation, &request) {
            Ok(asked) => {
                request.extensions_mut().insert(operation);
                request.extensions_mut().insert(asked);
            }
            // As an answer and not as an error: then it gets its form from what is around this.
            Err(refusal) => return Ok(request.error_response(refusal)),
        }
    }
    Ok(next.call(request).await?.map_into_boxed_body())
}

fn judge(operation: &Operation, request: &ServiceRequest) -> Result<Asked, Refusal> {
    let visitor = request.extensions().get::<Visitor>().cloned();
    let visitor = visitor.ok_or_else(|| Refusal::new(Kind::Unauthorized, "log in first"))?;
    if operation.role == super::Role::Operate {
        visitor.may_operate()?;
    }
    Asked::read(operation, request.query_string())
}

fn ok(value: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().json(value)
}

#[cfg(test)]
mod tests {
    use super::operation::Verb;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_a_name_of_its_own_and_a_place_of_its_own() {
        let names: BTreeSet<&str> = operations().map(|operation| operation.id).collect();
        let places: BTreeSet<(&str, &str)> = operations().map(|operation| (operation.path, operation.verb.as_str())).collect();
        assert_eq!((names.len(), places.len()), (operations().count(), operations().count()));
    }

    #[test]
    fn what_takes_a_body_takes_a_post() {
        for operation in operations() {
            assert!(operation.body.is_none() || operation.verb == Verb::Post, "{}", operation.id);
        }
    }
}
