//! C2SP `tlog-policy`.

use duramen::tlog::{
    AnyVerifier, Cosigner, Ed25519Key, Ed25519Signer, KeyType, Policy, PolicyErrorKind as Kind,
    SignedNote, TlogError,
};
use duramen::{TreeHead, TreeSize};
use proptest::prelude::*;

use crate::tlog::model::{
    ORIGIN, TIME, checkpoint, ed25519_witness, log_key, log_note, mldsa_witness, verifier,
};

const HEAD: TreeHead = TreeHead { size: TreeSize(7), root: [9; 32] };

fn log_vkey() -> String {
    log_key().verifier().to_string()
}

/// `witness wN VKEY` for these numbers: odd ones of type 0x04, even ones of type 0x06.
fn witness_lines(numbers: impl IntoIterator<Item = u8>) -> String {
    numbers.into_iter().map(|number| format!("witness w{number} {}\n", vkey(number))).collect()
}

fn vkey(number: u8) -> String {
    if number % 2 == 1 { ed25519_witness(number).vkey() } else { mldsa_witness(number).vkey() }
}

fn cosigned(numbers: impl IntoIterator<Item = u8>) -> SignedNote {
    let mut note = log_note(HEAD);
    for number in numbers {
        match number % 2 {
            1 => note.add_signature(&ed25519_witness(number).at(TIME)),
            _ => note.add_signature(&mldsa_witness(number).at(TIME)),
        }
        .unwrap();
    }
    note
}

fn read(text: &str) -> Policy {
    let policy = Policy::read(text.as_bytes()).unwrap();
    assert_eq!(Policy::read(&policy.to_bytes()), Ok(policy.clone()));
    policy
}

fn refused(text: &str) -> (usize, Kind) {
    let error = Policy::read(text.as_bytes()).unwrap_err();
    (error.line, error.kind)
}

/// tlog-policy, Example policy.
#[test]
fn the_example_of_two_levels_of_groups_is_reached_by_what_it_says() {
    let text = format!(
        "log {}\n\n{}group X 2 w1 w2 w3\n\n{}group Y any w4 w5 w6\n\ngroup X-and-Y all X Y\nquorum X-and-Y\n",
        log_vkey(),
        witness_lines(1..=3),
        witness_lines(4..=6)
    );
    let policy = read(&text);
    for set in 0_u8..64 {
        let numbers = (1..=6).filter(|number| set >> (number - 1) & 1 == 1);
        let flags: Vec<bool> = (0..6).map(|at| set >> at & 1 == 1).collect();
        let expected = (set & 7).count_ones() >= 2 && set >> 3 != 0;
        assert_eq!(policy.is_reached(&flags), expected);
        // Keys of ML-DSA-44 are slow where nothing is optimized.
        if set % 5 == 0 || expected && set % 3 == 0 {
            let verified = policy.verify(&cosigned(numbers));
            assert_eq!(verified.is_ok(), expected, "{set:b}");
            if let Ok(witnessed) = verified {
                assert_eq!(witnessed.checkpoint.head(), HEAD);
                let times: Vec<_> = flags.iter().map(|flag| flag.then_some(TIME)).collect();
                assert_eq!(witnessed.cosigned, times);
            }
        }
    }
}

/// tlog-policy, What is a "policy"?: signed by any one of the listed logs.
#[test]
fn a_checkpoint_is_signed_by_any_listed_log_and_the_name_of_its_key_is_the_origin() {
    let other = Ed25519Signer::from_secret("example.com/other", &[2; 32]).unwrap();
    let both = read(&format!("log {}\nlog {}\nquorum none\n", other.verifier(), log_vkey()));
    assert!(both.verify(&log_note(HEAD)).is_ok());
    let single = read(&format!("log {}\nquorum none\n", other.verifier()));
    let unknown = TlogError::UnknownLog { origin: ORIGIN.into() };
    assert_eq!(single.verify(&log_note(HEAD)), Err(unknown.clone()));
    // tlog-policy, Defining a log: the key name corresponds to the origin line.
    let crossed = SignedNote::sign(&checkpoint(HEAD).to_string(), &other).unwrap();
    assert_eq!(single.verify(&crossed), Err(unknown));
    assert_eq!(both.verify(&crossed), Err(TlogError::NotSignedByKnownKey { signatures: 1 }));
    // What is known from elsewhere.
    let keys = other.verifier();
    assert!(Policy::none().verify_log(&crossed, &[&keys], ORIGIN).is_ok());
    let refused = Policy::none().verify_log(&crossed, &[&keys], "example.com/other");
    assert!(matches!(refused, Err(TlogError::OtherOrigin { .. })));
}

