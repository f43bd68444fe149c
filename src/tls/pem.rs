//! A PEM file into its objects, each with the line it begins on, or every reason why it cannot be read.

use std::fs::File;
use std::io::{ErrorKind, Read};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls_pemfile::{Error, Item};

use super::finding::{Findings, Place};

/// More than any bundle of CAs; `/dev/zero` has to end somewhere.
const LARGEST_FILE: u64 = 16 << 20;
const BASE64: &str = "unbroken base64 between the BEGIN and END lines, as it was issued";
const MARKERS: &str = "-----BEGIN X----- and -----END X-----, each alone on its line";

/// One object of a PEM file.
#[derive(Debug)]
pub(super) struct Object {
    /// Where its BEGIN line stands, counted from 1.
    pub(super) line: usize,
    pub(super) content: Content,
}

/// What an object is.
#[derive(Debug)]
pub(super) enum Content {
    Certificate(CertificateDer<'static>),
    Key(PrivateKeyDer<'static>),
    /// A SubjectPublicKeyInfo (RFC 7468 §13).
    PublicKey(Vec<u8>),
    /// What a CA has revoked (RFC 5280 §5), DER.
    Crl(CertificateRevocationListDer<'static>),
    /// A private key behind a passphrase.
    EncryptedKey,
    /// Anything else, by its label.
    Other(String),
}

/// The objects of a file in its order; `None` when something is wrong with the file, which is then in `findings`.
pub(super) fn read(place: Place<'_>, findings: &mut Findings) -> Option<Vec<Object>> {
    let bytes = match bytes(place) {
        Ok(bytes) => bytes,
        Err(wrong) => {
            findings.problems.push(place.whole(wrong, "a PEM file that the gateway's user may read"));
            return None;
        }
    };
    let before = findings.problems.len();
    let objects = objects(&bytes, place, findings);
    if findings.problems.len() > before {
        return None;
    }
    if objects.is_empty() {
        let (wrong, allowed) = not_pem(&bytes);
        findings.problems.push(place.whole(wrong, allowed));
        return None;
    }
    Some(objects)
}

fn bytes(place: Place<'_>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(place.path).and_then(|file| {
        if file.metadata()?.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)
    });
    match read {
        Ok(0) => Err("the file is empty".to_owned()),
        Ok(length) if length as u64 > LARGEST_FILE => Err("the file is larger than 16 MiB".to_owned()),
        Ok(_) => Ok(bytes),
        Err(error) => Err(match error.kind() {
            ErrorKind::NotFound => "there is no such file".to_owned(),
            ErrorKind::PermissionDenied => "the file may not be read by this user".to_owned(),
            ErrorKind::IsADirectory => "this is a folder, not a file".to_owned(),
            _ => format!("the file cannot be read: {error}"),
        }),
    }
}

/// Why a file without any object is not PEM.
fn not_pem(bytes: &[u8]) -> (&'static str, &'static str) {
    match bytes {
        [0x30, 0x80..=0x84, ..] => (
            "this is binary (DER or PKCS#12), not PEM",
            "PEM text: `openssl x509 -inform der -in FILE -out FILE.pem` (a certificate), `openssl pkey -inform der` \
             (a key), `openssl pkcs12 -nodes -in FILE` (.pfx and .p12)",
        ),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("this is UTF-16 text", "PEM as plain ASCII or UTF-8 text"),
        _ => ("there is no PEM object in it", MARKERS),
    }
}

/// Every object; each is decoded by itself, so that a broken one does not hide what comes after it.
fn objects(bytes: &[u8], place: Place<'_>, findings: &mut Findings) -> Vec<Object> {
    let mut objects = Vec::new();
    for section in sections(bytes, place, findings) {
        match section.decode() {
            Ok(content) => objects.push(Object { line: section.line, content }),
            Err((line, wrong)) => findings.problems.push(place.at(line, wrong, BASE64)),
        }
    }
    objects
}

/// The text of one object, BEGIN and END lines included.
#[derive(Debug)]
struct Section<'a> {
    label: String,
    line: usize,
    text: &'a [u8],
}

