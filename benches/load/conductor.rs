//! From arguments to a report: starts the threads, leads them through the profile, gathers what they counted.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use super::arguments::{Arguments, Profile, cpus};
use super::control::Control;
use super::live::Live;
use super::plan::{Micros, Schedule};
use super::report::{Run, Second, StageMark};
use super::server::{Probe, Sample, bytes_per_connection};
use super::tally::{Tally, Tick};
use super::worker::{self, Again, Aim, Begin, Expect, Life, Policy, Sending};

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
}

/// So long after the order to begin the first message is due.
const MOMENT: Duration = Duration::from_millis(20);

/// The policy of a profile.
///
/// # Errors
/// Stages that are none.
pub(crate) fn policy(arguments: &Arguments) -> Result<Policy, String> {
    use Profile::{Bulk, Connect, Echo, Fanout, Idle, Ramp, Rate, Slow, Storm};
    let count = arguments.count()?;
    let rate = arguments.message_rate();
    let sending = match arguments.profile {
        Connect | Idle | Storm => Sending::Nothing,
        Echo | Bulk => Sending::OnReply(arguments.window.max(1)),
        Ramp if arguments.rate.is_none() => Sending::OnReply(arguments.window.max(1)),
        Rate | Ramp => Sending::Scheduled { rate, senders: count, of: count },
        Fanout | Slow => Sending::Scheduled { rate, senders: arguments.senders.clamp(1, count), of: count },
    };
    let is_fanout = matches!(arguments.profile, Fanout | Slow);
    let sluggish = if arguments.profile == Slow { arguments.stopped.unwrap_or(count.div_ceil(10)) } else { 0 };
    let run = u16::from_le_bytes(wsgate::client::random()) & 0xfff;
    Ok(Policy {
        sending,
        expect: if is_fanout { Expect::Deliveries } else { Expect::Replies },
        life: if arguments.profile == Connect { Life::Brief } else { Life::Held },
        again: if matches!(arguments.profile, Connect | Storm) { Again::Soon } else { Again::Never },
        sluggish: sluggish.min(count),
        size: arguments.message_size(),
        binary: arguments.binary,
        run,
    })
}

