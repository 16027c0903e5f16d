//! The configuration of the running bridge.

use super::operation::{Answer, Operation};
use crate::console::actions::{self, Actor};
use crate::console::{Console, Kind, Refusal};
use actix_web::{HttpResponse, web};

pub(super) const OPERATIONS: &[Operation] = &[Operation {
    more: "What is under way ends by the settings it began with. A file that is wrong changes nothing: 409, with every fault in `detail`. \
        What only a restart takes is listed. Noted in the trail.",
    refusals: &[Kind::Conflict, Kind::TooMany],
    ..Operation::post("reload", "/reload", "Read the configuration again", Answer::One("Reloaded"), || web::post().to(reload))
}];

async fn reload(console: web::Data<Console>, actor: Actor) -> Result<HttpResponse, Refusal> {
    Ok(super::ok(&actions::reload(&console, &actor).await?))
}
