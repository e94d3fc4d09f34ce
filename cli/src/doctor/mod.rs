//! `duramen doctor`: whether a place is good for a store. Writes nothing.

mod device;
mod limits;
mod place;

use std::path::{Path, PathBuf};

use duramen::inspect::{self, count};
use duramen::{Error as StoreError, StoreInfo};
use serde::Serialize;

use crate::args::DoctorArgs;
use crate::error::{Error, Refusal, name_of, one_line};
use crate::output;

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Grade {
    Good,
    /// Something to know.
    Note,
    /// Something that will fail, or is not safe.
    Problem,
}

/// One thing that was looked at.
#[derive(Serialize)]
pub(super) struct Sign {
    what: &'static str,
    grade: Grade,
    text: String,
}

impl Sign {
    pub(super) fn new(what: &'static str, grade: Grade, text: impl Into<String>) -> Self {
        Self { what, grade, text: text.into() }
    }
}

/// Looks at everything that a store needs, and ends with status 1 if there is a problem.
pub(crate) fn run(args: &DoctorArgs) -> Result<(), Error> {
    let place = nearest(&args.dir);
    let mut signs = vec![store(&args.dir)];
    if let Some(owner) = inspect::lock_owner(&args.dir) {
        signs.push(Sign::new(
            "lock",
            Grade::Note,
            format!("opened in {owner}, which has not closed it"),
        ));
    }
    signs.extend(place::look(&place));
    signs.extend(device::look(&place));
    signs.extend(limits::look());
    let problems = signs.iter().filter(|sign| sign.grade == Grade::Problem).count() as u64;
    let text = match args.json {
        true => format!("{}\n", output::to_json(&signs, false)?),
        false => signs.iter().map(line).collect(),
    };
    output::print(&text)?;
    match problems {
        0 => Ok(()),
        left => Err(Error::Refused { reason: Refusal::Damaged { dir: args.dir.clone(), left } }),
    }
}

fn line(sign: &Sign) -> String {
    let grade = match sign.grade {
        Grade::Good => "ok",
        Grade::Note => "note",
        Grade::Problem => "PROBLEM",
    };
    format!("{grade:<8}{:<13}{}\n", sign.what, one_line(&sign.text))
}

fn store(dir: &Path) -> Sign {
    match StoreInfo::read(dir) {
        Ok(info) => {
            let trees = count(info.trees.len() as u64, "tree", "trees");
            Sign::new("store", Grade::Good, format!("{} with {trees}", info.store))
        }
        Err(StoreError::NoStore { .. }) => {
            Sign::new("store", Grade::Note, format!("there is none in {} yet", name_of(dir)))
        }
        Err(error) => Sign::new("store", Grade::Problem, Error::Store(error).in_one_line()),
    }
}

/// The directory, or the nearest one above it that there is.
fn nearest(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/")).to_owned()
}
