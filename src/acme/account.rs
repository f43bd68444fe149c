//! The account at the CA: made once, kept, and known to the CA by its key.

use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use serde_json::{Value, json};

use super::exchange::Http;
use super::failure::Failure;
use super::storage::{Lock, Storage};
use crate::config::{Acme, ExternalAccount, Problem, Problems};

/// Bytes of a file with a key: CAs give out keys of less than a hundred.
const KEY_MAX: u64 = 4096;

/// The key of an account that was made elsewhere (RFC 8555 §7.3.4).
#[derive(PartialEq, Eq)]
pub(super) struct ExternalKey {
    id: String,
    key: Vec<u8>,
}

impl ExternalKey {
    /// # Errors
    /// The file cannot be read, or has no key in it.
    pub(super) fn read(wishes: &ExternalAccount) -> Result<Self, Problems> {
        let wrong = |wrong: String| {
            let problem = Problem::new(wishes.key_file.display().to_string(), "tls.acme.eab_key_file", wrong)
                .allowing("a file whose first line is the key, in base64url, as the CA shows it");
            Problems::from(problem)
        };
        let mut text = String::new();
        let read = File::open(&wishes.key_file).and_then(|file| file.take(KEY_MAX).read_to_string(&mut text));
        read.map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let first = text.lines().next().unwrap_or_default().trim().trim_end_matches('=');
        match BASE64_URL_SAFE_NO_PAD.decode(first) {
            Ok(key) if !key.is_empty() => Ok(Self { id: wishes.id.clone(), key }),
            _ => Err(wrong("not a key".to_owned())),
        }
    }
}

/// The account that is kept for this directory, or a new one.
pub(super) async fn open(
    storage: &Storage,
    lock: &Lock,
    wishes: &Acme,
    external: Option<&ExternalKey>,
    http: Http,
) -> Result<Account, Failure> {
    let contact: Vec<&str> = wishes.contact.iter().map(String::as_str).collect();
    if let Some(text) = storage.account()? {
        match read(&text, wishes) {
            Some((credentials, told)) => {
                let account = Account::builder_with_http(Box::new(http)).from_credentials(credentials).await?;
                if told != wishes.contact {
                    account.update_contacts(&contact).await?;
                    storage.keep_account(lock, &with_contact(&text, wishes))?;
                }
                return Ok(account);
            }
            None => storage.set_aside_account(lock)?,
        }
    }
    let external = external.map(|known| ExternalAccountKey::new(known.id.clone(), &known.key));
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let made = Account::builder_with_http(Box::new(http));
    let (account, credentials) = made.create(&wanted, wishes.directory.clone(), external.as_ref()).await?;
    let text = json!({ "credentials": credentials, "contact": wishes.contact }).to_string();
    storage.keep_account(lock, &text)?;
    tracing::info!(ca = wishes.directory, account = account.id(), "an account was made");
    Ok(account)
}

/// The account that is kept; `None` when there is none that can be used.
pub(super) async fn kept(storage: &Storage, wishes: &Acme, http: Http) -> Result<Option<Account>, Failure> {
    let Some(text) = storage.account()? else { return Ok(None) };
    let Some((credentials, _)) = read(&text, wishes) else { return Ok(None) };
    Ok(Some(Account::builder_with_http(Box::new(http)).from_credentials(credentials).await?))
}

/// The credentials, and the contact that the CA was told of. The key of one CA is not shown to another.
fn read(text: &str, wishes: &Acme) -> Option<(AccountCredentials, Vec<String>)> {
    let mut kept: Value = serde_json::from_str(text).ok()?;
    let credentials = kept["credentials"].take();
    if credentials["directory"] != *wishes.directory {
        return None;
    }
    Some((serde_json::from_value(credentials).ok()?, serde_json::from_value(kept["contact"].take()).ok()?))
}

fn with_contact(text: &str, wishes: &Acme) -> String {
    let mut kept: Value = serde_json::from_str(text).unwrap_or_default();
    kept["contact"] = json!(wishes.contact);
    kept.to_string()
}