/// tlog-policy, What is a "policy"?: cosigners are no logs.
#[test]
fn enough_witnesses_without_the_log_are_not_enough_and_neither_is_the_log_without_witnesses() {
    let policy =
        read(&format!("log {}\n{}group g 2 w1 w3\nquorum g\n", log_vkey(), witness_lines([1, 3])));
    let mut note =
        SignedNote::sign(&checkpoint(HEAD).to_string(), &ed25519_witness(1).at(TIME)).unwrap();
    note.add_signature(&ed25519_witness(3).at(TIME)).unwrap();
    assert_eq!(policy.verify(&note), Err(TlogError::NotSignedByKnownKey { signatures: 2 }));
    for (numbers, cosigned_by) in
        [(vec![], 0), (vec![1], 1), (vec![1, 1, 1], 1), (vec![2, 4, 6], 0)]
    {
        let expected = TlogError::QuorumNotReached { cosigned: cosigned_by, witnesses: 2 };
        assert_eq!(policy.verify(&cosigned(numbers)), Err(expected));
    }
    assert!(policy.verify(&cosigned([1, 3])).is_ok());
}

/// signed-note, Signatures, for a policy: a wrong signature by a known witness refuses the note.
#[test]
fn a_wrong_signature_by_a_witness_refuses_the_checkpoint_even_if_the_quorum_is_reached() {
    let policy = read(&format!(
        "log {}\n{}group g any w1 w3\nquorum g\n",
        log_vkey(),
        witness_lines([1, 3])
    ));
    let forged = cosigned([1, 3]).to_string();
    let line = forged.lines().last().unwrap();
    let other = TreeHead { size: TreeSize(8), ..HEAD };
    let mut wrong = log_note(other);
    wrong.add_signature(&ed25519_witness(3).at(TIME)).unwrap();
    let wrong = wrong.to_string();
    let forged: SignedNote = forged.replace(line, wrong.lines().last().unwrap()).parse().unwrap();
    let name = ed25519_witness(3).name().to_owned();
    assert_eq!(policy.verify(&forged), Err(TlogError::WrongSignature { name }));
}

/// tlog-policy, Structure: lines, whitespace, empty lines and comments.
#[test]
fn spaces_tabs_empty_lines_and_comments_are_where_they_may_be() {
    let plain = read(&format!("log {}\nwitness w1 {} URL\nquorum w1\n", log_vkey(), vkey(1)));
    let spaced = format!(
        "# a comment\n\n \t\n\t# log nothing\n \twitness\tw1  {}\t URL \nlog \t{} \n\t quorum w1\t\n",
        vkey(1),
        log_vkey()
    );
    assert_eq!(read(&spaced), plain);
    assert_eq!(plain.witnesses()[0].url.as_deref(), Some(&b"URL"[..]));
    // A comment is a line of its own.
    assert!(matches!(refused("quorum none # all\n").1, Kind::Form { .. }));
    assert_eq!(refused("quorum none").1, Kind::NoFinalNewline);
    assert_eq!(refused("quorums none\n").1, Kind::UnknownWord { word: "quorums".into() });
    assert_eq!(refused("Quorum none\n").1, Kind::UnknownWord { word: "Quorum".into() });
}

