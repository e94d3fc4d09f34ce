//! Signals that ask the program to end: nothing that was read is lost, and it says how much that was.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::shell::skip;
use crate::common::{Function, Place, duramen, given, head_text, hex, lines, printed, store_of};

/// The program with these arguments, and pipes all around. Where the tests run under `nohup`, a child of
/// theirs would ignore SIGHUP too: `env` gives it the defaults.
fn spawn(place: &Place, line: &str) -> Child {
    let defaults = ["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_duramen")];
    piped(Command::new("env").args(defaults).args(line.split(' ')), place)
}

fn piped(command: &mut Command, place: &Place) -> Child {
    command
        .current_dir(place.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits until a child has read all that was written to it.
fn until_read(input: &ChildStdin) {
    let start = Instant::now();
    while rustix::io::ioctl_fionread(input).unwrap() > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "the child does not read");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the end of a child, whose input stays open, and returns what it printed.
fn end(mut child: Child) -> (std::process::ExitStatus, String, String) {
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the child does not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let (mut out, mut error) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    (status, out, error)
}

const TEXT: &str = "one\ntwo\nthree\n";

fn root() -> [u8; 32] {
    Function::Blake3.root(4, &lines(Function::Blake3, TEXT.as_bytes()))
}

#[test]
fn what_was_read_is_kept_and_counted() {
    for (signal, name) in
        [(Signal::TERM, "SIGTERM"), (Signal::INT, "SIGINT"), (Signal::HUP, "SIGHUP")]
    {
        for policies in [
            "--flush-policy manual --checkpoint-policy manual",
            "--flush-policy manual --checkpoint-policy close",
            "--flush-policy interval:10ms",
        ] {
            let place = Place::new();
            let mut child = spawn(&place, &format!("append store {policies}"));
            let mut input = child.stdin.take().unwrap();
            input.write_all(format!("{TEXT}begun and not ended").as_bytes()).unwrap();
            until_read(&input);
            send(&child, signal);
            let (status, out, error) = end(child);
            assert_eq!(status.code(), Some(0), "{name} {policies}: {error}");
            assert_eq!(out, head_text(3, root()) + "records 3\n", "{name} {policies}");
            let said = format!(
                "duramen: {name} ended the input: 3 records of standard input are appended and durable\n"
            );
            assert_eq!(error, said);
            assert_eq!(printed(duramen(&place, "head DIR")), head_text(3, root()));
            assert!(printed(duramen(&place, "fsck DIR")).contains("closed in order"));
        }
    }
}

#[test]
fn only_the_records_of_this_input_are_counted() {
    let place = store_of("before\n");
    let mut child = spawn(&place, "append store --json");
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\ntwo\n").unwrap();
    until_read(&input);
    send(&child, Signal::TERM);
    let (_, out, _) = end(child);
    let root = Function::Blake3.root(4, &lines(Function::Blake3, b"before\none\ntwo"));
    assert_eq!(out, format!("{{\"size\":3,\"root\":\"{}\",\"records\":2}}\n", hex(&root)));
}

#[test]
fn acknowledgements_are_printed_before_the_end() {
    let place = Place::new();
    let mut child = spawn(&place, "append store --ack --flush-policy manual");
    let mut input = child.stdin.take().unwrap();
    input.write_all(TEXT.as_bytes()).unwrap();
    until_read(&input);
    send(&child, Signal::TERM);
    assert_eq!(end(child).1, format!("0\n1\n2\n{}records 3\n", head_text(3, root())));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let place = Place::new();
    let mut child = spawn(&place, "append store --ack --input raw");
    let mut input = child.stdin.take().unwrap();
    // No reader takes the acknowledgements: the program cannot finish.
    input.write_all(&vec![7; 32 * 30_000]).unwrap();
    until_read(&input);
    send(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "it had something to finish");
    send(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::INT.as_raw()));
}

#[test]
fn a_signal_ends_the_program_at_once_where_nothing_is_to_be_finished() {
    let place = Place::new();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    for line in ["append store pipe", "verify consistency - --old-head 0:00 --head 0:00"] {
        let line = line.replace(":00", &format!(":{}", "00".repeat(32)));
        let mut child = spawn(&place, &line);
        let _input = child.stdin.take();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(child.try_wait().unwrap(), None, "{line}");
        send(&child, Signal::TERM);
        assert_eq!(child.wait().unwrap().signal(), Some(Signal::TERM.as_raw()), "{line}");
    }
    assert!(!place.path("store").exists());
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let place = Place::new();
    let script = format!("trap '' HUP; exec {} append store", env!("CARGO_BIN_EXE_duramen"));
    let mut child = piped(Command::new("sh").args(["-c", &script]), &place);
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    until_read(&input);
    send(&child, Signal::HUP);
    std::thread::sleep(Duration::from_millis(100));
    input.write_all(b"two\nthree\n").unwrap();
    drop(input);
    let (status, out, error) = end(child);
    assert_eq!((status.code(), out, error), (Some(0), head_text(3, root()), String::new()));
}

/// The program as the first process of a pid namespace, as in a container, and its process as the test sees
/// it.
fn as_process_1(place: &Place, line: &str) -> Option<(Child, Pid)> {
    let program = env!("CARGO_BIN_EXE_duramen");
    for user in [&["--map-root-user"][..], &[]] {
        let mut command = Command::new("unshare");
        command.args(user).args(["--pid", "--fork", program]).args(line.split(' '));
        let mut child = piped(&mut command, place);
        let list = format!("/proc/{0}/task/{0}/children", child.id());
        let start = Instant::now();
        while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(10) {
            let inner = std::fs::read_to_string(&list).unwrap_or_default();
            if let Some(pid) = inner.trim().parse().ok().and_then(Pid::from_raw) {
                return Some((child, pid));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
    None
}

#[test]
fn the_first_process_of_a_container_ends_when_it_is_asked_to() {
    let test = "the_first_process_of_a_container_ends_when_it_is_asked_to";
    let place = Place::new();
    let Some((mut child, pid)) = as_process_1(&place, "append store --flush-policy manual") else {
        return skip(test, "no pid namespace can be made here");
    };
    let mut input = child.stdin.take().unwrap();
    input.write_all(TEXT.as_bytes()).unwrap();
    until_read(&input);
    kill_process(pid, Signal::TERM).unwrap();
    let (status, out, error) = end(child);
    assert_eq!(status.code(), Some(0), "{error}");
    assert_eq!(out, head_text(3, root()) + "records 3\n");

    // Where nothing is to be finished as well: nothing but a handler makes the first process end.
    let zeros = "00".repeat(32);
    let line = format!("verify consistency - --old-head 0:{zeros} --head 0:{zeros}");
    let (mut child, pid) = as_process_1(&place, &line).unwrap();
    let _input = child.stdin.take();
    std::thread::sleep(Duration::from_millis(300));
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(end(child).0.code(), Some(128 + 15));
}

#[test]
fn a_file_that_may_not_grow_is_an_error_and_no_death() {
    let place = Place::new();
    let limited =
        format!("ulimit -f 400; exec {} append store --input raw", env!("CARGO_BIN_EXE_duramen"));
    let mut child = piped(Command::new("sh").args(["-c", &limited]), &place);
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || drop(input.write_all(&vec![7; 32 * 100_000])));
    let (status, _, error) = end(child);
    feeder.join().unwrap();
    assert_eq!((status.signal(), status.code()), (None, Some(2)), "{error}");
    assert!(error.contains("File too large"), "{error}");
    // What was acknowledged is there, and the store goes on without the limit.
    printed(given(&place, "append DIR", "more\n"));
}
