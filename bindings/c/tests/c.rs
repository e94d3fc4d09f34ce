//! The header is what cbindgen makes, and programs in C that use it verify every case of the test vectors and use a store.
#![allow(missing_docs, reason = "tests")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// With `DURAMEN_BLESS=1` in the environment the header is written instead.
#[test]
fn the_header_is_what_cbindgen_makes_of_the_source() {
    let config = cbindgen::Config::from_file(here("cbindgen.toml")).unwrap();
    let made = cbindgen::Builder::new().with_crate(here("")).with_config(config).generate();
    let mut header = Vec::new();
    made.unwrap().write(&mut header);
    let place = here("include/duramen.h");
    if std::env::var_os("DURAMEN_BLESS").is_some() {
        fs::write(&place, &header).unwrap();
    }
    assert!(fs::read(place).unwrap() == header, "DURAMEN_BLESS=1 writes the header again");
}

/// The directory for what is built, with the libraries in it.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--locked", "--package", "duramen-c", "--target-dir"])
            .arg(&target)
            .current_dir(here(""))
            .status();
        assert!(built.unwrap().success());
        target.join("debug")
    })
}

/// Compiles a program against the header and a library.
fn compiled(source: &str, compiler: &[&str], library: &str, name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).args(["-Wall", "-Wextra", "-Werror", "-g"]);
    command.arg("-I").arg(here("include")).arg(here("tests").join(source)).arg("-o").arg(&program);
    match library {
        "static" => command.arg(built().join("libduramen_c.a")),
        _ => command.arg("-L").arg(built()).arg("-lduramen_c"),
    };
    let done = command.args(["-lpthread", "-ldl", "-lm"]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    program
}

const C: &[&str] = &["cc", "-std=gnu11"];
/// With what finds reads and writes outside of memory that was given, and what was not freed.
const SANITIZED: &[&str] =
    &["cc", "-std=gnu11", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

fn run(program: &Path, args: &[&Path], input: &str) -> String {
    let mut child = Command::new(program)
        .args(args)
        .env("LD_LIBRARY_PATH", built())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A program that fails stops reading.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{:?}: {}", done.status, String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_program_in_c_uses_a_store_through_either_library() {
    for (library, compiler) in [("static", SANITIZED), ("shared", C)] {
        let program = compiled("store.c", compiler, library, &format!("store-{library}"));
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("c-store-{library}"));
        for suffix in ["", "-entries"] {
            let _ = fs::remove_dir_all(format!("{}{suffix}", place.display()));
        }
        assert_eq!(run(&program, &[&place], ""), "ok\n");
    }
}

#[test]
fn a_program_in_c_accepts_and_refuses_the_cases_of_the_test_vectors() {
    let program = compiled("vectors.c", SANITIZED, "static", "vectors");
    let mut cases = Vec::new();
    for hasher in ["blake3", "rfc6962-sha256", "keccak256"] {
        for arity in [2, 4, 8, 16] {
            trees(&read(&format!("{hasher}-{arity}.json")), &mut cases);
        }
    }
    stores(&read("stores.json"), &mut cases);
    signed(&read("tlog.json"), &mut cases);
    let refused = cases.iter().filter(|case| case.split(' ').nth(1) == Some("0")).count();
    let accepted = cases.len() - refused;
    assert!(accepted > 1000 && refused > 700);
    let printed = run(&program, &[], &(cases.join("\n") + "\n"));
    assert_eq!(printed, format!("{accepted} accepted, {refused} refused\n"));
}

fn read(name: &str) -> Value {
    let file = fs::read_to_string(here("../../tests/vectors").join(name)).unwrap();
    serde_json::from_str(&file).unwrap()
}

fn list<'a>(file: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    file[name].as_array().unwrap().iter()
}

/// A text as it is, or `-` for none.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text in hexadecimal digits.
fn hex(value: &Value) -> String {
    let digits: String =
        value.as_str().unwrap().bytes().map(|byte| format!("{byte:02x}")).collect();
    if digits.is_empty() { "-".to_owned() } else { digits }
}

