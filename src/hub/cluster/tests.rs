//! Gateways around a Redis that is really there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use tempfile::TempDir;

use super::entry::Fields;
use super::*;
use crate::config::cluster::{Redis, RedisKind};

struct Server {
    folder: TempDir,
    child: Child,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let child = Self::spawn(folder.path());
        Self { folder, child }
    }
    fn spawn(folder: &Path) -> Child {
        let mut command = Command::new("redis-server");
        command.current_dir(folder).args(["--port", "0", "--unixsocket", "r.sock", "--save", ""]);
        command.stdout(Stdio::null()).spawn().expect("redis-server is installed")
    }
    fn socket(&self) -> PathBuf {
        self.folder.path().join("r.sock")
    }
    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(self.socket());
    }
    fn again(&mut self) {
        self.child = Self::spawn(self.folder.path());
    }
}
impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Debug, Default)]
struct Room {
    log: Mutex<Vec<String>>,
    shown: Mutex<Vec<(u64, String)>>,
}
impl Room {
    fn note(&self, text: String) {
        eprintln!("{:p} {text}", self);
        self.log.lock().unwrap().push(text);
    }
    fn texts(&self) -> Vec<String> {
        self.shown.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}
impl Hall for Room {
    fn name(&self) -> &str {
        "cats"
    }
    fn show(&self, show: Show, user: u64) {
        self.note(format!("show {:x} {} {user}", show.id, show.said.text));
        self.shown.lock().unwrap().push((show.id, show.said.text.to_string()));
    }
    fn placed(&self, shown: u64, place: u64) {
        self.note(format!("placed {shown:x} {place:x}"));
    }
    fn restore(&self, shows: Vec<Show>) {
        self.note(format!("restore {:?}", shows.iter().map(|s| s.said.text.to_string()).collect::<Vec<_>>()));
    }
    fn part(&self, apart: bool) {
        self.note(format!("apart {apart}"));
    }
    fn people(&self, _: usize) -> (usize, Vec<(String, String)>) {
        (1, vec![(format!("{:016x}", std::ptr::from_ref(self).addr()), "x".to_owned())])
    }
    fn others(&self, others: Others) {
        self.note(format!("others {}", others.count));
    }
    fn hear(&self, node: &str, fields: Fields) {
        self.note(format!("hear {node} {fields:?}"));
    }
    fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
    fn is_over(&self) -> bool {
        false
    }
}

struct Gate {
    cluster: Cluster,
    chapter: Arc<Chapter>,
    room: Arc<Room>,
    _stop: oneshot::Sender<()>,
}

fn gate(server: &Server, name: &str) -> Gate {
    let wishes = Wishes {
        place: "test".to_owned(),
        node: Some(name.to_owned()),
        expiry: Duration::from_secs(3),
        reconnect: Duration::from_millis(500),
        queue: 100,
    };
    let redis =
        Redis { hosts: vec![], socket: Some(server.socket()), tls: false, kind: RedisKind::Single, database: 0 };
    let way = Way { redis, username: None, password: None, ca: None, timeout: Duration::from_secs(1) };
    let cluster = Cluster::new(wishes);
    let (stop, stopped) = oneshot::channel();
    let running = cluster.clone();
    std::thread::Builder::new()
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
            runtime.unwrap().block_on(running.run(way, stopped));
        })
        .unwrap();
    let chapter = Arc::new(Chapter::new("t", (50, Duration::ZERO, 4096)));
    let room = Arc::new(Room::default());
    cluster.post(Note::Begin(Arc::clone(&chapter)));
    cluster.post(Note::Open(Arc::clone(&chapter), room.clone()));
    Gate { cluster, chapter, room, _stop: stop }
}

impl Gate {
    fn say(&self, text: &str) {
        let said = Said {
            key: self.cluster.next_key().into(),
            node: self.cluster.node().into(),
            from: "00000000000000aa".into(),
            name: "ann".into(),
            text: text.into(),
            reference: None,
        };
        self.cluster.post(Note::Say(Arc::clone(&self.chapter), self.room.clone(), Arc::new(said), 7));
    }
}

fn until(mut what: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if what() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("in vain");
}

#[test]
fn together_apart_and_together() {
    let mut server = Server::start();
    until(|| server.socket().exists());
    let (a, b) = (gate(&server, "a"), gate(&server, "b"));
    let has = |gate: &Gate, what: &str| gate.room.log.lock().unwrap().iter().any(|line| line == what);
    until(|| has(&a, "others 1") && has(&b, "others 1"));
    a.say("1");
    b.say("2");
    until(|| a.room.texts().len() == 2 && b.room.texts().len() == 2);
    assert_eq!(a.room.texts(), b.room.texts());
    server.stop();
    until(|| has(&a, "apart true") && has(&b, "apart true"));
    a.say("3");
    b.say("4");
    until(|| a.room.texts().len() == 3 && b.room.texts().len() == 3);
    server.again();
    until(|| has(&a, "apart false") && has(&b, "apart false"));
    until(|| a.room.texts().len() == 4 && b.room.texts().len() == 4);
    a.say("5");
    until(|| a.room.texts().len() == 5 && b.room.texts().len() == 5);
    for gate in [&a, &b] {
        let mut texts = gate.room.texts();
        texts.sort();
        assert_eq!(texts, ["1", "2", "3", "4", "5"]);
        let ids: Vec<u64> = gate.room.shown.lock().unwrap().iter().map(|(id, _)| *id).collect();
        assert!(ids.is_sorted());
    }
    let cli = |args: &[&str]| {
        let out = Command::new("redis-cli").arg("-s").arg(server.socket()).args(args).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    println!("{}", cli(&["XRANGE", "t:room:cats", "-", "+"]));
    println!("{}", cli(&["PUBLISH", "t:say:cats", "{\"text\":\"from php\"}"]));
    until(|| a.room.texts().len() == 6 && b.room.texts().len() == 6);
    println!("{}", cli(&["XADD", "t:in", "*", "room", "cats", "text", "surely"]));
    until(|| a.room.texts().len() == 7 && b.room.texts().len() == 7);
    println!("{}", cli(&["KEYS", "*"]));
    println!("facts {:?}", a.cluster.0.facts);
}
