//! The methods of the machine API. Most are a question to PID 1.

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

use super::kernel_log::KernelLog;
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

type Answer<T> = Result<Response<T>, Status>;
type Lines<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the methods need to know.
#[derive(Debug)]
pub(crate) struct About {
    pub(crate) machine_id: String,
    pub(crate) cluster_id: String,
    pub(crate) generation: u64,
    pub(crate) authorities: Arc<Authorities>,
    /// Changes with the addresses.
    pub(crate) facts: RwLock<Facts>,
}

/// The methods.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) about: Arc<About>,
    pub(crate) report: Report,
    pub(crate) supervisor: Supervisor,
}

#[tonic::async_trait]
impl machine_server::Machine for Machine {
    type LogsStream = Lines<api::LogLine>;
    type DmesgStream = Lines<api::KernelMessage>;

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
                confinement: service.confinement.map(|found| api::Confinement {
                    user: found.user,
                    group: found.group,
                    capabilities: found.capabilities,
                    no_new_privileges: found.no_new_privileges,
                    filtered: found.filtered,
                }),
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
        Ok(Response::new(api::KubeconfigResponse {
            cluster_name: facts.config.cluster.name.clone(),
            server: services::kubernetes_endpoint(&facts),
            certificate_authority: kubernetes.cert_pem().to_owned(),
            certificate,
        }))
    }

    async fn service_restart(
        &self,
        request: Request<api::ServiceRestartRequest>,
    ) -> Answer<api::ServiceRestartResponse> {
        let service = request.into_inner().service;
        self.order(Order::Restart { service }).await?;
        Ok(Response::new(api::ServiceRestartResponse {}))
    }

    async fn service_signal(&self, request: Request<api::ServiceSignalRequest>) -> Answer<api::ServiceSignalResponse> {
        let api::ServiceSignalRequest { service, signal } = request.into_inner();
        // 0 would only ask whether the process is there.
        if !(1..=64).contains(&signal) {
            return Err(Status::invalid_argument(format!("there is no signal {signal}")));
        }
        self.order(Order::Signal { service, signal }).await?;
        Ok(Response::new(api::ServiceSignalResponse {}))
    }

    async fn reboot(&self, request: Request<api::RebootRequest>) -> Answer<api::RebootResponse> {
        let reason = reason(&request, &request.get_ref().reason);
        self.order(Order::Shutdown { mode: ShutdownMode::Reboot, reason }).await?;
        Ok(Response::new(api::RebootResponse {}))
    }

    async fn shutdown(&self, request: Request<api::ShutdownRequest>) -> Answer<api::ShutdownResponse> {
        let reason = reason(&request, &request.get_ref().reason);
        self.order(Order::Shutdown { mode: ShutdownMode::PowerOff, reason }).await?;
        Ok(Response::new(api::ShutdownResponse {}))
    }
}

impl Machine {
    fn facts(&self) -> Facts {
        self.about.facts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn order(&self, order: Order) -> Result<(), Status> {
        self.supervisor.order(&order).await.map_err(|error| status(&error))
    }
}

/// Who asked, and the reason in printable characters: it appears on consoles.
fn reason<T>(request: &Request<T>, given: &str) -> String {
    let caller = request.extensions().get::<super::connection::Caller>();
    let who = caller.map_or("someone", |caller| caller.peer.common_name.as_str());
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
