//! `source_address = "transparent"`: a backend on another machine sees its client's own address. The machines are network
//! namespaces, joined as cables would join them; the gateway's routes are those of the README, word for word.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::support::backend::{echo, switch};
use crate::support::{Peer, gateway, within};

/// Set where the three machines are.
const INSIDE: &str = "WSGATE_MACHINES";
const NAME: &str = "transparent::a_backend_on_another_machine_sees_its_clients_own_address";

/// A client, a gateway and a backend, in a row. The gateway's machine is the one that this runs on; it forwards nothing.
const MACHINES: &str = r#"
mount -t tmpfs machines /run
ip link set lo up
cable() { # MACHINE, its addresses and those of the gateway's end
    ip netns add "$1"
    ip link add "to-$1" type veth peer name eth0 netns "$1"
    ip -n "$1" address add "$2" dev eth0 && ip address add "$3" dev "to-$1"
    ip -n "$1" address add "$4" dev eth0 nodad && ip address add "$5" dev "to-$1" nodad
    ip -n "$1" link set eth0 up && ip link set "to-$1" up
}
cable client 203.0.113.7/24 203.0.113.1/24 2001:db8:c::7/64 2001:db8:c::1/64
cable backend 10.0.1.10/24 10.0.1.1/24 2001:db8:b::10/64 2001:db8:b::1/64
ip -n backend route add default via 10.0.1.1
ip -n backend -6 route add default via 2001:db8:b::1
exec "$@"
"#;

#[tokio::test]
#[ignore = "needs user namespaces and iproute2: a step of tests/run"]
async fn a_backend_on_another_machine_sees_its_clients_own_address() {
    if std::env::var_os(INSIDE).is_none() {
        return among_machines().await;
    }
    let recipe = recipe();
    seen("203.0.113.1:0", "10.0.1.10:8080", &recipe).await;
    let recipe = recipe.replace("ip r", "ip -6 r").replace("10.0.1.10", "2001:db8:b::10").replace("0.0.0.0/0", "::/0");
    seen("[2001:db8:c::1]:0", "[2001:db8:b::10]:8080", &recipe).await;
}

/// Runs this very test again where the three machines are; root is needed nowhere else than there.
async fn among_machines() {
    let own = std::env::current_exe().expect("this program");
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net", "--mount", "sh", "-euc", MACHINES, "sh"]).arg(own);
    command.args(["--exact", NAME, "--ignored", "--nocapture"]).env(INSIDE, "yes").kill_on_drop(true);
    // It has patience of its own.
    let output = command.output().await.expect("unshare is there");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let hint = if said.contains("unshare: ") { "unprivileged user namespaces are not allowed here: " } else { "" };
    // A name that fits no test is a success, too.
    assert!(output.status.success() && said.contains("1 passed"), "{hint}{said}");
}

/// The README's commands for the gateway's machine.
fn recipe() -> String {
    let readme = include_str!("../../README.md");
    let block = readme.split("```sh\n").find(|block| block.starts_with("ip rule add ")).expect("the commands");
    block.split("```").next().expect("their end").to_owned()
}

/// Makes a socket on another machine: it belongs to where it was made, whoever uses it.
fn on<T: Send + 'static>(machine: &str, make: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> T {
    let there = File::open(format!("/run/netns/{machine}")).expect("a machine");
    let maker = std::thread::spawn(move || {
        move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::Network)).expect("moved");
        make()
    });
    maker.join().expect("no panic").expect("a socket")
}

/// A client comes in vain until the machine has its routes, and then the backend sees it: maybe a second later, while IPv6
/// looks for its neighbours.
async fn seen(listen: &str, backend: &'static str, recipe: &str) {
    let listener = on("backend", move || std::net::TcpListener::bind(backend));
    listener.set_nonblocking(true).expect("not blocking");
    let listener = TcpListener::from_std(listener).expect("a listener");
    let gateway = gateway(&format!(
        "listen = [\"{listen}\"]\nplaintext = true\n\
         [[route]]\npath = \"/ws\"\nproxy = {{ pool = \"patient\" }}\n\
         [pool.patient]\nbackends = [\"ws://{backend}\"]\nsource_address = \"transparent\"\nconnect_timeout = \"15s\"\n\
         [[route]]\npath = \"/early\"\nproxy = {{ pool = \"hasty\" }}\n\
         [pool.hasty]\nbackends = [\"ws://{backend}\"]\nsource_address = \"transparent\"\nconnect_timeout = \"300ms\"\n"
    ));
    let to: SocketAddr = gateway.address().parse().expect("an address");
    let come = || {
        let stream = on("client", move || std::net::TcpStream::connect(to));
        stream.set_nonblocking(true).expect("not blocking");
        let address = stream.local_addr().expect("bound").ip();
        (Peer::new(TcpStream::from_std(stream).expect("a stream")), address)
    };
    let (mut early, _) = come();
    assert_eq!(early.upgrade("/early", &[]).await.status, 504, "the backend's answers come to nobody");
    let ran = Command::new("sh").args(["-euc", recipe]).output().await.expect("sh");
    assert!(ran.status.success(), "{recipe}{}", String::from_utf8_lossy(&ran.stderr));

    let (mut peer, client) = come();
    let serving = tokio::spawn(upgraded(listener));
    let answer = peer.upgrade("/ws", &[]).await;
    assert_eq!(answer.status, 101, "{answer:?}");
    let (far, address) = serving.await.expect("upgraded");
    assert_eq!(address, client);
    tokio::spawn(echo(far));
    let long = "x".repeat(100_000);
    peer.say(&long).await;
    assert_eq!(peer.whole().await.text(), long);
}

/// The connection that is upgraded: of one that came in vain there may be another before it.
async fn upgraded(listener: TcpListener) -> (Peer, IpAddr) {
    loop {
        let (stream, address) = within("a connection", listener.accept()).await.expect("accept");
        let mut far = Peer::new(stream);
        if let Ok(head) = far.try_head().await {
            far.send(&switch(&head, &[])).await;
            return (far, address.ip());
        }
    }
}
