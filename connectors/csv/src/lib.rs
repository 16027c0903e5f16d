#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

mod config;
mod files;
mod index;
mod map;
mod part;
mod rows;
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
}

impl Csv {
    fn open(settings: &config::Settings, context: &BuildContext) -> Result<Self, String> {
        let directory = context.base_directory.join(&settings.directory);
        let table = settings.table.clone();
        let header = table.header().map_err(|error| error.to_string())?;
        let plan = files::Plan { directory: directory.clone(), header, rotation: settings.rotation };
        let writer = writer::Writer::start(plan, &context.destination)?;
        Ok(Self { directory, table, rotation: settings.rotation, writer })
    }

    /// A write that failed is an outage of the folder: it costs the breaker, not the lead.
    fn outage(&self, why: &str) -> DeliveryError {
        DeliveryError::retry(ErrorKind::Server, format!("no row can be written in {}: {why}", self.directory.display()))
    }
}

#[async_trait]
impl Connector for Csv {
    async fn deliver(&self, delivery: &Delivery, _steps: &mut Steps<'_>) -> Result<Receipt, DeliveryError> {
        let row = self.table.row(&delivery.event, &delivery.id)?;
        let row_was_cut = row.is_cut;
        let file = self.writer.append(row).await.map_err(|why| self.outage(&why))?;
        let remark = row_was_cut.then(|| format!("a cell was cut to {} characters", map::CELL_MOST));
        Ok(Receipt::Delivered { record: file.map(|id| Record { id, url: None }), remark })
    }

    async fn check(&self) -> Report {
        match self.writer.probe().await {
            Ok(found) => Report::default().good("folder", format!("{} can be written{found}", self.directory.display())),
            Err(why) => Report::default().bad("folder", format!("{} cannot be written: {why}", self.directory.display())),
        }
    }

    fn preview(&self, event: &Event) -> Result<Vec<PreviewRequest>, DeliveryError> {
        let file = self.directory.join(self.rotation.file_name(event.received_at, 1));
        let body = self.table.preview(event)?;
        Ok(vec![PreviewRequest { method: "APPEND".to_owned(), url: file.display().to_string(), body, ..PreviewRequest::default() }])
    }

    /// Files that somebody moved away are out of reach.
    async fn erase(&self, deliveries: &[String]) -> Result<Erased, DeliveryError> {
        let places = self.writer.erase(deliveries.to_vec()).await;
        let failed =
            |why| DeliveryError::retry(ErrorKind::Server, format!("rows in {} cannot be removed: {why}", self.directory.display()));
        places.map(Erased::Looked).map_err(failed)
    }
}
