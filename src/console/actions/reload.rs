//! Reading the configuration again.

use super::Actor;
use crate::config::{Diagnostics, Reloaded};
use crate::console::{Console, Kind, Refusal};
use crate::store::{Error, NewAction};
use tokio::sync::{mpsc, oneshot};

/// So many may wait; more than one means that somebody is impatient.
const MOST_WAITING: usize = 4;

/// A wish to have the configuration read again.
#[derive(Debug)]
pub struct Reload {
    /// Who wishes it, for the trail.
    pub by: NewAction,
    /// Where to say what came of it.
    pub answer: oneshot::Sender<Result<Reloaded, Unchanged>>,
}

/// Why everything goes on as before.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unchanged {
    /// The new configuration is wrong.
    #[error("{0}")]
    Faulty(Diagnostics),
    /// The store did not take what has to be noted.
    #[error("{0}")]
    Store(#[from] Error),
}

/// Where wishes go.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<Reload>);

impl Reloads {
    /// With the end that whoever can read the configuration listens at.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Reload>) {
        let (wishes, wished) = mpsc::channel(MOST_WAITING);
        (Self(wishes), wished)
    }
}

/// Has the configuration read again, and tells what is different now.
///
/// # Errors
/// When the visitor may not, the new configuration is wrong, or the store fails; everything goes on as before then.
pub async fn reload(console: &Console, actor: &Actor) -> Result<Reloaded, Refusal> {
    actor.may_act()?;
    let (answer, answered) = oneshot::channel();
    let wish = Reload { by: actor.acts("reload", "configuration", 1), answer };
    console.reloads.0.try_send(wish).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => {
            Refusal::new(Kind::TooMany, "the configuration is being read already; look at what holds then")
        }
        mpsc::error::TrySendError::Closed(_) => no_file(),
    })?;
    match answered.await {
        Ok(Ok(reloaded)) => Ok(reloaded),
        Ok(Err(Unchanged::Faulty(faults))) => Err(Refusal::new(Kind::Conflict, format!("nothing has changed: {faults}"))),
        Ok(Err(Unchanged::Store(error))) => Err(error.into()),
        Err(_) => Err(Refusal::new(Kind::Unavailable, "the bridge is stopping")),
    }
}

fn no_file() -> Refusal {
    Refusal::new(Kind::Conflict, "this bridge was not started with a configuration file that could be read again")
}
