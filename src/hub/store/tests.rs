//! Histories in real files: bounds, restarts, ends without warning, damage, full disks.

use std::fs;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant, UNIX_EPOCH};

use proptest::prelude::*;
use tempfile::TempDir;

use super::archive::Inside;
use super::database::Database;
use super::place::OpenError;
use super::queue::Write;
use super::tails::Tails;
use super::writer::Writer;
use super::*;
use crate::config::FixedRoom;
use crate::hub::ground::Ground;
use crate::hub::house::House;
use crate::hub::id::MemberId;
use crate::hub::order::Alone;
use crate::hub::room::Fixed;

/// Long enough for any disk; nothing waits so long where all is well.
const PATIENCE: Duration = Duration::from_secs(60);
const BOUNDS: Bounds = Bounds { messages: 1_000_000, bytes: usize::MAX, rooms: 1000, age: None };
/// For the child of a test, where it writes.
const CHILD: &str = "WSGATE_TEST_HISTORY";

fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chat.history");
    (folder, path)
}

fn record(id: u64, text: &str) -> Record {
    Record {
        id: MessageId(id),
        from: MemberId(u64::MAX - id),
        name: "Ann".into(),
        text: text.into(),
        reference: Some("r".into()),
    }
}

fn ids(records: &[Record]) -> Vec<u64> {
    records.iter().map(|record| record.id.0).collect()
}

fn all(store: &Archive, name: &str) -> Vec<Record> {
    store.load(name, usize::MAX)
}

fn open(path: &Path) -> Archive {
    Archive::open(path, BOUNDS).expect("opened")
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let (_folder, path) = folder();
    let store = open(&path);
    for id in 1..=5 {
        store.keep("cats", &record(id, &format!("miau {id} \u{1f408}")));
    }
    store.keep("dogs", &Record { reference: None, ..record(9, "") });
    store.erase("cats", MessageId(2));
    assert_eq!(ids(&all(&store, "cats")), [1, 3, 4, 5], "before the restart, too");
    assert!(store.settle(PATIENCE));
    drop(store);
    let store = open(&path);
    assert_eq!(all(&store, "dogs"), [Record { reference: None, ..record(9, "") }]);
    assert_eq!(all(&store, "cats")[3], record(5, "miau 5 \u{1f408}"));
    assert_eq!(ids(&store.load("cats", 2)), [4, 5]);
    assert!(all(&store, "birds").is_empty());
}

#[test]
fn the_file_is_for_its_owner_alone_and_for_one_process() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path) = folder();
    let store = open(&path);
    store.keep("a", &record(1, "x"));
    assert!(store.settle(PATIENCE));
    for file in [path.clone(), path.with_extension("history-wal")] {
        let mode = fs::metadata(&file).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
    }
    let error = Archive::open(&path, BOUNDS).expect_err("taken");
    assert!(matches!(error, OpenError::InUse), "{error:?}");
    assert!(inspect(&path).is_ok(), "a look does not need it");
    let facts = store.facts();
    assert!(facts.file_bytes > 4096, "{facts:?}");
    assert_eq!((facts.kept, facts.dropped, facts.errors, facts.queue), (1, 0, 0, 0));
}

#[test]
fn a_configuration_read_anew_finds_the_open_history() {
    let (_folder, path) = folder();
    let stores = Archives::default();
    let first = stores.open(&path, BOUNDS).expect("opened");
    let second = stores.open(&path, Bounds { messages: 7, ..BOUNDS }).expect("the same");
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.inside.bounds.lock().messages, 7);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let (folder, path) = folder();
    fs::write(&path, "-----BEGIN PRIVATE KEY-----").expect("written");
    assert!(matches!(inspect(&path), Err(OpenError::NotOurs)));
    assert!(matches!(Archive::open(&path, BOUNDS), Err(OpenError::NotOurs)));
    assert_eq!(fs::read(&path).expect("there"), b"-----BEGIN PRIVATE KEY-----");
    let other = folder.path().join("other.db");
    let somebodys = rusqlite::Connection::open(&other).expect("opened");
    somebodys.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").expect("written");
    drop(somebodys);
    let before = fs::read(&other).expect("there");
    assert!(matches!(Archive::open(&other, BOUNDS), Err(OpenError::NotOurs)));
    assert_eq!(fs::read(&other).expect("there"), before);
    let nowhere = folder.path().join("no").join("where");
    assert!(matches!(inspect(&nowhere), Err(OpenError::NoFolder(_))));
    assert!(matches!(Archive::open(&nowhere, BOUNDS), Err(OpenError::NoFolder(_))));
    assert!(matches!(inspect(folder.path()), Err(OpenError::NoFile)));
}

