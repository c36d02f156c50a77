//! A connection inside another one. Both loops write to and read from each other, so neither may wait
//! for the other: what arrives is taken off the outer connection at once.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, join, split};
use tokio::sync::mpsc;
use tokio_util::io::StreamReader;

const CHUNK: usize = 64 << 10;

/// The same stream, whose input is always read. What waits in between is bounded by the windows of the
/// connection inside. Dropping it closes the stream.
pub(crate) fn decouple(
    stream: impl AsyncRead + AsyncWrite + Send + 'static,
) -> impl AsyncRead + AsyncWrite + Unpin + Send + 'static {
    let (mut input, output) = split(stream);
    let (sender, mut receiver) = mpsc::unbounded_channel::<std::io::Result<Bytes>>();
    tokio::spawn(async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK);
            let read = tokio::select! {
                () = sender.closed() => return,
                read = input.read_buf(&mut chunk) => read,
            };
            let last = !matches!(read, Ok(1..));
            if last && read.is_ok() {
                return;
            }
            if sender.send(read.map(|_| chunk.freeze())).is_err() || last {
                return;
            }
        }
    });
    let pieces = futures::stream::poll_fn(move |context| receiver.poll_recv(context));
    join(StreamReader::new(pieces), output)
}
