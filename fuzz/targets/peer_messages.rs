//! Messages of other members.

#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use proto::peer;
use store::peers::messages;
use store::peers::snapshots::listing;

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 8 {
        0 => drop(peer::AppendRequest::decode(data).map(|message| messages::append(&message))),
        1 => drop(peer::AppendAnswer::decode(data).map(messages::append_result)),
        2 => drop(peer::VoteRequest::decode(data).map(|message| messages::vote_asked(&message))),
        3 => drop(peer::VoteAnswer::decode(data).map(|message| messages::vote_given(&message))),
        4 => {
            let Ok(message) = peer::TransferRequest::decode(data) else { return };
            let Ok(request) = messages::transfer_asked(&message) else { return };
            let Ok(answer) = peer::TransferAnswer::decode(data) else { return };
            drop(messages::transfer_response(&request, answer));
        }
        5 => drop(peer::FingerprintAnswer::decode(data).map(|message| messages::statement(1, &message))),
        6 => {
            let Ok(offer) = peer::SnapshotOffer::decode(data) else { return };
            for file in offer.files {
                let folder = std::path::Path::new("/folder");
                if let Some(place) = listing::place(folder, &file.name) {
                    assert_eq!(place.parent(), Some(folder), "{place:?}");
                }
            }
        }
        _ => {
            let plan = store_core::founding::Plan::new("token".into(), [("a".to_owned(), vec!["http://1.1.1.1:1".to_owned()]), ("b".to_owned(), vec![])]);
            let answers: Vec<_> = fuzz::pieces(data)
                .into_iter()
                .filter_map(|piece| peer::Introduction::decode(piece).ok())
                .collect();
            drop(plan.decide("a", 7, &answers));
        }
    }
});