#[test]
fn a_newer_form_is_refused() {
    let (_folder, path) = folder();
    drop(Database::open(&path).expect("opened"));
    rusqlite::Connection::open(&path).expect("opened").execute_batch("PRAGMA user_version = 2;").expect("written");
    assert!(matches!(Database::open(&path), Err(OpenError::Newer(2))));
}

/// The ids of a room as a database of somebody else reads them.
fn in_file(path: &Path, room: &str) -> Vec<u64> {
    let reader = rusqlite::Connection::open(path).expect("opened");
    let mut ids = reader.prepare("SELECT id FROM message WHERE room = ? ORDER BY id").expect("a statement");
    let ids = ids.query_map([room], |row| row.get::<_, i64>(0)).expect("read");
    ids.map(|id| id.expect("an id").cast_unsigned()).collect()
}

fn said(room: &str, id: u64, text: &str) -> Write {
    Write::Keep(room.into(), record(id, text))
}

#[test]
fn rooms_are_bounded_in_messages_and_bytes() {
    let (_folder, path) = folder();
    let mut file = Database::open(&path).expect("opened");
    for id in 1..=500 {
        file.commit(&[said("small", id, "x"), said("big", id, &"y".repeat(100))]).expect("committed");
        file.trim(&["small", "big"].map(|room| (room.into(), (100, 1000)))).expect("trimmed");
    }
    drop(file);
    let (small, big) = (in_file(&path, "small"), in_file(&path, "big"));
    assert!((100..=132).contains(&small.len()), "{}", small.len());
    assert!((10..=11).contains(&big.len()), "{}", big.len());
    assert_eq!((small.last(), big.last()), (Some(&500), Some(&500)));
}

#[test]
fn what_a_room_begins_with_is_bounded_too() {
    let (_folder, path) = folder();
    let bounds = Bounds { messages: 3, bytes: 10, ..BOUNDS };
    let store = Archive::open(&path, bounds).expect("opened");
    for (id, text) in ["aaaa", "bbbb", "cccc", "dd", "ee"].iter().zip(1..).map(|(text, id)| (id, text)) {
        store.keep("a", &record(id, text));
    }
    assert_eq!(ids(&store.load("a", 9)), [3, 4, 5]);
    assert_eq!(ids(&store.load("a", 2)), [4, 5]);
    assert!(store.settle(PATIENCE));
    store.keep("a", &record(6, "far too long"));
    assert_eq!(ids(&store.load("a", 9)), [3, 4, 5], "what alone is too much does not drive out the rest");
    store.keep("a", &record(7, "1234567890"));
    assert!(store.settle(PATIENCE));
    drop(store);
    let store = Archive::open(&path, Bounds { bytes: 20, ..bounds }).expect("opened again");
    assert_eq!(ids(&store.load("a", 9)), [7]);
}

#[test]
fn a_room_that_keeps_less_than_others_is_written_no_longer() {
    let (_folder, path) = folder();
    let store = Arc::new(open(&path));
    for (room, most) in [("none", 0), ("few", 2), ("all", 1000)] {
        assert!(Store::load(&store, room, (most, 1 << 20)).is_empty());
        (1..=100).for_each(|id| Store::keep(&store, room, &record(id, "x")));
    }
    assert_eq!(["none", "few", "all"].map(|room| all(&store, room).len()), [0, 2, 100]);
    assert!(store.settle(PATIENCE));
    drop(store);
    let written = ["none", "few", "all"].map(|room| in_file(&path, room).len());
    assert_eq!((written[0], written[2]), (0, 100));
    assert!((2..=2 + 32).contains(&written[1]), "with some slack: {written:?}");
    // What was written before the owner wished it less goes, too.
    let store = Arc::new(open(&path));
    for (room, expected) in [("few", vec![100]), ("all", vec![])] {
        assert_eq!(ids(&Store::load(&store, room, (expected.len(), 1 << 20))), expected);
    }
    let trimmed = |store: &Archive| store.inside.tails.lock().limit("all", &BOUNDS);
    assert_eq!((all(&store, "all").len(), trimmed(&store)), (0, (0, 1 << 20)));
    assert!(store.settle(PATIENCE));
    drop(store);
    let mut file = Database::open(&path).expect("opened");
    file.trim(&[("all".into(), (0, 1 << 20))]).expect("trimmed");
    drop(file);
    assert!(in_file(&path, "all").is_empty());
}

