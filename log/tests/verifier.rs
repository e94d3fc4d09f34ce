//! The verifier that the page loads, as it is checked in, gives the answers of the code that it is made of.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics when it fails")]

use duramen::tlog::{Checkpoint, Cosigner, Ed25519Key, Ed25519Signer, MlDsa44Key, SignedNote};
use duramen::{Arity, Hasher, MemoryAccumulator, Rfc6962Sha256};
use duramen_verifier::{Question, answer, pack, unpack};
use testkit::random::Random;
use wasmi::{Engine, Linker, Memory, Module, Store, TypedFunc};

const ORIGIN: &str = "example.com/log";

/// The module that the page loads.
struct Loaded {
    store: Store<()>,
    memory: Memory,
    request: TypedFunc<u32, u32>,
    answer: TypedFunc<(), u32>,
    answer_len: TypedFunc<(), u32>,
}

impl Loaded {
    fn new() -> Self {
        let engine = Engine::default();
        let module = Module::new(&engine, include_bytes!("../page/verifier.wasm")).unwrap();
        let mut store = Store::new(&engine, ());
        // It imports nothing: it can reach nothing of the browser.
        let linker = Linker::new(&engine);
        let instance = linker.instantiate_and_start(&mut store, &module).unwrap();
        let memory = instance.get_memory(&store, "memory").unwrap();
        let request = instance.get_typed_func(&store, "duramen_request").unwrap();
        let answer = instance.get_typed_func(&store, "duramen_answer").unwrap();
        let answer_len = instance.get_typed_func(&store, "duramen_answer_len").unwrap();
        Self { store, memory, request, answer, answer_len }
    }

    fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        let len = u32::try_from(request.len()).unwrap();
        let place = self.request.call(&mut self.store, len).unwrap();
        self.memory.write(&mut self.store, place as usize, request).unwrap();
        let place = self.answer.call(&mut self.store, ()).unwrap();
        let len = self.answer_len.call(&mut self.store, ()).unwrap();
        let mut bytes = vec![0; len as usize];
        self.memory.read(&self.store, place as usize, &mut bytes).unwrap();
        bytes
    }

    /// Asks both, and returns the answer that both gave.
    fn both(&mut self, question: Question, fields: &[impl AsRef<[u8]>]) -> Vec<String> {
        let request = [&[question as u8][..], &pack(fields)].concat();
        let native = answer(&request);
        assert_eq!(self.ask(&request), native, "{question:?}");
        let text = |field: &&[u8]| String::from_utf8(field.to_vec()).unwrap();
        unpack(&native).unwrap().iter().map(text).collect()
    }
}

fn key() -> Ed25519Signer {
    Ed25519Signer::from_secret(ORIGIN, &[7; 32]).unwrap()
}

fn tree(size: usize) -> MemoryAccumulator<Rfc6962Sha256, 2> {
    let mut tree = MemoryAccumulator::new();
    for number in 0..size {
        tree.push_data(format!("entry {number}").as_bytes()).unwrap();
    }
    tree
}

fn note(tree: &MemoryAccumulator<Rfc6962Sha256, 2>) -> SignedNote {
    let checkpoint =
        Checkpoint::new(ORIGIN, Rfc6962Sha256.id(), Arity::Two, tree.head().unwrap()).unwrap();
    SignedNote::sign(&checkpoint.to_string(), &key()).unwrap()
}

fn lines(hashes: &[[u8; 32]]) -> String {
    hashes.iter().map(const_hex::encode).collect::<Vec<_>>().join("\n")
}

