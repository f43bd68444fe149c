//! What a run has found: whether its figures may be believed, what came of what was due, and what the server spent.

use std::time::{Duration, SystemTime};

use super::super::arguments::{Profile, cpus};
use super::super::policy::Expect;
use super::super::report::{self, Run, Summary};
use super::super::server::bytes_per_connection;
use super::super::stayed::Stayed;
use super::super::tally::{Tally, Tick};
use super::{Conductor, Part};

/// How much of what was due is not missing, in percent.
fn share_of(due: u64, missing: u64) -> Option<f64> {
    (due > 0).then(|| 100.0 * (due - missing) as f64 / due as f64)
}

impl Conductor<'_> {
    pub(super) fn finish(mut self) -> Result<Run, String> {
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
        let main = if self.arguments.is_chat() { "delivery" } else { "round_trip" };
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
        if self.policy.expect != Expect::Replies && tally.sent > 0 {
            run.parts = self.parts.iter().enumerate().map(|(at, part)| self.part_found(at, part, tally)).collect();
            let sum = |of: fn(&report::Part) -> u64| run.parts.iter().map(of).sum::<u64>();
            let (due, missing) = (sum(|part| part.due), sum(|part| part.missing));
            run.totals.deliveries = Some(sum(|part| part.deliveries));
            run.totals.due = Some(due);
            run.totals.completeness = share_of(due, missing);
            run.stayed =
                (self.policy.expect == Expect::Once).then(|| Stayed::new(&tally.stayed, missing, self.control.since()));
            let planned = || self.parts.iter().filter_map(|part| self.policy.planned(part.span)).sum();
            run.totals.acks_due = self.policy.speech.is_acknowledged().then(planned);
            if due > 0 && run.totals.deliveries > Some(due - missing) {
                let more = run.totals.deliveries.unwrap_or(0) - (due - missing);
                run.errors.insert("deliveries beyond those that were due".to_owned(), more);
            }
        }
    }

    /// A part's figures. What one member got too much does not make up for what another one lacks.
    fn part_found(&self, at: usize, part: &Part, tally: &Tally) -> report::Part {
        let mut heard = vec![0; self.policy.readers];
        for (index, parts) in &tally.heard {
            if let Some(heard) = heard.get_mut(*index) {
                *heard += parts[at];
            }
        }
        let hears_itself = tally.hears_itself || self.policy.expect == Expect::Once;
        let due = self.policy.due(part.span, hears_itself);
        let missing = due.iter().zip(&heard).map(|(due, heard)| due.saturating_sub(*heard)).sum();
        let (deliveries, due) = (heard.iter().sum::<u64>(), due.iter().sum());
        let ends = part.began.as_ref().zip(part.ended.as_ref());
        let cpu = ends.filter(|_| deliveries > 0).map(|(began, ended)| ended.cpu.since(&began.cpu));
        report::Part {
            name: part.name.clone(),
            receivers: heard.len() as u64,
            due,
            deliveries,
            missing,
            completeness: share_of(due, missing),
            latency: Summary::of(&tally.parts[at]).unwrap_or_default(),
            cpu_us_per_delivery: cpu.map(|cpu| 1e6 * cpu / deliveries as f64),
            memory_most: part.memory,
            descriptors: ends.map(|(began, ended)| (began.descriptors as u64, ended.descriptors as u64)),
        }
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
        let spent = |part: &report::Part| part.cpu_us_per_delivery.map(|each| each * part.deliveries as f64);
        let deliveries = run.totals.deliveries.filter(|came| *came > 0);
        let spent = run.parts.iter().map(spent).sum::<Option<f64>>();
        server.cpu_us_per_delivery = spent.zip(deliveries).map(|(spent, came)| spent / came as f64);
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
