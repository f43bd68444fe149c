//! The courses that profiles take: what is opened when, and how long messages are said.

use std::time::{Duration, Instant};

use super::super::arguments::Profile;
use super::super::plan::Micros;
use super::super::policy::{Expect, Span};
use super::{Conductor, Part};

/// Nothing more is under way when nothing came for so long.
pub(super) const SILENCE: Duration = Duration::from_secs(3);
/// Where some may have been sent home, and come back with what they have to say.
const LONG_SILENCE: Duration = Duration::from_secs(10);

/// Whether measuring ends with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measuring {
    GoesOn,
    Ends,
}

impl Conductor<'_> {
    /// Opens all, exchanges messages, waits for what is still under way.
    pub(super) fn exchange(&mut self) -> Result<(), String> {
        let (count, time) = (self.arguments.count()?, self.arguments.time);
        match (self.policy.expect, self.arguments.profile) {
            (Expect::Replies, _) => {
                self.open(count)?;
                self.weigh();
                self.begin(time);
                self.wait(time);
            }
            (Expect::Once, _) => {
                self.let_in(count)?;
                self.weigh();
                // From here on nobody waits to be let in by us.
                self.control.set_pace(0);
                self.silence = LONG_SILENCE;
                self.part("", time, Measuring::Ends);
            }
            (Expect::Deliveries, Profile::Slow) => self.without_and_with(count)?,
            (Expect::Deliveries, _) => {
                self.let_in(count)?;
                self.weigh();
                self.part("", time, Measuring::Ends);
            }
        }
        Ok(())
    }

    /// The same twice, in half the time each: among those who read, and with those among them who never do.
    fn without_and_with(&mut self, count: usize) -> Result<(), String> {
        let (readers, half) = (self.policy.readers, self.arguments.time / 2);
        self.let_in(readers)?;
        self.weigh();
        self.watch.is_on = true;
        let others = format!("with {} that never read", count - readers);
        let without = "without them";
        self.mark(without);
        self.part(without, half, Measuring::GoesOn);
        self.let_in(count)?;
        self.mark(&others);
        self.control.set_parted(self.now());
        self.part(&others, half, Measuring::Ends);
        Ok(())
    }

    /// Messages for so long, and until they have come.
    fn part(&mut self, name: &str, time: Duration, measuring: Measuring) {
        self.watch.most = None;
        let began = self.sample();
        self.begin(time);
        let span = Span { from: self.control.from(), until: self.control.until() };
        let (ended, memory) = (None, None);
        self.parts.push(Part { name: name.to_owned(), span, began, ended, memory });
        self.wait(time);
        if measuring == Measuring::Ends {
            self.end();
        }
        self.settle();
        let (ended, memory) = (self.sample(), self.watch.most);
        if let Some(part) = self.parts.last_mut() {
            (part.ended, part.memory) = (ended, memory);
        }
    }

    /// Waits for deliveries that are still under way: until nothing comes for some time, or all has come.
    fn settle(&mut self) {
        let due = |part: &Part| self.policy.due(part.span, true).iter().sum::<u64>();
        let all = self.parts.iter().map(due).sum::<u64>() as usize;
        let end = Instant::now() + 3 * self.silence + Duration::from_secs(11);
        self.stage = "waiting for what is under way".into();
        while self.control.delivered() < all && Instant::now() < end {
            let before = self.control.delivered();
            let is_more = self.wait_while(self.silence, |control| control.delivered() == before);
            if !is_more {
                return;
            }
        }
    }

    /// Opens so many, and waits until they are members.
    fn let_in(&mut self, count: usize) -> Result<(), String> {
        self.open(count)?;
        self.stage = "joining".into();
        let limit = self.arguments.patience;
        let all_in = self.wait_while(limit, |control| control.joined() + control.failed() < count);
        if !all_in && self.control.joined() == 0 {
            self.go_home()?;
            return Err("nobody was let in: no message came with what --joined says in it".to_owned());
        }
        let speech = &self.policy.speech;
        if count > self.policy.readers || (!speech.join.is_empty() && speech.joined.is_none()) {
            // They are not asked, or cannot be.
            self.wait(Duration::from_secs(1));
        }
        Ok(())
    }

    pub(super) fn connect(&mut self) {
        let half = self.arguments.time / 2;
        self.begin(self.arguments.time);
        let now = self.now();
        self.control.set_from(now);
        self.control.set_target(usize::MAX);
        for (name, resume) in [("full handshakes", false), ("resumed handshakes", true)] {
            self.mark(name);
            self.control.set_resume(resume);
            self.control.announce();
            let (before, since) = (self.control.ever(), Instant::now());
            self.wait(half);
            self.handshakes.push((self.control.ever() - before) as f64 / since.elapsed().as_secs_f64());
            if self.arguments.url.as_deref().is_some_and(|url| url.starts_with("ws:")) {
                self.wait(half);
                break;
            }
        }
    }

    /// Opens half, then all, each with a rest before the memory is read: what comes once is not in the slope.
    pub(super) fn idle(&mut self) -> Result<(), String> {
        let count = self.arguments.count()?;
        if self.probe.is_some() {
            self.open(count / 2)?;
            self.wait(Duration::from_secs(2));
            self.weigh();
        }
        self.open(count)?;
        self.wait(Duration::from_secs(2));
        self.weigh();
        self.mark("holding");
        self.begin(self.arguments.time);
        self.wait(self.arguments.time);
        Ok(())
    }

    pub(super) fn storm(&mut self) -> Result<(), String> {
        let count = self.arguments.count()?;
        self.open(count)?;
        self.control.set_pace(0);
        self.begin(Duration::from_secs(3600));
        for (name, jitter) in [("all at once", Duration::ZERO), ("with jitter", self.arguments.jitter())] {
            self.wait(Duration::from_secs(1));
            self.control.set_jitter(jitter.as_micros() as Micros);
            let cut = Instant::now();
            self.control.set_cut_at(cut.duration_since(self.epoch).as_micros() as Micros);
            self.control.set_generation(self.control.generation() + 1);
            self.control.announce();
            self.stage = format!("storm, {name}");
            let fell = self.wait_while(Duration::from_secs(5), |control| control.open() >= count);
            let back = fell && self.wait_while(Duration::from_secs(60), |control| control.open() < count);
            let took = cut.elapsed().as_secs_f64();
            let open = self.control.open();
            let name = if back {
                format!("{name}: all {count} back after {took:.2} s")
            } else {
                format!("{name}: {open} of {count} back after {took:.0} s")
            };
            self.live.say(&name);
            self.mark_at(&name, cut);
        }
        self.wait(Duration::from_secs(1));
        Ok(())
    }

    pub(super) fn ramp(&mut self) -> Result<(), String> {
        let stages = self.arguments.stages()?;
        let total = stages.iter().map(|stage| stage.time).sum();
        self.pace();
        self.begin(total);
        for stage in stages {
            self.mark(&format!("{} connections", stage.connections));
            self.control.set_target(stage.connections);
            self.control.announce();
            self.wait(stage.time);
        }
        Ok(())
    }

    fn now(&self) -> Micros {
        self.epoch.elapsed().as_micros() as Micros
    }

    fn open(&mut self, count: usize) -> Result<(), String> {
        self.pace();
        self.control.set_target(count);
        self.control.announce();
        let limit = self.arguments.patience + Duration::from_secs_f64(count as f64 / self.arguments.open_rate.max(0.1));
        self.wait_while(2 * limit, |control| control.open() + control.failed() < count);
        if self.control.open() == 0 {
            let tally = self.go_home()?;
            let why: Vec<String> = tally.refusals.keys().map(|status| format!("refused with {status}")).collect();
            let why = [why, tally.errors.into_keys().collect()].concat();
            return Err(format!("no connection came about: {}", why.join("; ")));
        }
        Ok(())
    }
}
