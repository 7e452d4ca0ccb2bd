//! A thin client: etcd's own calls, with shorter words for the common ones.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, TxnRequest,
    TxnResponse, WatchCreateRequest, WatchProgressRequest, WatchRequest, WatchResponse,
};
use proto::mvccpb::Event;
use proto::v3electionpb::election_client::ElectionClient;
use proto::v3lockpb::lock_client::LockClient;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Status, Streaming};

use crate::server::Server;
use crate::{within, within_a_minute};

/// All services over one connection.
#[derive(Clone)]
pub struct Client {
    /// Keys.
    pub kv: KvClient<Channel>,
    /// Watches.
    pub watch: WatchClient<Channel>,
    /// Leases.
    pub lease: LeaseClient<Channel>,
    /// Status and upkeep.
    pub maintenance: MaintenanceClient<Channel>,
    /// Users and roles.
    pub auth: AuthClient<Channel>,
    /// Members.
    pub cluster: ClusterClient<Channel>,
    /// Locks.
    pub lock: LockClient<Channel>,
    /// Elections.
    pub election: ElectionClient<Channel>,
}

impl Client {
    /// Connects with the certificate `<identity>.crt` of the server's folder.
    pub async fn connect(server: &Server, identity: &str) -> Result<Self, tonic::transport::Error> {
        Self::connect_to(&server.file(""), server.endpoint(), identity).await
    }

