//! The desk's connection: made, lost, and made again; and what each beat says about it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::RedisError;
use tokio::sync::mpsc;

use super::{Answer, Desk};
use crate::hub::cluster::chapter::Chapter;
use crate::hub::cluster::connect::{Connection, Line, Trouble, trouble};
use crate::hub::cluster::flight::{Address, Concern, Gear, Job};
use crate::hub::cluster::inlet::Inlet;
use crate::lifecycle::clock;

/// The first wait before Redis is tried again; twice as long each time.
const FIRST: Duration = Duration::from_millis(100);

/// How long a gateway that stops tries to say so.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whether there is a connection.
pub(super) enum Link {
    /// The first try is under way, or has not been made.
    Down,
    /// A try has failed, or a connection was lost.
    Lost,
    /// It is there.
    Up(Box<Gear>, Box<Line>),
}

impl Link {
    pub(super) const fn is_up(&self) -> bool {
        matches!(self, Self::Up(..))
    }

    /// Whether it is known that Redis is not there.
    pub(super) const fn is_down(&self) -> bool {
        matches!(self, Self::Lost)
    }

    pub(super) fn gear(&self) -> Option<Gear> {
        match self {
            Self::Up(gear, _) => Some(Gear::clone(gear)),
            Self::Down | Self::Lost => None,
        }
    }
}

