//! Events and batches that a backend is not too small for.

use crate::event::{Event, Level};

/// How large what is handed on may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truncation {
    /// Most bytes of an event; what is larger loses its bodies.
    pub max_event_size: usize,
    /// Most bytes of the events of a batch together; what is larger is parted.
    pub max_batch_size: usize,
}

/// An event that is too large even without its bodies. It is counted as an error, and not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

impl Default for Truncation {
    fn default() -> Self {
        Self { max_event_size: 100 * 1024, max_batch_size: 10 * 1024 * 1024 }
    }
}

impl Truncation {
    /// The event as JSON; without bodies, and marked, if it is too large with them.
    pub fn encode(&self, event: &Event) -> Result<Vec<u8>, TooLarge> {
        let mut text = event.to_json();
        if text.len() > self.max_event_size && event.level >= Level::Request {
            let mut cut = event.clone();
            cut.request_object = None;
            cut.response_object = None;
            cut.annotations.insert("audit.k8s.io/truncated".to_owned(), "true".to_owned());
            text = cut.to_json();
        }
        if text.len() > self.max_event_size { Err(TooLarge) } else { Ok(text) }
    }

    /// Parts encoded events into batches, each as large as may be.
    pub fn part(&self, events: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
        let (mut batches, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
        for event in events {
            if !batch.is_empty() && size + event.len() > self.max_batch_size {
                batches.push(std::mem::take(&mut batch));
                size = 0;
            }
            size += event.len();
            batch.push(event);
        }
        if !batch.is_empty() {
            batches.push(batch);
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::tests::{raw, sample};

    #[test]
    fn large_events_lose_their_bodies() {
        let truncation = Truncation { max_event_size: 1000, ..Truncation::default() };
        let mut event = sample();
        event.level = Level::RequestResponse;
        event.request_object = Some(raw(&json!("x".repeat(10))));
        assert_eq!(truncation.encode(&event), Ok(event.to_json()));
        event.response_object = Some(raw(&json!("x".repeat(1000))));
        let cut: Value = serde_json::from_slice(&truncation.encode(&event).expect("small enough")).unwrap();
        assert_eq!((cut.get("requestObject"), cut.get("responseObject")), (None, None));
        assert_eq!(cut["annotations"], json!({"audit.k8s.io/truncated": "true"}));
        event.user.username = "u".repeat(1000);
        assert_eq!(truncation.encode(&event), Err(TooLarge));
        event.level = Level::Metadata;
        assert_eq!(truncation.encode(&event), Err(TooLarge));
    }

    #[test]
    fn large_batches_are_parted() {
        let truncation = Truncation { max_batch_size: 10, ..Truncation::default() };
        let sizes = |sizes: &[usize]| -> Vec<Vec<usize>> {
            let batches = truncation.part(sizes.iter().map(|&size| vec![0; size]).collect());
            batches.iter().map(|batch| batch.iter().map(Vec::len).collect()).collect()
        };
        assert_eq!(sizes(&[]), Vec::<Vec<usize>>::new());
        assert_eq!(sizes(&[5, 5, 1]), [vec![5, 5], vec![1]]);
        assert_eq!(sizes(&[3, 20, 3]), [vec![3], vec![20], vec![3]]);
    }
}
