use proptest::prelude::*;

use super::*;

const BINDING: Binding = [7; 32];

fn code(text: &str) -> Code {
    text.parse().unwrap()
}

/// Both sessions of a handshake.
fn shake(of_claimant: &Code, of_machine: &Code, at_claimant: Binding, at_machine: Binding) -> (Session, Session) {
    let (claimant, first) = Claimant::begin(of_claimant, at_claimant);
    let (machine, second) = answer(of_machine, at_machine, &first).unwrap();
    (claimant.finish(&second).unwrap(), machine)
}

fn agree(claimant: &Session, machine: &Session) -> bool {
    let request: [&[u8]; 2] = [b"request", b"name"];
    let there = machine.check(Side::Claimant, &request, &claimant.prove(Side::Claimant, &request)).is_ok();
    let back = claimant.check(Side::Machine, &[b"granted"], &machine.prove(Side::Machine, &[b"granted"])).is_ok();
    assert_eq!(there, back);
    there
}

#[test]
fn who_has_the_code_and_the_connection_gets_in() {
    let right = code("7K3M-9QXT");
    let (claimant, machine) = shake(&right, &right, BINDING, BINDING);
    assert!(agree(&claimant, &machine));
    let (claimant, machine) = shake(&code("7K3M-9QXS"), &right, BINDING, BINDING);
    assert!(!agree(&claimant, &machine), "a wrong code");
    let (claimant, machine) = shake(&right, &right, [8; 32], BINDING);
    assert!(!agree(&claimant, &machine), "somebody in between, who passes messages on");
}

#[test]
fn a_proof_is_worth_nothing_elsewhere() {
    let right = code("7K3M-9QXT");
    let (claimant, machine) = shake(&right, &right, BINDING, BINDING);
    let proof = claimant.prove(Side::Claimant, &[b"request", b"name"]);
    let refused = |session: &Session, side, texts: &[&[u8]], proof: &[u8]| {
        assert_eq!(session.check(side, texts, proof), Err(Error::Proof));
    };
    refused(&machine, Side::Machine, &[b"request", b"name"], &proof);
    refused(&machine, Side::Claimant, &[b"requestn", b"ame"], &proof);
    refused(&machine, Side::Claimant, &[b"request"], &proof);
    refused(&machine, Side::Claimant, &[b"another", b"name"], &proof);
    for length in 0..proof.len() {
        refused(&machine, Side::Claimant, &[b"request", b"name"], &proof[..length]);
    }
    // The same code, the same connection, another handshake: what was recorded is of no use.
    let (first, again) = shake(&right, &right, BINDING, BINDING);
    refused(&again, Side::Claimant, &[b"request", b"name"], &proof);
    refused(&first, Side::Machine, &[b"granted"], &machine.prove(Side::Machine, &[b"granted"]));
    // A message of the claimant that is sent again meets fresh randomness of the machine.
    let (_, message) = Claimant::begin(&right, BINDING);
    let (one, _) = answer(&right, BINDING, &message).unwrap();
    let (other, _) = answer(&right, BINDING, &message).unwrap();
    refused(&other, Side::Claimant, &[], &one.prove(Side::Claimant, &[]));
}

#[test]
fn a_message_that_is_sent_back_or_cut_is_none() {
    let right = code("7K3M-9QXT");
    let (claimant, message) = Claimant::begin(&right, BINDING);
    assert_eq!(claimant.finish(&message).unwrap_err(), Error::Message, "reflected");
    for length in 0..message.len() {
        assert_eq!(answer(&right, BINDING, &message[..length]).unwrap_err(), Error::Message);
    }
    let mut long = message.clone();
    long.push(0);
    assert_eq!(answer(&right, BINDING, &long).unwrap_err(), Error::Message);
}

#[test]
fn points_of_small_order_let_nobody_in() {
    let right = code("7K3M-9QXT");
    for point in [[0; 32], std::array::from_fn(|place| u8::from(place == 0)), [0xff; 32]] {
        let message = [&b"A"[..], &point].concat();
        let Ok((machine, second)) = answer(&right, BINDING, &message) else { continue };
        // Whoever sent it would take the neutral element for the secret.
        for guess in [&[0; 32][..], &point, b""] {
            let session = Session::derive(guess, BINDING, &message, &second);
            assert!(!agree(&session, &machine));
        }
    }
}

#[test]
fn codes_are_read_as_people_write_them() {
    let right = code("7K3M-01XT");
    for text in ["7k3m-01xt", " 7K3M 01XT\n", "7K3MOIXT", "7k3m-olxt"] {
        assert_eq!(text.parse(), Ok(right.clone()), "{text}");
    }
    assert_eq!(right.to_string(), "7K3M-01XT");
    assert_eq!(format!("{right:?}"), "Code(..)");
    for wrong in ["", "7K3M-9QX", "7K3M-9QXTT", "7K3M-9QXU", "7K3M_9QXT", "７K3M9QXT"] {
        assert_eq!(wrong.parse::<Code>(), Err(NoCode), "{wrong}");
    }
}

proptest! {
    #[test]
    fn every_code_is_read_as_it_is_shown(bytes in any::<[u8; 8]>()) {
        let made = Code::from_random(bytes);
        prop_assert_eq!(made.to_string().parse(), Ok(made));
    }

    #[test]
    fn bytes_of_any_kind_let_nobody_in(message in proptest::collection::vec(any::<u8>(), 0..70), proof in any::<[u8; 32]>()) {
        if let Ok((session, _)) = answer(&Code::from_random([3; 8]), BINDING, &message) {
            prop_assert!(session.check(Side::Claimant, &[], &proof).is_err());
        }
    }
}