fn head(head: &Value) -> String {
    format!("{} {}", head["size"], word(&head["root"]))
}

fn leaves(leaves: &Value) -> String {
    let leaves = leaves.as_array().unwrap();
    let each = leaves.iter().map(|leaf| format!(" {} {}", leaf["index"], word(&leaf["leaf"])));
    format!("{}{}", leaves.len(), each.collect::<String>())
}

fn trees(file: &Value, cases: &mut Vec<String>) {
    let kind = format!("{} {}", word(&file["hasher"]), file["arity"]);
    for one in list(file, "leaves_of_data") {
        let (data, leaf) = (word(&one["data"]), word(&one["leaf"]));
        cases.push(format!("leaf 1 {} {data} {leaf}", word(&file["hasher"])));
    }
    let mut add = |name: &str, holds: u8, claim: &Value, bytes: &Value| {
        let claim = match name {
            "inclusion" => {
                format!("{} {} {}", head(&claim["head"]), claim["index"], word(&claim["leaf"]))
            }
            "consistency" => format!("{} {}", head(&claim["old"]), head(&claim["new"])),
            _ => format!("{} {}", head(&claim["head"]), leaves(&claim["leaves"])),
        };
        cases.push(format!("{name} {holds} {kind} {claim} {}", word(bytes)));
    };
    for name in ["inclusion", "consistency", "multi"] {
        list(file, name).for_each(|one| add(name, 1, one, &one["bytes"]));
    }
    for one in list(file, "refused") {
        let (name, claim) = one["claim"].as_object().unwrap().iter().next().unwrap();
        add(name, 0, claim, &one["bytes"]);
    }
}

fn stores(file: &Value, cases: &mut Vec<String>) {
    let mut add = |holds: u8, commitment: &Value, bytes: &Value, tree: &Value| {
        let name = hex(&tree["name"]);
        let kind = format!("{} {}", word(&tree["hasher"]), tree["arity"]);
        let (commitment, bytes) = (word(commitment), word(bytes));
        cases.push(format!("tree {holds} {commitment} {bytes} {name} {kind} {}", head(tree)));
    };
    for store in list(file, "stores") {
        list(store, "trees").for_each(|tree| add(1, &store["commitment"], &tree["bytes"], tree));
    }
    let of_seven = list(file, "stores").find(|store| list(store, "trees").count() == 7).unwrap();
    for one in list(file, "refused") {
        add(0, &one["commitment"], &one["bytes"], &of_seven["trees"][2]);
    }
}

fn signed(file: &Value, cases: &mut Vec<String>) {
    let nothing = serde_json::json!({ "size": 0, "root": "00".repeat(32) });
    let mut add = |name: &str, holds: u8, text: &Value, claim: &Value, of: &Value| {
        let mut line = format!("{name} {holds} {}", hex(text));
        if claim["policy"].is_null() {
            line += &format!(" {} {}", hex(&claim["origin"]), list(claim, "keys").count());
            list(claim, "keys").for_each(|key| line += &format!(" {}", hex(key)));
        } else {
            line += &format!(" {}", hex(&claim["policy"]));
        }
        if !claim["leaf"].is_null() {
            let index = of["index"].as_u64().unwrap_or_default();
            line += &format!(" {} {index}", word(&claim["leaf"]));
        }
        let head = head(if of["head"].is_null() { &nothing } else { &of["head"] });
        cases.push(format!("{line} {head}"));
    };
    let lists = [
        ("checkpoints", "checkpoint", "note"),
        ("witnessed", "witnessed", "note"),
        ("proofs", "proof", "proof"),
        ("witnessed_proofs", "witnessed_proof", "proof"),
    ];
    for (of, name, text) in lists {
        list(file, of).for_each(|one| add(name, 1, &one[text], one, one));
    }
    for one in list(file, "refused") {
        let (name, claim) = one["claim"].as_object().unwrap().iter().next().unwrap();
        add(name, 0, &one["text"], claim, &Value::Null);
    }
}
