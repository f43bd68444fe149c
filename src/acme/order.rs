//! One order at the CA, from the names to the certificate: what it asks is answered while it looks.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeType, Identifier, NewOrder,
    Order, OrderStatus, RetryPolicy,
};

use super::failure::{Failure, words};
use crate::config::{Acme, AcmeChallenge};
use crate::tls::{self, Challenges, Told};

/// How a CA is asked whether it is done, if it does not say itself when to.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(180));

/// The chain and its key, both PEM. Cancel safe: what is dropped half-way is answered no more.
pub(super) async fn order(
    account: &Account,
    wishes: &Acme,
    challenges: &Arc<Challenges>,
    replaces: Option<CertificateIdentifier<'_>>,
) -> Result<(String, String), Failure> {
    let names: Vec<Identifier> = wishes.names.iter().cloned().map(Identifier::Dns).collect();
    let wanted = NewOrder::new(&names);
    let wanted = match replaces {
        Some(before) => wanted.replaces(before),
        None => wanted,
    };
    let mut order = account.new_order(&wanted).await?;
    if order.state().status != OrderStatus::Ready {
        let told = answer(&mut order, wishes.challenge, challenges).await?;
        let polled = order.poll_ready(&POLL).await;
        match polled {
            Ok(OrderStatus::Ready) => {}
            Ok(_) => return Err(Failure::Refused(reasons(&mut order).await?)),
            // What it says of the order alone may be less than what it says of the names.
            Err(error) => {
                return Err(match reasons(&mut order).await {
                    Ok(reasons) if !reasons.is_empty() => Failure::Refused(reasons),
                    _ => error.into(),
                });
            }
        }
        drop(told);
    }
    let (request, key) = tls::request(&wishes.names, SystemTime::now())?;
    order.finalize_csr(&request).await?;
    Ok((order.poll_certificate(&POLL).await?, key))
}

/// Answers whatever is asked of the names, as long as what is given back lives, and says that the CA may look.
async fn answer(order: &mut Order, kind: AcmeChallenge, challenges: &Arc<Challenges>) -> Result<Vec<Told>, Failure> {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        told.extend(answer_one(next?, kind, challenges).await?);
    }
    Ok(told)
}

async fn answer_one(
    authorization: AuthorizationHandle<'_>,
    kind: AcmeChallenge,
    challenges: &Arc<Challenges>,
) -> Result<Option<Told>, Failure> {
    // For as long as the challenge is looked at.
    let mut authorization = authorization;
    let name = authorization.identifier().to_string();
    match authorization.status {
        // The CA remembers that it has looked.
        AuthorizationStatus::Valid => return Ok(None),
        AuthorizationStatus::Pending => {}
        status => return Err(Failure::Authorization(name, status)),
    }
    let (wanted, word) = match kind {
        AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
    };
    let Some(mut challenge) = authorization.challenge(wanted) else { return Err(Failure::NotOffered(name, word)) };
    let said = challenge.key_authorization();
    let told = match kind {
        AcmeChallenge::TlsAlpn01 => challenges.show(&name, said.digest().as_ref(), SystemTime::now())?,
        AcmeChallenge::Http01 => challenges.say(&challenge.token, said.as_str()),
    };
    challenge.set_ready().await?;
    Ok(Some(told))
}

/// What the CA has found when it looked, name by name.
async fn reasons(order: &mut Order) -> Result<Vec<String>, Failure> {
    let mut reasons = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(next) = authorizations.next().await {
        let mut authorization = next?;
        let state = authorization.refresh().await?;
        let found = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
        reasons.extend(found.map(|problem| format!("{}: {}", state.identifier(), words(problem))));
    }
    Ok(reasons)
}
