//! Reading the body of a request: bounded in size, whole or not at all.

use apiserver_core::Status;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// Largest body, upstream's: twice what the store takes, because stored bytes may be smaller than sent ones.
pub(crate) const LIMIT: usize = 3 << 20;

/// Reads the whole body.
///
/// # Errors
///
/// 413 beyond [`LIMIT`], 400 when the body breaks off, 415 when it is compressed.
pub(crate) async fn read<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Status>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return Err(Status::bad_request("the body of the request must not be compressed"));
    }
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LIMIT as u64) {
        return Err(too_large());
    }
    match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Status::bad_request(format!("unable to read the body of the request: {error}"))),
    }
}

fn too_large() -> Status {
    Status::too_large(format!("Request entity too large: limit is {LIMIT}"))
}
