//! PEM files good and bad.

use super::super::fixture::{Folder, authority, leaf, said};
use super::*;

fn read_text(text: impl AsRef<[u8]>) -> Result<Vec<(usize, String)>, Vec<String>> {
    let folder = Folder::new();
    let path = folder.write("a.pem", text);
    let mut findings = Findings::default();
    let objects = read(Place { path: &path, key: "chain" }, &mut findings);
    assert_eq!(objects.is_none(), !findings.problems.is_empty());
    let name = |content: &Content| match content {
        Content::Certificate(_) => "certificate".to_owned(),
        Content::Key(_) => "key".to_owned(),
        Content::EncryptedKey => "encrypted".to_owned(),
        Content::Other(label) => label.clone(),
    };
    let list = |objects: Vec<Object>| objects.iter().map(|object| (object.line, name(&object.content))).collect();
    objects.map(list).ok_or(said(&findings.problems))
}

fn refused(text: impl AsRef<[u8]>) -> Vec<String> {
    read_text(text).expect_err("refused")
}

#[test]
fn objects_come_with_their_lines() {
    let made = leaf(&["a.example"], None);
    let lines = made.pem.lines().count();
    let text = format!("subject=a.example\nissuer=a.example\n{}\n{}", made.pem, made.key_pem());
    assert_eq!(read_text(&text), Ok(vec![(3, "certificate".to_owned()), (lines + 4, "key".to_owned())]));
    let windows = format!("\u{feff}{}", made.pem.replace('\n', "\r\n"));
    assert_eq!(read_text(windows), Ok(vec![(1, "certificate".to_owned())]));
    let unended = made.pem.trim_end().to_owned();
    assert_eq!(read_text(unended), Ok(vec![(1, "certificate".to_owned())]));
}

#[test]
fn other_objects_keep_their_label() {
    let text = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
    assert_eq!(read_text(text), Ok(vec![(1, "EC PARAMETERS".to_owned())]));
    let text = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert_eq!(read_text(text), Ok(vec![(1, "encrypted".to_owned())]));
    let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n\
               -----END RSA PRIVATE KEY-----\n";
    assert_eq!(read_text(old), Ok(vec![(1, "encrypted".to_owned())]));
}

#[test]
fn a_file_that_is_no_pem_is_explained() {
    let made = authority("ca", None);
    assert_eq!(refused(""), ["a.pem: the file is empty"]);
    assert_eq!(refused(&made.der), ["a.pem: this is binary (DER or PKCS#12), not PEM"]);
    assert_eq!(refused("hello\n"), ["a.pem: there is no PEM object in it"]);
    assert_eq!(refused(b"\xff\xfe-\0-\0"), ["a.pem: this is UTF-16 text"]);
}

#[test]
fn a_file_that_cannot_be_read_is_explained() {
    let folder = Folder::new();
    let refused = |path: std::path::PathBuf| {
        let mut findings = Findings::default();
        assert!(read(Place { path: &path, key: "chain" }, &mut findings).is_none());
        said(&findings.problems)
    };
    assert_eq!(refused(folder.path().join("none.pem")), ["none.pem: there is no such file"]);
    std::fs::create_dir(folder.path().join("dir")).expect("folder");
    assert_eq!(refused(folder.path().join("dir")), ["dir: this is a folder, not a file"]);
    assert_eq!(refused("/dev/zero".into()), ["zero: the file is larger than 16 MiB"]);
    let below_a_file = folder.write("file", "x").join("a.pem");
    assert_eq!(refused(below_a_file).len(), 1);
}

#[test]
fn broken_base64_is_found_by_line() {
    let pem = authority("ca", None).pem;
    let edit = |number: usize, edit: &dyn Fn(&str) -> String| {
        let lines =
            pem.lines().enumerate().map(|(at, line)| if at + 1 == number { edit(line) } else { line.to_owned() });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    };
    let strange = edit(3, &|line| line.replacen(|_: char| true, "%", 1));
    assert_eq!(refused(strange), ["a.pem:3: '%' is no character of base64"]);
    let short = edit(4, &|line| line[..60].to_owned() + "A");
    assert_eq!(refused(short), ["a.pem:4: the line has 61 characters where the others have 64"]);
    let ended = edit(2, &|line| line[..62].to_owned() + "==");
    assert_eq!(refused(ended), ["a.pem:2: the base64 ends (`=`) before its last line"]);
    let cut = "-----BEGIN CERTIFICATE-----\nAAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(refused(cut), ["a.pem:1: the base64 of this object is cut short or garbled"]);
}

#[test]
fn every_broken_object_is_reported() {
    let good = authority("ca", None).pem;
    let bad = "-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n";
    let lines = good.lines().count();
    let at = [2, lines + 5].map(|line| format!("a.pem:{line}: '%' is no character of base64"));
    assert_eq!(refused(format!("{bad}{good}{bad}")), at);
}

#[test]
fn boundaries_are_checked() {
    let begin = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    let cut = "a.pem:1: the CERTIFICATE that begins here has no END line: the file is cut short";
    assert_eq!(refused(begin), [cut]);
    let twice = format!("{begin}{begin}-----END CERTIFICATE-----\n");
    assert_eq!(refused(twice), ["a.pem:1: the CERTIFICATE that begins here has no END line"]);
    let other = format!("{begin}-----END PRIVATE KEY-----\n");
    assert_eq!(refused(other), ["a.pem:3: this ends PRIVATE KEY, but line 1 begins CERTIFICATE"]);
    assert_eq!(refused("-----END CERTIFICATE-----\n"), ["a.pem:1: this ends CERTIFICATE, but nothing was begun"]);
    for line in ["----BEGIN CERTIFICATE-----", "------BEGIN CERTIFICATE-----", " -----BEGIN CERTIFICATE-----"] {
        assert_eq!(refused(line), ["a.pem:1: a malformed BEGIN or END line"], "{line}");
    }
}
