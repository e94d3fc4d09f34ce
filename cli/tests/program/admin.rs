//! What operators ask a running store for.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use crate::common::process::command;
use crate::common::writer::{Writer, appending};
use crate::common::{Place, duramen, printed, printed_json, refused, store_of};

#[test]
fn a_running_append_does_what_operators_ask_for() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "--checkpoint-policy manual --entries");
    writer.append("a\nb\nc\n");
    assert_eq!(printed(duramen(&place, "admin DIR flush")), "durable 3\n");
    let json = printed_json(duramen(&place, "admin DIR checkpoint --json"));
    assert_eq!((&json["leaves"], &json["trees"]), (&3.into(), &1.into()));
    writer.append("d\n");
    let head = printed(duramen(&place, "head DIR"));
    let json = printed_json(duramen(&place, "admin DIR backup @copy --json"));
    assert_eq!(json["parts"], 1);
    assert_eq!(printed(duramen(&place, "head @copy")), head);
    let json = printed_json(duramen(&place, "admin DIR scrub --json"));
    assert_eq!((&json["clean"], &json["leaves"]), (&true.into(), &3.into()));
    assert!(printed(duramen(&place, "admin DIR compact")).contains("pinned_files 0\n"));
    let json = printed_json(duramen(&place, "admin DIR status --json"));
    assert_eq!((&json["leaves"], &json["durable"]), (&4.into(), &4.into()));
    // A copy that is there is not written over.
    refused(duramen(&place, "admin DIR backup @copy"), 2);
    let meta = std::fs::metadata(place.path("store/ADMIN")).unwrap();
    assert!(meta.file_type().is_socket() && meta.permissions().mode() & 0o777 == 0o600);
    assert_eq!(printed_json(duramen(&place, "fsck DIR --json"))["clean"], true);
    writer.append("e\n");
    writer.end();
    assert!(!place.path("store/ADMIN").exists());
    let error = refused(duramen(&place, "admin DIR flush"), 2);
    assert!(error.contains("open listens for operators"), "{error}");
    // Where there is no store, that is what is said.
    std::fs::create_dir(place.path("empty")).unwrap();
    for none in ["admin @missing flush", "admin @empty flush", "stats @missing", "stats @empty"] {
        assert!(refused(duramen(&place, none), 3).contains("there is no store in"), "{none}");
    }
}

#[test]
fn a_copy_whose_name_cannot_be_sent_is_refused_with_the_reason() {
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    writer.append("a\n");
    let name = std::ffi::OsStr::from_bytes(b"copy\xff");
    let mut asked = duramen(&place, "admin DIR backup");
    asked.arg(place.dir().join(name));
    let error = refused(asked, 2);
    assert!(error.contains("has only paths in UTF-8"), "{error}");
    writer.end();
}

#[test]
fn a_store_that_is_read_only_accepts_nothing_until_that_ends() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    writer.append("a\nb\n");
    assert_eq!(printed(duramen(&place, "admin DIR read-only")), "durable 2\nread_only true\n");
    assert_eq!(printed_json(duramen(&place, "admin DIR status --json"))["read_only"], true);
    // Everything else goes on.
    assert_eq!(printed_json(duramen(&place, "admin DIR checkpoint --json"))["leaves"], 2);
    printed(duramen(&place, "admin DIR backup @copy"));
    assert_eq!(printed(duramen(&place, "admin DIR writable")), "read_only false\n");
    writer.append("c\n");
    assert_eq!(printed(duramen(&place, "admin DIR flush")), "durable 3\n");
    writer.end();
    assert!(printed(duramen(&place, "head DIR")).starts_with("size 3\n"));

    // An append that has more to do says how far it came.
    let mut append = command(&place, &[], "append @store --ack");
    append.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = append.spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(b"d\n").unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    printed(duramen(&place, "admin DIR read-only"));
    child.stdin.as_mut().unwrap().write_all(b"e\n").unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("the store is read-only until"), "{error}");
    assert!(printed(duramen(&place, "head DIR")).starts_with("size 4\n"));
    // The next process accepts again.
    printed(crate::common::given(&place, "append DIR", "f\n"));
}