    /// Connects to an endpoint with the certificate `<identity>.crt` of a folder.
    pub async fn connect_to(folder: &Path, endpoint: String, identity: &str) -> Result<Self, tonic::transport::Error> {
        let read = |name: &str| fs::read(folder.join(name)).expect("read a certificate");
        let pair = Identity::from_pem(read(&format!("{identity}.crt")), read(&format!("{identity}.key")));
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read("ca.crt"))).identity(pair);
        Ok(Self::over(Endpoint::from_shared(endpoint)?.tls_config(tls)?.connect().await?))
    }

    /// Connects to a server that speaks without TLS.
    pub async fn connect_plainly(endpoint: String) -> Result<Self, tonic::transport::Error> {
        Ok(Self::over(Endpoint::from_shared(endpoint)?.connect().await?))
    }

    fn over(channel: Channel) -> Self {
        Self {
            kv: KvClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            watch: WatchClient::new(channel.clone()).max_decoding_message_size(usize::MAX),
            lease: LeaseClient::new(channel.clone()),
            maintenance: MaintenanceClient::new(channel.clone()),
            auth: AuthClient::new(channel.clone()),
            cluster: ClusterClient::new(channel.clone()),
            lock: LockClient::new(channel.clone()),
            election: ElectionClient::new(channel),
        }
    }

    /// Puts and must succeed; the revision.
    pub async fn put(&mut self, key: &str, value: &str) -> i64 {
        let request = PutRequest { key: copy(key), value: copy(value), ..PutRequest::default() };
        self.put_request(request).await.expect("put").header.expect("a header").revision
    }

    /// Puts as asked.
    pub async fn put_request(&mut self, request: PutRequest) -> Result<PutResponse, Status> {
        within("put", self.kv.put(request)).await.map(tonic::Response::into_inner)
    }

    /// Reads one key.
    pub async fn get(&mut self, key: &str) -> Result<RangeResponse, Status> {
        self.range(RangeRequest { key: copy(key), ..RangeRequest::default() }).await
    }

    /// The value of a key; `None` when it is not there.
    pub async fn value(&mut self, key: &str) -> Option<String> {
        let kv = self.get(key).await.expect("get").kvs.into_iter().next()?;
        Some(String::from_utf8_lossy(&kv.value).into_owned())
    }

    /// Waits until the member, asked for what it has itself, has a key.
    pub async fn wait_for(&mut self, key: &str) {
        within_a_minute("a key on a member", async {
            loop {
                let request = RangeRequest { key: copy(key), serializable: true, ..RangeRequest::default() };
                if self.range(request).await.is_ok_and(|answer| answer.count == 1) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Reads as asked.
    pub async fn range(&mut self, request: RangeRequest) -> Result<RangeResponse, Status> {
        within("range", self.kv.range(request)).await.map(tonic::Response::into_inner)
    }

    /// The keys under a prefix, at the newest revision.
    pub async fn keys(&mut self, prefix: &str) -> Vec<String> {
        let answer = self.range(range_of_prefix(prefix)).await.expect("range");
        answer.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
    }

    /// Deletes one key.
    pub async fn delete(&mut self, key: &str) -> DeleteRangeResponse {
        self.delete_request(DeleteRangeRequest { key: copy(key), ..DeleteRangeRequest::default() })
            .await
            .expect("delete")
    }

    /// Deletes as asked.
    pub async fn delete_request(&mut self, request: DeleteRangeRequest) -> Result<DeleteRangeResponse, Status> {
        within("delete", self.kv.delete_range(request)).await.map(tonic::Response::into_inner)
    }

    /// Runs a transaction.
    pub async fn txn(&mut self, request: TxnRequest) -> Result<TxnResponse, Status> {
        within("txn", self.kv.txn(request)).await.map(tonic::Response::into_inner)
    }

    /// Opens a stream of watches with its first watch, and waits until that is created.
    pub async fn watch(&mut self, first: WatchCreateRequest) -> Watcher {
        let (requests, receiver) = mpsc::channel(64);
        // The first request goes ahead: a server may answer the headers only together with its first message.
        let create = RequestUnion::CreateRequest(first);
        requests.send(WatchRequest { request_union: Some(create) }).await.expect("the stream is open");
        let responses = within("open a watch", self.watch.watch(ReceiverStream::new(receiver))).await.expect("watch");
        Watcher { requests, responses: responses.into_inner() }
    }

    /// Watches everything under a prefix, where that may fail: the bare answers of the stream.
    pub async fn try_watch_prefix(
        &mut self,
        prefix: &str,
        start_revision: i64,
    ) -> Result<Streaming<WatchResponse>, Status> {
        let range = range_of_prefix(prefix);
        let create = WatchCreateRequest {
            key: range.key,
            range_end: range.range_end,
            start_revision,
            ..WatchCreateRequest::default()
        };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open as long as that of the answers.
        let requests = tokio_stream::once(request).chain(tokio_stream::pending());
        self.watch.watch(requests).await.map(tonic::Response::into_inner)
    }

    /// Watches everything under a prefix; the watch is created when this returns.
    pub async fn watch_prefix(&mut self, prefix: &str, start_revision: i64) -> Watcher {
        let range = range_of_prefix(prefix);
        let request = WatchCreateRequest {
            key: range.key,
            range_end: range.range_end,
            start_revision,
            prev_kv: true,
            ..WatchCreateRequest::default()
        };
        let mut watcher = self.watch(request).await;
        let created = watcher.next().await;
        assert!(created.created && !created.canceled, "{created:?}");
        watcher
    }
}

/// A stream of watches.
pub struct Watcher {
    requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

impl Watcher {
    /// Sends a further request.
    pub async fn send(&self, request: RequestUnion) {
        self.requests.send(WatchRequest { request_union: Some(request) }).await.expect("the stream is open");
    }

    /// Asks how far the stream's watches have come.
    pub async fn request_progress(&self) {
        self.send(RequestUnion::ProgressRequest(WatchProgressRequest {})).await;
    }

    /// The next response, whatever it is.
    pub async fn next(&mut self) -> WatchResponse {
        self.try_next().await.expect("watch").expect("the stream goes on")
    }

    /// The next response, the end of the stream, or its failure.
    pub async fn try_next(&mut self) -> Result<Option<WatchResponse>, Status> {
        within("a watch response", self.responses.message()).await
    }

    /// The next `count` events, from as many responses as it takes.
    pub async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            let response = self.next().await;
            assert!(!response.canceled, "{response:?}");
            events.extend(response.events);
        }
        assert_eq!(events.len(), count, "{events:?}");
        events
    }
}

/// A request for every key with this prefix.
pub fn range_of_prefix(prefix: &str) -> RangeRequest {
    let mut end = prefix.as_bytes().to_vec();
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.push(0),
    }
    let key = if prefix.is_empty() { vec![0] } else { prefix.as_bytes().to_vec() };
    RangeRequest { key: key.into(), range_end: end.into(), ..RangeRequest::default() }
}

/// A request with a token, if it is one.
pub fn with_token<T>(token: &str, message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("token", token.parse().expect("a token is plain text"));
    }
    request
}

/// What a client matches an error by.
pub fn code_and_text(status: &Status) -> (tonic::Code, &str) {
    (status.code(), status.message())
}

fn copy(text: &str) -> tonic::codegen::Bytes {
    tonic::codegen::Bytes::copy_from_slice(text.as_bytes())
}
