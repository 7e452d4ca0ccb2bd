//! What the state knows of members: their names and client URLs, who took which place, and who is gone for ever.

use bytes::Bytes;
use prost::Message;
use proto::store::{MemberClaim, MemberPublish, MemberRecord};

use crate::{Fault, Overlay, Refusal, Space, View};

const MEMBER: &[u8] = b"member/";
const REMOVED: &[u8] = b"removed/";

fn key(prefix: &[u8], id: u64) -> Vec<u8> {
    let mut key = prefix.to_vec();
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// What is known of a member.
pub fn record(view: &dyn View, id: u64) -> Result<Option<MemberRecord>, Fault> {
    let bytes = view.get(Space::Meta, &key(MEMBER, id))?;
    bytes.map(|bytes| MemberRecord::decode(bytes).map_err(|error| Fault::Decode(Space::Meta, error))).transpose()
}

/// Whether a member of this id was removed. Its id never comes back.
pub fn is_removed(view: &dyn View, id: u64) -> Result<bool, Fault> {
    Ok(view.get(Space::Meta, &key(REMOVED, id))?.is_some())
}

/// A member says its name and where its clients connect to.
pub(crate) fn publish(overlay: &mut Overlay, publish: &MemberPublish) -> Result<(), Fault> {
    let claim = record(overlay, publish.id)?.map_or(0, |record| record.claim);
    let record =
        MemberRecord { name: publish.name.clone(), client_urls: publish.client_urls.clone(), started: true, claim };
    overlay.put(Space::Meta, key(MEMBER, publish.id), record.encode_to_vec());
    Ok(())
}

/// A member takes its place: the first claim counts, and a member that started without one can no longer be claimed.
pub(crate) fn claim(overlay: &mut Overlay, claim: &MemberClaim) -> Result<Result<(), Refusal>, Fault> {
    let known = record(overlay, claim.id)?.unwrap_or_default();
    if known.claim == claim.claim && claim.claim != 0 {
        return Ok(Ok(()));
    }
    if known.claim != 0 || known.started || is_removed(overlay, claim.id)? {
        return Ok(Err(Refusal::MemberBootstrapped));
    }
    let record = MemberRecord { claim: claim.claim, ..known };
    overlay.put(Space::Meta, key(MEMBER, claim.id), record.encode_to_vec());
    Ok(Ok(()))
}

/// A member is gone for ever.
pub fn remove(overlay: &mut Overlay, id: u64) {
    overlay.remove(Space::Meta, key(MEMBER, id));
    overlay.put(Space::Meta, key(REMOVED, id), Bytes::new());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Memory;

    #[test]
    fn a_place_is_taken_once() {
        let memory = Memory::default();
        let mut overlay = Overlay::new(&memory);
        let take = |overlay: &mut Overlay, number| claim(overlay, &MemberClaim { id: 7, claim: number }).unwrap();
        assert_eq!(take(&mut overlay, 1), Ok(()));
        assert_eq!(take(&mut overlay, 1), Ok(()), "the answer may have been lost");
        assert_eq!(take(&mut overlay, 2), Err(Refusal::MemberBootstrapped));
        publish(&mut overlay, &MemberPublish { id: 7, name: "x".into(), client_urls: vec![] }).unwrap();
        assert_eq!(take(&mut overlay, 1), Ok(()));
        assert_eq!(record(&overlay, 7).unwrap().unwrap().name, "x");
        remove(&mut overlay, 7);
        assert!(is_removed(&overlay, 7).unwrap());
        assert_eq!(take(&mut overlay, 1), Err(Refusal::MemberBootstrapped));
        assert_eq!(record(&overlay, 7).unwrap(), None);
    }

    #[test]
    fn a_founder_cannot_be_claimed() {
        let memory = Memory::default();
        let mut overlay = Overlay::new(&memory);
        publish(&mut overlay, &MemberPublish { id: 7, name: "x".into(), client_urls: vec![] }).unwrap();
        let taken = claim(&mut overlay, &MemberClaim { id: 7, claim: 5 }).unwrap();
        assert_eq!(taken, Err(Refusal::MemberBootstrapped));
    }
}