impl Desk {
    /// Tries to connect after a while.
    pub(super) fn connect(&self, wait: Duration) {
        let (way, answers, scripts) = (Arc::clone(&self.way), self.answers.clone(), std::rc::Rc::clone(&self.scripts));
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            clock::sleep(wait).await;
            let connected = async {
                let mut connected = way.connect().await?;
                // So that the first messages do not overtake one another while the script is still unknown.
                scripts.add.load_async(&mut connected.line).await?;
                match connected.time().await {
                    Ok(millis) => shared.time.learn(millis),
                    // An ACL may not allow the question: then this machine's clock has to do.
                    Err(error) if trouble(&error) == Trouble::Refused => {}
                    Err(error) => return Err(error),
                }
                Ok(Box::new(connected))
            };
            let _ = answers.send(Answer::Connected(connected.await));
        });
    }

    pub(super) fn connected(&mut self, connected: Result<Box<Connection>, RedisError>) {
        match connected {
            Ok(connected) => self.up(*connected),
            Err(error) => {
                if self.failures == 0 {
                    tracing::warn!(redis = %self.shared.wishes.place, %error, "redis cannot be reached: rooms are apart");
                }
                self.down();
            }
        }
    }

    fn up(&mut self, connection: Connection) {
        let Connection { line, patient, listener, pushes } = connection;
        (self.generation, self.connections) = (self.generation + 1, self.connections + 1);
        if self.connections > 1 {
            self.shared.facts.reconnects.add(1);
        }
        self.shared.facts.up.set(1);
        tracing::info!(redis = %self.shared.wishes.place, node = %self.shared.node, "redis is there: rooms are together");
        let gear = Gear {
            line,
            listener,
            scripts: std::rc::Rc::clone(&self.scripts),
            node: Arc::clone(&self.shared.node),
            expiry: self.shared.wishes.expiry,
        };
        self.link = Link::Up(Box::new(gear), Box::new(patient));
        (self.pushes, self.lost, self.canary) = (Some(pushes), None, None);
        let chapters: Vec<Arc<Chapter>> = self.chapters.values().cloned().collect();
        chapters.iter().for_each(|chapter| self.enlist(chapter));
        let rooms: Vec<Address> = self.rooms.keys().cloned().collect();
        rooms.iter().for_each(|address| self.start(address));
    }

    /// A hub is there from now on.
    pub(super) fn begin(&mut self, chapter: &Arc<Chapter>) {
        self.chapters.insert(Arc::clone(chapter.prefix()), Arc::clone(chapter));
        self.tell_law(chapter);
        self.enlist(chapter);
    }

    fn enlist(&mut self, chapter: &Arc<Chapter>) {
        let Link::Up(gear, patient) = &self.link else { return };
        let inlet = Inlet {
            chapter: Arc::clone(chapter),
            gear: Gear::clone(gear),
            patient: Line::clone(patient),
            facts: Arc::clone(&self.shared.facts),
        };
        let (generation, answers) = (self.generation, self.answers.clone());
        self.tasks.spawn(async move {
            let error = inlet.run().await;
            let _ = answers.send(Answer::Ended(generation, error));
        });
        self.fly(Job::Begin(Arc::clone(chapter)));
        self.ask_law(chapter);
        self.fly(Job::Lead(Arc::clone(chapter)));
    }

    /// A question has failed.
    pub(super) fn failed(&mut self, concern: Concern, error: &RedisError) {
        match (trouble(error), concern) {
            (Trouble::Gone, _) => self.lose(error),
            (Trouble::Refused, Concern::Room(address)) => {
                tracing::warn!(room = %address.1, %error, "redis refuses a room: it is apart");
                // It goes on alone, and is tried again at the next beat.
                let now = self.shared.time.now();
                if let Some(room) = self.rooms.get_mut(&address) {
                    room.lost(now);
                }
            }
            (Trouble::Refused, Concern::Leaving(address)) => {
                tracing::warn!(room = %address.1, %error, "redis refuses a question");
                self.left(&address);
            }
            (Trouble::Refused, Concern::Law(prefix)) => {
                tracing::warn!(%error, "redis refuses what moderators decide: it holds here alone");
                self.without_law(&prefix);
            }
            (Trouble::Refused, Concern::Nobody) => tracing::warn!(%error, "redis refuses a question"),
        }
    }

    /// The connection is of no use any more.
    pub(super) fn lose(&mut self, error: &RedisError) {
        if self.link.is_up() {
            tracing::warn!(redis = %self.shared.wishes.place, %error, "redis is gone: rooms are apart");
            self.down();
        }
    }

    fn down(&mut self) {
        (self.link, self.pushes) = (Link::Lost, None);
        self.generation += 1;
        self.shared.facts.up.set(0);
        self.jobs.clear();
        self.leads.clear();
        self.lawless();
        self.lost.get_or_insert_with(Instant::now);
        self.leaving.clear();
        let now = self.shared.time.now();
        self.rooms.values_mut().for_each(|room| room.lost(now));
        let wait = back_off(self.failures, self.shared.wishes.reconnect);
        self.failures = self.failures.saturating_add(1);
        self.connect(wait);
    }

    /// Every third of the expiry: a word through Redis and back, who is here, who leads, and what could not be done.
    pub(super) fn beat(&mut self) {
        if !self.link.is_up() {
            if self.lost.is_some_and(|lost| lost.elapsed() > self.shared.wishes.expiry) {
                self.rooms.values().for_each(super::Desked::forget_others);
            }
            return;
        }
        let late = self.shared.wishes.expiry / 3;
        if self.canary.is_some_and(|sent| sent.elapsed() >= late) {
            return self.lose(&RedisError::from((redis::ErrorKind::Io, "channels bring nothing any more")));
        }
        self.failures = 0;
        let chapters: Vec<Arc<Chapter>> = self.chapters.values().cloned().collect();
        if let Some(chapter) = chapters.first() {
            self.canary = Some(Instant::now());
            self.fly(Job::Publish(chapter.node(&self.shared.node), "{\"beat\":\"\"}".to_owned()));
        }
        chapters.iter().for_each(|chapter| {
            self.fly(Job::Lead(Arc::clone(chapter)));
            self.ask_law(chapter);
        });
        let rooms: Vec<Address> = self.rooms.keys().cloned().collect();
        rooms.iter().for_each(|address| self.attend(address));
        self.stranded().iter().for_each(|address| self.start(address));
    }

    /// Nobody is here any more: the others hear of it at once, if Redis answers in time.
    pub(super) async fn leave(mut self, answers: &mut mpsc::UnboundedReceiver<Answer>) {
        let rooms: Vec<Address> = self.rooms.keys().cloned().collect();
        rooms.iter().for_each(|address| self.close(address));
        let Some(mut gear) = self.link.gear() else { return };
        let time = self.way.timeout.min(FAREWELL);
        let last = async {
            while self.flying > 0 {
                match answers.recv().await {
                    Some(answer @ Answer::Flown(..)) => self.answer(answer),
                    Some(_) => {}
                    None => return,
                }
            }
            for chapter in self.chapters.values() {
                let mut cede = gear.scripts.cede.key(chapter.lease());
                let _ = cede.arg(&*gear.node).invoke_async::<i64>(&mut gear.line).await;
            }
        };
        let _ = clock::timeout(time, last).await;
    }
}

/// Twice as long each time, up to `most`, and never for all gateways the same.
fn back_off(failures: u32, most: Duration) -> Duration {
    let wait = FIRST.saturating_mul(1 << failures.min(16)).min(most);
    // Keys of a hash table are chance enough to come at another time than the others.
    let chance = RandomState::new().hash_one(failures) % 1000;
    wait / 2 + wait.mul_f64(0.0005 * f64::from(u32::try_from(chance).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_have_an_end() {
        let most = Duration::from_secs(5);
        for (failures, least, end) in [(0, 50, 100), (3, 400, 800), (10, 2500, 5000), (u32::MAX, 2500, 5000)] {
            let wait = back_off(failures, most);
            assert!(
                (Duration::from_millis(least)..=Duration::from_millis(end)).contains(&wait),
                "{failures}: {wait:?}"
            );
        }
    }
}
