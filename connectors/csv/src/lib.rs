#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod config;
mod files;
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
use std::path::PathBuf;

/// The connector as the bridge's registry lists it.
pub const KIND: ConnectorKind = ConnectorKind {
    name: "csv",
    about: "CSV files in a folder: finished ones, or one that grows each day",
    reference: include_str!("../README.md"),
    parse: config::parse,
    simulator: None,
};

/// One folder that rows go to.
struct Csv {
    directory: PathBuf,
    table: map::Table,
    rotation: files::Rotation,
    writer: writer::Writer,
    #[cfg(feature = "s3")]
    uploads: Option<(s3::Bucket, s3::Uploader)>,
}

impl Csv {
    #[cfg(not(feature = "s3"))]
    fn open(settings: &config::Settings, context: &BuildContext) -> Result<Self, String> {
        let directory = context.base_directory.join(&settings.directory);
        let writer = Self::writer(settings, context, None)?;
        Ok(Self { directory, table: settings.table.clone(), rotation: settings.rotation, writer })
    }

    #[cfg(feature = "s3")]
    fn open(settings: &config::Settings, context: &BuildContext) -> Result<Self, String> {
        let directory = context.base_directory.join(&settings.directory);
        let bucket = settings.s3.as_ref().map(s3::Bucket::new);
        let hidden = directory.join(files::HIDDEN);
        let outbox = bucket.as_ref().map(|bucket| std::sync::Arc::new(outbox::Outbox::new(&hidden, bucket.place())));
        // Opening the folder locks it, so that nobody else uploads what waits in it.
        let writer = Self::writer(settings, context, outbox.clone())?;
        let uploads = match (&settings.s3, bucket, outbox) {
            (Some(keys), Some(bucket), Some(outbox)) => {
                let client = leadwire_connector::http::Client::new(&context.http)?;
                let uploader = s3::Uploader::start(bucket.clone(), client, outbox, keys.max_lag(), &context.destination)?;
                Some((bucket, uploader))
            }
            _ => None,
        };
        Ok(Self { directory, table: settings.table.clone(), rotation: settings.rotation, writer, uploads })
    }

    fn writer(
        settings: &config::Settings,
        context: &BuildContext,
        outbox: Option<std::sync::Arc<outbox::Outbox>>,
    ) -> Result<writer::Writer, String> {
        let directory = context.base_directory.join(&settings.directory);
        let header = settings.table.header().map_err(|error| error.to_string())?;
        let plan = files::Plan { directory, header, rotation: settings.rotation, outbox };
        writer::Writer::start(plan, &context.destination)
    }

    /// While finished files do not reach the bucket, no further delivery counts as made.
    #[cfg(feature = "s3")]
    fn objection(&self) -> Option<DeliveryError> {
        self.uploads.as_ref().and_then(|(_, uploader)| uploader.objection(leadwire_connector::reexport::Timestamp::now()))
    }

    #[cfg(not(feature = "s3"))]
    fn objection(&self) -> Option<DeliveryError> {
        None
    }

    /// A write that failed is an outage of the folder: it costs the breaker, not the lead.
    fn outage(&self, why: &str) -> DeliveryError {
        DeliveryError::retry(ErrorKind::Server, format!("no row can be written in {}: {why}", self.directory.display()))
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
        let file = self.writer.append(row).await.map_err(|why| self.outage(&why))?;
        Ok(Receipt::Delivered { record: file.map(|id| Record { id, url: None }), remark })
    }

    async fn check(&self) -> Report {
        let report = match self.writer.probe().await {
            Ok(found) => Report::default().good("folder", format!("{} can be written{found}", self.directory.display())),
            Err(why) => Report::default().bad("folder", format!("{} cannot be written: {why}", self.directory.display())),
        };
        #[cfg(feature = "s3")]
        if let Some((_, uploader)) = &self.uploads {
            return uploader.check(report).await;
        }
        report
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let name = self.rotation.file_name(event.received_at, 1);
        let (url, body) = (self.directory.join(&name).display().to_string(), self.table.preview(event)?);
        let row = PreviewRequest { method: "APPEND".to_owned(), url, body, ..PreviewRequest::default() };
        #[cfg(feature = "s3")]
        if let Some((bucket, _)) = &self.uploads {
            return Ok(vec![row, bucket.preview(&name)]);
        }
        Ok(vec![row])
    }

    /// Files that somebody moved away are out of reach.
    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        let places = self.writer.erase(deliveries.to_vec()).await;
        let failed =
            |why| DeliveryError::retry(ErrorKind::Server, format!("rows in {} cannot be removed: {why}", self.directory.display()));
        places.map(Erased::Looked).map_err(failed)
    }
}