#[test]
fn what_is_old_goes_and_so_do_rooms_beyond_the_bound() {
    let (_folder, path) = folder();
    let mut file = Database::open(&path).expect("opened");
    let minute = |minute: u64| (minute * 60_000) << 16;
    for at in 0..100 {
        let rooms = [said("old", minute(at), &"x".repeat(4000)), said("new", minute(at + 60), "y")];
        file.commit(&rooms).expect("committed");
    }
    let bounds = Bounds { age: Some(Duration::from_secs(3600)), ..BOUNDS };
    let mut tails = file.tails(&BOUNDS).expect("read");
    let oldest = bounds.oldest(UNIX_EPOCH + Duration::from_secs(60 * 130));
    assert_eq!(tails.newest("old", 1000, oldest).len(), 30);
    assert_eq!(tails.newest("new", 1000, oldest).len(), 90);
    assert!(tails.prune(oldest, 2).is_empty());
    file.prune(oldest, &[]).expect("pruned");
    assert_eq!(tails.newest("old", 1000, MessageId(0)).len(), 30);
    let gone = tails.prune(MessageId(0), 1);
    assert_eq!(gone, [Arc::<str>::from("old")]);
    file.prune(MessageId(0), &gone).expect("pruned");
    drop(file);
    let size = fs::metadata(&path).expect("a file").len();
    assert!(size < 100_000, "given back to the disk: {size}");
    assert!(in_file(&path, "old").is_empty());
    assert_eq!(in_file(&path, "new").len(), 90);
}

#[test]
fn rooms_that_are_there_are_spared() {
    let (_folder, path) = folder();
    let store = Arc::new(open(&path));
    let say = |room, id| store.keep(room, &record(id, "x"));
    ["news", "open", "a", "b", "c"].into_iter().zip(1..).for_each(|(room, id)| say(room, id));
    let (history, members, secret) = (None, None, None);
    let news = FixedRoom { name: "news".into(), history, members, secret, read_only: false, slow: Duration::ZERO };
    let fixed: Arc<[Fixed]> = Arc::new([Fixed { wishes: news, secret: None }]);
    let ground = Ground::new(Arc::new([]), Box::new(Alone), Box::new(Arc::clone(&store)));
    let house = House::new(&Arc::default(), &fixed, ground);
    let chair = house.enter("open", None, None).expect("seat");
    let prune = |rooms| {
        store.inside.tails.lock().prune(MessageId(0), rooms).iter().map(|room| &**room).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(prune(3), "a b");
    drop(chair);
    house.sweep(Instant::now() + Duration::from_secs(3600));
    say("d", 6);
    assert_eq!(prune(3), "open");
    assert_eq!((prune(0), ids(&all(&store, "news"))), ("c d".to_owned(), vec![1]));
}

/// The hub, whose rooms they are, comes after its history.
#[test]
fn a_start_drives_out_nobody() {
    let (_folder, path) = folder();
    let store = open(&path);
    ["a", "b"].iter().for_each(|room| store.keep(room, &record(1, "x")));
    assert!(store.settle(PATIENCE));
    drop(store);
    let store = Archive::open(&path, Bounds { rooms: 1, ..BOUNDS }).expect("opened");
    assert!(store.settle(PATIENCE) && store.settle(PATIENCE));
    assert_eq!((all(&store, "a").len(), all(&store, "b").len()), (1, 1));
}

/// Kept and reported as committed by a process that was killed in the middle of writing: it is all there, and what is
/// there has no gap.
#[test]
fn what_was_committed_survives_kill_9() {
    let (_folder, path) = folder();
    let mut last = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "hub::store::tests::child_that_is_killed", "--ignored", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let committed = lines.filter_map(|line| line.expect("a line").strip_prefix("committed ")?.parse::<u64>().ok());
        // It writes on while this is read.
        let acknowledged = committed.take(2 + round).last().expect("some");
        child.kill().expect("killed");
        child.wait().expect("ended");
        let store = open(&path);
        let found = ids(&all(&store, "a"));
        let end = found.last().copied().unwrap_or(0);
        assert!(end >= acknowledged && acknowledged > last, "{end} {acknowledged} {last}");
        assert_eq!(found, (1..=end).collect::<Vec<_>>(), "no gap");
        last = end;
        drop(store);
    }
    let aside = fs::read_dir(path.parent().expect("a folder")).expect("read").flatten();
    assert_eq!(aside.filter(|entry| entry.file_name().to_string_lossy().contains("damaged")).count(), 0);
}

