//! Makes the file of what logs and witnesses sign: heads and siblings are the reference's, texts are written here, and
//! the library signs. `docs/vectors.md` says where signatures of other software are.

use duramen::tlog::{Cosigner, Ed25519Key, Ed25519Signer, MlDsa44Key, NoteSigner, SignedNote};
use testkit::reference::{self, RFC6962};

use crate::vectors::bytes::{base64, hex};
use crate::vectors::cases::{
    CheckpointCase, Head, ProofCase, RefusedText, Signed, SignedClaim, WitnessedCase,
    WitnessedProofCase,
};

const ORIGIN: &str = "example.com/log";
/// The time of the first witness; the second cosigns a second later.
const TIME: u64 = 1_767_225_600;
/// The size of the tree of the texts that are refused.
const SIZE: usize = 21;

/// The log and its witnesses. The secret of each key is one byte, 32 times.
struct Keys {
    log: Ed25519Signer,
    /// The log's key for cosignatures of type 0x06.
    log_mldsa: Cosigner<MlDsa44Key>,
    ed25519: Cosigner<Ed25519Key>,
    mldsa: Cosigner<MlDsa44Key>,
}

impl Keys {
    fn new() -> Self {
        let seed = |byte: u8| [byte; 32];
        Self {
            log: Ed25519Signer::from_secret(ORIGIN, &seed(1)).unwrap(),
            log_mldsa: Cosigner::new(ORIGIN, MlDsa44Key::from_seed(&seed(2))).unwrap(),
            ed25519: Cosigner::new("w.example/ed", Ed25519Key::from_secret(&seed(3))).unwrap(),
            mldsa: Cosigner::new("w.example/ml", MlDsa44Key::from_seed(&seed(4))).unwrap(),
        }
    }

    fn vkey(&self) -> String {
        self.log.verifier().to_string()
    }

    /// A policy with this quorum.
    fn policy(&self, quorum: &str) -> String {
        format!(
            "log {}\nwitness ed {}\nwitness ml {}\n{quorum}",
            self.vkey(),
            self.ed25519.vkey(),
            self.mldsa.vkey()
        )
    }

    fn both(&self) -> String {
        self.policy("group both all ed ml\nquorum both\n")
    }

    fn any(&self) -> String {
        self.policy("group any any ed ml\nquorum any\n")
    }
}

fn head(size: usize) -> Head {
    Head { size: size as u64, root: hex(&root(size)) }
}

fn root(size: usize) -> [u8; 32] {
    RFC6962.root(2, &reference::leaves(size))
}

fn text(size: usize) -> String {
    format!("{ORIGIN}\n{size}\n{}\n", base64(&root(size)))
}

fn sign(text: &str, signers: &[&dyn NoteSigner]) -> String {
    let mut note = SignedNote::sign(text, signers[0]).unwrap();
    signers[1..].iter().for_each(|signer| note.add_signature(*signer).unwrap());
    note.to_string()
}

fn proof(size: usize, index: usize, note: &str) -> String {
    let levels = RFC6962.levels(2, &reference::leaves(size));
    let siblings = reference::siblings(2, &levels, index);
    let lines: String = siblings.iter().map(|hash| format!("{}\n", base64(hash))).collect();
    format!("c2sp.org/tlog-proof@v1\nindex {index}\n{lines}\n{note}")
}

fn leaf(index: usize) -> String {
    hex(&reference::leaf(index as u64))
}

