//! Who a member is, before its log begins: as it wrote down earlier, or by founding a cluster with the others.
//!
//! The rules are in [`store_core::founding`]; here the others are asked and the result is written down.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::peer::{Introduction, JoinAnswer, JoinRequest};
use proto::store::Identity;
use store_core::Refusal;
use store_core::founding::Outcome;
use tokio::time::Instant;

use crate::config::{Beginning, Config};
use crate::host::Host;
use crate::peers::links::{self, Client, Dialer};
use crate::peers::service::Desk;
use crate::peers::tls::PeerTls;
use crate::raft::log::Log;

/// Between two rounds of questions.
const ROUND: Duration = Duration::from_millis(250);
/// How often it is said who is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Why a member does not know who it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error("write down who this member is")]
    Disk(#[from] io::Error),
    /// The data was lost or the name is taken.
    #[error(
        "member {name} has already been bootstrapped: this one has no data of it. \
         Remove the member from the cluster, add it again and start it with --initial-cluster-state=existing"
    )]
    Bootstrapped {
        /// The member's name.
        name: String,
    },
    /// Members founded different clusters.
    #[error("members of the initial cluster wrote down different clusters: clear the data of all of them")]
    Conflict,
    /// Nobody added it.
    #[error("error validating peerURLs: no member of the cluster has {urls}; add this member first")]
    NotAdded {
        /// Its peer URLs.
        urls: String,
    },
}

/// A random number that stands for nothing else.
fn fresh() -> u64 {
    rand::random_range(1..u64::MAX)
}

/// Finds out who this member is. Waits for the others when they found a cluster together.
pub async fn identify(config: &Config, log: &Log, desk: &Desk, dialer: &Dialer) -> Result<Identity, Error> {
    let mut identity = log.identity()?.unwrap_or_default();
    let plan = bytes::Bytes::from(config.plan.bytes());
    let introduce = |identity: &Identity| {
        desk.introduce_as(Introduction {
            plan: plan.clone(),
            name: config.name.clone(),
            id: identity.member_id,
            roster: identity.roster.clone(),
            to: String::new(),
        });
    };
    if identity.cluster_id != 0 {
        introduce(&identity);
        return Ok(identity);
    }
    if config.beginning == Beginning::Existing && identity.member_id == 0 {
        if identity.claim == 0 {
            identity.claim = fresh();
            log.set_identity(&identity)?;
        }
        let answer = join(config, identity.claim, dialer).await?;
        (identity.cluster_id, identity.member_id) = (answer.cluster_id, answer.member_id);
        log.set_identity(&identity)?;
        introduce(&identity);
        tracing::info!(
            cluster = format_args!("{:x}", identity.cluster_id),
            member = format_args!("{:x}", identity.member_id),
            "joining a cluster"
        );
        return Ok(identity);
    }
    if identity.member_id == 0 {
        // Random and never used again: a member that comes back with an empty disk is another member.
        identity.member_id = fresh();
        if config.plan.members().len() == 1 {
            identity.cluster_id = fresh();
        }
        log.set_identity(&identity)?;
    }
    // Told to others only from here on: it is on disk.
    introduce(&identity);
    if identity.cluster_id != 0 {
        return Ok(identity);
    }
    let roster = settle(config, &identity, plan.clone(), dialer).await?;
    identity.cluster_id = roster.cluster_id;
    identity.roster = Some(roster);
    log.set_identity(&identity)?;
    introduce(&identity);
    tracing::info!(
        cluster = format_args!("{:x}", identity.cluster_id),
        member = format_args!("{:x}", identity.member_id),
        "founding a cluster"
    );
    Ok(identity)
}

/// Asks the others until it is settled who founds the cluster.
async fn settle(
    config: &Config,
    identity: &Identity,
    plan: bytes::Bytes,
    dialer: &Dialer,
) -> Result<proto::store::Roster, Error> {
    let mut others: Vec<_> = config
        .plan
        .members()
        .iter()
        .filter(|(name, _)| *name != config.name)
        .map(|(name, urls)| {
            let addresses = urls.iter().filter_map(|url| url.parse().ok()).collect();
            (name.clone(), links::stranger(addresses, dialer.clone(), config.election))
        })
        .collect();
    let mut said: Option<Instant> = None;
    loop {
        // Every decision needs answers of one round: an older one may come from a disk that is lost by now.
        let asked = others.iter_mut().map(|(to, client)| {
            let question = Introduction {
                plan: plan.clone(),
                name: config.name.clone(),
                id: identity.member_id,
                roster: None,
                to: to.clone(),
            };
            ask(client, question, config.election)
        });
        let (answers, problems): (Vec<_>, Vec<_>) =
            futures::future::join_all(asked).await.into_iter().partition(Result::is_ok);
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        match config.plan.decide(&config.name, identity.member_id, &answers) {
            Outcome::Settled(roster) => return Ok(roster),
            Outcome::Bootstrapped => return Err(Error::Bootstrapped { name: config.name.clone() }),
            Outcome::Conflict => return Err(Error::Conflict),
            Outcome::Ask(silent) => {
                if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                    said = Some(Instant::now());
                    let problems: Vec<_> = problems.into_iter().filter_map(Result::err).collect();
                    tracing::info!(?silent, ?problems, "waiting for the other members of the initial cluster");
                }
            }
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Asks the members of a cluster for the place this one was given, until one answers.
async fn join(config: &Config, claim: u64, dialer: &Dialer) -> Result<JoinAnswer, Error> {
    let mut said: Option<Instant> = None;
    loop {
        let mut problems = Vec::new();
        for (name, urls) in config.plan.members().iter().filter(|(name, _)| *name != config.name) {
            let addresses = urls.iter().filter_map(|url| url.parse().ok()).collect();
            let mut client = links::stranger(addresses, dialer.clone(), config.election);
            let request = JoinRequest { peer_urls: config.peer_urls.clone(), claim };
            match tokio::time::timeout(config.request_timeout(), client.join(request)).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) => match Refusal::passed_on(status.message()) {
                    Some(Refusal::MemberBootstrapped) => {
                        return Err(Error::Bootstrapped { name: config.name.clone() });
                    }
                    Some(Refusal::MemberNotFound) => {
                        return Err(Error::NotAdded { urls: config.peer_urls.join(",") });
                    }
                    Some(_) | None => problems.push(format!("{name}: {}", status.message())),
                },
                Err(_elapsed) => problems.push(format!("{name}: no answer")),
            }
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::info!(?problems, "waiting for a member of the cluster to join");
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// One question. The answer must come from the member that was asked for.
async fn ask(client: &mut Client, question: Introduction, patience: Duration) -> Result<Introduction, String> {
    let to = question.to.clone();
    match tokio::time::timeout(patience, client.introduce(question)).await {
        Ok(Ok(answer)) if answer.get_ref().name == to => Ok(answer.into_inner()),
        Ok(Ok(answer)) => Err(format!("{to}: member `{}` answered", answer.into_inner().name)),
        Ok(Err(status)) => Err(format!("{to}: {}", status.message())),
        Err(_elapsed) => Err(format!("{to}: no answer")),
    }
}

/// A desk that others can come to, and what to speak with them.
pub struct PeerSide {
    /// Answers others.
    pub desk: Arc<Desk>,
    /// How to speak to them; `None` = in the clear.
    pub tls: Option<PeerTls>,
    /// What the member stands on.
    pub host: Arc<dyn Host>,
}

impl PeerSide {
    pub(crate) fn dialer(&self) -> Dialer {
        Dialer { tls: self.tls.clone(), host: Arc::clone(&self.host) }
    }
}
