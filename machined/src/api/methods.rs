//! The methods of the machine API. Most are a question to PID 1.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use chain::Chain;
use futures::Stream;
use machined_core::condition::Severity;
use machined_core::services::{self, Authorities, Facts};
use pki::{Request as CertificateRequest, Subject, Usage};
use proto::machine as api;
use proto::machine::machine_server;
use rustix::time::{ClockId, clock_gettime};
use supervision::{Request as Order, ShutdownMode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

use super::authorize::Noted;
use super::kernel_log::KernelLog;
use crate::audit::Audit;
use crate::claim::Claim;
use crate::report::Report;
use crate::supervisor::{self, Supervisor};

/// How long an administrator's certificate is valid. It cannot be revoked, so it is counted in weeks; a new one is one
/// command away.
const ADMIN_LIFETIME: Duration = Duration::from_hours(90 * 24);

/// Release of Kubernetes whose API is served.
const KUBERNETES: &str = "v1.37";

/// Lines that are sent ahead of a slow client. The log rings are bounded themselves.
const AHEAD: usize = 256;

/// Longest reason that is taken over into the console.
const LONGEST_REASON: usize = 200;

pub(super) type Answer<T> = Result<Response<T>, Status>;
type Lines<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the methods need to know.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) machine_id: String,
    pub(crate) cluster_id: String,
    pub(crate) generation: u64,
    pub(crate) authorities: Arc<Authorities>,
    /// The folder with what the services were given.
    pub(crate) credentials: PathBuf,
    /// The machine API's own certificate, PEM; it is renewed.
    pub(crate) own_certificate: RwLock<String>,
    /// Changes with the addresses.
    pub(crate) facts: RwLock<Facts>,
}

impl About {
    pub(crate) fn own_certificate(&self) -> String {
        self.own_certificate.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The methods.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) about: Arc<About>,
    pub(crate) report: Report,
    pub(crate) supervisor: Supervisor,
    pub(crate) audit: Audit,
    pub(crate) claim: Claim,
}

#[tonic::async_trait]
impl machine_server::Machine for Machine {
    type LogsStream = Lines<api::LogLine>;
    type DmesgStream = Lines<api::KernelMessage>;
    type AuditStream = Lines<api::AuditRecord>;

