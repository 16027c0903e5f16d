//! Rows as a visitor may see them.

use crate::console::Mask;
use crate::store::{DeadCause, DeliveryRow, EventDetail, EventRow, Missed};
use leadwire_connector::PreviewRequest;

pub(super) fn event(mask: Mask, mut row: EventRow) -> EventRow {
    mask.event(&mut row.event);
    if let Some(receipt) = row.receipt.as_mut().filter(|_| mask.hides()) {
        receipt.client = None;
    }
    row.deliveries = row.deliveries.into_iter().map(|row| delivery(mask, row)).collect();
    row
}

pub(super) fn detail(mask: Mask, mut detail: EventDetail) -> EventDetail {
    detail.row = event(mask, detail.row);
    for (_, attempt) in &mut detail.attempts {
        for text in [&mut attempt.message, &mut attempt.excerpt] {
            *text = text.take().map(|text| mask.text(&text).into_owned());
        }
    }
    detail
}

/// What others said of a delivery may repeat what they were sent.
pub(super) fn delivery(mask: Mask, mut row: DeliveryRow) -> DeliveryRow {
    row.remark = row.remark.map(|remark| mask.text(&remark).into_owned());
    row
}

pub(super) fn cause(mask: Mask, mut cause: DeadCause) -> DeadCause {
    cause.message = mask.text(&cause.message).into_owned();
    cause
}

pub(super) fn missed(mask: Mask, mut missed: Missed) -> Missed {
    missed.email = missed.email.map(|email| mask.email(&email).into_owned());
    missed.phone = missed.phone.map(|phone| mask.phone(&phone).into_owned());
    missed
}

pub(super) fn request(mask: Mask, mut request: PreviewRequest) -> PreviewRequest {
    request.url = mask.page(&request.url).into_owned();
    mask.json(&mut request.body);
    request
}
