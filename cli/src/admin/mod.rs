//! `duramen admin`: asks the process that has a store open to do something. And the other end of it, in that process.
//!
//! A request is one line of JSON, and so is its answer.

mod place;
mod request;
mod server;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};

use duramen::StoreInfo;
use serde_json::Value;

use self::request::{Answer, LONGEST_ANSWER, Request};
pub(crate) use self::server::Server;

use crate::args::{AdminArgs, AdminWork};
use crate::error::{Error, Refusal, name_of, one_line};
use crate::output;

/// Asks, waits until it is done, and prints the answer.
pub(crate) fn run(args: &AdminArgs) -> Result<(), Error> {
    let request = match (args.work, &args.target) {
        (AdminWork::Backup, Some(dir)) => {
            let dir = std::path::absolute(dir);
            let name = || args.target.as_deref().map(name_of).unwrap_or_default();
            let dir = dir.map_err(|source| Error::Read { name: name(), source })?;
            if dir.to_str().is_none() {
                let why = "a running store is asked in JSON, which has only paths in UTF-8";
                return Err(Error::Usage(format!("{}: {why}", name_of(&dir))));
            }
            Request::Backup { dir }
        }
        (AdminWork::Backup, None) => {
            return Err(Error::Usage("backup needs the directory of the copy".to_owned()));
        }
        (_, Some(_)) => {
            return Err(Error::Usage("only backup takes the directory of a copy".to_owned()));
        }
        (AdminWork::Flush, None) => Request::Flush,
        (AdminWork::Checkpoint, None) => Request::Checkpoint,
        (AdminWork::Compact, None) => Request::Compact,
        (AdminWork::Scrub, None) => Request::Scrub,
        (AdminWork::ReadOnly, None) => Request::ReadOnly,
        (AdminWork::Writable, None) => Request::Writable,
        (AdminWork::Status, None) => Request::Status,
    };
    let place = || format!("the process that has {} open", name_of(&args.dir));
    let failed = |action| move |source| Error::Serve { action, place: place(), source };
    let line = output::to_json(&request, false)? + "\n";
    let mut stream = match place::connect(&args.dir) {
        Ok(stream) => stream,
        // It was closed in order, or was killed, or does not listen: as far as there is a store.
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            StoreInfo::read(&args.dir)?;
            let dir = name_of(&args.dir);
            return Err(Error::Usage(format!(
                "no process that has {dir} open listens for operators"
            )));
        }
        Err(error) => return Err(failed("reach")(error)),
    };
    stream.write_all(line.as_bytes()).map_err(failed("ask"))?;
    let mut answer = String::new();
    let read = BufReader::new((&stream).take(LONGEST_ANSWER)).read_line(&mut answer);
    read.map_err(failed("hear from"))?;
    if answer.len() as u64 == LONGEST_ANSWER {
        let name = "what was answered".to_owned();
        return Err(Error::TooLong { name, most: LONGEST_ANSWER });
    }
    if answer.is_empty() {
        let source = std::io::ErrorKind::UnexpectedEof.into();
        return Err(failed("hear from")(source));
    }
    let answer: Answer = serde_json::from_str(&answer).map_err(|error| Error::Unreadable {
        name: "what was answered".to_owned(),
        what: "an answer",
        source: error.into(),
    })?;
    match answer {
        Answer::Done(value) => print(&value, args.json),
        Answer::Damaged(value) => {
            print(&value, args.json)?;
            let left = value["findings"].as_array().map_or(1, |found| found.len() as u64);
            let dir = args.dir.clone();
            Err(Error::Refused { reason: Refusal::Damaged { dir, left } })
        }
        Answer::Failed(message) => Err(Error::Usage(message)),
    }
}

/// Prints an answer: JSON, or a line for each of its fields. Any program can have given it.
fn print(value: &Value, json: bool) -> Result<(), Error> {
    let lines = match (json, value) {
        (false, Value::Object(fields)) => {
            let line = |(name, value): (&String, &Value)| {
                let value = match value {
                    Value::String(text) => one_line(text),
                    other => output::to_json(other, false)?,
                };
                Ok(format!("{} {value}\n", one_line(name)))
            };
            fields.iter().map(line).collect::<Result<String, Error>>()?
        }
        (_, other) => output::to_json(other, false)? + "\n",
    };
    output::print(&lines)
}