/// tlog-policy, Structure and Defining the quorum: names are defined on preceding lines.
#[test]
fn a_name_that_no_line_before_defines_is_refused_with_its_line() {
    let name = || "w1".to_owned();
    let witness = witness_lines([1]);
    assert_eq!(refused(&format!("quorum w1\n{witness}")), (1, Kind::NotDefined { name: name() }));
    let late = format!("group g all w1\n{witness}quorum g\n");
    assert_eq!(refused(&late), (1, Kind::NotDefined { name: name() }));
    let own = format!("{witness}group g all w1 g\nquorum g\n");
    assert_eq!(refused(&own), (2, Kind::NotDefined { name: "g".into() }));
    // The order of logs and witnesses does not matter.
    read(&format!("quorum none\nlog {}\n{witness}group g all w1\n", log_vkey()));
}

/// tlog-policy, What is a "policy"?: one namespace, `none` is no member.
#[test]
fn a_name_is_defined_once_and_none_is_neither_defined_nor_a_member() {
    let twice = |name: &str| Kind::DefinedTwice { name: name.into() };
    let second = format!("{}witness w1 {}\nquorum none\n", witness_lines([1]), vkey(3));
    assert_eq!(refused(&second), (2, twice("w1")));
    let group = format!("{}group w1 all w3\nquorum none\n", witness_lines([1, 3]));
    assert_eq!(refused(&group), (3, twice("w1")));
    assert_eq!(refused(&format!("witness none {}\n", vkey(1))), (1, twice("none")));
    let group = format!("{}group none all w1\n", witness_lines([1]));
    assert_eq!(refused(&group), (2, twice("none")));
    let member = format!("{}group g any w1 none\n", witness_lines([1]));
    assert_eq!(refused(&member), (2, Kind::NotDefined { name: "none".into() }));
}

/// tlog-policy, Defining the quorum: exactly one.
#[test]
fn a_policy_has_exactly_one_quorum() {
    assert_eq!(refused(""), (1, Kind::Quorum { found: 0 }));
    assert_eq!(refused(&witness_lines([1])), (2, Kind::Quorum { found: 0 }));
    assert_eq!(refused("quorum none\nquorum none\n"), (2, Kind::Quorum { found: 2 }));
    assert!(matches!(refused("quorum\n").1, Kind::Form { form: "quorum NAME|none" }));
    assert!(read("quorum none\n").is_reached(&[]));
}

/// tlog-policy, Defining a witness group: `1 <= k <= n`, at least one member.
#[test]
fn the_number_of_a_group_is_all_any_or_from_one_to_its_members() {
    let with = |k: &str| format!("{}group g {k} w1 w3 w5\nquorum g\n", witness_lines([1, 3, 5]));
    for (k, needed) in [("all", 3), ("any", 1), ("1", 1), ("2", 2), ("3", 3)] {
        let policy = read(&with(k));
        for count in 0..=3 {
            let flags: Vec<bool> = (0..3).map(|at| at < count).collect();
            assert_eq!(policy.is_reached(&flags), count >= needed, "{k}");
        }
    }
    for k in ["0", "4", "-1", "+1", "01", "1.0", "ALL", "18446744073709551617", ""] {
        let line = with(k).replace("group g  ", "group g ");
        assert!(matches!(refused(&line).1, Kind::Threshold { .. }), "{k}");
    }
    for line in ["group\n", "group g\n", "group g all\n", "group g 1\n"] {
        assert!(matches!(refused(line).1, Kind::Form { .. }), "{line}");
    }
}

/// tlog-policy, Defining a witness group: a name is a member at most once.
#[test]
fn a_name_is_a_member_of_one_group_once() {
    let again = Kind::MemberTwice { name: "w1".into() };
    let lines = witness_lines([1, 3]);
    assert_eq!(refused(&format!("{lines}group g all w1 w1\n")), (3, again.clone()));
    assert_eq!(refused(&format!("{lines}group g all w1\ngroup h all w3 w1\n")), (4, again));
    let group = format!("{lines}group g all w1\ngroup h all g\ngroup i any g w3\n");
    assert_eq!(refused(&group), (5, Kind::MemberTwice { name: "g".into() }));
}

