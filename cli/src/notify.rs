//! Messages to the service manager that started the program, as sd_notify(3) has them: that it is ready, that it ends,
//! and, as often as the manager wants to hear it, that it lives.
//!
//! A message is a datagram to the socket in `NOTIFY_SOCKET`. Without that variable nothing is sent, and a message that
//! cannot be sent changes nothing: the manager then does what it does with a program that is silent.
//!
//! The watchdog is served by a thread of its own. It shows that the process runs and is scheduled, not that its disk answers:
//! a store whose disk failed says so itself.

use std::ffi::OsStr;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The shortest time between two messages of the watchdog.
const LEAST: Duration = Duration::from_millis(10);

/// Says that the program is ready, and from now on that it lives, if that is wanted.
pub(crate) fn ready() {
    send("READY=1");
    if let Some(time) = watchdog() {
        // Without the thread the manager restarts the program, as it was told to.
        let _ = std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            loop {
                send("WATCHDOG=1");
                std::thread::sleep(time);
            }
        });
    }
}

/// Says that the program ends. It still lives until it has ended.
pub(crate) fn stopping() {
    send("STOPPING=1");
}

/// How long to wait between two signs of life: half of the time after which the manager misses one.
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let is_meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let time = number("WATCHDOG_USEC").filter(|time| *time > 0 && is_meant)?;
    Some(Duration::from_micros(time / 2).max(LEAST))
}

fn send(message: &str) {
    let sent = || {
        let name = std::env::var_os("NOTIFY_SOCKET")?;
        let place = address(&name)?;
        let socket = UnixDatagram::unbound().ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.send_to_addr(message.as_bytes(), &place).ok()
    };
    let _ = sent();
}

fn address(name: &OsStr) -> Option<SocketAddr> {
    // A name that begins with @ is none of the file system.
    #[cfg(target_os = "linux")]
    {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        if let Some(name) = name.as_bytes().strip_prefix(b"@") {
            return SocketAddr::from_abstract_name(name).ok();
        }
    }
    SocketAddr::from_pathname(name).ok()
}