#[test]
#[ignore = "not a test: the child of the one above"]
#[allow(clippy::print_stdout)] // its parent reads it
fn child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path));
    let first = all(&store, "a").last().map_or(1, |record| record.id.0 + 1);
    for id in first.. {
        store.keep("a", &record(id, &"x".repeat(300)));
        if id % 50 == 0 {
            assert!(store.settle(PATIENCE));
            println!("committed {id}");
        }
    }
}

/// What damage is done to a file.
#[derive(Clone, Debug)]
enum Damage {
    Cut,
    Flip(u8),
    Zero,
    Torn,
}

fn damages() -> impl Strategy<Value = Damage> {
    prop_oneof![Just(Damage::Cut), (1..=255_u8).prop_map(Damage::Flip), Just(Damage::Zero), Just(Damage::Torn)]
}

fn harm(path: &Path, at: f64, damage: &Damage) {
    let mut bytes = fs::read(path).expect("there");
    if bytes.is_empty() {
        return;
    }
    let at = ((bytes.len() as f64 * at) as usize).min(bytes.len().saturating_sub(1));
    let end = bytes.len().min(at + 512);
    match damage {
        Damage::Cut => bytes.truncate(at),
        Damage::Flip(with) => bytes[at] ^= with,
        Damage::Zero => bytes[at..end].fill(0),
        Damage::Torn => bytes[at..end].reverse(),
    }
    fs::write(path, bytes).expect("written");
}

/// A history of 200 messages in each of two rooms.
struct Sound {
    closed: Vec<u8>,
    /// As a power cut would leave it: the journal is not written back.
    open: (Vec<u8>, Vec<u8>),
}

fn sound() -> &'static Sound {
    static SOUND: OnceLock<Sound> = OnceLock::new();
    SOUND.get_or_init(|| {
        let (_folder, path) = folder();
        let mut file = Database::open(&path).expect("opened");
        for id in (1..=200).step_by(4) {
            let batch = (id..id + 4).flat_map(|id| [said("a", id, &whole(id)), said("b", id, "y")]);
            file.commit(&batch.collect::<Vec<_>>()).expect("committed");
        }
        let open = [path.clone(), path.with_extension("history-wal")].map(|path| fs::read(path).expect("read"));
        drop(file);
        Sound { closed: fs::read(&path).expect("read"), open: open.into() }
    })
}

fn whole(id: u64) -> String {
    format!("{id} {}", "x".repeat(150))
}

