//! Makes the npm package of the verifier: both modules, their JavaScript and types, and the files of `wasm/package`.
//!
//! `wasm-bindgen` is used as a library, in the version of the lock file, which is that of the modules. So no program has to
//! be installed, and the two cannot differ.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasm_bindgen_cli_support::Bindgen;

/// A module and the largest that it may be, in bytes.
const MODULES: [(&str, u64); 2] = [("tree", 150_000), ("tlog", 150_000)];

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [package] = &args[..] else {
        return Err("usage: duramen-wasm-pack DIRECTORY".into());
    };
    let package = Path::new(package);
    let bindings = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no parent directory")?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => bindings.join("../target/bindings"),
    };
    if package.exists() {
        fs::remove_dir_all(package)?;
    }
    for (module, most) in MODULES {
        build(module, bindings, &target)?;
        let built = target.join("wasm32-unknown-unknown/wasm/duramen_wasm.wasm");
        let mut bindgen = Bindgen::new();
        bindgen.input_path(built).out_name(module).web(true)?.typescript(true);
        bindgen
            .omit_default_module_path(false)
            .remove_name_section(true)
            .remove_producers_section(true);
        bindgen.generate(package)?;
        let bytes = fs::metadata(package.join(format!("{module}_bg.wasm")))?.len();
        println!("{module}_bg.wasm: {bytes} bytes");
        if bytes > most {
            return Err(format!("{module}_bg.wasm has {bytes} bytes, more than {most}").into());
        }
    }
    for file in fs::read_dir(bindings.join("wasm/package"))? {
        let file = file?;
        fs::copy(file.path(), package.join(file.file_name()))?;
    }
    fs::copy(bindings.join("wasm/README.md"), package.join("README.md"))?;
    for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
        fs::copy(bindings.join("..").join(license), package.join(license))?;
    }
    Ok(())
}

/// Builds one module. SHA-2 in loops instead of unrolled code makes it 15 kB smaller.
fn build(module: &str, bindings: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let status = Command::new("cargo")
        .args(["build", "--locked", "--package", "duramen-wasm", "--no-default-features"])
        .args([
            "--features",
            module,
            "--profile",
            "wasm",
            "--target",
            "wasm32-unknown-unknown",
            "--target-dir",
        ])
        .arg(target)
        .current_dir(bindings)
        .env("RUSTFLAGS", "--cfg sha2_backend_soft=\"compact\"")
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo ended with {status}").into()) }
}
