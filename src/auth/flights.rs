//! The same question at the same time: one asks, and the others wait for its answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::cache::Digest;

/// Questions that are being asked. There are never more than there are clients who wait.
pub(super) struct Flights<T>(Mutex<HashMap<Digest, Flight<T>>>);

/// A question that is being asked.
struct Flight<T> {
    answer: Arc<OnceCell<T>>,
    /// Those who want to know. Counted here, under the lock: of two who leave at once one is the last.
    seats: usize,
}

/// One who wants to know.
pub(super) struct Seat<'f, T> {
    flights: &'f Flights<T>,
    digest: Digest,
    answer: Arc<OnceCell<T>>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// A seat among those who ask this.
    pub(super) fn join(&self, digest: Digest) -> Seat<'_, T> {
        let mut open = self.0.lock();
        let flight = open.entry(digest).or_insert_with(|| Flight { answer: Arc::default(), seats: 0 });
        flight.seats += 1;
        Seat { flights: self, digest, answer: Arc::clone(&flight.answer) }
    }
}

impl<T: Clone> Seat<'_, T> {
    /// The answer to this question: `ask` is used by the first, and by the next one in line when the one before was
    /// dropped without an answer. Whoever joins after the answer asks anew. Cancel safe.
    pub(super) async fn answer(&self, ask: impl AsyncFnOnce() -> T) -> T {
        let ask = async || {
            let answer = ask().await;
            self.close_if(|_| true);
            answer
        };
        self.answer.get_or_init(ask).await.clone()
    }
}

impl<T> Seat<'_, T> {
    /// Takes this flight off the list, and no later one of the same name.
    fn close_if(&self, is_over: impl FnOnce(&mut Flight<T>) -> bool) {
        let mut open = self.flights.0.lock();
        let own = open.get_mut(&self.digest).filter(|listed| Arc::ptr_eq(&listed.answer, &self.answer));
        if own.is_some_and(is_over) {
            open.remove(&self.digest);
        }
    }
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        self.close_if(|listed| {
            listed.seats -= 1;
            listed.seats == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::pending;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const NAME: Digest = [7; 32];

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_next_one_asks_when_the_first_has_gone() {
        let (flights, asked) = (Flights::default(), Cell::new(0));
        let count = || asked.set(asked.get() + 1);
        let (second, third) = (flights.join(NAME), flights.join(NAME));
        let told = |answer: Option<u8>| {
            async move || {
                count();
                match answer {
                    Some(answer) => answer,
                    None => pending().await,
                }
            }
        };
        let mut wait = pin!(second.answer(told(Some(2))));
        {
            let first = flights.join(NAME);
            let mut asking = pin!(first.answer(told(None)));
            assert!(poll(asking.as_mut()).is_pending() && poll(wait.as_mut()).is_pending());
            assert_eq!((asked.get(), flights.0.lock().len()), (1, 1));
        }
        assert_eq!((poll(wait.as_mut()), asked.get()), (Poll::Ready(2), 2));
        assert_eq!(poll(pin!(third.answer(told(Some(3))))), Poll::Ready(2), "it was waiting for that answer");
        let late = flights.join(NAME);
        drop(third);
        assert_eq!(poll(pin!(late.answer(told(Some(4))))), Poll::Ready(4), "what was asked before is over");
        drop(late);
        assert!(flights.0.lock().is_empty());
    }

    #[test]
    fn nothing_is_left_of_a_question_that_nobody_waits_for() {
        let flights = Flights::<u8>::default();
        let (first, second) = (flights.join(NAME), flights.join(NAME));
        drop(first);
        assert_eq!(flights.0.lock().len(), 1);
        drop(second);
        assert!(flights.0.lock().is_empty());
    }

    #[test]
    fn nothing_is_left_when_the_last_two_go_at_once() {
        let flights = Flights::<u8>::default();
        let (first, second) = (flights.join(NAME), flights.join(NAME));
        // What one has in hand between giving up its seat and being gone.
        let in_hand = Arc::clone(&first.answer);
        drop(first);
        assert_eq!(flights.0.lock().len(), 1);
        drop(second);
        assert!(flights.0.lock().is_empty());
        drop(in_hand);
    }
}
