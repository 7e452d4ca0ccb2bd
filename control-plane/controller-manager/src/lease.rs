//! Acts out the election: reads and writes the Lease object, starts the controllers when we lead and stops them when
//! we do not.

use std::future::Future;
use std::time::Duration;

use chain::Chain;
use controller_manager_core::election::{Claim, Election, Move};
use controller_manager_core::trouble::Trouble;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::api_server::{ApiError, ApiServer};
use crate::clock::{Clock, jitter, wall_micro_time};
use crate::controllers::TermError;
use crate::flags::LeaseOptions;
use crate::metrics::Metrics;

/// Giving the lease back is a courtesy to the next leader; it must not hold up the end of the program.
const GIVE_BACK: Duration = Duration::from_secs(2);

/// One candidate and its Lease object.
pub(crate) struct Candidate {
    api: ApiServer,
    clock: Clock,
    options: LeaseOptions,
    election: Election,
    /// The object as we wrote it last: while nobody else writes, it need not be read again.
    last: Option<Lease>,
    trouble: Trouble,
    told: Option<String>,
}

impl Candidate {
    pub(crate) fn new(api: ApiServer, clock: Clock, options: LeaseOptions, identity: String) -> Self {
        let election = Election::new(identity, options.timing);
        Self { api, clock, options, election, last: None, trouble: Trouble::default(), told: None }
    }

    /// Takes part until `stop`. Whenever we lead, `term` runs with a token that is cancelled when we lead no longer;
    /// nobody else leads before it has ended, provided it ends within the difference of lease duration and renew
    /// deadline. Gives the lease back at the end.
    ///
    /// Fails when a term does.
    pub(crate) async fn campaign<F>(
        mut self,
        metrics: &Metrics,
        stop: &CancellationToken,
        term: impl Fn(CancellationToken) -> F,
    ) -> Result<(), TermError>
    where
        F: Future<Output = Result<(), TermError>>,
    {
        loop {
            if !self.follow(stop).await {
                return Ok(());
            }
            tracing::info!(identity = self.election.identity(), "leading");
            metrics.set_leading(true);
            let until = stop.child_token();
            let work = term(until.clone());
            tokio::pin!(work);
            let ended = tokio::select! {
                ended = &mut work => Some(ended),
                () = self.hold(stop) => None,
            };
            until.cancel();
            let ended = match ended {
                Some(ended) => ended,
                None => work.await,
            };
            metrics.set_leading(false);
            if stop.is_cancelled() || ended.is_err() {
                self.give_back().await;
                return ended;
            }
            self.election.resign();
            tracing::warn!("the lease is lost; the controllers are stopped");
        }
    }

    /// Tries until we lead. Returns `false` when stopped.
    async fn follow(&mut self, stop: &CancellationToken) -> bool {
        loop {
            let attempt = tokio::select! {
                () = stop.cancelled() => return false,
                attempt = timeout(self.patience(), self.attempt()) => attempt,
            };
            self.report(attempt.unwrap_or(Err(ApiError::TimedOut(self.patience()))));
            if self.election.leads(self.clock.now()) {
                return true;
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(self.election.pause(jitter())) => {}
            }
        }
    }

