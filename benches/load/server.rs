//! What a server spends: processor time, memory and descriptors of its whole process tree, read from `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use super::report;

/// In which `/proc` counts processor time: a hundredth of a second, whatever the kernel's own clock does (proc(5),
/// `USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Watches one process and all that descend from it.
#[derive(Debug)]
pub(crate) struct Probe {
    root: u32,
    start: Sample,
}

/// Processor time of a process tree, counted twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    /// In user and kernel mode, of all threads, and of children that have ended and were waited for; coarse.
    ticks: u64,
    /// Of each thread that lives, in nanoseconds; none where the kernel does not count so (`CONFIG_SCHED_INFO`).
    threads: BTreeMap<u32, u64>,
}

impl Cpu {
    /// Seconds between an earlier moment and this one: to the nanosecond, unless a thread has ended in between.
    #[must_use]
    pub(crate) fn since(&self, before: &Self) -> f64 {
        let all_live = before.threads.keys().all(|thread| self.threads.contains_key(thread));
        if !all_live || self.threads.is_empty() {
            return self.ticks.saturating_sub(before.ticks) as f64 / TICKS_PER_SECOND;
        }
        let each = |(thread, spent): (&u32, &u64)| spent - before.threads.get(thread).unwrap_or(&0).min(spent);
        self.threads.iter().map(each).sum::<u64>() as f64 / 1e9
    }
}

/// What a process tree has spent and holds, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// Processor time.
    pub(crate) cpu: Cpu,
    /// Memory: pages that processes share are counted once, in parts (proportional set size).
    pub(crate) pss_bytes: u64,
    /// Open files and sockets.
    pub(crate) descriptors: usize,
    /// The processes, the first one first.
    pub(crate) pids: Vec<u32>,
}

impl Probe {
    /// Takes the first sample.
    ///
    /// # Errors
    /// There is no such process, or it belongs to somebody else.
    pub(crate) fn start(pid: u32) -> io::Result<Self> {
        Ok(Self { root: pid, start: sample(pid)? })
    }

    /// What the tree has spent since its processes began, and holds now.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn sample(&self) -> io::Result<Sample> {
        sample(self.root)
    }

    /// The processor time alone: cheap, where reading the memory walks every page.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn cpu(&self) -> io::Result<Cpu> {
        cpu(&tree(self.root)?)
    }

    /// The memory alone, in bytes.
    ///
    /// # Errors
    /// The process has ended.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        tree(self.root)?.into_iter().map(|pid| alive(pss(pid))).sum()
    }

    /// What was spent from the start to `now`, while so many messages came.
    #[must_use]
    pub(crate) fn spent(&self, now: &Sample, messages: u64) -> report::Server {
        let cpu_seconds = now.cpu.since(&self.start.cpu);
        report::Server {
            pids: now.pids.clone(),
            cpu_seconds,
            cpu_us_per_message: (messages > 0).then(|| cpu_seconds * 1e6 / messages as f64),
            cpu_us_per_delivery: None,
            pss_before: self.start.pss_bytes,
            pss_after: now.pss_bytes,
            bytes_per_connection: None,
        }
    }
}

/// Bytes that one connection more costs, between two counts of connections. `None` when the counts are the same.
#[must_use]
pub(crate) fn bytes_per_connection(few: (usize, u64), many: (usize, u64)) -> Option<f64> {
    let connections = many.0 as f64 - few.0 as f64;
    (connections != 0.0).then(|| (many.1 as f64 - few.1 as f64) / connections)
}

fn sample(root: u32) -> io::Result<Sample> {
    let pids = tree(root)?;
    let cpu = cpu(&pids)?;
    let mut sample = Sample { cpu, pids, ..Sample::default() };
    for &pid in &sample.pids {
        sample.pss_bytes += alive(pss(pid))?;
        sample.descriptors += alive(descriptors(pid))?;
    }
    Ok(sample)
}

fn cpu(pids: &[u32]) -> io::Result<Cpu> {
    let mut cpu = Cpu::default();
    for &pid in pids {
        cpu.ticks += alive(stat(pid).map(|stat| stat.ticks))?;
        cpu.threads.extend(alive(threads(pid))?);
    }
    Ok(cpu)
}

/// Each thread's time on a processor, in nanoseconds (Documentation/scheduler/sched-stats.rst).
fn threads(pid: u32) -> io::Result<Vec<(u32, u64)>> {
    let path = format!("/proc/{pid}/task");
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).map_err(|error| named(&path, &error))? {
        let Ok(thread) = entry?.file_name().to_string_lossy().parse() else { continue };
        // One that is gone by now, or a kernel that does not count.
        let Ok(text) = fs::read_to_string(format!("{path}/{thread}/schedstat")) else { continue };
        found.extend(text.split(' ').next().and_then(|spent| spent.parse().ok()).map(|spent| (thread, spent)));
    }
    Ok(found)
}

