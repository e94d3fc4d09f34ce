//! `duramen fsck`.

use duramen::Config;
use duramen::inspect::{self, FileReport, Survey, count, span};
use serde::Serialize;

use crate::args::FsckArgs;
use crate::error::{Error, Refusal, name_of};
use crate::output;

#[derive(Serialize)]
struct SurveyJson {
    clean: bool,
    leaves: Option<u64>,
    torn: Option<String>,
    files: Vec<FileJson>,
}

#[derive(Serialize)]
struct FileJson {
    file: String,
    state: String,
    bytes: Option<u64>,
    first_leaf: Option<u64>,
    leaves: Option<u64>,
    detail: String,
    problem: Option<String>,
}

/// Prints what every file is, and ends with status 1 if one of them is a problem.
pub(crate) fn run(args: &FsckArgs) -> Result<(), Error> {
    let survey = inspect::survey(&Config::new(&args.dir))?;
    if args.json {
        output::print(&format!("{}\n", output::to_json(&json(&survey), false)?))?;
    } else {
        output::print(&text(&survey))?;
    }
    match survey.files.iter().filter(|file| file.problem.is_some()).count() as u64 {
        0 => Ok(()),
        left => Err(Error::Refused { reason: Refusal::Damaged { dir: args.dir.clone(), left } }),
    }
}

fn text(survey: &Survey) -> String {
    let mut lines: Vec<_> = survey.files.iter().map(line).collect();
    if let Some(leaves) = survey.leaves {
        lines.push(count(leaves, "leaf", "leaves").to_string());
    }
    lines.extend(survey.torn.iter().map(|torn| format!("a torn write behind the log: {torn}")));
    lines.join("\n") + "\n"
}

fn line(file: &FileReport) -> String {
    let bytes = file.bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    let mut line = format!("{:9} {bytes:>12} {}", file.state, name_of(&file.path));
    if let Some(leaves) = &file.leaves {
        line += &format!("  {}", span(leaves.clone(), "leaf", "leaves"));
    }
    if !file.detail.is_empty() {
        line += &format!("  {}", file.detail);
    }
    if let Some(problem) = &file.problem {
        line += &format!("  PROBLEM: {problem}");
    }
    line
}

fn json(survey: &Survey) -> SurveyJson {
    let file = |file: &FileReport| FileJson {
        // The name itself, which JSON can hold if it is text.
        file: file.path.to_str().map_or_else(|| name_of(&file.path), str::to_owned),
        state: file.state.to_string(),
        bytes: file.bytes,
        first_leaf: file.leaves.as_ref().map(|leaves| leaves.start),
        leaves: file.leaves.as_ref().map(|leaves| leaves.end - leaves.start),
        detail: file.detail.clone(),
        problem: file.problem.clone(),
    };
    SurveyJson {
        clean: survey.is_clean(),
        leaves: survey.leaves,
        torn: survey.torn.clone(),
        files: survey.files.iter().map(file).collect(),
    }
}
