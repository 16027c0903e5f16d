//! One request, as far as its connection is concerned: when it is here as a whole, and when its answer is gone.

use super::room::Seat;
use actix_http::{BoxedPayloadStream, Payload, Request, Response, error::PayloadError};
use actix_service::Service;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use bytes::Bytes;
use futures_util::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

type Chunk = Result<Bytes, PayloadError>;

/// Has the app answer, and notes in the connection's seat how far it is.
pub(super) fn serve<A, B>(mut request: Request, app: &A) -> impl Future<Output = Result<Response<Answer>, A::Error>> + use<A, B>
where
    A: Service<Request>,
    A::Future: 'static,
    A::Response: Into<Response<B>>,
    B: MessageBody + 'static,
{
    let seat = request.conn_data::<Arc<Seat>>().cloned();
    let mut is_together = false;
    let served = seat.map(|seat| {
        let payload = std::mem::replace(request.payload(), Payload::None);
        let has_body = !matches!(payload, Payload::None);
        is_together = seat.begin(has_body);
        if has_body {
            let body: BoxedPayloadStream = Box::pin(Incoming { payload, seat: Arc::clone(&seat) });
            *request.payload() = Payload::Stream { payload: body };
        }
        Served(seat)
    });
    let answer = app.call(request);
    async move {
        // Whoever sends many at once has one answered in each turn; those with one only need not wait for all of them.
        if is_together {
            tokio::task::yield_now().await;
        }
        let response: Response<B> = answer.await?.into();
        Ok(response.map_body(|_, body| Answer { body: BoxBody::new(body), _served: served }))
    }
}

/// The body of a request.
struct Incoming {
    payload: Payload,
    seat: Arc<Seat>,
}

impl Stream for Incoming {
    type Item = Chunk;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        let chunk = Pin::new(&mut self.payload).poll_next(context);
        if matches!(chunk, Poll::Ready(None)) {
            self.seat.has_all();
        }
        chunk
    }
}

/// Ends with the answer, or with the connection.
#[derive(Debug)]
struct Served(Arc<Seat>);

impl Drop for Served {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The body of an answer. It is dropped when the last of it was taken to be sent.
#[derive(Debug)]
pub(super) struct Answer {
    body: BoxBody,
    _served: Option<Served>,
}

impl MessageBody for Answer {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
