//! Signals that ask the program to end: nothing that was read is lost, and it says how much that was.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::shell::skip;
use crate::common::{
    Function, Place, duramen, entries_of, given, head_text, hex, lines, printed, printed_bytes,
    store_of,
};

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

/// A field of the status of a process, a bit for each signal.
fn signals_in(field: &str, pid: Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    mask.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap())
}

/// Waits until a process catches the signals that ask it to end, the last of which is SIGHUP.
fn until_caught(pid: Pid) {
    let start = Instant::now();
    let hup = 1 << (Signal::HUP.as_raw() - 1);
    while signals_in("SigCgt", pid) & hup == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "the process catches nothing");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for the end of a child, whose input stays open, and returns what it printed.
fn end(mut child: Child) -> (ExitStatus, String, String) {
    let status = ended(&mut child);
    let (mut out, mut error) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    (status, out, error)
}

fn ended(child: &mut Child) -> ExitStatus {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            panic!("the child does not end");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

const TEXT: &str = "one\ntwo\nthree\n";

fn root() -> [u8; 32] {
    Function::Blake3.root(4, &lines(Function::Blake3, TEXT.as_bytes()))
}

/// An import that is asked to end has appended the blocks and lines that it read whole, and says so.
#[test]
fn an_import_keeps_what_it_read_whole_and_goes_on_later() {
    let text: String = (0..3000).map(|line| format!("line {line} {}\n", "x".repeat(100))).collect();
    let from = entries_of(text, "");
    let whole = printed(duramen(&from, "head DIR"));
    for format in ["framed", "jsonl"] {
        let export = printed_bytes(duramen(&from, &format!("export DIR --format {format}")));
        for (flags, code) in [("", 0), (" --exit-signal", 143)] {
            // All blocks and a begun end, or all lines but the end of the last one.
            let cut = export.len() - 10;
            let entries = if format == "framed" { 3000 } else { 2999 };
            let place = Place::new();
            let mut child = spawn(&place, &format!("import store{flags}"));
            let mut input = child.stdin.take().unwrap();
            input.write_all(&export[..cut]).unwrap();
            until_read(&input);
            send(&child, Signal::TERM);
            let (status, out, error) = end(child);
            assert_eq!(status.code(), Some(code), "{format}: {error}");
            assert!(out.starts_with(&format!("size {entries}\n")), "{format}: {out}");
            assert!(out.ends_with(&format!("\nrecords {entries}\n")), "{format}: {out}");
            let begun = match format {
                // A head, the number of entries and the root, and a checksum.
                "framed" => 8 + 40 + 32 - 10,
                _ => {
                    export[..cut].len()
                        - export[..cut].iter().rposition(|byte| *byte == b'\n').unwrap()
                        - 1
                }
            };
            let said = format!(
                "duramen: SIGTERM ended the input: {entries} records of standard input are appended and durable, \
                 {begun} bytes of a begun record are dropped\n"
            );
            assert_eq!(error, said);
            assert!(printed(duramen(&place, "fsck DIR")).contains("closed in order"));
            assert_eq!(printed(given(&place, "import DIR --resume", &*export)), whole);
        }
    }
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
            "--entries",
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
                "duramen: {name} ended the input: 3 records of standard input are appended and durable, \
                 19 bytes of a begun record are dropped\n"
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
    let (_, out, error) = end(child);
    let root = Function::Blake3.root(4, &lines(Function::Blake3, b"before\none\ntwo"));
    let said = "SIGTERM ended the input: 2 records of standard input are appended and durable";
    assert_eq!(error, format!("duramen: {said}\n"));
    assert_eq!(out, format!("{{\"size\":3,\"root\":\"{}\",\"records\":2}}\n", hex(&root)));
}

#[test]
fn the_exit_status_names_the_signal_where_that_is_asked_for() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = Place::new();
        let mut child = spawn(&place, "append store --exit-signal");
        let mut input = child.stdin.take().unwrap();
        input.write_all(TEXT.as_bytes()).unwrap();
        until_read(&input);
        send(&child, signal);
        let (status, out, _) = end(child);
        assert_eq!(status.code(), Some(128 + signal.as_raw()));
        assert_eq!(out, head_text(3, root()) + "records 3\n");
    }
    let place = Place::new();
    assert_eq!(printed(given(&place, "append DIR --exit-signal", TEXT)), head_text(3, root()));
}

