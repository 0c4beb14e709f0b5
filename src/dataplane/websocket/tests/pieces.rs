//! What a side hands over in pieces is written on from where it lies: it is not copied.

use std::collections::VecDeque;

use super::*;

/// A side that sends these pieces and nothing more, and tells where that was which is written to it.
struct Pieces {
    coming: VecDeque<Bytes>,
    written: Written,
}

/// Address and length of each write.
type Written = Rc<RefCell<Vec<(usize, usize)>>>;

impl AsyncRead for Pieces {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Pieces {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.borrow_mut().push((bytes.as_ptr().addr(), bytes.len()));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Side for Pieces {
    fn reset_when_dropped(&self) {}

    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn poll_take(&mut self, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<Option<Bytes>>> {
        self.coming.pop_front().map_or(Poll::Pending, |piece| Poll::Ready(Ok(Some(piece))))
    }
}

/// A message of that many bytes, and the beginning of the next one.
fn message(length: u16, next: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x82, 0xfe];
    bytes.extend(length.to_be_bytes());
    bytes.extend([1, 2, 3, 4]);
    bytes.resize(bytes.len() + usize::from(length), 7);
    bytes.extend(next);
    bytes
}

/// Where that was which the origin got of the viewer's pieces, the first of which came too early.
async fn written(pieces: &[Bytes]) -> Vec<(usize, usize)> {
    let registry = Registry::new(Waits::default());
    let admission = registry.admit(&shop()).unwrap();
    let loaded = cells_for_test(1).remove(0).enter(Load::Tunnel, None).unwrap();
    let terms =
        Terms { labels: labels(), life: Life::default(), loaded, witness: Box::new(Report::default()) };
    let written = Written::default();
    let side = |early: Bytes, coming: &[Bytes]| {
        let stream = Pieces { coming: coming.iter().cloned().collect(), written: Rc::clone(&written) };
        Upgraded { stream, early }
    };
    let viewer = side(pieces[0].clone(), &pieces[1..]);
    spawn_local(run(admission, terms, viewer, side(Bytes::new(), &[])));
    sleep(SECOND).await;
    written.take()
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn whole_pieces_are_written_from_where_they_lie() {
    let pieces =
        [message(5_000, &[]), message(60_000, &[])[..20_000].to_vec(), vec![7; 9_000]].map(Bytes::from);
    let expected: Vec<_> = pieces.iter().map(|piece| (piece.as_ptr().addr(), piece.len())).collect();
    assert_eq!(written(&pieces).await, expected);
}

#[tokio::test(flavor = "local", start_paused = true)]
async fn of_a_header_in_two_pieces_the_header_alone_is_copied() {
    let second = message(9_000, &[]);
    let pieces = [message(9_000, &second[..3]), second[3..].to_vec()].map(Bytes::from);
    let written = written(&pieces).await;
    let [whole, header, payload] = written[..] else { panic!("{written:?}") };
    assert_eq!(whole, (pieces[0].as_ptr().addr(), pieces[0].len() - 3));
    assert_eq!(header.1, 8);
    assert_eq!(payload, (pieces[1].as_ptr().addr() + 5, 9_000));
}
