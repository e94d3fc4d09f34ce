//! Errors as exceptions.

use duramen::Error;
use duramen_bindings::Refusal;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(duramen, DuramenError, PyException, "The base of all exceptions of duramen.");
create_exception!(
    duramen,
    VerifyError,
    DuramenError,
    "A proof or a signature does not hold, or cannot be read."
);
create_exception!(duramen, InputError, DuramenError, "What the caller gave cannot be used.");
create_exception!(
    duramen,
    StoreError,
    DuramenError,
    "A call of a store failed. `kind` has the name of the variant of the library."
);
create_exception!(
    duramen,
    LockedError,
    StoreError,
    "The store is open already, here or in another process."
);
create_exception!(duramen, NotFoundError, StoreError, "There is no such store, tree or mark.");
create_exception!(
    duramen,
    MismatchError,
    StoreError,
    "The tree was made with other properties than those that were asked for."
);
create_exception!(
    duramen,
    DamagedError,
    StoreError,
    "A file of the store is missing, or its bytes are wrong."
);
create_exception!(
    duramen,
    PoisonedError,
    StoreError,
    "The log could not be written. Reads go on; reopen the store once the cause is removed."
);
create_exception!(
    duramen,
    ClosedError,
    StoreError,
    "The store was closed, or belongs to the process that this one was forked from."
);
create_exception!(
    duramen,
    BackpressureError,
    StoreError,
    "There is no room. Nothing was inserted; retry later."
);
create_exception!(duramen, RangeError, StoreError, "The tree has no such index or size.");
create_exception!(
    duramen,
    GoneError,
    StoreError,
    "What was asked for was erased, pruned, rewound or dropped."
);
create_exception!(duramen, DiskError, StoreError, "A call to the operating system failed.");

pub(crate) fn add(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    for (name, class) in [
        ("DuramenError", py.get_type::<DuramenError>()),
        ("VerifyError", py.get_type::<VerifyError>()),
        ("InputError", py.get_type::<InputError>()),
        ("StoreError", py.get_type::<StoreError>()),
        ("LockedError", py.get_type::<LockedError>()),
        ("NotFoundError", py.get_type::<NotFoundError>()),
        ("MismatchError", py.get_type::<MismatchError>()),
        ("DamagedError", py.get_type::<DamagedError>()),
        ("PoisonedError", py.get_type::<PoisonedError>()),
        ("ClosedError", py.get_type::<ClosedError>()),
        ("BackpressureError", py.get_type::<BackpressureError>()),
        ("RangeError", py.get_type::<RangeError>()),
        ("GoneError", py.get_type::<GoneError>()),
        ("DiskError", py.get_type::<DiskError>()),
    ] {
        module.add(name, class)?;
    }
    Ok(())
}

/// The exception of a refusal.
pub(crate) fn refused(refusal: Refusal) -> PyErr {
    match refusal {
        Refusal::Input(reason) => InputError::new_err(reason),
        Refusal::DoesNotHold(reason) => VerifyError::new_err(reason),
    }
}

/// The exception of an error of a store, with its causes and the name of its variant.
pub(crate) fn failed(error: Error) -> PyErr {
    let sentence = sentence(&error);
    let exception = match &error {
        Error::Config { .. }
        | Error::TreeName(_)
        | Error::MarkName(_)
        | Error::NoIndexes
        | Error::EntryMissing { .. }
        | Error::NoEntries { .. }
        | Error::NoIndex { .. }
        | Error::EntryTooLong { .. }
        | Error::LeafRefused { .. } => InputError::new_err(sentence),
        Error::Locked { .. } => LockedError::new_err(sentence),
        Error::NoStore { .. } | Error::NoTree { .. } | Error::NoMark { .. } => {
            NotFoundError::new_err(sentence)
        }
        Error::HasherMismatch { .. }
        | Error::ArityMismatch { .. }
        | Error::EntriesMismatch { .. }
        | Error::UnknownHasher { .. }
        | Error::UnknownFormat { .. } => MismatchError::new_err(sentence),
        Error::Damaged(_) => DamagedError::new_err(sentence),
        Error::Poisoned { .. } | Error::Displaced(_) | Error::MemoryChanged { .. } => {
            PoisonedError::new_err(sentence)
        }
        Error::Closed | Error::Forked { .. } => ClosedError::new_err(sentence),
        Error::Backpressure { .. } | Error::WouldBlock { .. } | Error::CheckpointsFail { .. } => {
            BackpressureError::new_err(sentence)
        }
        Error::IndexOutOfRange { .. }
        | Error::SizeOutOfRange { .. }
        | Error::OldBeyondNew { .. } => RangeError::new_err(sentence),
        Error::Erased { .. }
        | Error::Pruned { .. }
        | Error::Rewound { .. }
        | Error::TreeDropped { .. } => GoneError::new_err(sentence),
        Error::Io { .. } => DiskError::new_err(sentence),
        _ => StoreError::new_err(sentence),
    };
    Python::attach(|py| {
        // An exception without the attribute is still the right one.
        let _ = exception.value(py).setattr("kind", kind(&error));
    });
    exception
}

/// The name of the variant: what its `Debug` begins with.
fn kind(error: &Error) -> String {
    let shown = format!("{error:?}");
    shown.chars().take_while(|char| char.is_alphanumeric()).collect()
}

fn sentence(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