impl<'a> Conductor<'a> {
    /// Starts the threads; nothing is opened yet.
    ///
    /// # Errors
    /// A thread that does not start, a process that is not there, stages that are none.
    pub(crate) fn start(arguments: &'a Arguments, aim: Arc<Aim>, live: &'a mut Live) -> Result<Self, String> {
        let (count, threads) = (arguments.count()?, arguments.thread_count());
        let (sender, ticks) = channel();
        let (control, policy, epoch) = (Arc::new(Control::new()), policy(arguments)?, Instant::now());
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

    /// Opens all, exchanges messages, waits for what is still under way.
    fn exchange(&mut self) -> Result<(), String> {
        self.open(self.arguments.count()?)?;
        self.weigh();
        let time = self.arguments.time;
        self.begin(time);
        self.wait(time);
        if self.policy.expect == Expect::Deliveries {
            self.end();
            self.settle();
        }
        Ok(())
    }

    /// Waits for deliveries that are still under way: until nothing comes for a second, or all has come.
    fn settle(&mut self) {
        let all = self.planned(0) as usize * self.arguments.count().unwrap_or(0).saturating_sub(self.policy.sluggish);
        let end = Instant::now() + Duration::from_secs(20);
        self.stage = "waiting for what is under way".into();
        while self.control.delivered() < all && Instant::now() < end {
            let before = self.control.delivered();
            let is_more = self.wait_while(Duration::from_secs(1), |control| control.delivered() == before);
            if !is_more {
                return;
            }
        }
    }

    fn connect(&mut self) {
        let half = self.arguments.time / 2;
        self.begin(self.arguments.time);
        let now = self.epoch.elapsed().as_micros() as Micros;
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
    fn idle(&mut self) -> Result<(), String> {
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

    fn storm(&mut self) -> Result<(), String> {
        let count = self.arguments.count()?;
        self.open(count)?;
        self.control.set_pace(0);
        self.begin(Duration::from_secs(3600));
        for (name, jitter) in [("all at once", Duration::ZERO), ("with jitter", self.arguments.jitter)] {
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

    fn ramp(&mut self) -> Result<(), String> {
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

    fn pace(&self) {
        let each = 1e6 * self.threads.len() as f64 / self.arguments.open_rate.max(0.1);
        self.control.set_pace(each as Micros);
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

    /// From here on everything counts; messages that are due for so long are sent.
    fn begin(&mut self, time: Duration) {
        // A moment ahead, so that nobody is late for the first message.
        let from = self.epoch.elapsed().as_micros() as Micros + MOMENT.as_micros() as Micros;
        self.control.set_until(from + time.as_micros() as Micros);
        self.control.set_from(from);
        self.control.set_measuring(true);
        self.at_start = self.probe.as_ref().and_then(|probe| probe.sample().ok());
        self.control.announce();
        self.wait(MOMENT);
        self.began = Some(Instant::now());
        self.stage = self.arguments.profile_name();
    }

    fn end(&mut self) {
        if self.control.measuring() {
            self.control.set_measuring(false);
            self.open_at_end = self.control.open();
            self.measured = self.began.map_or(Duration::ZERO, |began| began.elapsed());
            self.at_end = self.probe.as_ref().and_then(|probe| probe.sample().ok());
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

    fn weigh(&mut self) {
        if let Some(sample) = self.probe.as_ref().and_then(|probe| probe.sample().ok()) {
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

    fn finish(mut self) -> Result<Run, String> {
        let threads = self.threads.len();
        let tally = self.go_home()?;
        while let Ok(tick) = self.ticks.try_recv() {
            self.partial.entry(tick.at).or_insert_with(|| (0, Tick::new(tick.at))).1.add(&tick);
        }
        for (_, tick) in self.partial.values() {
            self.series.push(tick.finish(self.open_at_end));
        }
        let seconds = self.measured.as_secs_f64();
        let mut run = Run { series: self.series.clone(), stages: self.stages.clone(), ..Run::default() };
        self.judge_generator(&mut run, &tally, seconds, threads);
        self.count_more(&mut run, &tally, seconds);
        let main = if self.policy.expect == Expect::Deliveries { "delivery" } else { "round_trip" };
        tally.into_run(&mut run, main, seconds);
        self.describe(&mut run, seconds);
        self.weigh_server(&mut run);
        Ok(run)
    }

    /// Whose figures are these, the server's or the generator's?
    fn judge_generator(&self, run: &mut Run, tally: &Tally, seconds: f64, threads: usize) {
        let cores = threads.min(cpus()) as f64;
        let share = tally.cpu_seconds / (seconds * cores).max(1e-9);
        let ready = (tally.cpu_seconds + tally.waited_seconds) / (seconds * threads as f64).max(1e-9);
        let mut why = Vec::new();
        if share >= 0.85 {
            why.push(format!("its threads used {:.0} % of their processors", 100.0 * share));
        } else if ready >= 0.85 {
            let waited = 100.0 * tally.waited_seconds / (seconds * threads as f64).max(1e-9);
            why.push(format!("its threads waited for a processor {waited:.0} % of the time: others use the machine"));
        }
        let lag = tally.lag.value_at_quantile(0.99);
        if lag > 20_000 {
            why.push(format!("its clock was {:.0} ms late (p99)", lag as f64 / 1e3));
        }
        let late = tally.late.value_at_quantile(0.99);
        if late > 20_000 {
            why.push(format!("messages left {:.0} ms after they were due (p99)", late as f64 / 1e3));
        }
        run.generator.cpu_share = share;
        run.generator.valid = why.is_empty();
        run.generator.why = why;
    }

    fn count_more(&self, run: &mut Run, tally: &Tally, seconds: f64) {
        if self.arguments.profile == Profile::Connect && seconds > 0.0 {
            run.totals.handshakes_per_second = Some(tally.handshakes as f64 / seconds);
            run.totals.full_handshakes_per_second = self.handshakes.first().copied();
            run.totals.resumed_handshakes_per_second = self.handshakes.get(1).copied();
        }
        if self.policy.expect == Expect::Deliveries && tally.sent > 0 {
            let healthy = self.arguments.count().unwrap_or(0).saturating_sub(self.policy.sluggish);
            let receivers = if tally.hears_itself { healthy } else { healthy.saturating_sub(1) };
            let due = self.planned(tally.sent) as f64 * receivers as f64;
            run.totals.completeness = (due > 0.0).then(|| 100.0 * tally.deliveries as f64 / due);
        }
    }

    /// How many messages were to be sent: what the schedule says, where there is one.
    fn planned(&self, sent: u64) -> u64 {
        let Sending::Scheduled { rate, senders, .. } = self.policy.sending else { return sent };
        let (from, until) = (self.control.from(), self.control.until());
        (0..senders).map(|index| Schedule::new(from, rate, index, senders).count_before(until)).sum()
    }

    fn describe(&self, run: &mut Run, seconds: f64) {
        let since = SystemTime::now() - self.began.map_or(Duration::ZERO, |began| began.elapsed());
        let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        run.meta.tool = format!("load {}", env!("CARGO_PKG_VERSION"));
        run.meta.started_unix = since.as_secs();
        run.meta.profile = self.arguments.profile_name();
        run.meta.options = self.arguments.shape();
        run.meta.seconds = seconds;
        run.meta.cpus = cpus() as u32;
    }

    fn weigh_server(&self, run: &mut Run) {
        let (Some(probe), Some(start), Some(end)) = (&self.probe, &self.at_start, &self.at_end) else { return };
        let mut server = probe.spent(end, run.totals.received);
        server.cpu_seconds = end.cpu.since(&start.cpu);
        let messages = run.totals.received.max(run.totals.sent);
        server.cpu_us_per_message = (messages > 0).then(|| 1e6 * server.cpu_seconds / messages as f64);
        if let [before, .., few, many] = self.memory[..] {
            (server.pss_before, server.pss_after) = (before.1, many.1);
            server.bytes_per_connection = bytes_per_connection(few, many);
        } else if let [before, many] = self.memory[..] {
            // A few connections do not show above what the process grows by anyway.
            (server.pss_before, server.pss_after) = (before.1, many.1);
        }
        run.server = Some(server);
    }
}
