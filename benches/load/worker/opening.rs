//! How one connection comes about: TCP, TLS and the upgrade, each with its time.

use std::time::Instant;

use wsgate::client::dial::{DialError, Line, dial};
use wsgate::client::{self, Socket, UpgradeError};
use wsgate::wire::head::{Answer, Nonsense};
use wsgate::wire::offer::accept_for;

use super::super::tally::Kind;
use super::{Handshakes, Seat, Worker};

impl Worker {
    /// Waits for its turn to open: in order, so many a second, or after a random time.
    pub(super) async fn take_turn(&self, generation: usize) {
        let now = self.pacer.now();
        let jitter = self.control.jitter();
        if jitter > 0 && self.control.generation() > generation {
            let wait = u64::from_le_bytes(client::random()) % jitter;
            return self.pacer.until(now + wait).await;
        }
        let turn = self.next_open.get().max(now);
        self.next_open.set(turn + self.control.pace());
        self.pacer.until(turn).await;
    }

    /// Opens one connection; what fails is counted.
    pub(super) async fn open(&self, seat: Seat) -> Option<Socket> {
        let aim = &self.aim;
        let tls = aim.tls.as_ref().map(|(handshakes, name)| {
            let Handshakes { full, resumed } = handshakes;
            let tls = if self.control.resume() { &resumed[seat.index % resumed.len()] } else { full };
            (tls.clone(), name.clone())
        });
        let from = (!aim.sources.is_empty()).then(|| aim.sources[seat.index % aim.sources.len()]);
        let dialled = dial(&Line { to: aim.address, from, tls }).await;
        let (mut socket, steps) = match dialled {
            Ok(dialled) => dialled,
            Err(error) => {
                let (step, error) = match error {
                    DialError::Tcp(error) => ("TCP", error),
                    DialError::Tls(error) => ("TLS", error),
                };
                self.tally.borrow_mut().error(&format!("{step}: {error}"));
                return None;
            }
        };
        {
            let mut tally = self.tally.borrow_mut();
            tally.record(Kind::Tcp, steps.tcp.as_micros() as u64);
            if let Some(tls) = steps.tls {
                tally.resumed += u64::from(steps.resumed);
                tally.record(if steps.resumed { Kind::TlsResumed } else { Kind::Tls }, tls.as_micros() as u64);
            }
        }
        self.upgrade(&mut socket, seat).await.then_some(socket)
    }

    async fn upgrade(&self, socket: &mut Socket, seat: Seat) -> bool {
        let start = Instant::now();
        let key = client::key(client::random());
        let place = &self.aim.places[self.speaker(seat).room % self.aim.places.len()];
        let request = place.request(&key, &self.aim.headers);
        let answer = client::upgrade(socket, request.as_bytes(), &accept_for(&key), &self.aim.subprotocols).await;
        let mut tally = self.tally.borrow_mut();
        match answer {
            Ok((Answer::Switched { .. }, _)) => {
                tally.record(Kind::Upgrade, start.elapsed().as_micros() as u64);
                return true;
            }
            Ok((Answer::Refused(refused), _)) => {
                *tally.refusals.entry(refused.status.to_string()).or_default() += 1;
            }
            Err(UpgradeError::Nonsense(Nonsense::Status(status))) => {
                *tally.refusals.entry(status.to_string()).or_default() += 1;
            }
            Err(error) => tally.error(&format!("upgrade: {error}")),
        }
        false
    }
}
