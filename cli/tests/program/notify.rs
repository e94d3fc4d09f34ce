//! What the program tells the service manager that started it.

use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::common::process::{Process, command};
use crate::common::{Place, duramen, printed};

/// The next message, which must come.
fn next(manager: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let len = manager.recv(&mut message).unwrap();
    String::from_utf8(message[..len].to_vec()).unwrap()
}

fn patient(manager: UnixDatagram) -> UnixDatagram {
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    manager
}

#[test]
fn an_append_says_that_it_is_ready_lives_and_ends() {
    let place = Place::new();
    let socket = place.path("notify");
    let manager = patient(UnixDatagram::bind(&socket).unwrap());
    let mut append = command(&place, &[], "append @store");
    append.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "40000");
    let mut child = append.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(next(&manager), "READY=1");
    assert_eq!([next(&manager), next(&manager)], ["WATCHDOG=1", "WATCHDOG=1"]);
    child.stdin.take().unwrap().write_all(b"one\n").unwrap();
    let last = std::iter::repeat_with(|| next(&manager)).find(|told| told != "WATCHDOG=1");
    assert_eq!(last.as_deref(), Some("STOPPING=1"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_server_says_it_on_a_name_outside_of_the_file_system_and_without_a_watchdog() {
    let place = Place::new();
    let name = format!("duramen-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = patient(UnixDatagram::bind_addr(&address).unwrap());
    printed(duramen(&place, "keygen example.com/log -o @key"));
    let line = "serve @store --listen 127.0.0.1:0 --key @key --first-anchor";
    let mut serve = command(&place, &[], line);
    // The watchdog is meant for another process.
    serve.env("NOTIFY_SOCKET", format!("@{name}"));
    serve.env("WATCHDOG_USEC", "40000").env("WATCHDOG_PID", "1");
    let served = Process::start(serve);
    assert_eq!(next(&manager), "READY=1");
    served.signal(Signal::TERM);
    assert_eq!(next(&manager), "STOPPING=1");
}

#[test]
fn a_manager_that_does_not_listen_changes_nothing() {
    let place = Place::new();
    for socket in ["/nowhere/notify", "@duramen-nobody", ""] {
        let mut append = duramen(&place, "append DIR");
        append.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", "0");
        append.write_stdin("one\n").assert().success();
    }
}
