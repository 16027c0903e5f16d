//! How long each small part takes: `cargo bench --bench micro`. For what must not grow unnoticed, `make instructions` counts instead.

#![allow(clippy::unwrap_used, clippy::allow_attributes)]

mod parts;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use leadwire::store::{NewEvent, Store};
use std::sync::Arc;
use uuid::Uuid;

const BATCH: u64 = 64;

fn small_parts(criterion: &mut Criterion) {
    for (name, ready) in parts::PARTS {
        criterion.bench_function(name, |bencher| bencher.iter(ready()));
    }
}

/// A batch of leads into SQLite, durable. Its instructions are not counted: the work is the writer's own thread, which puts together what
/// is there, and pages split when they are full.
fn store_batch(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(&folder.path().join("l.db"), &["acme".to_owned()], &["crm".to_owned()]).unwrap();
    let ownership = runtime.block_on(store.take_ownership()).unwrap();
    let crm = store.destination_id("crm").unwrap();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(BATCH)).sample_size(20);
    let batch = || -> Vec<NewEvent> { (0..BATCH).map(|_| new_event(crm)).collect() };
    group.bench_function("batch_of_64", |bencher| {
        bencher.iter_batched(batch, |batch| runtime.block_on(store.receive(batch)).unwrap(), BatchSize::PerIteration);
    });
    group.finish();
    drop(ownership);
}

fn new_event(destination: leadwire::store::DestinationId) -> NewEvent {
    let mut event = parts::event();
    event.id = Uuid::now_v7();
    let mut content_key = [0; 24];
    content_key[8..].copy_from_slice(event.id.as_bytes());
    let body = serde_json::to_string(&event).unwrap();
    NewEvent { event: Arc::new(event), content_key, person_key: None, destinations: vec![destination], body, receipt: None }
}

criterion_group!(benches, small_parts, store_batch);
criterion_main!(benches);
