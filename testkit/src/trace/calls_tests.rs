//! The reader of traces reads what strace writes, and refuses the rest.

use std::path::PathBuf;

use super::calls::{Call, What, parse};

fn path(text: &str) -> PathBuf {
    PathBuf::from(text)
}

fn whats(text: &str) -> Vec<What> {
    parse(text, 0).unwrap().into_iter().skip(1).map(|call| call.what).collect()
}

#[test]
fn calls_are_read_with_their_paths() {
    let text = r#"7 mkdir("\x2f\x61", 0700) = 0
7 openat(3<\x2f\x61>, "\x62", O_RDWR|O_CREAT|O_EXCL, 0600) = 4<\x2f\x61\x2f\x62>
7 openat(3<\x2f\x61>, "\x62", O_RDONLY) = 5<\x2f\x61\x2f\x62>
7 pwritev(4<\x2f\x61\x2f\x62>, [{iov_base="\x78\x79", iov_len=2}, {iov_base="\x7a", iov_len=1}], 2, 0) = 3
7 fdatasync(4<\x2f\x61\x2f\x62>)          = 0
7 renameat2(3<\x2f\x61>, "\x62", 3<\x2f\x61>, "\x63", RENAME_NOREPLACE) = 0
7 fsync(3<\x2f\x61>) = 0
7 unlinkat(3<\x2f\x61>, "\x63", 0) = 0
7 mmap(NULL, 8192, PROT_READ, MAP_SHARED, 3<\x2f\x61\x2f\x63>, 0) = 0x7f0000000000
7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE, 3<\x2f\x61\x2f\x63>, 0) = 0x7f0000000000
7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED|MAP_ANONYMOUS, -1, 0) = 0x7f0000000000
7 mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_SHARED_VALIDATE, 3<\x2f\x61\x2f\x63>, 0) = 0x7f0000000000
7 write(1<\x70\x69\x70\x65\x3a\x5b\x33\x5d>, "\x78", 1) = 1
7 +++ exited with 0 +++"#;
    assert_eq!(
        whats(text),
        [
            What::MakeDir(path("/a")),
            What::Create(path("/a/b")),
            What::WriteUpTo(path("/a/b"), b"xyz".to_vec(), 3),
            What::Sync(path("/a/b")),
            What::Rename(path("/a/b"), path("/a/c")),
            What::Sync(path("/a")),
            What::Remove(path("/a/c")),
            What::MapToWrite(path("/a/c")),
        ]
    );
}

#[test]
fn calls_that_others_interrupt_last_from_their_first_line_to_their_last() {
    let text = r#"7 fdatasync(4<\x2f\x61> <unfinished ...>
8 write(5<\x2f\x62>, "\x78\x79", 2) = 1
7 <... fdatasync resumed>) = -1 EIO (Input/output error) (INJECTED)
8 fsync(5<\x2f\x62> <unfinished ...>
9 fsync(5<\x2f\x62>) = ?
9 write(5<\x2f\x62>, "\x78\x79", 2 <unfinished ...>
8 +++ killed by SIGKILL +++"#;
    let call = |begun, ended, succeeded, what| Call { begun, ended, succeeded, what };
    assert_eq!(
        parse(text, 10).unwrap()[1..],
        [
            call(11, Some(13), false, What::Sync(path("/a"))),
            call(12, Some(12), true, What::Write(path("/b"), b"x".to_vec())),
            // It may have been done.
            call(16, None, false, What::Write(path("/b"), b"xy".to_vec())),
        ]
    );
}

#[test]
fn a_trace_that_is_not_understood_is_an_error() {
    for (text, why) in [
        (r#"7 write(4<\x2f\x61>, "\x78"..., 100) = 100"#, "cut short"),
        (r#"7 writev(4<\x2f\x61>, [{iov_base="\x78", iov_len=1}, ...], 9) = 9"#, "cut short"),
        ("7 io_uring_setup(8, {flags=0}) = 4", "does not follow"),
        ("7 <... fsync resumed>) = 0", "never begun"),
        ("7 fsync(3<\\x2f>", "no answer"),
    ] {
        let error = parse(text, 0).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
