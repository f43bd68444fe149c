//! From arguments to a report: starts the threads, leads them through the profile, gathers what they counted.

mod course;
mod found;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::arguments::{Arguments, Profile};
use super::control::Control;
use super::live::Live;
use super::plan::Micros;
use super::policy::{Policy, Span};
use super::report::{Run, Second, StageMark};
use super::server::{Probe, Sample};
use super::speech::Speech;
use super::tally::{Tally, Tick};
use super::worker::{self, Aim, Begin};

/// Leads one run.
pub(crate) struct Conductor<'a> {
    arguments: &'a Arguments,
    live: &'a mut Live,
    control: Arc<Control>,
    policy: Policy,
    epoch: Instant,
    threads: Vec<JoinHandle<io::Result<Tally>>>,
    ticks: Receiver<Tick>,
    /// Seconds that not all threads have told of yet: how many have, and what.
    partial: BTreeMap<u32, (usize, Tick)>,
    series: Vec<Second>,
    stages: Vec<StageMark>,
    stage: String,
    began: Option<Instant>,
    measured: Duration,
    probe: Option<Probe>,
    /// Connections, and memory with them.
    memory: Vec<(usize, u64)>,
    /// Connections, when measuring ended: what is closed afterwards is no news of the server.
    open_at_end: usize,
    at_start: Option<Sample>,
    at_end: Option<Sample>,
    /// Connections opened in a second: with full handshakes and with resumed ones.
    handshakes: Vec<f64>,
    /// What was to be heard, part by part.
    parts: Vec<Part>,
    watch: Watch,
    /// Nothing more is under way when nothing came for so long.
    silence: Duration,
}

/// A time in which messages were said, until they had come.
struct Part {
    name: String,
    span: Span,
    began: Option<Sample>,
    ended: Option<Sample>,
    /// The most memory that the server had in it.
    memory: Option<u64>,
}

/// Looks at the server's memory once a second, where that was asked for.
#[derive(Default)]
struct Watch {
    is_on: bool,
    last: Option<Instant>,
    most: Option<u64>,
}

/// So long after the order to begin the first message is due.
const MOMENT: Duration = Duration::from_millis(20);

impl Watch {
    const EVERY: Duration = Duration::from_secs(1);

    fn look(&mut self, probe: Option<&Probe>) {
        if let Some(probe) = probe.filter(|_| self.is_on && self.last.is_none_or(|last| last.elapsed() >= Self::EVERY))
        {
            self.most = self.most.max(probe.memory().ok());
            self.last = Some(Instant::now());
        }
    }
}

impl<'a> Conductor<'a> {
    /// Starts the threads; nothing is opened yet.
    ///
    /// # Errors
    /// A thread that does not start, a process that is not there, stages that are none.
    pub(crate) fn start(
        arguments: &'a Arguments,
        speech: Speech,
        aim: Arc<Aim>,
        live: &'a mut Live,
    ) -> Result<Self, String> {
        let (count, threads) = (arguments.count()?, arguments.thread_count());
        let (sender, ticks) = channel();
        let (control, policy, epoch) = (Arc::new(Control::new()), Policy::new(arguments, speech)?, Instant::now());
        let probe = arguments.server_pid.map(Probe::start).transpose();
        let probe = probe.map_err(|error| format!("--server-pid: {error}"))?;
        let start = |thread: usize| {
            let begin = Begin {
                epoch,
                control: Arc::clone(&control),
                policy: policy.clone(),
                aim: Arc::clone(&aim),
                indices: (thread..count).step_by(threads).collect(),
                ticks: sender.clone(),
            };
            std::thread::Builder::new().name(format!("load {thread}")).spawn(move || worker::run(begin))
        };
        let threads = (0..threads).map(start).collect::<io::Result<Vec<_>>>().map_err(|error| error.to_string())?;
        Ok(Self {
            arguments,
            live,
            control,
            policy,
            epoch,
            threads,
            ticks,
            partial: BTreeMap::new(),
            series: Vec::new(),
            stages: Vec::new(),
            stage: "opening".into(),
            began: None,
            measured: Duration::ZERO,
            probe,
            memory: Vec::new(),
            open_at_end: 0,
            at_start: None,
            at_end: None,
            handshakes: Vec::new(),
            parts: Vec::new(),
            watch: Watch::default(),
            silence: course::SILENCE,
        })
    }

