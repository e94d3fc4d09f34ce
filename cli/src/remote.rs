//! `duramen remote`: a store in a bucket.

use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use duramen::inspect::count;
use duramen::{DurabilityToken, Store};
use duramen_remote::{
    Finding, Remote, RemoteStatus, RemoteSurvey, Restored, ShipConfig, ShipHandle, ShipStats,
    Shipper,
};
use serde::Serialize;

use crate::args::{Acknowledge, RemoteArgs, RemoteInitArgs, RemoteShipArgs, RemoteStatusArgs};
use crate::error::{Error, Refusal};
use crate::signals::{self, Signal};
use crate::{output, rejoin, store};

/// Runs one of the commands.
pub(crate) fn run(args: &RemoteArgs) -> Result<(), Error> {
    match args {
        RemoteArgs::Init(args) => init(args),
        RemoteArgs::Status(args) => status(&Remote::new(&args.url)?.status()?, args.json),
        RemoteArgs::Fsck(args) => fsck(args),
        RemoteArgs::Ship(args) => ship(args),
        RemoteArgs::Takeover(args) => {
            restored(&Remote::new(&args.url)?.take_over(&args.dir)?, args.json)
        }
        RemoteArgs::Restore(args) => {
            restored(&Remote::new(&args.url)?.restore(&args.dir)?, args.json)
        }
        RemoteArgs::Rejoin(args) => rejoin::run(args),
    }
}

fn init(args: &RemoteInitArgs) -> Result<(), Error> {
    let remote = Remote::new(&args.url)?;
    let store = store::open_existing(&args.dir, args.lock)?;
    let done = remote.init(&store);
    store.close()?;
    done?;
    output::print(&format!("the bucket is one for store {}\n", id(&remote.status()?.store)))
}

