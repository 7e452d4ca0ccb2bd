//! How the services of [`crate::raw`] are put on the wire: in buffers as large as a message, because most are small and some
//! very large. tonic's own codec begins with eight kilobytes for each message, twice a call, and doubles from there on.

use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// What a buffer begins with: enough for the requests and answers that come by the thousand.
const SMALL: usize = 512;
/// Messages that are ready go out together once they are so many bytes, as with tonic's own.
const TOGETHER: usize = 32 << 10;

fn buffers() -> BufferSettings {
    BufferSettings::new(SMALL, TOGETHER)
}

/// Encodes `T`, decodes `U`.
#[derive(Debug)]
pub struct FittedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for FittedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for FittedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = FittedEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        FittedEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(buffers())
    }
}

/// Encodes messages into buffers of their size.
#[derive(Debug)]
pub struct FittedEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for FittedEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.encoded_len());
        item.encode_raw(buffer);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        buffers()
    }
}