/// The same with another character at a random place.
fn changed(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn what_is_in_the_log_is_proven_and_nothing_else() {
    let (mut loaded, mut random) = (Loaded::new(), Random(1));
    let vkey = key().verifier().to_string();
    for size in [1, 2, 3, 7, 8, 33, 100] {
        let tree = tree(size);
        let note = note(&tree).to_string();
        for index in [0, size / 3, size - 1] {
            let leaf = loaded.both(Question::Leaf, &[format!("entry {index}")])[1].clone();
            let proof = tree.prove(index as u64).unwrap();
            let siblings = lines(proof.siblings());
            let fields = [&note, ORIGIN, &vkey, &index.to_string(), &leaf, &siblings];
            let proven = loaded.both(Question::Inclusion, &fields);
            assert_eq!(proven[..2], ["ok".to_owned(), size.to_string()]);
            assert_eq!(proven[2], const_hex::encode(tree.head().unwrap().root));
            // The path ends at the root.
            assert_eq!(if size == 1 { &leaf } else { &proven[proven.len() - 1] }, &proven[2]);
            for wrong in 0..fields.len() {
                if !fields[wrong].is_empty() {
                    let mut fields = fields.map(str::to_owned);
                    fields[wrong] = changed(&fields[wrong], &mut random);
                    assert_eq!(loaded.both(Question::Inclusion, &fields)[0], "no", "{fields:?}");
                }
            }
        }
    }
}

#[test]
fn a_checkpoint_continues_another_or_does_not() {
    let (mut loaded, mut random) = (Loaded::new(), Random(2));
    let vkey = key().verifier().to_string();
    for (old, new) in [(0, 5), (1, 2), (3, 7), (4, 8), (6, 6), (40, 100)] {
        let (before, after) = (tree(old), tree(new));
        let proof = after.snapshot().prove_consistency(old as u64).unwrap();
        let (before, after) = (note(&before).to_string(), note(&after).to_string());
        let fields = [&before, &after, ORIGIN, &vkey, &lines(proof.hashes())];
        let proven = loaded.both(Question::Consistency, &fields);
        assert_eq!(proven, ["ok".to_owned(), old.to_string(), new.to_string()]);
        for wrong in 0..fields.len() {
            if !fields[wrong].is_empty() {
                let mut fields = fields.map(str::to_owned);
                fields[wrong] = changed(&fields[wrong], &mut random);
                assert_eq!(loaded.both(Question::Consistency, &fields)[0], "no", "{fields:?}");
            }
        }
        if old < new {
            let swapped = [&after, &before, ORIGIN, &vkey, &lines(proof.hashes())];
            assert_eq!(loaded.both(Question::Consistency, &swapped)[0], "no");
        }
    }
}

#[test]
fn each_signature_of_a_checkpoint_is_the_logs_or_cosigned_or_wrong_or_unknown() {
    let mut loaded = Loaded::new();
    let cosigner = |name: &str, secret: u8| {
        Cosigner::new(name, Ed25519Key::from_secret(&[secret; 32])).unwrap()
    };
    let (witness, stranger) = (cosigner("witness.example", 8), cosigner("stranger.example", 9));
    let mut signed = note(&tree(3));
    signed.add_signature(&witness.at(1_700_000_000)).unwrap();
    signed.add_signature(&stranger.at(1_700_000_001)).unwrap();
    let (log, witness) = (key().verifier().to_string(), witness.vkey());
    let own = Cosigner::new(ORIGIN, MlDsa44Key::from_seed(&[10; 32])).unwrap();
    let states = |loaded: &mut Loaded, note: &str, others: &str| {
        let answer = loaded.both(Question::Checkpoint, &[note, ORIGIN, &log, others]);
        assert_eq!((&*answer[0], &*answer[1]), ("ok", "3"), "{answer:?}");
        answer[3..].chunks(4).map(|one| one[2..].join(" ")).collect::<Vec<_>>()
    };
    let signed = signed.to_string();
    assert_eq!(states(&mut loaded, &signed, ""), ["log ", "unknown ", "unknown "]);
    let known = states(&mut loaded, &signed, &witness);
    assert_eq!(known, ["log ", "cosigned 1700000000", "unknown "]);
    // The last characters before the end of the witness's line are of its signature.
    let mut lines: Vec<_> = signed.lines().map(str::to_owned).collect();
    let at = lines.len() - 2;
    let place = lines[at].len() - 6;
    let digit = if lines[at][place..].starts_with('A') { "B" } else { "A" };
    lines[at].replace_range(place..=place, digit);
    let wrong = states(&mut loaded, &(lines.join("\n") + "\n"), &witness);
    assert_eq!(wrong, ["log ", "wrong ", "unknown "]);

    let mut signed = note(&tree(3));
    signed.add_signature(&own.at(1_700_000_002)).unwrap();
    let known = states(&mut loaded, &signed.to_string(), &format!("{witness}\n{}", own.vkey()));
    assert_eq!(known, ["log ", "cosigned 1700000002"]);
}

#[test]
fn keys_are_read_and_what_is_no_request_is_refused() {
    let (mut loaded, mut random) = (Loaded::new(), Random(3));
    let vkey = key().verifier().to_string();
    let read = loaded.both(Question::Key, &[&vkey]);
    assert_eq!((&*read[0], &*read[1]), ("ok", ORIGIN));
    assert_eq!(loaded.both(Question::Key, &["no key"])[0], "no");
    assert_eq!(loaded.both(Question::Key, &[&vkey, &vkey])[0], "no");
    for len in 0..40 {
        for _ in 0..20 {
            let digits: Vec<u8> = (0..7).collect();
            let mut request: Vec<u8> = (0..len).map(|_| random.pick(&digits)).collect();
            assert_eq!(loaded.ask(&request), answer(&request), "{request:?}");
            request.fill(0xff);
            assert_eq!(loaded.ask(&request), answer(&request), "{request:?}");
        }
    }
}
