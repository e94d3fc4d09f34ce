//! What each command runs: programs with their arguments, nothing hidden.

use crate::step::Step;

/// The steps of one command, in order. All are run, also after one has failed. Those that may run beside the others run
/// one after the other too.
pub(crate) type Steps = Vec<Step>;

/// Loom's own switch; its crate is built apart so that it shares nothing with ordinary builds.
const LOOM: &[(&str, &str)] =
    &[("RUSTFLAGS", "--cfg duramen_loom"), ("CARGO_TARGET_DIR", "target/loom")];

/// Compiles the mistakes into the engine that its tests must notice. These commands lint and
/// test with it, and so everything is built once.
pub(crate) const MUTANTS: (&str, &str) = ("RUSTFLAGS", "--cfg duramen_mutants");

pub(crate) fn test() -> Steps {
    vec![
        Step::cargo(
            "unit, integration, crash and program tests, examples, documentation",
            "test --workspace --all-features --no-fail-fast",
        )
        .with_env(&[MUTANTS]),
        Step::cargo(
            "equality with rotortree",
            "test --manifest-path compat/rotortree/Cargo.toml --target-dir target/equality",
        )
        .beside(),
        Step::cargo(
            "a verifier without std",
            "test --manifest-path tests/light-client/Cargo.toml --target-dir target/light-client",
        )
        .beside(),
        Step::cargo("loom models", "test --release --manifest-path loom-tests/Cargo.toml")
            .with_env(LOOM)
            .beside(),
        Step::cargo(
            "the npm package of the verifier",
            "run --manifest-path bindings/Cargo.toml --target-dir target/bindings \
             -p duramen-wasm-pack -- target/npm",
        )
        .of_binding("rustup target add wasm32-unknown-unknown", ""),
        Step::program("test vectors in Node", "node", "bindings/wasm/tests/node.js target/npm")
            .of_binding("node --version", "v"),
        Step::program(
            "test vectors in Chromium",
            "node",
            "bindings/wasm/tests/browser.js target/npm",
        )
        .of_binding("chromium --version", "Chromium"),
        Step::program(
            "the contract for Ethereum",
            "node",
            "bindings/solidity/tests/contract.mjs target/npm",
        )
        .of_binding("node bindings/solidity/tests/contract.mjs --version", "solc"),
        // It looks itself for the packages that it needs.
        Step::program("the binding for Python", "python3", "bindings/python/tests/run.py")
            .of_binding("python3 --version", "Python"),
        Step::cargo(
            "the binding for C",
            "test --manifest-path bindings/Cargo.toml --target-dir target/bindings -p duramen-c",
        )
        .of_binding("cc --version", ""),
    ]
}

pub(crate) fn check() -> Steps {
    vec![
        Step::cargo("formatting", "fmt --all --check"),
        Step::cargo(
            "formatting of the bindings",
            "fmt --manifest-path bindings/Cargo.toml --all --check",
        ),
        Step::cargo("lints", "clippy --workspace --all-targets --all-features -- -D warnings")
            .with_env(&[MUTANTS]),
        Step::cargo(
            "lints of the bindings",
            "clippy --manifest-path bindings/Cargo.toml --workspace --all-targets \
             --target-dir target/bindings -- -D warnings",
        ),
        Step::program("spelling", "typos", "").needing("typos --version", "typos"),
        Step::cargo(
            "licences and sources of what is shipped",
            "deny --workspace --all-features --locked check licenses sources",
        )
        .needing("cargo deny --version", "cargo-deny"),
        Step::cargo(
            "licences and sources of the bindings",
            "deny --manifest-path bindings/Cargo.toml --workspace --all-features --locked \
             check licenses sources",
        )
        .needing("cargo deny --version", "cargo-deny"),
        Step::cargo(
            "no dependency of the library twice",
            "deny --all-features --locked check bans",
        )
        .needing("cargo deny --version", "cargo-deny"),
        Step::cargo(
            "packages of the crates that are published",
            "package --quiet --locked --allow-dirty --no-verify \
             -p duramen -p duramen-log -p duramen-remote -p duramen-cli",
        ),
        Step::cargo(
            "lints without features",
            "clippy -p duramen --no-default-features -- -D warnings",
        ),
        Step::cargo(
            "lints of what is shipped, without mistakes built in",
            "clippy -p duramen -p duramen-cli --all-features -- -D warnings",
        ),
        Step::cargo(
            "the verifier for a microcontroller",
            "check --target thumbv7em-none-eabi --manifest-path tests/light-client/Cargo.toml \
             --target-dir target/light-client",
        )
        .needing("rustup target add thumbv7em-none-eabi", ""),
        Step::cargo(
            "the verifier for a browser",
            "check --target wasm32-unknown-unknown --manifest-path tests/light-client/Cargo.toml \
             --target-dir target/light-client",
        )
        .needing("rustup target add wasm32-unknown-unknown", ""),
        Step::cargo(
            "the verifier of the page",
            "check --target wasm32-unknown-unknown -p duramen-verifier --target-dir target/verifier",
        )
        .needing("rustup target add wasm32-unknown-unknown", ""),
        Step::cargo(
            "fuzz targets",
            "check --manifest-path fuzz/Cargo.toml --target-dir target/fuzz-check",
        )
        .needing("c++ --version", ""),
        Step::cargo("documentation", "doc --workspace --no-deps --all-features")
            .with_env(&[("RUSTDOCFLAGS", "-D warnings")]),
    ]
}