    async fn version(&self, _: Request<api::VersionRequest>) -> Answer<api::VersionResponse> {
        let kernel = rustix::system::uname();
        Ok(Response::new(api::VersionResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kubernetes: KUBERNETES.to_owned(),
            kernel: kernel.release().to_string_lossy().into_owned(),
            architecture: kernel.machine().to_string_lossy().into_owned(),
        }))
    }

    async fn status(&self, _: Request<api::StatusRequest>) -> Answer<api::StatusResponse> {
        let facts = self.facts();
        let conditions = self
            .report
            .list()
            .into_iter()
            .map(|condition| api::Condition {
                part: condition.part,
                severity: severity(condition.severity).into(),
                message: condition.message,
            })
            .collect();
        Ok(Response::new(api::StatusResponse {
            hostname: facts.hostname,
            machine_id: self.about.machine_id.clone(),
            cluster_id: self.about.cluster_id.clone(),
            cluster_name: facts.config.cluster.name,
            config_generation: self.about.generation,
            addresses: facts.addresses.iter().map(ToString::to_string).collect(),
            uptime_ms: uptime_ms(),
            conditions,
        }))
    }

    async fn services(&self, _: Request<api::ServicesRequest>) -> Answer<api::ServicesResponse> {
        let services = self.supervisor.services().await.map_err(|error| status(&error))?;
        let services = services
            .into_iter()
            .map(|service| api::Service {
                name: service.name,
                state: service.state,
                pid: service.pid,
                restarts: service.restarts,
                last_exit: service.last_exit,
                status: service.status_text,
                since_ms: service.since_ms,
                memory_bytes: service.memory_bytes,
            })
            .collect();
        Ok(Response::new(api::ServicesResponse { services }))
    }

    async fn logs(&self, request: Request<api::LogsRequest>) -> Answer<Self::LogsStream> {
        let request = request.into_inner();
        let opened = self.supervisor.logs(request.service, request.tail, request.follow).await;
        let mut logs = opened.map_err(|error| status(&error))?;
        // PID 1 refuses in its first line. That is an error of the call, not of its stream.
        let first = logs.next();
        let first = if request.follow {
            // A log that is followed may be silent for hours.
            tokio::time::timeout(Duration::from_millis(200), first).await.ok()
        } else {
            Some(first.await)
        };
        let first = first.transpose().map_err(|error| status(&error))?;
        let (lines, stream) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let mut next = match first {
                Some(None) => return,
                Some(Some(line)) => Ok(Some(line)),
                None => logs.next().await,
            };
            loop {
                let (item, last) = match next {
                    Ok(Some(line)) => (Ok(api::LogLine { uptime_ms: line.uptime_ms, text: line.text }), false),
                    Ok(None) => return,
                    Err(error) => (Err(status(&error)), true),
                };
                if lines.send(item).await.is_err() || last {
                    return;
                }
                next = tokio::select! {
                    next = logs.next() => next,
                    () = lines.closed() => return,
                };
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn dmesg(&self, request: Request<api::DmesgRequest>) -> Answer<Self::DmesgStream> {
        let unreadable = |error: std::io::Error| Status::unavailable(format!("read the kernel's log: {error}"));
        let mut log = KernelLog::open(request.into_inner().follow).map_err(unreadable)?;
        let (lines, stream) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    next = log.next() => next,
                    () = lines.closed() => return,
                };
                let (item, last) = match next {
                    Ok(Some(record)) => {
                        let level = record.level.into();
                        (Ok(api::KernelMessage { uptime_us: record.uptime_us, level, text: record.text }), false)
                    }
                    Ok(None) => return,
                    Err(error) => (Err(unreadable(error)), true),
                };
                if lines.send(item).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn boot_timeline(&self, _: Request<api::BootTimelineRequest>) -> Answer<api::BootTimelineResponse> {
        let steps = self.supervisor.timeline().await.map_err(|error| status(&error))?;
        let steps =
            steps.into_iter().map(|step| api::BootStep { uptime_ms: step.uptime_ms, what: step.what }).collect();
        Ok(Response::new(api::BootTimelineResponse { steps }))
    }

    async fn audit(&self, request: Request<api::AuditRequest>) -> Answer<Self::AuditStream> {
        let request = request.into_inner();
        let last = *self.audit.last().borrow();
        let newest = request.tail.map_or(1, |tail| last.saturating_sub(u64::from(tail)) + 1);
        Ok(Response::new(self.records(request.from.max(newest), request.follow)))
    }

    async fn claim_exchange(&self, request: Request<api::ClaimExchangeRequest>) -> Answer<api::ClaimExchangeResponse> {
        self.exchange(&request)
    }

    async fn claim_finish(&self, request: Request<api::ClaimFinishRequest>) -> Answer<api::ClaimFinishResponse> {
        self.finish(&request)
    }

    async fn renew_operator(&self, request: Request<api::RenewOperatorRequest>) -> Answer<api::RenewOperatorResponse> {
        self.renew(&request)
    }

    async fn issue_operator(&self, request: Request<api::IssueOperatorRequest>) -> Answer<api::IssueOperatorResponse> {
        self.issue(&request)
    }

    async fn certificates(&self, _: Request<api::CertificatesRequest>) -> Answer<api::CertificatesResponse> {
        Ok(Response::new(Machine::certificates(self)))
    }

    async fn kubeconfig(&self, request: Request<api::KubeconfigRequest>) -> Answer<api::KubeconfigResponse> {
        let csr = request.into_inner().csr;
        let facts = self.facts();
        let kubernetes = &self.about.authorities.kubernetes;
        let grant = CertificateRequest {
            subject: Subject::with_organization("kubernetes-admin", "system:masters"),
            sans: Vec::new(),
            usage: Usage::Client,
            lifetime: ADMIN_LIFETIME,
        };
        let certificate = kubernetes.sign_csr(&csr, &grant, SystemTime::now()).map_err(|error| {
            let code = if matches!(error, pki::Error::ReadCsr(_)) { Code::InvalidArgument } else { Code::Internal };
            Status::new(code, Chain(&error).to_string())
        })?;
        let note = credential(&certificate, "of the Kubernetes API");
        let granted = api::KubeconfigResponse {
            cluster_name: facts.config.cluster.name.clone(),
            server: services::kubernetes_endpoint(&facts),
            certificate_authority: kubernetes.cert_pem().to_owned(),
            certificate,
        };
        Ok(noted(granted, note))
    }

    async fn service_restart(
        &self,
        request: Request<api::ServiceRestartRequest>,
    ) -> Answer<api::ServiceRestartResponse> {
        let service = request.into_inner().service;
        let note = format!("restart of {service}");
        self.order(Order::Restart { service }).await?;
        Ok(noted(api::ServiceRestartResponse {}, note))
    }

    async fn service_signal(&self, request: Request<api::ServiceSignalRequest>) -> Answer<api::ServiceSignalResponse> {
        let api::ServiceSignalRequest { service, signal } = request.into_inner();
        // 0 would only ask whether the process is there.
        if !(1..=64).contains(&signal) {
            return Err(Status::invalid_argument(format!("there is no signal {signal}")));
        }
        let note = format!("signal {signal} to {service}");
        self.order(Order::Signal { service, signal }).await?;
        Ok(noted(api::ServiceSignalResponse {}, note))
    }

    async fn reboot(&self, request: Request<api::RebootRequest>) -> Answer<api::RebootResponse> {
        let reason = reason(&request, &request.get_ref().reason);
        self.order(Order::Shutdown { mode: ShutdownMode::Reboot, reason: reason.clone() }).await?;
        Ok(noted(api::RebootResponse {}, reason))
    }

    async fn shutdown(&self, request: Request<api::ShutdownRequest>) -> Answer<api::ShutdownResponse> {
        let reason = reason(&request, &request.get_ref().reason);
        self.order(Order::Shutdown { mode: ShutdownMode::PowerOff, reason: reason.clone() }).await?;
        Ok(noted(api::ShutdownResponse {}, reason))
    }
}

impl Machine {
    /// Sends what is on record from `first` on, and with `follow` what comes later.
    fn records(&self, first: u64, follow: bool) -> Lines<api::AuditRecord> {
        let (lines, stream) = mpsc::channel(AHEAD);
        let mut reader = self.audit.reader(first);
        let mut last = self.audit.last();
        tokio::spawn(async move {
            loop {
                let until = *last.borrow_and_update();
                let read = tokio::task::spawn_blocking(move || (reader.lines(until), reader)).await;
                let Ok((found, returned)) = read else { return };
                reader = returned;
                let found = match found {
                    Ok(found) => found,
                    Err(error) => {
                        let status = Status::unavailable(format!("read the audit log: {error}"));
                        return drop(lines.send(Err(status)).await);
                    }
                };
                if found.is_empty() {
                    if !follow {
                        return;
                    }
                    tokio::select! {
                        changed = last.changed() => if changed.is_err() { return },
                        () = lines.closed() => return,
                    }
                }
                for line in found {
                    if lines.send(Ok(api::AuditRecord { line: line.into() })).await.is_err() {
                        return;
                    }
                }
            }
        });
        Box::pin(ReceiverStream::new(stream))
    }

    fn facts(&self) -> Facts {
        self.about.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn order(&self, order: Order) -> Result<(), Status> {
        self.supervisor.order(&order).await.map_err(|error| status(&error))
    }
}

/// An answer with what the audit log shall say beside its outcome.
pub(super) fn noted<T>(answer: T, note: String) -> Response<T> {
    let mut response = Response::new(answer);
    response.extensions_mut().insert(Noted(note));
    response
}

/// What the audit log says about a certificate that was handed out.
pub(super) fn credential(pem: &str, of: &str) -> String {
    match pki::Peer::from_pem(pem) {
        Ok(peer) => format!("certificate {} {of} for {} {:?}", peer.serial, peer.common_name, peer.organizations),
        Err(error) => format!("a certificate {of} that cannot be read: {}", Chain(&error)),
    }
}

/// Who asked, and the reason in printable characters: it appears on consoles.
fn reason<T>(request: &Request<T>, given: &str) -> String {
    let caller = request.extensions().get::<super::connection::Caller>();
    let who = caller.and_then(super::connection::Caller::name).unwrap_or("someone");
    let text = if given.is_empty() { format!("asked by {who}") } else { format!("asked by {who}: {given}") };
    text.chars().filter(|c| !c.is_control()).take(LONGEST_REASON).collect()
}

fn status(error: &supervisor::Error) -> Status {
    let code = match error {
        supervisor::Error::Connect { .. } | supervisor::Error::Talk(_) | supervisor::Error::Silent => Code::Unavailable,
        supervisor::Error::Understand(_) | supervisor::Error::Unexpected => Code::Internal,
        supervisor::Error::Refused(_) => Code::FailedPrecondition,
    };
    Status::new(code, Chain(error).to_string())
}

fn severity(severity: Severity) -> api::Severity {
    match severity {
        Severity::Info => api::Severity::Info,
        Severity::Warning => api::Severity::Warning,
        Severity::Error => api::Severity::Error,
    }
}

fn uptime_ms() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1000 + u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0)
}