pub(crate) fn file() -> Signed {
    let keys = Keys::new();
    let (ed, ml) = (keys.ed25519.at(TIME), keys.mldsa.at(TIME + 1));
    let log_mldsa = keys.log_mldsa.at(TIME);
    let mut file = Signed {
        checkpoints: Vec::new(),
        witnessed: Vec::new(),
        proofs: Vec::new(),
        witnessed_proofs: Vec::new(),
        refused: refused(&keys),
    };
    for size in [0, 1, 2, 5, 21, 64, 300] {
        let text = text(size);
        let mut add = |note: String, keys: Vec<String>| {
            let (origin, head) = (ORIGIN.to_owned(), head(size));
            file.checkpoints.push(CheckpointCase { note, origin, keys, head });
        };
        add(sign(&text, &[&keys.log]), vec![keys.vkey()]);
        add(sign(&text, &[&log_mldsa, &keys.log, &ed]), vec![keys.log_mldsa.vkey()]);
        let both = sign(&text, &[&keys.log, &ed, &ml]);
        add(both.clone(), vec![keys.log_mldsa.vkey(), keys.vkey()]);
        let extended = sign(&format!("{text}an extension line\n"), &[&keys.log]);
        add(extended, vec![keys.vkey()]);

        let ed_alone = sign(&text, &[&ed, &keys.log]);
        let mut add = |note: &str, policy: String, cosigned: [Option<u64>; 2]| {
            let (note, cosigned) = (note.to_owned(), cosigned.to_vec());
            file.witnessed.push(WitnessedCase { note, policy, head: head(size), cosigned });
        };
        add(&both, keys.both(), [Some(TIME), Some(TIME + 1)]);
        add(&ed_alone, keys.any(), [Some(TIME), None]);
        add(&ed_alone, keys.policy("quorum none\n"), [Some(TIME), None]);

        let mut indexes = vec![0, size / 3, size.saturating_sub(1)];
        indexes.dedup();
        for index in indexes.into_iter().filter(|index| *index < size) {
            let head = || head(size);
            let text = proof(size, index, &sign(&text, &[&keys.log]));
            let extra = text.replacen("index", "extra AAECAw==\nindex", 1);
            for proof in [text, extra] {
                let (origin, keys, leaf) = (ORIGIN.to_owned(), vec![keys.vkey()], leaf(index));
                let (index, head) = (index as u64, head());
                file.proofs.push(ProofCase { proof, origin, keys, leaf, index, head });
            }
            file.witnessed_proofs.push(WitnessedProofCase {
                proof: proof(size, index, &both),
                policy: keys.both(),
                leaf: leaf(index),
                index: index as u64,
                head: head(),
            });
        }
    }
    file
}

/// The same text with the first `from` replaced, which is there.
fn with(text: &str, from: &str, to: &str) -> String {
    let changed = text.replacen(from, to, 1);
    assert_ne!(changed, text, "{from:?}");
    changed
}

fn refused(keys: &Keys) -> Vec<RefusedText> {
    let mut cases = refused_checkpoints(keys);
    cases.extend(refused_by_policies(keys));
    cases.extend(refused_proofs(keys));
    cases
}

fn refused_checkpoints(keys: &Keys) -> Vec<RefusedText> {
    let mut cases = Vec::new();
    let mut add = |why: &str, (origin, keys): (&str, &[String]), text: String| {
        let claim = SignedClaim::Checkpoint { origin: origin.to_owned(), keys: keys.to_vec() };
        cases.push(RefusedText { why: why.to_owned(), claim, text });
    };
    let known = [keys.vkey()];
    let right = (ORIGIN, &known[..]);
    let body = text(SIZE);
    let note = sign(&body, &[&keys.log]);
    let line = note.lines().last().unwrap();
    let (root, other) = (base64(&root(SIZE)), base64(&root(SIZE + 1)));

    let of_other = Ed25519Signer::from_secret(ORIGIN, &[9; 32]).unwrap();
    add("signed by another key of the same name", right, sign(&body, &[&of_other]));
    let named = Ed25519Signer::from_secret("example.com/other", &[1; 32]).unwrap();
    add("signed by the key under another name", right, sign(&body, &[&named]));
    add("no key is known", (ORIGIN, &[]), note.clone());
    add(
        "a known key is none",
        (ORIGIN, &["example.com/log+00000000+AAAA".to_owned()]),
        note.clone(),
    );
    add("only a witness is known", (ORIGIN, &[keys.mldsa.vkey()]), note.clone());
    add("another log is asked for", ("example.com/other", &known), note.clone());
    add("another root", right, with(&note, &root, &other));
    add("another size", right, with(&note, "\n21\n", "\n22\n"));
    add("another origin", right, with(&note, "example.com/log\n", "example.com/lag\n"));
    add("an extension line that nobody signed", right, with(&note, "\n\n", "\nmore\n\n"));
    // The last characters before the padding are those of the signature.
    let end = &line[line.len() - 6..];
    let flipped = if end.starts_with('A') { "B" } else { "A" };
    add("another signature", right, with(&note, end, &format!("{flipped}{}", &end[1..])));
    let short = format!("{}AAAA\n", &line[..line.len() - 24]);
    add("a signature that is too short", right, with(&note, &format!("{line}\n"), &short));
    add("no signature", right, body.clone());
    add("no signature behind the empty line", right, format!("{body}\n"));
    add("the last line does not end", right, note[..note.len() - 1].to_owned());
    add("lines end as on Windows", right, note.replace('\n', "\r\n"));
    add("a line too many", right, format!("{note}\n"));
    add("a hyphen instead of the dash", right, with(&note, "\u{2014}", "-"));
    add("nothing", right, String::new());
    add("a right and a wrong signature by the key", right, {
        let wrong = with(line, end, &format!("{flipped}{}", &end[1..]));
        format!("{note}{wrong}\n")
    });
    // The log signs what is no checkpoint.
    let signed = |text: &str| sign(text, &[&keys.log]);
    add("signed text that is no checkpoint", right, signed("a note\n"));
    add("a size with a zero before it", right, signed(&with(&body, "\n21\n", "\n021\n")));
    add("a size with a sign", right, signed(&with(&body, "\n21\n", "\n+21\n")));
    add("a size above 2^64", right, signed(&with(&body, "\n21\n", "\n18446744073709551616\n")));
    add("no size", right, signed(&with(&body, "\n21\n", "\n\n")));
    add("a root of 31 bytes", right, signed(&with(&body, &root, &base64(&[7; 31]))));
    add("a root of 33 bytes", right, signed(&with(&body, &root, &base64(&[7; 33]))));
    add(
        "a root without its padding",
        right,
        signed(&with(&body, &root, root.trim_end_matches('='))),
    );
    add("a root in hexadecimal digits", right, signed(&with(&body, &root, &head(SIZE).root)));
    cases
}

