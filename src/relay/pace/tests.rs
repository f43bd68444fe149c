//! Frames for a backend that reads when it likes, on a paused clock.

use super::*;
use crate::socket::Transport;
use std::future::poll_fn;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;

fn frame(text: &str) -> Vec<u8> {
    crate::wire::frame::whole(Opcode::Text, text.as_bytes(), Some([0; 4]))
}

fn pong(text: &str) -> Vec<u8> {
    crate::wire::frame::whole(Opcode::Pong, text.as_bytes(), Some([0; 4]))
}

struct Way {
    pace: Pace,
    backend: Socket,
    far: UnixStream,
}

impl Way {
    fn new() -> Self {
        let (ours, far) = UnixStream::pair().expect("a pair");
        let backend = Socket::plain(Transport::Unix(ours));
        Self { pace: Pace::new(&backend, Duration::from_secs(7), true), backend, far }
    }

    /// Where the backend's queue cannot be seen.
    fn blind() -> Self {
        let mut way = Self::new();
        way.pace.sign = Sign::Reply;
        way
    }

    async fn send(&mut self, frame: &[u8]) {
        let Self { pace, backend, .. } = self;
        poll_fn(|cx| {
            pace.send(cx, backend, frame);
            Poll::Ready(())
        })
        .await;
    }

    /// What may be written by now, and whether that is all.
    async fn turn(&mut self) -> bool {
        let Self { pace, backend, .. } = self;
        poll_fn(|cx| Poll::Ready(pace.poll(cx, backend).is_ready())).await
    }

    fn hear(&mut self) {
        self.pace.heard(&self.backend);
    }

    async fn wait(&mut self) {
        let Self { pace, backend, .. } = self;
        poll_fn(|cx| pace.poll(cx, backend)).await;
    }

    /// What one read of the backend brings.
    async fn read(&mut self) -> Vec<u8> {
        let mut room = vec![0; 4096];
        let count = self.far.read(&mut room).await.expect("open");
        room.truncate(count);
        room
    }
}

#[tokio::test(start_paused = true)]
async fn one_read_brings_one_frame() {
    let mut way = Way::new();
    assert!(matches!(way.pace.sign, Sign::Queue(_)));
    let frames: Vec<_> = (0..20).map(|number| frame(&number.to_string())).collect();
    for frame in &frames {
        way.send(frame).await;
    }
    for (at, frame) in frames.iter().enumerate() {
        assert!(at == 19 || !way.turn().await, "nothing is written before it is read");
        assert_eq!(way.read().await, *frame);
        if at < 19 {
            // Time passes by itself: the next look finds the queue empty.
            let before = way.pace.waiting();
            while way.pace.waiting() == before {
                tokio::time::sleep(FIRST_LOOK).await;
                way.turn().await;
            }
            assert_eq!(way.pace.waiting(), before - 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_after_a_read_one_is_written_at_once() {
    let mut way = Way::new();
    for text in ["one", "two", "three"] {
        way.send(&frame(text)).await;
        assert_eq!((way.pace.waiting(), way.read().await), (0, frame(text)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_of_the_backend_is_a_reason_to_look() {
    let mut way = Way::new();
    for text in ["one", "two", "three"] {
        way.send(&frame(text)).await;
    }
    let since = Instant::now();
    way.hear();
    assert!(!way.turn().await, "it has said something, and not read");
    for text in ["one", "two", "three"] {
        assert_eq!(way.read().await, frame(text));
        assert_eq!(way.turn().await, text == "three", "the next look is not due yet");
        way.hear();
        assert!(way.pace.unread.is_none(), "seen without a question later on");
        way.turn().await;
    }
    assert_eq!(since.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn where_the_queue_cannot_be_seen_a_reply_or_the_time_frees_the_next_frame() {
    let mut way = Way::blind();
    way.send(&frame("one")).await;
    way.send(&frame("two")).await;
    assert_eq!(way.read().await, frame("one"));
    assert!(!way.turn().await, "a read is not seen");
    way.hear();
    assert!(way.turn().await);
    assert_eq!(way.read().await, frame("two"));
    way.send(&frame("three")).await;
    let since = Instant::now();
    way.wait().await;
    assert_eq!(since.elapsed().as_secs(), 7);
    assert_eq!(way.read().await, frame("three"));
}

#[tokio::test(start_paused = true)]
async fn of_pongs_only_the_latest_waits() {
    let mut way = Way::blind();
    way.send(&frame("one")).await;
    for number in 0..1000 {
        way.send(&pong(&number.to_string())).await;
    }
    way.send(&frame("two")).await;
    assert_eq!(way.pace.waiting(), 2);
    way.hear();
    way.turn().await;
    way.hear();
    assert!(way.turn().await);
    assert_eq!(way.read().await, [frame("one"), pong("999"), frame("two")].concat());
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_was_read_is_not_given_back_and_one_that_was_not_is() {
    let texts = |left: VecDeque<Vec<u8>>| left.into_iter().collect::<Vec<_>>();
    for (was_reset, left) in [(true, vec![frame("two"), frame("three")]), (false, vec![frame("three")])] {
        let mut way = Way::new();
        way.send(&frame("one")).await;
        assert_eq!(way.read().await, frame("one"));
        way.send(&frame("two")).await;
        way.send(&frame("three")).await;
        assert_eq!(texts(way.pace.clear(was_reset)), left);
    }
    // Seen to be read; and where nothing is seen.
    for mut way in [Way::new(), Way::blind()] {
        way.send(&frame("one")).await;
        assert_eq!(way.read().await, frame("one"));
        let Way { pace, backend, .. } = &mut way;
        let _ = poll_fn(|cx| Poll::Ready(pace.poll_idle(cx, backend))).await;
        assert!(way.pace.clear(true).is_empty());
    }
}
