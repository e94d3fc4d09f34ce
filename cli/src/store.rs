//! Opening a store with the hash function and arity it was made with.

use std::path::Path;
use std::sync::Arc;

use duramen::{Arity, CheckpointPolicy, Config, DynAccumulator, Hasher, StoreInfo};

use crate::args::HasherName;
use crate::error::Error;

/// An open store and its hash function.
pub(crate) struct Store {
    pub(crate) accumulator: DynAccumulator,
    pub(crate) hasher: Arc<dyn Hasher>,
    pub(crate) arity: Arity,
}

/// Opens a store that exists. Nothing is created.
pub(crate) fn open_existing(dir: &Path) -> Result<Store, Error> {
    let info = existing(dir)?.ok_or_else(|| Error::NoStore { dir: dir.to_path_buf() })?;
    let config = Config::new(dir).checkpoint_policy(CheckpointPolicy::manual());
    open(config, known(dir, &info)?, info.arity)
}

/// Opens the store in `dir`, or creates one. What is asked for must agree with a store that exists.
pub(crate) fn open_or_create(
    dir: &Path,
    config: Config,
    hasher: Option<HasherName>,
    arity: Option<Arity>,
) -> Result<Store, Error> {
    let Some(info) = existing(dir)? else {
        let hasher = hasher.unwrap_or(HasherName::Blake3);
        return open(config, hasher, arity.unwrap_or(Arity::Four));
    };
    let has = known(dir, &info)?;
    if let Some(asked) = hasher.filter(|asked| *asked != has) {
        return Err(Error::OtherHasher {
            dir: dir.to_path_buf(),
            has: info.hasher,
            asked: asked.hasher().id().as_str(),
        });
    }
    if let Some(asked) = arity.filter(|asked| *asked != info.arity) {
        return Err(Error::OtherArity {
            dir: dir.to_path_buf(),
            has: info.arity.children(),
            asked: asked.children(),
        });
    }
    open(config, has, info.arity)
}

/// What the store in `dir` is; `None` if there is nothing in `dir`.
fn existing(dir: &Path) -> Result<Option<StoreInfo>, Error> {
    let empty = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(source) => return Err(Error::Read { name: dir.display().to_string(), source }),
    };
    if empty { Ok(None) } else { Ok(Some(StoreInfo::read(dir)?)) }
}

fn known(dir: &Path, info: &StoreInfo) -> Result<HasherName, Error> {
    HasherName::by_id(&info.hasher).ok_or_else(|| Error::UnknownHasher {
        what: format!("the store in {}", dir.display()),
        id: info.hasher.clone(),
    })
}

fn open(config: Config, name: HasherName, arity: Arity) -> Result<Store, Error> {
    let hasher = name.hasher();
    let accumulator = DynAccumulator::open(config, Arc::clone(&hasher), arity)?;
    Ok(Store { accumulator, hasher, arity })
}
