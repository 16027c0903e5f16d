//! The bytes of a connection, in the clear or through TLS. The handshake is made when something is read or written for the first time, so
//! that it counts among what the connection owes.

use super::Tls;
use super::room::Seat;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// A connection.
pub(super) struct Stream {
    kind: Kind,
    pub(super) seat: Arc<Seat>,
}

enum Kind {
    Plain(TcpStream),
    Handshake(Box<Accept<TcpStream>>),
    Tls(Box<TlsStream<TcpStream>>),
    /// The handshake failed.
    Broken,
}

/// Whatever it is read from and written to.
trait Bytes: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Bytes for T {}

impl Stream {
    pub(super) fn new(tcp: TcpStream, tls: Option<&Tls>, seat: &Arc<Seat>) -> Self {
        let kind = match tls {
            None => Kind::Plain(tcp),
            Some(tls) => {
                // A session ticket and the first answer are two writes; the second must not wait until the first is acknowledged.
                let _ = tcp.set_nodelay(true);
                Kind::Handshake(Box::new(TlsAcceptor::from(tls.config()).accept(tcp)))
            }
        };
        Self { kind, seat: Arc::clone(seat) }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<&mut dyn Bytes>> {
        if let Kind::Handshake(handshake) = &mut self.kind {
            let done = ready!(Pin::new(handshake.as_mut()).poll(context));
            self.kind = done.map_or(Kind::Broken, |stream| Kind::Tls(Box::new(stream)));
        }
        Poll::Ready(match &mut self.kind {
            Kind::Plain(stream) => Ok(stream),
            Kind::Tls(stream) => Ok(stream.as_mut()),
            Kind::Handshake(_) | Kind::Broken => Err(Error::new(ErrorKind::ConnectionAborted, "no TLS was agreed on")),
        })
    }

    fn note<T>(&self, written: Poll<T>) -> Poll<T> {
        self.seat.note_write(written.is_ready());
        written
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let stream = ready!(self.poll_ready(context))?;
        let read = Pin::new(stream).poll_read(context, buffer);
        if read.is_ready() {
            self.seat.note_read();
        }
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let stream = ready!(self.poll_ready(context))?;
        let written = Pin::new(stream).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        // Nothing is written before the handshake, so there is nothing to flush; what would wait for it here waits in vain.
        if matches!(self.kind, Kind::Handshake(_)) {
            return Poll::Ready(Ok(()));
        }
        let stream = ready!(self.poll_ready(context))?;
        let flushed = Pin::new(stream).poll_flush(context);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        if matches!(self.kind, Kind::Handshake(_)) {
            return Poll::Ready(Ok(()));
        }
        let stream = ready!(self.poll_ready(context))?;
        Pin::new(stream).poll_shutdown(context)
    }
}