/// The process and its descendants that live.
///
/// # Errors
/// There is no such process.
pub(crate) fn tree(root: u32) -> io::Result<Vec<u32>> {
    stat(root)?;
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else { continue };
        // Whoever is gone by now was nobody's parent.
        if let Ok(stat) = stat(pid) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut pids = vec![root];
    let mut at = 0;
    while let Some(pid) = pids.get(at) {
        pids.extend(children.remove(pid).unwrap_or_default());
        at += 1;
    }
    Ok(pids)
}

struct Stat {
    parent: u32,
    ticks: u64,
}

fn stat(pid: u32) -> io::Result<Stat> {
    let text = read(pid, "stat")?;
    parse_stat(&text).ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not as proc(5) has it")))
}

/// proc(5): the name may hold anything, also `)`, so fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // utime, stime, and the same of children that were waited for: cutime, cstime.
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    Some(Stat { parent: u32::try_from(number(1)?).ok()?, ticks })
}

fn pss(pid: u32) -> io::Result<u64> {
    let text = read(pid, "smaps_rollup")?;
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok());
    // A process without memory of its own (a zombie) has an empty file.
    Ok(kibibytes.unwrap_or(0_u64) * 1024)
}

fn descriptors(pid: u32) -> io::Result<usize> {
    let path = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&path).map_err(|error| named(&path, &error))?.count())
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).map_err(|error| named(&path, &error))
}

fn named(path: &str, error: &io::Error) -> io::Error {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => " (it is another user's process: measure as that user, or as root)",
        _ => "",
    };
    // A process that ends while its file is being read says "no such process", which has no kind of its own.
    let kind = if error.raw_os_error() == Some(NO_SUCH_PROCESS) { io::ErrorKind::NotFound } else { error.kind() };
    io::Error::new(kind, format!("{path}: {error}{hint}"))
}

/// `ESRCH`, the same on every Linux.
const NO_SUCH_PROCESS: i32 = 3;

/// A process that has just ended holds nothing; any other error is one.
fn alive<T: Default>(read: io::Result<T>) -> io::Result<T> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn own_work_is_seen() {
        let probe = Probe::start(std::process::id()).expect("a live process");
        let held = black_box(vec![1_u8; 32 << 20]);
        let spent = |probe: &Probe| probe.cpu().expect("a live process").since(&probe.start.cpu);
        while spent(&probe) < 0.05 {
            black_box(held.iter().map(|&byte| u64::from(byte)).sum::<u64>());
        }
        let now = probe.sample().expect("a live process");
        let spent = probe.spent(&now, 1000);
        assert!(spent.cpu_seconds > 0.04, "{spent:?}");
        assert!(spent.cpu_us_per_message.is_some_and(|each| each > 40.0), "{spent:?}");
        // Not more than that: other tests of this process take and give back memory at the same time.
        assert!(spent.pss_after.min(spent.pss_before) > 0, "{spent:?}");
        assert!(now.descriptors > 2, "{now:?}");
    }

    #[test]
    fn grandchildren_belong_to_the_tree() {
        let mut child = Command::new("sh")
            // In the background standard input is /dev/null, where cat would end at once.
            .args(["-c", "exec 3<&0; cat <&3 & cat; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut pids = Vec::new();
        while pids.len() < 2 {
            pids = tree(child.id()).expect("a live process");
        }
        let own = Probe::start(std::process::id()).expect("a live process");
        assert_eq!(pids[0], child.id());
        assert!(pids.iter().all(|pid| own.start.pids.contains(pid)), "{pids:?} in {own:?}");
        drop(child.stdin.take());
        child.wait().expect("an end");
        assert!(tree(child.id()).is_err());
    }

    #[test]
    fn nanoseconds_count_while_all_threads_live_and_ticks_otherwise() {
        let at = |ticks, threads: &[(u32, u64)]| Cpu { ticks, threads: threads.iter().copied().collect() };
        let before = at(100, &[(1, 5_000_000), (2, 7_000_000)]);
        let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
        close(at(101, &[(1, 6_000_000), (2, 7_000_000), (3, 250_000)]).since(&before), 0.001_25);
        close(at(103, &[(1, 6_000_000), (3, 250_000)]).since(&before), 0.03);
        close(at(150, &[]).since(&at(100, &[])), 0.5);
    }

    #[test]
    fn a_name_may_look_like_anything() {
        let text = "7 (a) S 1 (b)) R 42 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7";
        let stat = parse_stat(text).expect("a stat line");
        assert_eq!((stat.parent, stat.ticks), (42, 110));
        assert!(parse_stat("7 (cut) R 42").is_none());
    }

    #[test]
    fn the_slope_is_between_counts() {
        assert_eq!(bytes_per_connection((500, 10_000), (1500, 5_010_000)), Some(5000.0));
        assert_eq!(bytes_per_connection((500, 10_000), (500, 10_000)), None);
    }
}