fn refused_by_policies(keys: &Keys) -> Vec<RefusedText> {
    let mut cases = Vec::new();
    let mut add = |why: &str, policy: &str, text: String| {
        let claim = SignedClaim::Witnessed { policy: policy.to_owned() };
        cases.push(RefusedText { why: why.to_owned(), claim, text });
    };
    let body = text(SIZE);
    let (ed, ml) = (keys.ed25519.at(TIME), keys.mldsa.at(TIME + 1));
    let log = sign(&body, &[&keys.log]);
    let one = sign(&body, &[&keys.log, &ed]);
    let both = sign(&body, &[&keys.log, &ed, &ml]);
    let root = base64(&root(SIZE));

    add("no witness, and both are asked for", &keys.both(), log.clone());
    add("no witness, and any is asked for", &keys.any(), log.clone());
    add("one witness, and both are asked for", &keys.both(), one.clone());
    add("witnesses and no log", &keys.both(), sign(&body, &[&ed, &ml]));
    let forged = base64(&[7; 32]);
    add("another root", &keys.both(), with(&both, &root, &forged));
    add("another size", &keys.any(), with(&one, "\n21\n", "\n20\n"));
    let later = keys.ed25519.at(TIME + 5);
    let of_other_time = sign(&body, &[&later]);
    let line = |note: &str, at: usize| note.lines().nth(at).unwrap().to_owned();
    let (cosigned, other) = (line(&one, 5), line(&of_other_time, 4));
    // The name, the id and the time of one cosignature with the signature of another.
    let at = cosigned.rfind(' ').unwrap() + 1 + 16;
    let mixed = format!("{}{}", &cosigned[..at], &other[at..]);
    add("a cosignature with another time", &keys.any(), with(&one, &cosigned, &mixed));
    let twice = format!("{one}{cosigned}\n");
    add("one witness twice, and both are asked for", &keys.both(), twice);
    let body_of_other = body.replace(ORIGIN, "example.com/other");
    let other = Ed25519Signer::from_secret("example.com/other", &[1; 32]).unwrap();
    add("a log that the policy does not have", &keys.any(), sign(&body_of_other, &[&other, &ed]));
    let unreadable = [
        ("a policy without a quorum", keys.policy("")),
        ("a policy with two quorums", keys.policy("quorum ed\nquorum ml\n")),
        ("a quorum that is not defined", keys.policy("quorum nobody\n")),
        ("a group used before it is defined", keys.policy("quorum both\ngroup both all ed ml\n")),
        ("a threshold of zero", keys.policy("group few 0 ed ml\nquorum few\n")),
        ("more asked for than there are", keys.policy("group many 3 ed ml\nquorum many\n")),
        ("an unknown keyword", keys.policy("trust ed\nquorum ed\n")),
        ("a witness whose key is none", "witness a b+00000000+AAAA\nquorum a\n".to_owned()),
        ("an empty policy", String::new()),
    ];
    for (why, policy) in unreadable {
        add(why, &policy, both.clone());
    }
    cases
}