proptest! {
    /// It opens, perhaps as a new one beside the damaged one, or says that it is none of ours; what is read then was
    /// said once, but for letters that the disk has changed; and it goes on.
    #[test]
    fn a_damaged_file_is_survived(
        which in 0..2_usize,
        harms in prop::collection::vec((prop_oneof![0.0..1.0, Just(0.0), 0.97..1.0], damages()), 1..4),
    ) {
        let (_folder, path) = folder();
        let wal = path.with_extension("history-wal");
        let Sound { closed, open: (file, journal) } = sound();
        fs::write(&path, if which == 0 { closed } else { file }).expect("written");
        if which == 1 {
            fs::write(&wal, journal).expect("written");
        }
        for (at, damage) in &harms {
            harm(if which == 0 { &path } else { &wal }, *at, damage);
        }
        let store = match Archive::open(&path, BOUNDS) {
            Ok(store) => store,
            Err(OpenError::NotOurs | OpenError::Newer(_)) => return Ok(()),
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        };
        let found = all(&store, "a");
        prop_assert!(found.is_sorted_by_key(|record| record.id));
        prop_assert!(found.len() <= 200);
        if which == 1 {
            // The journal's checksums leave nothing but what was committed, up to the damage.
            for record in &found {
                prop_assert_eq!(&*record.text, whole(record.id.0));
            }
        }
        let next = record(1 << 40, "goes on");
        store.keep("a", &next);
        store.settle(PATIENCE);
        let found = all(&store, "a");
        prop_assert_eq!(found.last(), Some(&next));
    }
}

/// Larger than the database's own memory of it, so that the disk is read again.
#[test]
fn a_file_that_is_damaged_while_it_is_in_use_is_renewed_from_memory() {
    let (folder, path) = folder();
    let mut file = Database::open(&path).expect("opened");
    let batch: Vec<_> = (1..=4000).map(|id| said("a", id, &"x".repeat(1500))).collect();
    file.commit(&batch).expect("committed");
    drop(file);
    let store = open(&path);
    let size = fs::metadata(&path).expect("a file").len();
    let mut writer = fs::OpenOptions::new().write(true).open(&path).expect("opened");
    writer.seek(SeekFrom::Start(8192)).expect("sought");
    writer.write_all(&vec![0xff; usize::try_from(size).expect("small") - 8192]).expect("written");
    for id in (1..4000).step_by(2) {
        store.erase("a", MessageId(id));
    }
    store.keep("a", &record(5000, "goes on"));
    let expected: Vec<_> = (2..=4000).step_by(2).chain([5000]).collect();
    assert_eq!(ids(&all(&store, "a")), expected, "memory knows of no damage");
    let settled = store.settle(PATIENCE) || store.settle(PATIENCE);
    assert!(settled, "{:?}", store.facts());
    assert_eq!((store.condition(), store.facts().errors), (Condition::Well, 1));
    assert!(folder.path().join("chat.history.damaged-1").exists());
    drop(store);
    assert_eq!(ids(&all(&open(&path), "a")), expected);
}

#[test]
fn a_file_of_zeros_is_put_aside_and_at_most_nine_are() {
    let (folder, path) = folder();
    for _ in 1..=9 {
        fs::write(&path, vec![0; 8192]).expect("written");
        assert!(inspect(&path).is_ok());
        drop(writer::open(&path).expect("a new one"));
    }
    fs::write(&path, vec![0; 8192]).expect("written");
    assert!(matches!(Archive::open(&path, BOUNDS), Err(OpenError::TooManyAside)));
    assert_eq!(fs::read(folder.path().join("chat.history.damaged-9")).expect("aside").len(), 8192);
}

/// As with a disk that takes nothing for a while: the thread begins late.
#[test]
fn what_the_queue_could_not_take_is_written_from_memory() {
    let (_folder, path) = folder();
    let bounds = Bounds { messages: 10_000, ..BOUNDS };
    let inside = Inside::new(&path, bounds, Tails::default());
    let archive = Archive { inside: Arc::clone(&inside) };
    let more = u64::try_from(JOBS).expect("small") + 100;
    for id in 1..=more {
        archive.keep("a", &record(id, "x"));
    }
    archive.keep("b", &record(1, "y"));
    archive.erase("a", MessageId(5));
    assert_eq!((archive.facts().dropped, archive.facts().queue), (101, JOBS + 1));
    let database = Database::open(&path).expect("opened");
    let writer = std::thread::Builder::new().spawn(move || Writer::new(inside, database).run()).expect("a thread");
    assert!(archive.settle(PATIENCE));
    drop(archive);
    writer.join().expect("no panic");
    let all: Vec<_> = (1..=more).filter(|id| *id != 5).collect();
    assert_eq!(in_file(&path, "a"), all);
    assert_eq!(in_file(&path, "b"), [1]);
}
