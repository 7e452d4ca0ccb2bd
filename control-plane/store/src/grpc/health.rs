//! The health service of gRPC's own tools.

use proto::health::health_check_response::ServingStatus;
use proto::health::health_server::Health;
use proto::health::{HealthCheckRequest, HealthCheckResponse};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Service;

fn status(node: &crate::node::Node) -> ServingStatus {
    let well = node.standing().leader.is_some() && node.poison.check().is_ok();
    if well { ServingStatus::Serving } else { ServingStatus::NotServing }
}

#[tonic::async_trait]
impl Health for Service {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        if !request.into_inner().service.is_empty() {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(HealthCheckResponse { status: status(&self.0).into() }))
    }

    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = request.into_inner().service.is_empty();
        let node = std::sync::Arc::clone(&self.0);
        let (answers, queue) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut told = None;
            let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
            loop {
                tokio::select! {
                    _ = tick.tick() => {}
                    () = answers.closed() => return,
                }
                let now = if known { status(&node) } else { ServingStatus::ServiceUnknown };
                if told != Some(now) {
                    told = Some(now);
                    if answers.send(Ok(HealthCheckResponse { status: now.into() })).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}
