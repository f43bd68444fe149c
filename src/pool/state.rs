//! What the operator sees of a pool, and the backends that he takes out of it for a while.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::member::{Member, Standing};
use super::{Pool, Seat};
use crate::config::Check;
use crate::lifecycle::clock::Instant;

/// A pool as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolState {
    /// Its name in the configuration.
    pub pool: String,
    /// Clients that wait for a place.
    pub waiting: usize,
    /// How many may.
    pub queue: usize,
    /// Clients that got none.
    pub refused: u64,
    /// Requests that were tried on another backend.
    pub retries: u64,
    /// Those that the budget did not allow.
    pub retries_refused: u64,
    /// In the order of the configuration.
    pub backends: Vec<BackendState>,
}

/// A backend as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackendState {
    /// As the configuration names it.
    pub backend: String,
    /// Its share.
    pub weight: u32,
    /// Whether it is only used when no other can be.
    pub is_backup: bool,
    /// Whether clients may be given to it.
    pub is_usable: bool,
    /// Whether the operator has taken it out.
    pub is_drained: bool,
    /// Open connections, handshakes and health checks among them.
    pub open: usize,
    /// How many there may be; absent: any number.
    pub cap: Option<usize>,
    /// Handshakes in flight.
    pub handshakes: usize,
    /// How often it was ejected.
    pub ejections: u64,
    /// Failures in a row.
    pub failures: usize,
    /// For how long it is still ejected.
    pub ejected_for: Option<Duration>,
    /// What health checks have found; absent: there are none.
    pub checks: Option<Checks>,
}

/// What health checks have found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checks {
    /// It is not out of service by them.
    pub is_passing: bool,
    /// Since the last one began; absent: none has yet.
    pub last: Option<Duration>,
}

impl Pool {
    /// How it stands now.
    #[must_use]
    pub(crate) fn state(&self) -> PoolState {
        let places = &self.places;
        PoolState {
            pool: self.name.clone(),
            waiting: places.waiting(),
            queue: self.wishes.queue,
            refused: places.refused.load(Ordering::Relaxed),
            retries: places.retries.load(Ordering::Relaxed),
            retries_refused: places.retries_refused.load(Ordering::Relaxed),
            backends: self.seats.iter().map(|seat| self.backend_state(seat)).collect(),
        }
    }

    fn backend_state(&self, seat: &Seat) -> BackendState {
        let (member, now, cap) = (&seat.member, Instant::now(), self.places.cap());
        let is_checked = self.wishes.health.check != Check::Off;
        let (failures, ejected_for, is_passing, checked) = member.told(|standing: &Standing| {
            let ejected_for = standing.ejected_until.and_then(|until| until.checked_duration_since(now));
            (standing.failures, ejected_for.filter(|time| !time.is_zero()), !standing.down, standing.checked)
        });
        let last = checked.map(|checked| now.saturating_duration_since(checked));
        BackendState {
            backend: member.backend.url.clone(),
            weight: seat.weight,
            is_backup: seat.backup,
            is_usable: member.is_usable(now),
            is_drained: member.is_drained(),
            open: member.open(),
            cap: (cap != usize::MAX).then_some(cap),
            handshakes: member.handshakes(),
            ejections: member.ejections.load(Ordering::Relaxed),
            failures,
            ejected_for,
            checks: is_checked.then_some(Checks { is_passing, last }),
        }
    }

    /// From now on the backend of this name gets nobody, or it does again. It goes over to the pools after a reload that
    /// have it too. `None`: there is none.
    pub(crate) fn drain(&self, backend: &str, is_drained: bool) -> Option<()> {
        let member = self.named(backend)?;
        member.drain(is_drained);
        if !is_drained {
            self.serve_queue();
        }
        Some(())
    }

    /// Whether the backend of this name gets nobody. `None`: there is none.
    #[must_use]
    pub(crate) fn is_drained(&self, backend: &str) -> Option<bool> {
        self.named(backend).map(|member| member.is_drained())
    }

    fn named(&self, backend: &str) -> Option<&Arc<Member>> {
        self.members().find(|member| member.backend.url == backend)
    }
}