/// The identifier of a store, as other commands print it.
pub(crate) fn id(store: &[u8; 16]) -> String {
    let hex = const_hex::encode(store);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[derive(Serialize)]
struct StatusJson {
    store: String,
    epoch: u64,
    manifest: Option<u64>,
    seq: Option<u64>,
    next_slot: u64,
    slots_behind_state: u64,
    parts: u64,
    part_bytes: u64,
    log_bytes: u64,
}

fn status(status: &RemoteStatus, json: bool) -> Result<(), Error> {
    let RemoteStatus { epoch, next_slot, slots_behind_state, parts, part_bytes, log_bytes, .. } =
        *status;
    let store = id(&status.store);
    if json {
        let (manifest, seq) = (status.manifest, status.seq);
        let json = StatusJson {
            store,
            epoch,
            manifest,
            seq,
            next_slot,
            slots_behind_state,
            parts,
            part_bytes,
            log_bytes,
        };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    let seq = status.seq.map_or("nothing was shipped".to_owned(), |seq| seq.to_string());
    output::print(&format!(
        "store     {store}\nepoch     {epoch}\nrecords   {seq}\nparts     {parts}, {}\nlog       {}, {}\n",
        count(part_bytes, "byte", "bytes"),
        count(slots_behind_state, "slot", "slots"),
        count(log_bytes, "byte", "bytes"),
    ))
}

#[derive(Serialize)]
struct SurveyJson {
    clean: bool,
    store: String,
    epoch: u64,
    manifest: Option<u64>,
    seq: Option<u64>,
    objects: u64,
    bytes: u64,
    garbage: Vec<String>,
    findings: Vec<FindingJson>,
}

#[derive(Serialize)]
struct FindingJson {
    object: String,
    problem: String,
}

/// Prints what is wrong in a bucket, and ends with status 1 if something is.
fn fsck(args: &RemoteStatusArgs) -> Result<(), Error> {
    let survey = Remote::new(&args.url)?.fsck()?;
    let left = survey.findings.len() as u64;
    if args.json {
        output::print(&format!("{}\n", output::to_json(&survey_json(&survey), false)?))?;
    } else {
        output::print(&survey_text(&survey))?;
    }
    if left == 0 {
        return Ok(());
    }
    Err(Error::Refused { reason: Refusal::Bucket { url: args.url.clone(), left } })
}

fn survey_json(survey: &RemoteSurvey) -> SurveyJson {
    let finding = |finding: &Finding| FindingJson {
        object: finding.object.clone(),
        problem: finding.problem.to_string(),
    };
    SurveyJson {
        clean: survey.findings.is_empty(),
        store: id(&survey.store),
        epoch: survey.epoch,
        manifest: survey.manifest,
        seq: survey.seq,
        objects: survey.objects,
        bytes: survey.bytes,
        garbage: survey.garbage.clone(),
        findings: survey.findings.iter().map(finding).collect(),
    }
}

fn survey_text(survey: &RemoteSurvey) -> String {
    let problems = survey.findings.iter().map(|finding| format!("PROBLEM: {}\n", finding.problem));
    let garbage = survey.garbage.iter().map(|name| format!("garbage   {name}\n"));
    let mut text: String = problems.chain(garbage).collect();
    let seq = survey.seq.map_or("nothing was shipped".to_owned(), |seq| seq.to_string());
    text += &format!(
        "store     {}\nepoch     {}\nrecords   {seq}\nread      {}, {}\n",
        id(&survey.store),
        survey.epoch,
        count(survey.objects, "object", "objects"),
        count(survey.bytes, "byte", "bytes"),
    );
    text
}

#[derive(Serialize)]
struct ShippedJson {
    epoch: u64,
    seq: u64,
    slots: u64,
    log_bytes: u64,
    part_bytes: u64,
    collected: u64,
    creates: u64,
    reads: u64,
    lists: u64,
    deletes: u64,
}

fn ship(args: &RemoteShipArgs) -> Result<(), Error> {
    let remote = Remote::new(&args.url)?;
    let store = store::open_existing(&args.dir, args.lock)?;
    let shipped = remote.ship(&store, ShipConfig::new(&args.dir)).and_then(|shipper| {
        shipper.flush_to(duramen_remote::Level::Remote)?;
        let stats = shipper.stats();
        shipper.close()?;
        Ok(stats)
    });
    store.close()?;
    let ShipStats { epoch, remote: seq, slots, log_bytes, part_bytes, collected, requests, .. } =
        shipped?;
    if args.json {
        let duramen_remote::Requests { creates, reads, lists, deletes, .. } = requests;
        let json = ShippedJson {
            epoch,
            seq,
            slots,
            log_bytes,
            part_bytes,
            collected,
            creates,
            reads,
            lists,
            deletes,
        };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    output::print(&format!(
        "the bucket has {}, under epoch {epoch}\n",
        count(seq, "record", "records")
    ))
}

#[derive(Serialize)]
struct RestoredJson {
    epoch: Option<u64>,
    seq: u64,
    parts: u64,
    bytes: u64,
}

fn restored(restored: &Restored, json: bool) -> Result<(), Error> {
    let Restored { seq, epoch, parts, bytes, .. } = *restored;
    if json {
        let json = RestoredJson { epoch, seq, parts, bytes };
        return output::print(&format!("{}\n", output::to_json(&json, false)?));
    }
    let epoch = epoch.map_or(String::new(), |epoch| format!(", under epoch {epoch}"));
    output::print(&format!(
        "the directory has {}, {}, {}{epoch}\n",
        count(seq, "record", "records"),
        count(parts, "part", "parts"),
        count(bytes, "byte", "bytes")
    ))
}

/// How long a signal that asks the program to end waits for a bucket that takes nothing.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether the bucket has taken something.
const LOOK: Duration = Duration::from_millis(100);

/// What `append` ships its store with.
///
/// # Invariant
///
/// - Once a signal has asked the program to end, no call here waits longer than [`PATIENCE`] for a bucket that takes
///   nothing: the shipper is abandoned then. What is durable here stays so, and the next run ships it.
#[derive(Debug)]
pub(crate) struct Shipping {
    shipper: Shipper,
    acknowledge: Acknowledge,
    given_up: Arc<GivenUp>,
}

/// What the bucket had when it was given up.
#[derive(Debug, Default)]
struct GivenUp(OnceLock<(Signal, u64)>);

impl GivenUp {
    /// The error in its place, if the bucket was given up.
    fn explain(&self, error: duramen_remote::Error) -> Error {
        match (self.0.get(), error) {
            (Some((signal, remote)), duramen_remote::Error::Closed { .. }) => {
                Error::NotShipped { signal: signal.name(), remote: *remote }
            }
            (_, error) => error.into(),
        }
    }
}

impl Shipping {
    /// Begins to ship `store`, which is in `dir`, to `url`.
    pub(crate) fn begin(
        store: &Store,
        dir: &Path,
        url: &str,
        acknowledge: Acknowledge,
    ) -> Result<Self, Error> {
        let shipper = Remote::new(url)?.ship(store, ShipConfig::new(dir))?;
        let given_up = Arc::<GivenUp>::default();
        let (handle, noted) = (shipper.handle(), Arc::clone(&given_up));
        let watch = move || {
            // Without a signal it waits until the program ends.
            if signals::wait_until_asked().is_ok() {
                give_up_when_stuck(&handle, &noted);
            }
        };
        let cannot = |error: io::Error| Error::Make { what: "threads", source: error.into() };
        std::thread::Builder::new().spawn(watch).map_err(cannot)?;
        Ok(Self { shipper, acknowledge, given_up })
    }

    /// What waits until a leaf may be acknowledged.
    pub(crate) fn wait(&self) -> impl Fn(&DurabilityToken) -> Result<(), Error> + Send + use<> {
        let (handle, given_up) = (self.shipper.handle(), Arc::clone(&self.given_up));
        let remote = self.acknowledge == Acknowledge::Remote;
        move |token| {
            token.wait()?;
            if remote {
                handle.remote(token).wait().map_err(|error| given_up.explain(error))?;
            }
            Ok(())
        }
    }

    /// Ships what is durable, and ends.
    pub(crate) fn end(self) -> Result<(), Error> {
        self.shipper.close().map_err(|error| self.given_up.explain(error))
    }
}

/// Abandons the shipper once the bucket has taken nothing for [`PATIENCE`] after a signal.
fn give_up_when_stuck(handle: &ShipHandle, given_up: &GivenUp) {
    let asked = Instant::now();
    while !handle.has_ended() {
        let is_stuck = handle.waits().is_some_and(|waits| waits >= PATIENCE);
        if is_stuck
            && asked.elapsed() >= PATIENCE
            && let Some(signal) = signals::asked()
        {
            // Before any waiter has its answer.
            let _ = given_up.0.set((signal, handle.seq()));
            return handle.abandon();
        }
        std::thread::sleep(LOOK);
    }
}