/// tlog-policy, Public key representation, Defining a log, Defining a witness: no duplicates.
#[test]
fn two_logs_or_witnesses_do_not_have_the_same_public_key_whatever_its_name_and_type() {
    let renamed = Ed25519Signer::from_secret("example.com/renamed", &[1; 32]).unwrap().verifier();
    let logs = format!("log {}\nlog {renamed}\nquorum none\n", log_vkey());
    assert_eq!(refused(&logs), (2, Kind::SameKey { what: "log" }));
    let cosigner = Cosigner::new("other", Ed25519Key::from_secret(&[1; 32])).unwrap().vkey();
    let logs = format!("log {}\nlog {cosigner}\nquorum none\n", log_vkey());
    assert_eq!(refused(&logs), (2, Kind::SameKey { what: "log" }));
    let renamed = Cosigner::new("renamed", Ed25519Key::from_secret(&[101; 32])).unwrap().vkey();
    let witnesses = format!("{}witness again {renamed}\n", witness_lines([1]));
    assert_eq!(refused(&witnesses), (2, Kind::SameKey { what: "witness" }));
    let policy = read(&format!("log {}\nquorum none\n", log_vkey()));
    assert_eq!(policy.with_log(verifier(&log_vkey())), Err(Kind::SameKey { what: "log" }));
}

/// tlog-policy, Public key representation: types fit the function.
#[test]
fn a_witness_has_a_key_that_cosigns_and_a_key_that_cannot_be_read_is_refused_with_its_line() {
    let expected = Kind::NotACosigner { key_type: KeyType::ED25519 };
    assert_eq!(refused(&format!("\nwitness w {}\n", log_vkey())), (2, expected));
    let changed = log_vkey().replace("log+", "lag+");
    let (line, kind) = refused(&format!("log {changed}\nquorum none\n"));
    assert!(line == 1 && matches!(kind, Kind::Key(TlogError::OtherKeyId { .. })));
    for kind in [vkey(1), vkey(2)] {
        read(&format!("log {kind}\nquorum none\n"));
    }
    for line in ["log\n", "log a b c\n", "witness w\n", "witness w k u v\n"] {
        assert!(matches!(refused(line).1, Kind::Form { .. }), "{line}");
    }
}

/// tlog-policy, Character set.
#[test]
fn a_policy_is_octets_without_control_characters_and_names_are_opaque() {
    for control in (0..=0x7f_u8).filter(u8::is_ascii_control) {
        let text = [b"# a", &[control][..], b"b\nquorum none\n"].concat();
        match control {
            b'\t' | b'\n' if control == b'\t' => assert!(Policy::read(&text).is_ok()),
            b'\n' => {}
            found => {
                let error = Policy::read(&text).unwrap_err();
                assert_eq!((error.line, error.kind), (1, Kind::ControlCharacter { found }));
            }
        }
    }
    // K, the sign Kelvin, and bytes that are no UTF-8 are three names.
    let names: [&[u8]; 3] = [b"K", "\u{212a}".as_bytes(), &[0x80, 0xff]];
    let mut text = Vec::new();
    for (name, number) in names.into_iter().zip([1, 3, 5]) {
        text.extend([b"witness ", name, b" ", vkey(number).as_bytes(), b" ", name, b"\n"].concat());
    }
    text.extend(
        [b"group g 2 ", names[0], b" ", names[1], b" ", names[2], b"\nquorum g\n"].concat(),
    );
    let policy = Policy::read(&text).unwrap();
    assert_eq!(policy.to_bytes(), text);
    assert!(policy.witnesses().iter().map(|witness| witness.name.as_slice()).eq(names));
    // The name of a key is text.
    let key = [b"log \xff", log_vkey().as_bytes(), b"\nquorum none\n"].concat();
    assert!(matches!(Policy::read(&key).unwrap_err().kind, Kind::Key(TlogError::KeyText { .. })));
}