#[test]
fn usr1_prints_a_line_of_statistics_and_changes_nothing() {
    let place = Place::new();
    let mut child = spawn(&place, "append store --ack");
    let mut input = child.stdin.take().unwrap();
    let (mut out, mut error) = (
        BufReader::new(child.stdout.take().unwrap()),
        BufReader::new(child.stderr.take().unwrap()),
    );
    input.write_all(TEXT.as_bytes()).unwrap();
    let mut ack = String::new();
    while !ack.ends_with("2\n") {
        out.read_line(&mut ack).unwrap();
    }
    for _ in 0..3 {
        send(&child, Signal::USR1);
        let mut line = String::new();
        error.read_line(&mut line).unwrap();
        assert!(
            line.starts_with("duramen: 3 records in ") && line.contains("; 3 leaves; "),
            "{line}"
        );
        assert!(
            line.contains(" 0 leaves not durable; ") && line.ends_with(" 0 refused\n"),
            "{line}"
        );
    }
    drop(input);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, head_text(3, root()));
    assert!(ended(&mut child).success());
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
    let (mut input, mut out) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // The reader is slow and takes something all the time: there is much to finish.
    let reader = std::thread::spawn(move || {
        let mut some = [0; 256];
        while out.read(&mut some).unwrap() > 0 {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    input.write_all(&vec![7; 32 * 60_000]).unwrap();
    until_read(&input);
    send(&child, Signal::TERM);
    // The first one may not have been handled yet.
    let status = loop {
        std::thread::sleep(Duration::from_millis(20));
        match child.try_wait().unwrap() {
            None => send(&child, Signal::INT),
            Some(status) => break status,
        }
    };
    assert_eq!(status.signal(), Some(Signal::INT.as_raw()));
    reader.join().unwrap();
}

const STUCK: usize = 60_000;

/// Waits until a child has acknowledged something and then, for a second, nothing.
fn until_nothing_is_taken(child: &Child) {
    let start = Instant::now();
    let (mut before, mut since) = (0, Instant::now());
    while before == 0 || since.elapsed() < Duration::from_secs(1) {
        assert!(start.elapsed() < Duration::from_secs(60), "no acknowledgements");
        let now = rustix::io::ioctl_fionread(child.stdout.as_ref().unwrap()).unwrap();
        if now != before {
            (before, since) = (now, Instant::now());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What the program says when it gave up a reader that took these lines of acknowledgements.
fn gave_up(reasons: &str, acks: &str) -> String {
    let whole: String = (0..STUCK).map(|index| format!("{index}\n")).collect();
    assert!(whole.starts_with(acks), "{} bytes", acks.len());
    assert!((30_000..whole.len()).contains(&acks.len()), "{} bytes", acks.len());
    let taken = acks.matches('\n').count();
    format!(
        "duramen: stopped after {STUCK} leaves of standard input, which are appended and durable; the \
         tree has {STUCK} leaves: {reasons}after SIGTERM the reader of standard output took nothing: \
         {taken} leaves are acknowledged, the others are not\n"
    )
}

#[test]
fn a_reader_of_acknowledgements_that_takes_nothing_is_given_up_after_a_signal() {
    for flags in ["--flush-policy manual", "--flush-policy interval:1ms --checkpoint-policy manual"]
    {
        let place = Place::new();
        let mut child = spawn(&place, &format!("append store --ack --input raw {flags}"));
        let mut input = child.stdin.take().unwrap();
        input.write_all(&vec![7; 32 * STUCK]).unwrap();
        until_read(&input);
        send(&child, Signal::TERM);
        let (status, out, error) = end(child);
        assert_eq!(status.code(), Some(2), "{error}");
        assert_eq!(error, gave_up("SIGTERM ended the input; ", &out));
        assert!(printed(duramen(&place, "head DIR")).starts_with(&format!("size {STUCK}\n")));
        assert!(printed(duramen(&place, "fsck DIR")).contains("closed in order"));
    }
}

#[test]
fn it_is_given_up_also_where_the_input_has_ended_and_where_the_queue_was_full() {
    // The end of the input has come, and only the acknowledgements are left.
    let place = Place::new();
    let mut child = spawn(&place, "append store --ack --input raw");
    let mut input = child.stdin.take().unwrap();
    input.write_all(&vec![7; 32 * STUCK]).unwrap();
    drop(input);
    until_nothing_is_taken(&child);
    send(&child, Signal::TERM);
    let (status, out, error) = end(child);
    assert_eq!((status.code(), error), (Some(2), gave_up("", &out)));

    // So much that reading waits for the reader: what was read is appended nevertheless.
    let place = Place::new();
    let mut child = spawn(&place, "append store --ack --input raw --flush-policy interval:1ms");
    let mut input = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        let piece = vec![7; 32 << 10];
        while input.write_all(&piece).is_ok() {}
    });
    until_nothing_is_taken(&child);
    send(&child, Signal::TERM);
    let (status, out, error) = end(child);
    feeder.join().unwrap();
    assert_eq!(status.code(), Some(2), "{error}");
    assert!(error.contains(&format!(": {} leaves are ack", out.matches('\n').count())), "{error}");
    let size = printed(duramen(&place, "head DIR"));
    let size = size.lines().next().unwrap().strip_prefix("size ").unwrap();
    assert!(error.contains(&format!("the tree has {size} leaves: SIGTERM ended")), "{error}");
}

/// A pipe that takes nothing more.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    for piece in [4096, 1] {
        while writer.write(&vec![b'.'; piece]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

#[test]
fn no_output_that_is_stuck_keeps_the_program_from_ending_after_a_signal() {
    for (line, shared) in
        [("append store", false), ("append store", true), ("append store --ack", true)]
    {
        let place = Place::new();
        let (_reader, writer) = full_pipe();
        let error = match shared {
            true => Stdio::from(writer.try_clone().unwrap()),
            false => Stdio::piped(),
        };
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", env!("CARGO_BIN_EXE_duramen")]);
        command.args(line.split(' ')).current_dir(place.dir());
        let mut child = command.stdin(Stdio::piped()).stdout(writer).stderr(error).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(TEXT.as_bytes()).unwrap();
        until_read(&input);
        until_caught(Pid::from_child(&child));
        send(&child, Signal::TERM);
        let status = ended(&mut child);
        assert_eq!(status.code(), Some(2), "{line}");
        if let Some(mut error) = child.stderr.take() {
            let mut text = String::new();
            error.read_to_string(&mut text).unwrap();
            let said =
                "SIGTERM ended the input: 3 records of standard input are appended and durable";
            let why = "cannot write standard output: its reader takes nothing";
            assert_eq!(text, format!("duramen: {said}\nduramen: {why}\n"));
        }
        assert_eq!(printed(duramen(&place, "head DIR")), head_text(3, root()));
    }
}

/// A terminal that takes nothing more, as after the key for it, and its other side.
fn full_terminal() -> (rustix::fd::OwnedFd, std::fs::File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let no_controlling_terminal = 0o400;
    let mut slave = std::fs::File::options()
        .read(true)
        .write(true)
        .custom_flags(no_controlling_terminal)
        .open(path)
        .unwrap();
    rustix::io::ioctl_fionbio(&slave, true).unwrap();
    for piece in [4096, 1] {
        while slave.write(&vec![b'.'; piece]).is_ok() {}
    }
    rustix::io::ioctl_fionbio(&slave, false).unwrap();
    (master, slave)
}

#[test]
fn a_terminal_that_was_stopped_keeps_no_bar_from_ending() {
    let place = Place::new();
    let (_master, slave) = full_terminal();
    let mut command = Command::new("env");
    command.args(["--default-signal=HUP,INT,TERM", "TERM=xterm", env!("CARGO_BIN_EXE_duramen")]);
    command.args(["append", "store"]).current_dir(place.dir());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(slave).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in TEXT.split_inclusive('\n') {
        input.write_all(line.as_bytes()).unwrap();
        until_read(&input);
        // The bar is drawn.
        std::thread::sleep(Duration::from_millis(300));
    }
    send(&child, Signal::TERM);
    let status = ended(&mut child);
    let mut out = String::new();
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!((status.code(), out), (Some(0), head_text(3, root()) + "records 3\n"));
}

#[test]
fn a_signal_ends_the_program_at_once_where_nothing_is_to_be_finished() {
    let place = Place::new();
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().unwrap().success());
    for line in ["append store pipe", "verify consistency - --old-head 0:00 --head 0:00"] {
        let line = line.replace(":00", &format!(":{}", "00".repeat(32)));
        let mut child = spawn(&place, &line);
        let _input = child.stdin.take();
        until_caught(Pid::from_child(&child));
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
        let mut command = Command::new("env");
        command
            .args(["--default-signal=HUP,INT,TERM", "unshare"])
            .args(user)
            .args(["--pid", "--fork", program])
            .args(line.split(' '));
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
    until_caught(pid);
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
    assert_eq!((status.signal(), status.code()), (None, Some(5)), "{error}");
    assert!(error.contains("File too large"), "{error}");
    // What was acknowledged is there, and the store goes on without the limit.
    printed(given(&place, "append DIR", "more\n"));
}