    /// The whole run.
    ///
    /// # Errors
    /// No connection came about, or a thread failed.
    pub(crate) fn run(mut self) -> Result<Run, String> {
        self.weigh();
        match self.arguments.profile {
            Profile::Connect => self.connect(),
            Profile::Idle => self.idle()?,
            Profile::Storm => self.storm()?,
            Profile::Ramp => self.ramp()?,
            _ => self.exchange()?,
        }
        self.finish()
    }

    fn pace(&self) {
        let each = 1e6 * self.threads.len() as f64 / self.arguments.open_rate.max(0.1);
        self.control.set_pace(each as Micros);
    }

    /// From here on everything counts; messages that are due for so long are sent. Measuring may go on already.
    fn begin(&mut self, time: Duration) {
        // A moment ahead, so that nobody is late for the first message.
        let from = self.epoch.elapsed().as_micros() as Micros + MOMENT.as_micros() as Micros;
        self.control.set_until(from + time.as_micros() as Micros);
        self.control.set_from(from);
        if !self.control.measuring() {
            self.control.set_since(from);
            self.control.set_measuring(true);
            self.at_start = self.sample();
        }
        self.control.announce();
        self.wait(MOMENT);
        self.began.get_or_insert_with(Instant::now);
        self.stage = self.arguments.profile_name();
    }

    fn end(&mut self) {
        if self.control.measuring() {
            self.control.set_measuring(false);
            self.open_at_end = self.control.open();
            self.measured = self.began.map_or(Duration::ZERO, |began| began.elapsed());
            self.at_end = self.sample();
        }
    }

    fn mark(&mut self, name: &str) {
        self.mark_at(name, Instant::now());
        name.clone_into(&mut self.stage);
    }

    fn mark_at(&mut self, name: &str, when: Instant) {
        let at = self.began.map_or(0, |began| when.saturating_duration_since(began).as_secs() as u32);
        self.stages.push(StageMark { at, name: name.to_owned() });
    }

    /// What the server has spent and holds now, if it is known who it is.
    fn sample(&self) -> Option<Sample> {
        self.probe.as_ref().and_then(|probe| probe.sample().ok())
    }

    fn weigh(&mut self) {
        if let Some(sample) = self.sample() {
            self.memory.push((self.control.open(), sample.pss_bytes));
        }
    }

    fn wait(&mut self, time: Duration) {
        self.wait_while(time, |_| true);
    }

    /// Waits while this is so, at most for `limit`; whether it is so no longer.
    fn wait_while(&mut self, limit: Duration, so: impl Fn(&Control) -> bool) -> bool {
        let end = Instant::now() + limit;
        while so(&self.control) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            self.gather(left.min(Duration::from_millis(2)));
            self.watch.look(self.probe.as_ref());
            let wanted = self.control.target().min(self.arguments.count().unwrap_or(0));
            self.live.show(&self.stage, self.control.open(), wanted, self.series.last());
        }
        true
    }

    /// Takes what threads tell of their seconds.
    fn gather(&mut self, patience: Duration) {
        match self.ticks.recv_timeout(patience) {
            Ok(tick) => {
                let (told, sum) = self.partial.entry(tick.at).or_insert_with(|| (0, Tick::new(tick.at)));
                *told += 1;
                sum.add(&tick);
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
        while let Some(entry) = self.partial.first_entry().filter(|entry| entry.get().0 >= self.threads.len()) {
            let (_, tick) = entry.remove();
            let open = if self.control.measuring() { self.control.open() } else { self.open_at_end };
            self.series.push(tick.finish(open));
        }
    }

    fn go_home(&mut self) -> Result<Tally, String> {
        self.end();
        self.stage = "closing".into();
        self.control.set_target(0);
        self.control.announce();
        self.wait_while(Duration::from_secs(8), |control| control.open() > 0);
        self.control.set_quit(true);
        self.control.announce();
        let mut sum = Tally::new();
        for thread in std::mem::take(&mut self.threads) {
            let tally = thread.join().map_err(|_| "a thread of the generator panicked")?;
            sum.add(&tally.map_err(|error| error.to_string())?);
        }
        self.live.wipe();
        Ok(sum)
    }
}