impl Section<'_> {
    /// What it holds, or the line that is broken and how.
    fn decode(&self) -> Result<Content, (usize, String)> {
        if self.label == "ENCRYPTED PRIVATE KEY" || self.is_encrypted_the_old_way() {
            return Ok(Content::EncryptedKey);
        }
        // The project's only call into rustls-pemfile, which is archived upstream; `pki_types::pem` can take its place.
        match rustls_pemfile::read_one_from_slice(self.text) {
            Ok(Some((Item::X509Certificate(der), _))) => Ok(Content::Certificate(der)),
            Ok(Some((Item::Pkcs1Key(der), _))) => Ok(Content::Key(der.into())),
            Ok(Some((Item::Pkcs8Key(der), _))) => Ok(Content::Key(der.into())),
            Ok(Some((Item::Sec1Key(der), _))) => Ok(Content::Key(der.into())),
            Ok(Some((Item::SubjectPublicKeyInfo(der), _))) => Ok(Content::PublicKey(der.to_vec())),
            Ok(Some((Item::Crl(der), _))) => Ok(Content::Crl(der)),
            Ok(_) => Ok(Content::Other(self.label.clone())),
            Err(Error::Base64Decode(_)) => Err(self.broken_line()),
            Err(Error::MissingSectionEnd { .. } | Error::IllegalSectionStart { .. }) => {
                Err((self.line, "its BEGIN or END line is malformed".to_owned()))
            }
        }
    }

    /// RFC 1421 headers, as old OpenSSL wrote them: `Proc-Type: 4,ENCRYPTED`.
    fn is_encrypted_the_old_way(&self) -> bool {
        self.body().any(|(_, line)| line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED"))
    }

    /// The line that makes the base64 undecodable, as far as one can tell.
    fn broken_line(&self) -> (usize, String) {
        let mut lines = self.body().peekable();
        let width = lines.peek().map_or(0, |(_, line)| line.len());
        while let Some((number, line)) = lines.next() {
            let strange = |byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b' '));
            if let Some(&byte) = line.iter().find(|byte| strange(byte)) {
                return (number, format!("{:?} is no character of base64", char::from(byte)));
            }
            if lines.peek().is_some() && line.contains(&b'=') {
                return (number, "the base64 ends (`=`) before its last line".to_owned());
            }
            if lines.peek().is_some() && line.len() != width {
                return (number, format!("the line has {} characters where the others have {width}", line.len()));
            }
        }
        (self.line, "the base64 of this object is cut short or garbled".to_owned())
    }

    /// The lines between BEGIN and END that are not empty, with their numbers.
    fn body(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let lines = self.text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
        lines
            .filter(|(_, line)| !line.is_empty() && !line.starts_with(b"-----"))
            .map(|(at, line)| (self.line + at, line))
    }
}

/// A BEGIN line that waits for its END.
struct Open {
    label: String,
    line: usize,
    start: usize,
}

/// Cuts a file at its BEGIN and END lines; text outside is allowed and skipped (RFC 7468 §2).
fn sections<'a>(bytes: &'a [u8], place: Place<'_>, findings: &mut Findings) -> Vec<Section<'a>> {
    let mut sections = Vec::new();
    let mut open: Option<Open> = None;
    let mut fault = |line: usize, wrong: String| findings.problems.push(place.at(line, wrong, MARKERS));
    let mut end = 0;
    for (at, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let number = at + 1;
        let start = end;
        end += line.len();
        match Marker::of(line, number == 1) {
            Marker::Begin(label, indent) => {
                if let Some(Open { label, line, .. }) =
                    open.replace(Open { label, line: number, start: start + indent })
                {
                    fault(line, format!("the {label} that begins here has no END line"));
                }
            }
            Marker::End(label) => match open.take() {
                Some(begun) if begun.label == label => {
                    let text = &bytes[begun.start..end];
                    sections.push(Section { label, line: begun.line, text });
                }
                Some(begun) => {
                    fault(number, format!("this ends {label}, but line {} begins {}", begun.line, begun.label))
                }
                None => fault(number, format!("this ends {label}, but nothing was begun")),
            },
            Marker::Malformed => fault(number, "a malformed BEGIN or END line".to_owned()),
            Marker::None => {}
        }
    }
    if let Some(Open { label, line, .. }) = open {
        fault(line, format!("the {label} that begins here has no END line: the file is cut short"));
    }
    sections
}

/// What a line is, seen as a boundary.
enum Marker {
    /// With the bytes of a byte order mark before it.
    Begin(String, usize),
    End(String),
    /// Meant as a boundary, but readers would not take it for one.
    Malformed,
    None,
}

impl Marker {
    fn of(line: &[u8], first: bool) -> Self {
        let bare = if first { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
        let trimmed = bare.trim_ascii();
        let looks_like =
            |word: &[u8]| trimmed.starts_with(b"--") && trimmed.windows(word.len()).any(|part| part == word);
        if !looks_like(b"BEGIN ") && !looks_like(b"END ") {
            return Self::None;
        }
        if !bare.starts_with(b"-") {
            return Self::Malformed;
        }
        let label = |word: &[u8]| {
            let label = trimmed.strip_prefix(word)?.strip_suffix(b"-----")?;
            (!label.starts_with(b"-") && !label.ends_with(b"-")).then(|| String::from_utf8_lossy(label).into_owned())
        };
        match (label(b"-----BEGIN "), label(b"-----END ")) {
            (Some(label), _) => Self::Begin(label, line.len() - bare.len()),
            (None, Some(label)) => Self::End(label),
            (None, None) => Self::Malformed,
        }
    }
}
#[cfg(test)]
mod tests {
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
            Content::PublicKey(_) => "public key".to_owned(),
            Content::Crl(_) => "list".to_owned(),
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

    proptest::proptest! {
        #[test]
        fn no_file_is_too_strange(pieces in proptest::collection::vec(0_usize..9, 0..40), noise: Vec<u8>) {
            let known = ["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----", "-----BEGIN ", "-----", "AAAA", "="];
            let known = known.into_iter().chain(["\n", "\r\n"]).collect::<Vec<_>>();
            let piece = |&at: &usize| known.get(at).map_or(&noise[..], |known| known.as_bytes());
            let bytes: Vec<u8> = pieces.iter().flat_map(piece).copied().collect();
            let mut findings = Findings::default();
            let place = Place { path: "a.pem".as_ref(), key: "chain" };
            let lines = bytes.split_inclusive(|&byte| byte == b'\n').count();
            let objects = objects(&bytes, place, &mut findings);
            let broken = findings.problems.iter().filter_map(|problem| problem.line);
            for line in objects.iter().map(|object| object.line).chain(broken) {
                assert!((1..=lines).contains(&line), "{line} of {lines}");
            }
        }
    }
}
