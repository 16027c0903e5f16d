#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod config;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod map;
mod outbox;
mod part;
mod rows;
#[cfg(feature = "s3")]
mod s3;
mod scan;
mod writer;

use async_trait::async_trait;
use leadwire_connector::{
    BuildContext, Connector, ConnectorKind, Delivery, DeliveryError, Erased, ErrorKind, Event, PreviewRequest, Receipt, Record, Report,
    Steps,
};
use tokio::sync::OnceCell;

/// The connector as the bridge's registry lists it.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "csv",
    about: "CSV files in a folder: finished ones, or one that grows each day",
    reference: include_str!("../README.md"),
    parse: config::parse,
    schema: Some(config::schema),
    simulator: None,
};

/// One folder that rows go to. A check and a preview make nothing in it and work beside the bridge that owns it.
struct Csv {
    destination: String,
    table: map::Table,
    plan: files::Plan,
    #[cfg(feature = "s3")]
    uploader: Option<s3::Uploader>,
    running: OnceCell<Running>,
}

/// What owns the folder, from the first that is written or removed.
struct Running {
    writer: writer::Writer,
    #[cfg(feature = "s3")]
    _uploads: Option<s3::Uploads>,
}

impl Csv {
    fn new(settings: &config::Settings, context: &BuildContext) -> Result<Self, String> {
        let directory = context.base_directory.join(&settings.directory);
        let header = settings.table.header().map_err(|error| error.to_string())?;
        #[cfg(feature = "s3")]
        let uploader = settings.s3.as_ref().map(|keys| s3::Uploader::new(keys, context, &directory.join(files::HIDDEN))).transpose()?;
        #[cfg(feature = "s3")]
        let outbox = uploader.as_ref().map(s3::Uploader::outbox);
        #[cfg(not(feature = "s3"))]
        let outbox = None;
        Ok(Self {
            destination: context.destination.clone(),
            table: settings.table.clone(),
            plan: files::Plan { directory, header, rotation: settings.rotation, outbox },
            #[cfg(feature = "s3")]
            uploader,
            running: OnceCell::new(),
        })
    }

    /// Opens the folder, once; again at the next use when that failed.
    async fn running(&self) -> Result<&Running, String> {
        let start = || async {
            let (plan, destination) = (self.plan.clone(), self.destination.clone());
            // What an earlier run left is read through, which takes a while on a slow disk.
            let started = tokio::task::spawn_blocking(move || writer::Writer::start(plan, &destination)).await;
            let writer = started.map_err(|_| "opening the folder panicked; this is a bug".to_owned())??;
            // The folder is locked now, so that nobody else uploads what waits in it.
            Ok(Running {
                writer,
                #[cfg(feature = "s3")]
                _uploads: self.uploader.as_ref().map(s3::Uploader::start).transpose()?,
            })
        };
        self.running.get_or_try_init(start).await
    }

    /// While finished files do not reach the bucket, no further delivery counts as made.
    #[cfg(feature = "s3")]
    fn objection(&self) -> Option<DeliveryError> {
        self.uploader.as_ref().and_then(|uploader| uploader.objection(leadwire_connector::reexport::Timestamp::now()))
    }

    #[cfg(not(feature = "s3"))]
    fn objection(&self) -> Option<DeliveryError> {
        None
    }

    /// A write that failed is an outage of the folder: it costs the breaker, not the lead.
    fn outage(&self, why: &str) -> DeliveryError {
        DeliveryError::retry(ErrorKind::Server, format!("no row can be written in {}: {why}", self.plan.directory.display()))
    }
}

#[async_trait]
impl Connector for Csv {
    async fn deliver(&self, delivery: &Delivery, _steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        if let Some(objection) = self.objection() {
            return Err(objection);
        }
        let row = self.table.row(&delivery.event, &delivery.id)?;
        let remark = row.remark.clone();
        let running = self.running().await.map_err(|why| self.outage(&why))?;
        let file = running.writer.append(row).await.map_err(|why| self.outage(&why))?;
        Ok(Receipt::Delivered { record: file.map(|id| Record { id, url: None }), remark })
    }

    async fn check(&self) -> Report {
        let (directory, shown) = (self.plan.directory.clone(), self.plan.directory.display());
        let probed = tokio::task::spawn_blocking(move || files::probe(&directory).map_err(|error| files::explain(&error))).await;
        let report = match probed.unwrap_or_else(|_| Err("the look at it panicked; this is a bug".to_owned())) {
            Ok(found) => Report::default().good("folder", format!("{shown} {found}")),
            Err(why) => Report::default().bad("folder", format!("{shown} cannot be written: {why}")),
        };
        #[cfg(feature = "s3")]
        if let Some(uploader) = &self.uploader {
            return uploader.check(report).await;
        }
        report
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let name = self.plan.rotation.file_name(event.received_at, 1);
        let (url, body) = (self.plan.directory.join(&name).display().to_string(), self.table.preview(event)?);
        let row = PreviewRequest { method: "APPEND".to_owned(), url, body, ..PreviewRequest::default() };
        #[cfg(feature = "s3")]
        if let Some(uploader) = &self.uploader {
            return Ok(vec![row, uploader.preview(&name)]);
        }
        Ok(vec![row])
    }

    /// Files that somebody moved away are out of reach.
    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        let failed =
            |why| DeliveryError::retry(ErrorKind::Server, format!("rows in {} cannot be removed: {why}", self.plan.directory.display()));
        let running = self.running().await.map_err(failed)?;
        running.writer.erase(deliveries.to_vec()).await.map(Erased::Looked).map_err(failed)
    }

    /// Takes up the file that an earlier run left unfinished, and uploads what waits.
    async fn prepare(&self) -> Result<(), DeliveryError> {
        self.running().await.map(drop).map_err(|why| self.outage(&why))
    }
}
