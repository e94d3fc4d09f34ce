//! What the program says on standard error while it works.

use std::io::Read;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::common::shell::{shell, skip};
use crate::common::{Place, duramen, given, store_of};

fn said(mut command: assert_cmd::Command) -> String {
    let output = command.assert().success().get_output().clone();
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn background_work_is_told_where_that_is_asked_for_as_text_or_as_json() {
    let place = Place::new();
    let append = "append DIR --checkpoint-policy close";
    assert_eq!(said(given(&place, append, "a\n")), "");
    assert_eq!(said(given(&place, &format!("-q {append}"), "b\n")), "");
    let text = said(given(&place, &format!("{append} -v"), "c\n"));
    assert!(text.contains(" INFO duramen::engine::checkpoint: checkpoint "), "{text}");
    let text = said(given(&place, &format!("--verbose --log-format json {append}"), "d\n"));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["message"] == "checkpoint" && line["level"] == "INFO"));
    assert!(said(given(&place, &format!("{append} -vv"), "e\n")).contains(" DEBUG "));
    let mut both = given(&place, &format!("{append} -v -q"), "");
    both.assert().code(2);
}

/// A directory of another program lies where the first part goes.
#[test]
fn a_checkpoint_that_fails_is_told_while_the_input_goes_on() {
    let place = Place::new();
    let script = |store: &str, append: &str| {
        format!(
            "(until [ -e {store}/manifest/00000001.manifest ]; do sleep 0.01; done
              mkdir {store}/parts/00000001.part.tmp
              head -c 320000 /dev/zero; sleep 2) |
             \"$D\" {append} {store} --input raw --checkpoint-policy every:9000"
        )
    };
    let output = shell(place.dir(), &script("store", "append"));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("a checkpoint failed; the last one stays"), "{text}");
    let output = shell(place.dir(), &script("quiet", "-q append"));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!text.contains("the last one stays") && text.lines().count() <= 1, "{text}");
}

#[test]
fn plain_progress_ends_with_a_line_about_the_whole() {
    let place = Place::new();
    place.file("input", "x\n".repeat(500));
    let text = said(duramen(&place, "append DIR @input --progress plain"));
    assert!(text.starts_with("duramen: 1000 B of 1000 B, 100 % in 0 s"), "{text}");
    let text = said(given(&place, "append DIR --progress plain", "x\n"));
    assert!(text.starts_with("duramen: 2 B in "), "{text}");
    said(duramen(&place, "checkpoint DIR"));
    let text = said(duramen(&place, "scrub DIR --progress plain"));
    assert!(text.contains(", 100 % in "), "{text}");
    for line in ["append DIR @input --progress never", "scrub DIR"] {
        assert_eq!(said(duramen(&place, line)), "");
    }
}

/// What a command shows on a terminal of 80 columns.
fn on_terminal(place: &Place, line: &str) -> Option<String> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
    grantpt(&master).ok()?;
    unlockpt(&master).ok()?;
    let name = ptsname(&master, Vec::new()).ok()?.into_string().ok()?;
    let slave = std::fs::File::options().read(true).write(true).open(name).ok()?;
    let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size).ok()?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_duramen"));
    command.args(line.split(' ')).current_dir(place.dir()).env("TERM", "xterm");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(slave);
    let mut child = command.spawn().ok()?;
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut shown, mut master) = (Vec::new(), std::fs::File::from(master));
        // It ends with an error once no process has the terminal.
        let _ = master.read_to_end(&mut shown);
        shown
    });
    assert!(child.wait().unwrap().success());
    Some(String::from_utf8_lossy(&reader.join().unwrap()).into_owned())
}

/// The lines of a terminal without the sequences that steer it.
fn lines_shown(shown: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut characters = shown.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => drop(characters.find(char::is_ascii_alphabetic)),
            '\r' => plain.push('\n'),
            character => plain.push(character),
        }
    }
    plain.lines().map(str::to_owned).collect()
}

#[test]
fn a_bar_fits_a_terminal_of_80_columns() {
    let place = store_of("x\n");
    std::fs::File::create(place.path("input")).unwrap().set_len(40_000_000).unwrap();
    let Some(shown) = on_terminal(&place, "append store input --input raw") else {
        return skip("a_bar_fits_a_terminal_of_80_columns", "no terminal can be made here");
    };
    let lines = lines_shown(&shown);
    assert!(lines.iter().any(|line| line.contains(" of 38.15 MiB")), "{shown:?}");
    let longest = lines.iter().map(|line| line.chars().count()).max();
    assert!(longest <= Some(80), "{longest:?}: {shown:?}");
    let shown = on_terminal(&place, "append store input --input raw --progress never").unwrap();
    assert_eq!(shown, "");
}
