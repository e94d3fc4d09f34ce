//! Opening a store with the hash function and arity it was made with.

use std::path::Path;

use duramen::{Arity, Config, DynAccumulator, Reader, StoreInfo};

use crate::args::HasherName;
use crate::error::Error;

/// Opens a store that exists for reading, also beside its writer. Nothing is created or changed.
pub(crate) fn read(dir: &Path) -> Result<Reader, Error> {
    let info = StoreInfo::read(dir)?;
    let hasher = known(dir, &info)?.hasher();
    Ok(Reader::open(Config::new(dir), hasher, info.arity)?)
}

/// Opens the store in `dir`, or creates one. What is not asked for is as the store has it; what is
/// asked for and contradicts the store is refused.
pub(crate) fn open_or_create(
    dir: &Path,
    config: Config,
    hasher: Option<HasherName>,
    arity: Option<Arity>,
) -> Result<DynAccumulator, Error> {
    let (stored_hasher, stored_arity) = match StoreInfo::read(dir) {
        Ok(info) if hasher.is_none() => (known(dir, &info)?, info.arity),
        Ok(info) => (HasherName::Blake3, info.arity),
        Err(duramen::Error::NoStore { .. }) => (HasherName::Blake3, Arity::Four),
        Err(error) => return Err(error.into()),
    };
    let hasher = hasher.unwrap_or(stored_hasher).hasher();
    Ok(DynAccumulator::open(config, hasher, arity.unwrap_or(stored_arity))?)
}

/// The hash function that the store names.
pub(crate) fn known(dir: &Path, info: &StoreInfo) -> Result<HasherName, Error> {
    HasherName::by_id(&info.hasher)
        .ok_or_else(|| Error::UnknownHasher { dir: dir.to_path_buf(), id: info.hasher.clone() })
}
