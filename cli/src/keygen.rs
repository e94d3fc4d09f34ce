//! `duramen keygen`.

use crate::any_key::AnyKey;
use crate::args::KeygenArgs;
use crate::error::Error;
use crate::output;

/// Makes a key, writes the private text to a new file and prints the public one; or prints the public half
/// of a key that is there.
pub(crate) fn run(args: &KeygenArgs) -> Result<(), Error> {
    if let Some(file) = &args.public {
        return output::print(&format!("{}\n", AnyKey::read(file)?.vkey()));
    }
    let (Some(name), Some(file)) = (&args.name, &args.output) else {
        return Err(Error::Usage("a key needs a name and a file: keygen NAME -o FILE".into()));
    };
    if file.as_os_str() == "-" {
        return Err(Error::Usage(
            "a private key is written to a file, standard output is for the public one".into(),
        ));
    }
    let cannot = |source| Error::Make { what: "a key", source };
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| cannot(error.to_string().into()))?;
    let key = AnyKey::new(args.kind, name, &secret);
    let key = key.map_err(|error| cannot(error.into()))?;
    output::create_private(file, &format!("{}\n", key.secret_text().as_str()))?;
    // The key is durable, and so it stays: the reader of a pipe may have the public half already.
    output::print(&format!("{}\n", key.vkey()))
        .map_err(|error| Error::KeyNotShown { file: file.clone(), source: Box::new(error) })
}
