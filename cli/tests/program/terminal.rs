//! Output that would disturb a terminal is not written to one.

use std::io::Read;
use std::process::Stdio;

use crate::common::process::command;
use crate::common::{Place, duramen, entries_of, printed_bytes};

/// The status of a command whose output is a terminal, and what that shows.
fn on_terminal(place: &Place, line: &str) -> Option<(i32, String)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).ok()?;
    grantpt(&master).ok()?;
    unlockpt(&master).ok()?;
    let name = ptsname(&master, Vec::new()).ok()?.into_string().ok()?;
    let slave = std::fs::File::options().read(true).write(true).open(name).ok()?;
    let mut command = command(place, &[], line);
    command.stdin(Stdio::null()).stderr(slave.try_clone().ok()?).stdout(slave);
    let mut child = command.spawn().ok()?;
    drop(command);
    let reader = std::thread::spawn(move || {
        let (mut shown, mut master) = (Vec::new(), std::fs::File::from(master));
        // It ends with an error once no process has the terminal.
        let _ = master.read_to_end(&mut shown);
        shown
    });
    let status = child.wait().unwrap().code()?;
    Some((status, String::from_utf8_lossy(&reader.join().unwrap()).into_owned()))
}

#[test]
fn binary_is_not_written_to_a_terminal() {
    let place = entries_of("one\ntwo\nthree\n", "");
    let lines = [
        "prove @store 1 --format binary",
        "prove-consistency @store 1 --format binary",
        "leaves @store --format raw",
        "export @store",
        "export @store -o -",
    ];
    for line in lines {
        let Some((status, shown)) = on_terminal(&place, line) else {
            println!("skipped: there is no terminal to be had");
            return;
        };
        assert_eq!(status, 2, "{line}: {shown}");
        assert!(shown.contains("the output is binary"), "{line}: {shown}");
        // A pipe takes it.
        assert!(!printed_bytes(duramen(&place, line)).is_empty(), "{line}");
    }
    let (status, shown) = on_terminal(&place, "prove @store 1").unwrap();
    assert_eq!(status, 0, "{shown}");
}