fn refused_proofs(keys: &Keys) -> Vec<RefusedText> {
    const INDEX: usize = 7;
    let mut cases = Vec::new();
    let known = vec![keys.vkey()];
    let claim = |index: usize, keys: &[String]| SignedClaim::Proof {
        origin: ORIGIN.to_owned(),
        keys: keys.to_vec(),
        leaf: leaf(index),
    };
    let body = text(SIZE);
    let note = sign(&body, &[&keys.log]);
    let good = proof(SIZE, INDEX, &note);
    let right = claim(INDEX, &known);
    let mut add = |why: &str, claim: &SignedClaim, text: String| {
        cases.push(RefusedText { why: why.to_owned(), claim: claim.clone(), text });
    };
    add("another leaf is asked for", &claim(INDEX + 1, &known), good.clone());
    add("another key is trusted", &claim(INDEX, &[keys.mldsa.vkey()]), good.clone());
    add("another index", &right, with(&good, "index 7", "index 6"));
    add("an index that the tree does not have", &right, with(&good, "index 7", "index 21"));
    add("an index with a zero before it", &right, with(&good, "index 7", "index 07"));
    add("an index below zero", &right, with(&good, "index 7", "index -7"));
    add("no index", &right, with(&good, "index 7\n", ""));
    add("another first line", &right, with(&good, "@v1", "@v2"));
    let siblings: Vec<&str> = good.lines().skip(2).take_while(|line| !line.is_empty()).collect();
    let (first, last) = (siblings[0], siblings[siblings.len() - 1]);
    let line = |sibling: &str| format!("{sibling}\n");
    add("a hash is missing", &right, with(&good, &line(last), ""));
    add("a hash more", &right, with(&good, &line(last), &format!("{last}\n{last}\n")));
    add("another hash", &right, with(&good, first, &base64(&[7; 32])));
    add("a hash of 31 bytes", &right, with(&good, first, &base64(&[7; 31])));
    add("a hash without its padding", &right, with(&good, first, first.trim_end_matches('=')));
    let swapped =
        with(&good, &format!("{first}\n{}\n", siblings[1]), &format!("{}\n{first}\n", siblings[1]));
    add("hashes in the wrong order", &right, swapped);
    add("no empty line", &right, with(&good, "\n\n", "\n"));
    add("no checkpoint", &right, good[..good.find("\n\n").unwrap() + 2].to_owned());
    add("nothing", &right, String::new());
    add("extra data that is no base64", &right, with(&good, "index", "extra ?\nindex"));
    add(
        "a checkpoint of another size",
        &right,
        proof(SIZE, INDEX, &sign(&text(SIZE + 1), &[&keys.log])),
    );
    add(
        "a checkpoint that nobody signed",
        &right,
        proof(SIZE, INDEX, &with(&note, "\n21\n", "\n22\n")),
    );

    let claim = SignedClaim::WitnessedProof { policy: keys.both(), leaf: leaf(INDEX) };
    add("no witness, and both are asked for", &claim, good.clone());
    let (ed, ml) = (keys.ed25519.at(TIME), keys.mldsa.at(TIME + 1));
    let one = proof(SIZE, INDEX, &sign(&body, &[&keys.log, &ed]));
    add("one witness, and both are asked for", &claim, one);
    let both = proof(SIZE, INDEX, &sign(&body, &[&keys.log, &ed, &ml]));
    let other = SignedClaim::WitnessedProof { policy: keys.both(), leaf: leaf(INDEX + 1) };
    add("another leaf of a tree that witnesses saw", &other, both.clone());
    add("another hash under witnesses", &claim, with(&both, first, &base64(&[7; 32])));
    cases
}
