//! Between the connection and the methods: may this caller call this method? The answer is in `machined-core`'s table.

use std::future::{Ready, ready};
use std::task::{Context, Poll};

use futures::future::Either;
use machined_core::roles;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service};

use super::connection::Caller;

/// Puts [`Authorize`] in front of a service.
#[derive(Debug, Clone, Copy)]
pub(super) struct AuthorizeLayer;

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner }
    }
}

/// Lets a call through, or refuses it.
#[derive(Debug, Clone)]
pub(super) struct Authorize<S> {
    inner: S,
}

impl<S> Service<http::Request<Body>> for Authorize<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<Ready<Result<Self::Response, S::Error>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let Some(caller) = request.extensions().get::<Caller>() else {
            tracing::error!(path, "a call without a caller");
            return Either::Left(ready(Ok(Status::unauthenticated("who calls is not known").into_http())));
        };
        let who = &caller.peer.common_name;
        let roles = &caller.peer.organizations;
        let from = caller.address.map(|address| address.to_string());
        if roles::allowed(path, roles) {
            tracing::info!(path, who, ?roles, from, "call");
            return Either::Right(self.inner.call(request));
        }
        tracing::warn!(path, who, ?roles, from, "call refused");
        let method = path.rsplit('/').next().unwrap_or(path);
        let message = format!("{who:?} with roles {roles:?} may not call {method}");
        Either::Left(ready(Ok(Status::permission_denied(message).into_http())))
    }
}