/// tlog-policy, Implementation limits: at least 32 logs, 32 witnesses and 32 groups.
#[test]
fn a_policy_of_a_hundred_logs_witnesses_and_nested_groups_is_read() {
    let mut text = String::new();
    for number in 0..100_u8 {
        let log = Ed25519Signer::from_secret(&format!("log{number}"), &[number; 32]).unwrap();
        text += &format!("log {}\n", log.verifier());
        let witness = Cosigner::new("w", Ed25519Key::from_secret(&[100 + number; 32])).unwrap();
        text += &format!("witness w{number} {}\n", witness.vkey());
        let before = if number == 0 { String::new() } else { format!(" g{}", number - 1) };
        text += &format!("group g{number} all w{number}{before}\n");
    }
    let policy = read(&(text + "quorum g99\n"));
    assert_eq!((policy.logs().len(), policy.witnesses().len()), (100, 100));
    assert!(policy.is_reached(&[true; 100]));
    for missing in [0, 50, 99] {
        let flags: Vec<bool> = (0..100).map(|at| at != missing).collect();
        assert!(!policy.is_reached(&flags));
    }
    let long = vec![b'\n'; Policy::MAX_BYTES + 1];
    let (most, found) = (Policy::MAX_BYTES, Policy::MAX_BYTES + 1);
    assert_eq!(Policy::read(&long).unwrap_err().kind, Kind::TooLong { most, found });
}

#[test]
fn a_policy_of_k_of_n_is_made_without_a_text() {
    let keys = || [1, 2, 3].map(|number| verifier(&vkey(number)));
    let policy = Policy::threshold(2, keys()).unwrap().with_log(verifier(&log_vkey())).unwrap();
    assert_eq!(Policy::read(&policy.to_bytes()), Ok(policy.clone()));
    assert!(policy.verify(&cosigned([2, 3])).is_ok() && policy.verify(&cosigned([2])).is_err());
    for threshold in [0, 4] {
        assert!(matches!(Policy::threshold(threshold, keys()), Err(Kind::Threshold { .. })));
    }
    let same: [AnyVerifier; 2] = [verifier(&vkey(1)), verifier(&vkey(1))];
    assert_eq!(Policy::threshold(1, same), Err(Kind::SameKey { what: "witness" }));
}

proptest! {
    #[test]
    fn reading_any_policy_is_total_and_what_is_read_is_written_and_read_again(
        lines in prop::collection::vec((0_usize..9, "[a-c]", "[a-c]", "[0-3]|all|any"), 0..8),
        noise in "[ \ta-z#\n]{0,6}",
    ) {
        let (log, witnesses) = (log_vkey(), [1, 3, 5].map(vkey));
        let mut text = String::new();
        for (kind, a, b, k) in &lines {
            text += &match kind {
                0 => format!("log {log}\n"),
                1..=3 => format!("witness {a} {}\n", witnesses[kind - 1]),
                4 => format!("group {a} {k} {b}\n"),
                5 => format!("group {a} {k} {b} c\n"),
                6 => format!("quorum {b}\n"),
                7 => "quorum none\n".to_owned(),
                _ => format!("{noise}\n"),
            };
        }
        if let Ok(policy) = Policy::read(text.as_bytes()) {
            let again = Policy::read(&policy.to_bytes());
            prop_assert_eq!(again, Ok(policy.clone()));
            // More witnesses never make a quorum less.
            for set in 0_u8..8 {
                let flags = |set: u8| (0..3).map(|at| set >> at & 1 == 1).collect::<Vec<_>>();
                for more in 0..3 {
                    if policy.is_reached(&flags(set)) {
                        prop_assert!(policy.is_reached(&flags(set | 1 << more)));
                    }
                }
            }
        }
    }

    #[test]
    fn reading_any_bytes_as_a_policy_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Policy::read(&bytes);
    }
}
