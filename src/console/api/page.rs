//! Pages of long lists.

use crate::console::Refusal;
use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use serde::Serialize;
use serde_json::value::RawValue;

/// Bytes of a page. Chat logs are long, and a page of them need not be whole.
const MOST_BYTES: usize = 8 << 20;

/// A page, as it is answered.
#[derive(Serialize)]
struct Page {
    items: Vec<Box<RawValue>>,
    /// The cursor of the next one.
    next: Option<String>,
}

/// The page of these rows, of which one more than `limit` was asked for, to know whether there are more. `cursor` is that of a row which
/// ends a page.
pub(super) fn page<T: Serialize>(rows: &[T], limit: u32, cursor: impl Fn(&T) -> String) -> Result<HttpResponse, Refusal> {
    let (mut items, mut bytes, mut last) = (Vec::new(), 0, None);
    let count = rows.len();
    for row in rows.iter().take(limit as usize) {
        let item = serde_json::value::to_raw_value(row).map_err(|_| failed())?;
        bytes += item.get().len();
        if bytes > MOST_BYTES && !items.is_empty() {
            break;
        }
        items.push(item);
        last = Some(row);
    }
    let next = last.filter(|_| items.len() < count).map(cursor);
    let body = serde_json::to_string(&Page { items, next }).map_err(|_| failed())?;
    Ok(HttpResponse::Ok().content_type(ContentType::json()).body(body))
}

fn failed() -> Refusal {
    Refusal::new(crate::console::Kind::Internal, "the answer cannot be written; the log of the bridge says more")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::allow_attributes)]
    use super::*;
    use actix_web::body::to_bytes;
    use serde_json::Value;

    async fn told(rows: Vec<String>, limit: u32) -> (usize, Value) {
        let response = page(&rows, limit, |row| row.chars().take(1).collect()).unwrap();
        let value: Value = serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
        (value["items"].as_array().unwrap().len(), value["next"].clone())
    }

    #[actix_web::test]
    async fn the_last_page_has_no_next_one() {
        let rows = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(told(rows(0), 2).await, (0, Value::Null));
        assert_eq!(told(rows(2), 2).await, (2, Value::Null));
        assert_eq!(told(rows(3), 2).await, (2, Value::from("1")));
    }

    #[actix_web::test]
    async fn a_page_of_long_rows_is_short_and_not_empty() {
        let long = |name: &str| format!("{name}{}", "x".repeat(MOST_BYTES * 2 / 3));
        assert_eq!(told(vec![long("a"), long("b"), long("c")], 9).await, (1, Value::from("a")));
        assert_eq!(told(vec![format!("d{}", "x".repeat(2 * MOST_BYTES))], 9).await, (1, Value::Null));
    }
}
