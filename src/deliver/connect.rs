//! From the settings of a destination to its connector.

use super::StoredValues;
use crate::config;
use crate::store::{DestinationId, Store};
use async_trait::async_trait;
use leadwire_connector::http::HttpSettings;
use leadwire_connector::{
    Background, Build, BuildContext, Connector, Delivery, DeliveryError, Erased, ErrorKind, Event, Kept, PreviewRequest, Receipt, Report,
    Steps, ValueStore,
};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// What a check looked at when it could not be made at all.
pub const SET_UP: &str = "set-up";

/// The connector of a destination, built when it is first needed. What it keeps, such as renewed tokens, is kept `at` its place in the
/// store; without one it is kept in memory, which is right only where nothing is asked of the destination.
#[must_use]
pub fn connect(
    name: &str,
    destination: config::Destination,
    delivery: &config::Delivery,
    at: Option<(&Store, DestinationId)>,
) -> LateConnector {
    let http = HttpSettings {
        connect_timeout: delivery.connect_timeout,
        timeout: delivery.timeout,
        block_private_addresses: delivery.block_private_addresses,
        quotas: at.and_then(|(store, _)| store.figures().destination(name)).map(|figures| figures.quotas.clone()).unwrap_or_default(),
        ..HttpSettings::default()
    };
    let context = BuildContext::new(name).with_base_directory(destination.base_directory).with_http(http);
    let context = match at {
        Some((store, id)) => context.with_values(Arc::new(StoredValues::new(store, id))),
        None => context,
    };
    LateConnector { settings: Arc::from(destination.settings), context, built: Arc::default() }
}

/// A connector that is set up at its first use, and again at the next when that failed: a folder on a disk that is not mounted
/// yet must not keep the bridge from receiving.
#[derive(Clone)]
pub struct LateConnector {
    settings: Arc<dyn Build>,
    context: BuildContext,
    built: Arc<OnceCell<Box<dyn Connector>>>,
}

impl std::fmt::Debug for LateConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LateConnector").field("context", &self.context).finish_non_exhaustive()
    }
}

impl LateConnector {
    /// The connector, set up.
    ///
    /// # Errors
    /// What keeps it from being set up.
    pub async fn get(&self) -> Result<&dyn Connector, DeliveryError> {
        // Opening a folder may take a while on a slow disk, and must not keep other lanes waiting.
        let build = || async {
            let (settings, context) = (Arc::clone(&self.settings), self.context.clone());
            let built = tokio::task::spawn_blocking(move || settings.build(&context)).await;
            built.unwrap_or_else(|_| Err("setting it up panicked; this is a bug in its connector".to_owned()))
        };
        let failed = |reason: String| DeliveryError::retry(ErrorKind::Unreachable, format!("the destination cannot be set up: {reason}"));
        self.built.get_or_try_init(build).await.map(AsRef::as_ref).map_err(failed)
    }
}

impl LateConnector {
    /// The same destination, not set up yet.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { settings: Arc::clone(&self.settings), context: self.context.clone(), built: Arc::default() }
    }

    /// The same destination, not set up yet, with what it keeps kept there.
    #[must_use]
    pub fn keeping_in(&self, values: Arc<dyn ValueStore>) -> Self {
        Self { context: self.context.clone().with_values(values), ..self.again() }
    }

    /// The same destination, not set up yet, with the work waited for there that outlives deliveries.
    #[must_use]
    pub fn with_background(&self, background: Background) -> Self {
        Self { context: self.context.clone().with_background(background), ..self.again() }
    }

    /// What is kept on our side and `wanted` says yes to; sets nothing up.
    ///
    /// # Errors
    /// What is in the way, in a sentence for a person.
    pub fn kept(&self, wanted: &dyn Fn(&Kept) -> bool) -> Result<Vec<Kept>, String> {
        self.settings.kept(&self.context, wanted)
    }
}

#[async_trait]
impl Connector for LateConnector {
    async fn deliver(&self, delivery: &Delivery, steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        self.get().await?.deliver(delivery, steps).await
    }

    /// Sets it up: a folder may hold a file that a crash left open, and no lead may come for days.
    async fn prepare(&self) -> Result<(), DeliveryError> {
        self.get().await?.prepare().await
    }

    async fn check(&self) -> Report {
        match self.get().await {
            Ok(connector) => connector.check().await,
            Err(error) => Report::default().bad(SET_UP, error.message),
        }
    }

    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        self.get().await?.erase(deliveries).await
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        self.settings.build(&self.context).map_err(|reason| DeliveryError::retry(ErrorKind::Configuration, reason))?.preview(event)
    }
}
