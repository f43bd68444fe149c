//! Certificates while they are served: other files are taken up by themselves, and their ends are told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::PKCS_ECDSA_P256_SHA256;

use crate::support::tls::{Folder, Made, VERSIONS, authority, client, leaf, make, params};
use crate::support::{Peer, Running, gateway, log, logged, within};

const ECHO: &str = "[[route]]\npath = \"/echo\"\necho = {}\n";

/// A gateway that shows this, and looks at its files fifty times a second.
fn watching(folder: &Folder, made: &Made) -> Running {
    gateway(&format!("[tls]\nwatch = \"20ms\"\ncertificates = [{}]\n{ECHO}", folder.pair("a", &made.pem, made)))
}

/// Puts a file in the place of another, as whoever writes with care does.
fn replace(folder: &Folder, name: &str, text: &str) -> PathBuf {
    let fresh = folder.write("fresh", text);
    let path = fresh.with_file_name(name);
    std::fs::rename(fresh, &path).expect("renamed");
    path
}

fn renew(folder: &Folder, made: &Made) {
    replace(folder, "a.pem", &made.pem);
    replace(folder, "a.key", &made.key.serialize_pem());
}

async fn trusted(gateway: &Running, authority: &Made) -> Option<Peer> {
    // A new client each time: one that resumes a session does not look at the certificate again.
    let config = Arc::new(client(&[authority], VERSIONS));
    Peer::connect_tls(&gateway.address(), "localhost", config).await.ok()
}

async fn until_trusted(gateway: &Running, authority: &Made) -> Peer {
    within("the other certificate", async {
        loop {
            if let Some(peer) = trusted(gateway, authority).await {
                return peer;
            }
        }
    })
    .await
}

async fn echoes(peer: &mut Peer) {
    peer.say("hello").await;
    assert_eq!(peer.message().await.text(), "hello");
}

fn lines_with(pieces: &[&str]) -> usize {
    let text = String::from_utf8_lossy(&log().lock().expect("log")).into_owned();
    text.lines().filter(|line| pieces.iter().all(|piece| line.contains(piece))).count()
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn what_a_renewal_has_written_is_taken_up_without_touching_who_is_there() {
    log();
    let (folder, old, new) = (Folder::new(), authority("old", None), authority("new", None));
    let gateway = watching(&folder, &leaf(&["localhost"], Some(&old)));
    let mut peer = trusted(&gateway, &old).await.expect("the first one");
    assert_eq!(peer.upgrade("/echo", &[]).await.status, 101);
    renew(&folder, &leaf(&["localhost"], Some(&new)));
    let mut other = until_trusted(&gateway, &new).await;
    assert_eq!(other.upgrade("/echo", &[]).await.status, 101);
    echoes(&mut other).await;
    echoes(&mut peer).await;
    assert!(trusted(&gateway, &old).await.is_none());
    let file = shown(&replace(&folder, "a.pem", &leaf(&["localhost"], Some(&new)).pem));
    logged(&["INFO", "a certificate has changed on disk, and is in force", &file]).await;
}

#[tokio::test]
async fn a_bad_one_is_told_and_the_one_before_stays() {
    log();
    let (folder, old, new) = (Folder::new(), authority("old", None), authority("new", None));
    let gateway = watching(&folder, &leaf(&["localhost"], Some(&old)));
    let file = shown(&replace(&folder, "a.pem", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"));
    let told = ["ERROR", "cannot be used, the one before stays", &*file];
    logged(&told).await;
    assert!(trusted(&gateway, &old).await.is_some());
    renew(&folder, &leaf(&["localhost"], Some(&new)));
    until_trusted(&gateway, &new).await;
    assert_eq!(lines_with(&told), 1, "once, however often it was looked at");
}

#[tokio::test]
async fn an_end_that_is_near_is_told_once() {
    log();
    let (folder, mut params) = (Folder::new(), params(&["localhost"]));
    params.not_after = (SystemTime::now() + Duration::from_secs(12 * 3600)).into();
    let made = make(params, &PKCS_ECDSA_P256_SHA256, None);
    let _gateway = watching(&folder, &made);
    let file = shown(&replace(&folder, "b.pem", "")).replace("b.pem", "a.pem");
    let told = ["WARN", "a certificate expires in 11 hours", &*file, "name=\"localhost\""];
    logged(&told).await;
    assert_eq!(lines_with(&told), 1);
}
