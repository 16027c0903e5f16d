//! A plain load for stories that only count: who was answered with success.

use crate::harness::{Bridge, KEY, client, lead, signature};
use leadwire_connector::http::{Client, Method, Request};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Posts leads as fast as it is answered, from several connections, and writes down what was answered with success.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<Vec<u64>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn start(bridge: &Bridge, next: &Arc<AtomicU64>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(Mutex::new(Vec::new()));
        let url = format!("{}/hooks/acme", bridge.url);
        let tasks = (0..6)
            .map(|_| {
                let (client, url, stop, answered, next) =
                    (client(), url.clone(), Arc::clone(&stop), Arc::clone(&answered), Arc::clone(next));
                tokio::spawn(async move {
                    while !stop.load(Ordering::Relaxed) {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if post(&client, &url, n).await {
                            answered.lock().unwrap().push(n);
                        }
                    }
                })
            })
            .collect();
        Self { stop, answered, tasks }
    }

    /// How many were answered with success so far.
    pub(crate) fn answered(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Which ones.
    pub(crate) fn so_far(&self) -> BTreeSet<u64> {
        self.answered.lock().unwrap().iter().copied().collect()
    }

    pub(crate) async fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        std::mem::take(&mut *self.answered.lock().unwrap())
    }
}

async fn post(client: &Client, url: &str, n: u64) -> bool {
    let body = lead(n).to_string();
    let header = signature(KEY, body.as_bytes());
    let request = Request::new(Method::Post, url.parse().unwrap()).body("application/json", body).header("X-Webhook-Signature", header);
    client.send(&request).await.is_ok_and(|answer| answer.body.as_ref() == b"{\"status\":\"success\"}")
}