pub(crate) fn loom() -> Steps {
    vec![
        Step::cargo("models", "test --release --manifest-path loom-tests/Cargo.toml")
            .with_env(LOOM),
    ]
}

pub(crate) fn miri() -> Steps {
    vec![
        Step::cargo(
            "columns and watermark",
            "+nightly miri test -p duramen --lib -- column durability",
        )
        .with_env(&[("MIRIFLAGS", "-Zmiri-disable-isolation")])
        .needing("cargo +nightly miri --version", "miri"),
    ]
}

/// The sanitizer sees what it has built itself, so the standard library is built with it, apart from
/// everything else.
pub(crate) fn tsan() -> Steps {
    vec![
        Step::cargo(
            "stores under ThreadSanitizer",
            concat!(
                "+nightly test -Zbuild-std --target x86_64-unknown-linux-gnu",
                " --target-dir target/tsan -p duramen --features testing",
                " --test store -- stress accumulator compaction limits",
            ),
        )
        .with_env(&[("RUSTFLAGS", "-Zsanitizer=thread"), ("TSAN_OPTIONS", "halt_on_error=1")])
        .needing("rustup component list --toolchain nightly --installed", "rust-src"),
    ]
}

pub(crate) fn fuzz() -> Steps {
    vec![
        Step::fuzz(
            "claims",
            "+nightly fuzz run --fuzz-dir fuzz claims target/fuzz-corpus/claims fuzz/corpus/claims --",
        ),
        Step::fuzz(
            "frontier",
            "+nightly fuzz run --fuzz-dir fuzz frontier target/fuzz-corpus/frontier fuzz/corpus/frontier --",
        ),
        Step::fuzz(
            "group",
            "+nightly fuzz run --fuzz-dir fuzz group target/fuzz-corpus/group fuzz/corpus/group --",
        ),
        Step::fuzz(
            "manifest",
            "+nightly fuzz run --fuzz-dir fuzz manifest target/fuzz-corpus/manifest fuzz/corpus/manifest --",
        ),
        Step::fuzz(
            "part",
            "+nightly fuzz run --fuzz-dir fuzz part target/fuzz-corpus/part fuzz/corpus/part --",
        ),
        Step::fuzz(
            "index",
            "+nightly fuzz run --fuzz-dir fuzz index target/fuzz-corpus/index fuzz/corpus/index --",
        ),
        Step::fuzz(
            "operations",
            "+nightly fuzz run --fuzz-dir fuzz operations target/fuzz-corpus/operations fuzz/corpus/operations --",
        ),
        Step::fuzz(
            "note",
            "+nightly fuzz run --fuzz-dir fuzz note target/fuzz-corpus/note fuzz/corpus/note --",
        ),
        Step::fuzz(
            "tlog_proof",
            "+nightly fuzz run --fuzz-dir fuzz tlog_proof target/fuzz-corpus/tlog_proof fuzz/corpus/tlog_proof --",
        ),
        Step::fuzz(
            "json",
            "+nightly fuzz run --fuzz-dir fuzz json target/fuzz-corpus/json fuzz/corpus/json --",
        ),
        Step::fuzz(
            "policy",
            "+nightly fuzz run --fuzz-dir fuzz policy target/fuzz-corpus/policy fuzz/corpus/policy --",
        ),
        Step::fuzz(
            "subtree",
            "+nightly fuzz run --fuzz-dir fuzz subtree target/fuzz-corpus/subtree fuzz/corpus/subtree --",
        ),
        Step::fuzz(
            "receipt",
            "+nightly fuzz run --fuzz-dir fuzz receipt target/fuzz-corpus/receipt fuzz/corpus/receipt --",
        ),
        Step::fuzz(
            "tile_path",
            "+nightly fuzz run --fuzz-dir fuzz tile_path target/fuzz-corpus/tile_path fuzz/corpus/tile_path --",
        ),
        Step::fuzz(
            "witness",
            "+nightly fuzz run --fuzz-dir fuzz witness target/fuzz-corpus/witness fuzz/corpus/witness --",
        ),
    ]
}

/// A real server, which the test starts and kills.
pub(crate) fn remote() -> Steps {
    vec![
        Step::cargo(
            "a bucket of SeaweedFS",
            "test -p duramen-remote --features s3 --test server -- --ignored --nocapture",
        )
        .with_env(&[
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "testtest"),
            ("AWS_ENDPOINT", "http://127.0.0.1:8333"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
            MUTANTS,
        ])
        .needing("weed version", "version"),
    ]
}

pub(crate) fn bench() -> Steps {
    vec![Step::cargo("criterion", "bench -p duramen").with_args()]
}

pub(crate) fn peers() -> Steps {
    vec![
        Step::cargo("peers", "run --release --manifest-path benches/peers/Cargo.toml --")
            .with_args(),
    ]
}

pub(crate) fn torture() -> Steps {
    vec![
        Step::cargo("the program", "build --release -p duramen-cli"),
        Step::cargo(
            "torture",
            "run --release --manifest-path torture/Cargo.toml --target-dir target/torture --",
        )
        .with_args(),
    ]
}