#[test]
fn damage_that_an_operator_has_looked_for_is_a_check_that_failed() {
    let place = store_of("a\n".repeat(1000));
    printed(duramen(&place, "checkpoint DIR"));
    let mut child = appending(&place, "");
    child.stdin.as_mut().unwrap().write_all(b"x\n").unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    let part = place.path("store/parts/00000001.part");
    let mut bytes = std::fs::read(&part).unwrap();
    bytes[5000] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let output = duramen(&place, "admin DIR scrub").assert().code(1).get_output().clone();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("clean false\n") && text.contains("00000001.part"), "{text}");
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_socket_that_a_killed_process_left_is_replaced_by_the_next_that_has_the_store() {
    let place = Place::new();
    let mut child = appending(&place, "");
    child.stdin.as_mut().unwrap().write_all(b"a\n").unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    // One that does not get the lock leaves the socket to the one that has it.
    refused(duramen(&place, "append DIR @missing"), 2);
    refused(duramen(&place, "checkpoint DIR"), 4);
    assert_eq!(printed(duramen(&place, "admin DIR flush")), "durable 1\n");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.path("store/ADMIN").exists());
    refused(duramen(&place, "admin DIR flush"), 2);
    let mut child = appending(&place, "");
    child.stdin.as_mut().unwrap().write_all(b"b\n").unwrap();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(printed(duramen(&place, "admin DIR flush")), "durable 2\n");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_no_request_is_refused_and_the_next_one_is_answered() {
    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    writer.append("a\n");
    for bad in ["\n", "\"drop\"\n", "{\"backup\":{}}\n", "\u{0}\n"] {
        let mut stream = UnixStream::connect(place.path("store/ADMIN")).unwrap();
        stream.write_all(bad.as_bytes()).unwrap();
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).unwrap();
        assert!(answer.starts_with("{\"failed\":\"that is no request"), "{bad:?}: {answer}");
    }
    // One that asks nothing keeps no other from being answered, and not the program from ending.
    let silent = UnixStream::connect(place.path("store/ADMIN")).unwrap();
    assert_eq!(printed(duramen(&place, "admin DIR flush")), "durable 1\n");
    writer.end();
    drop(silent);
    refused(duramen(&place, "admin DIR backup"), 2);
    refused(duramen(&place, "admin DIR flush @copy"), 2);
}

/// Answers everything that is asked in the store with `answer`, until the place of the test is gone.
fn lie(place: &Place, answer: Vec<u8>) {
    let socket = place.path("store/ADMIN");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut asked = String::new();
            let _ = BufReader::new(&stream).read_line(&mut asked);
            let _ = stream.write_all(&answer);
        }
    });
}

#[test]
fn an_answer_forges_no_line_and_steers_no_terminal_whoever_gave_it() {
    let place = store_of("a\n");
    let evil = "5\\nforged 7\\u001b]0;t\\u0007\u{9b}";
    let answers = [
        format!("{{\"done\":{{\"leaves\":\"{evil}\"}}}}\n"),
        format!("{{\"done\":{{\"{evil}\":5}}}}\n"),
        format!("{{\"done\":{{\"leaves\":[\"{evil}\"]}}}}\n"),
        format!("{{\"done\":\"{evil}\"}}\n"),
    ];
    for answer in answers {
        lie(&place, answer.clone().into_bytes());
        for line in ["admin DIR flush", "admin DIR flush --json"] {
            let text = printed(duramen(&place, line));
            assert_eq!(text.lines().count(), 1, "{answer}{line}: {text:?}");
            assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{line}: {text:?}");
        }
    }
    lie(&place, b"{\"failed\":\"no\\nforged\\u001b[31m\"}\n".to_vec());
    let error = refused(duramen(&place, "admin DIR flush"), 2);
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn an_answer_without_an_end_is_not_read_to_its_end() {
    let place = store_of("a\n");
    lie(&place, vec![b' '; 40 << 20]);
    let error = refused(duramen(&place, "admin DIR flush"), 2);
    assert!(error.contains("is longer than"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_without_descriptors_waits_before_it_accepts_again() {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
    use std::time::{Duration, Instant};

    let place = Place::new();
    let mut writer = Writer::new(&place, "");
    writer.append("a\n");
    let pid = Pid::from_raw(i32::try_from(writer.pid()).unwrap());
    let usual = getrlimit(Resource::Nofile);
    // Only descriptors that are open already.
    prlimit(pid, Resource::Nofile, Rlimit { current: Some(3), ..usual }).unwrap();
    let mut stream = UnixStream::connect(place.path("store/ADMIN")).unwrap();
    let ran = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", writer.pid())).unwrap();
        let times = tasks.map(|task| {
            let text = std::fs::read_to_string(task.unwrap().path().join("schedstat"));
            text.unwrap_or_default().split(' ').next().unwrap().parse().unwrap_or(0)
        });
        Duration::from_nanos(times.sum::<u64>())
    };
    let (before, begun) = (ran(), Instant::now());
    std::thread::sleep(Duration::from_secs(1));
    let (took, real) = (ran().saturating_sub(before), begun.elapsed());
    assert!(took * 20 < real, "{took:?} of processor time in {real:?}");
    prlimit(pid, Resource::Nofile, usual).unwrap();
    stream.write_all(b"\"flush\"\n").unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert_eq!(answer, "{\"done\":{\"durable\":1}}\n");
    writer.end();
}
