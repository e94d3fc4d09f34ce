//! What is seen of a store that another process has open.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::shell::skip;
use crate::common::writer::Writer;
use crate::common::{Place, duramen, printed, printed_json, refused, store_of};

/// The figures once the store says what is expected.
fn wait_for(place: &Place, expected: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let json = printed_json(duramen(place, "stats DIR --json"));
        if expected(&json) {
            return json;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{json}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_figure_that_the_table_of_alerts_names_is_printed() {
    let docs = std::fs::read_to_string("../docs/operations.md").unwrap();
    let alerts = docs.split("### Alerts").nth(1).unwrap();
    let rows = alerts.lines().filter(|line| line.starts_with("| `duramen_"));
    let names = |row: &str| {
        let words = row.split('`').filter(|word| word.starts_with("duramen_store_"));
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let names: Vec<_> = rows.flat_map(names).collect();
    assert!(names.len() > 10, "{names:?}");
    let place = store_of("one\n");
    let printed = printed(duramen(&place, "stats DIR --prometheus"));
    for name in names {
        assert!(printed.contains(&format!("\n{name} ")), "{name}");
    }
}

#[test]
fn a_running_append_is_seen_from_outside() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "--checkpoint-policy every:3");
    writer.append("a\nb\nc\nd\n");
    let json = wait_for(&place, |json| {
        json["figures"]["durable_leaves"] == 4 && json["figures"]["checkpoints_total"] == 1
    });
    assert_eq!((&json["state"], &json["pid"]), (&"open".into(), &writer.pid().into()));
    assert_eq!(json["trees"][0]["tree"], "main");
    assert_eq!(json["trees"][0]["tree_durable_leaves"], 4);
    assert!(json["free_bytes"].as_u64().unwrap() > 0);
    let text = printed(duramen(&place, "stats DIR"));
    let pid = writer.pid();
    assert!(text.contains(&format!("\nopen in process {pid} since ")), "{text}");
    assert!(text.contains("\nleaves 4 visible, 4 durable, "), "{text}");
    assert!(text.contains("\ntree main: 4 visible, 4 durable, "), "{text}");
    let metrics = printed(duramen(&place, "stats DIR --prometheus"));
    for line in [
        "duramen_store_up 1",
        "duramen_store_poisoned 0",
        "duramen_store_durable_leaves 4",
        "# TYPE duramen_store_syncs_total counter",
        "duramen_store_tree_leaves{tree=\"main\"} 4",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().is_ok();
    assert!(metrics.lines().filter(|line| !line.starts_with('#')).all(value), "{metrics}");
    writer.end();
    let text = printed(duramen(&place, "stats DIR"));
    assert!(text.contains(&format!(" ago by process {pid}, which opened it ")), "{text}");
    let metrics = printed(duramen(&place, "stats DIR --prometheus"));
    assert!(metrics.contains("duramen_store_up 0\n"));
}

#[test]
fn a_process_that_was_killed_is_told_from_one_that_has_closed_the_store() {
    let place = Place::new();
    let mut child = crate::common::writer::appending(&place, "");
    child.stdin.as_mut().unwrap().write_all(b"a\n").unwrap();
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let json = printed_json(duramen(&place, "stats DIR --json"));
    assert_eq!(json["state"], "gone", "{json}");
    let text = printed(duramen(&place, "stats DIR"));
    assert!(text.contains("is gone without closing it"), "{text}");
}

#[test]
fn a_store_without_figures_is_told() {
    let place = Place::new();
    refused(duramen(&place, "stats DIR"), 3);
    let place = store_of("a\n");
    std::fs::remove_file(place.path("store/STATUS")).unwrap();
    let error = refused(duramen(&place, "stats DIR"), 1);
    assert!(error.contains("no process has written figures of the store"), "{error}");
    std::fs::write(place.path("store/STATUS"), "of another program").unwrap();
    refused(duramen(&place, "stats DIR"), 6);
    let error = refused(duramen(&place, "stats DIR --watch"), 2);
    assert!(error.contains("--watch needs a terminal"), "{error}");
}

/// The dashboard on a terminal of 80 columns: what was written to the terminal, and the settings of the terminal before
/// and after. `end` ends it.
fn watched(place: &Place, end: impl FnOnce(&mut std::fs::File, &Child)) -> Option<(String, bool)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
    grantpt(&master).ok()?;
    unlockpt(&master).ok()?;
    let name = ptsname(&master, Vec::new()).ok()?.into_string().ok()?;
    let slave = std::fs::File::options().read(true).write(true).open(name).ok()?;
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size).ok()?;
    let echoes = |slave: &std::fs::File| {
        tcgetattr(slave).unwrap().local_modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    };
    assert!(echoes(&slave));
    let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
    command.args(["stats", "store", "--watch"]).current_dir(place.dir()).env("TERM", "xterm");
    command.stdin(slave.try_clone().ok()?).stdout(slave.try_clone().ok()?).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    drop(command);
    let mut master = std::fs::File::from(master);
    let mut shown = Vec::new();
    // Until it is there, and what is typed then is for it.
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&shown).contains("Ctrl-C") {
        let read = master.read(&mut piece).unwrap();
        shown.extend_from_slice(&piece[..read]);
    }
    assert!(!echoes(&slave), "the dashboard has the terminal");
    end(&mut master, &child);
    let mut copy = master.try_clone().ok()?;
    let reader = std::thread::spawn(move || {
        let mut rest = Vec::new();
        let _ = copy.read_to_end(&mut rest);
        rest
    });
    assert!(child.wait().unwrap().success());
    let restored = echoes(&slave);
    drop(slave);
    shown.extend(reader.join().unwrap());
    Some((String::from_utf8_lossy(&shown).into_owned(), restored))
}

#[test]
fn the_dashboard_ends_with_a_key_or_a_signal_and_leaves_the_terminal_as_it_was() {
    use rustix::process::{Pid, Signal, kill_process};
    let place = store_of("a\nb\n");
    let ends: [fn(&mut std::fs::File, &Child); 3] = [
        |master, _| master.write_all(b"q").unwrap(),
        |master, _| master.write_all(b"\x03").unwrap(),
        |_, child| kill_process(Pid::from_child(child), Signal::TERM).unwrap(),
    ];
    for end in ends {
        let Some((shown, restored)) = watched(&place, end) else {
            let test =
                "the_dashboard_ends_with_a_key_or_a_signal_and_leaves_the_terminal_as_it_was";
            return skip(test, "no terminal can be made here");
        };
        assert!(restored, "the terminal echoes nothing afterwards");
        // The alternate screen, and the way back.
        assert!(shown.contains("\u{1b}[?1049h") && shown.contains("\u{1b}[?1049l"), "{shown:?}");
        // What is blank is skipped.
        assert!(shown.contains("second:") && shown.contains("duramen store"), "{shown:?}");
    }
}