    /// Renews until we lead no longer, or are stopped.
    async fn hold(&mut self, stop: &CancellationToken) {
        while let Some(until) = self.election.leads_until() {
            let pause = self.election.pause(jitter());
            let (patience, clock) = (self.patience(), self.clock);
            let round = async {
                tokio::time::sleep(pause).await;
                timeout(patience, self.attempt()).await.unwrap_or(Err(ApiError::TimedOut(patience)))
            };
            let attempt = tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep_until(until) => return,
                attempt = round => attempt,
            };
            self.report(attempt);
        }
    }

    /// So long may one attempt take: short enough for a second one before the deadline.
    fn patience(&self) -> Duration {
        self.options.timing.renew_deadline / 2
    }

    fn report(&mut self, attempt: Result<(), ApiError>) {
        let now = self.clock.now();
        match attempt {
            Ok(()) => {
                if let Some(lasted) = self.trouble.worked(now) {
                    tracing::info!(?lasted, "the lease can be read and written again");
                }
                let other = self.election.other_leader().map(str::to_owned);
                if other != self.told {
                    if let Some(other) = &other {
                        tracing::info!(leader = other, "another copy leads");
                    }
                    self.told = other;
                }
            }
            // Somebody else wrote at the same time: that is what an election is.
            Err(error) if error.code() == Some(409) => self.last = None,
            Err(error) => {
                self.last = None;
                if self.trouble.failed(now) {
                    tracing::warn!(error = %Chain(&error), "the lease cannot be read or written; trying again");
                }
            }
        }
    }

    /// Reads the lease where necessary, judges it, writes it where that is our move.
    async fn attempt(&mut self) -> Result<(), ApiError> {
        let leases: Api<Lease> = Api::namespaced(self.api.client(), &self.options.namespace);
        let leading = self.election.leads(self.clock.now());
        let found = match self.last.take().filter(|_| leading) {
            Some(lease) => Some(lease),
            None => self.api.within(leases.get_opt(&self.options.name)).await?,
        };
        let step = self.election.judge(found.as_ref().map(claim), self.clock.now());
        let asked_at = self.clock.now();
        let parameters = PostParams::default();
        let written = match (step, found) {
            (Move::Leave, _) => return Ok(()),
            (Move::Create | Move::Take | Move::Renew, None) => {
                let lease = Lease {
                    metadata: ObjectMeta {
                        name: Some(self.options.name.clone()),
                        namespace: Some(self.options.namespace.clone()),
                        ..ObjectMeta::default()
                    },
                    spec: Some(self.spec(None, false)),
                };
                self.api.within(leases.create(&parameters, &lease)).await?
            }
            (Move::Create | Move::Take | Move::Renew, Some(mut lease)) => {
                lease.spec = Some(self.spec(lease.spec.take(), step == Move::Renew));
                self.api.within(leases.replace(&self.options.name, &parameters, &lease)).await?
            }
        };
        self.election.written(asked_at);
        self.last = Some(written);
        Ok(())
    }

    /// Our claim, written over `former`.
    fn spec(&self, former: Option<LeaseSpec>, renewing: bool) -> LeaseSpec {
        let now = wall_micro_time();
        let former_holder = former.as_ref().and_then(|spec| spec.holder_identity.clone());
        let spec = former.unwrap_or_default();
        let moved = !renewing && former_holder.is_some();
        LeaseSpec {
            acquire_time: spec.acquire_time.filter(|_| renewing).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            holder_identity: Some(self.election.identity().to_owned()),
            lease_duration_seconds: i32::try_from(self.election.timing().lease_duration.as_secs()).ok(),
            lease_transitions: Some(spec.lease_transitions.unwrap_or(0).saturating_add(i32::from(moved))),
            preferred_holder: spec.preferred_holder,
            strategy: spec.strategy,
        }
    }

    /// Empties our claim, so that the next leader need not wait for it to grow old.
    async fn give_back(&mut self) {
        let Some(mut lease) = self.last.take() else { return };
        let leases: Api<Lease> = Api::namespaced(self.api.client(), &self.options.namespace);
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(wall_micro_time());
        }
        let parameters = PostParams::default();
        match timeout(GIVE_BACK, leases.replace(&self.options.name, &parameters, &lease)).await {
            Ok(Ok(_)) => tracing::info!("the lease is given back"),
            Ok(Err(error)) => tracing::warn!(error = %Chain(&error), "the lease could not be given back"),
            Err(_) => tracing::warn!("the lease could not be given back in time"),
        }
    }
}

/// The claim in a Lease object. Nonsense in it counts as a claim that is long over.
fn claim(lease: &Lease) -> Claim {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Claim {
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        duration: Duration::from_secs(seconds.try_into().unwrap_or(0)),
        // Not the revision of the object: somebody who labels it does not renew the claim.
        revision: format!("{:?} {:?}", spec.map(|spec| &spec.renew_time), spec.map(|spec| &spec.lease_transitions)),
    }
}
