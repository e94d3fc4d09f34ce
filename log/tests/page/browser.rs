//! Chromium without a window, driven over a pipe by its DevTools protocol.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    session: String,
    asked: u64,
    /// What the page reported: exceptions, refused files, errors.
    reported: Vec<String>,
    _profile: TempDir,
}

/// Where Chromium is, if it is anywhere.
fn program() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    names.into_iter().find(|name| {
        let found = Command::new(name).arg("--version").stderr(Stdio::null()).output();
        found.is_ok_and(|found| found.status.success())
    })
}

impl Browser {
    /// Starts a browser. `None` if this machine has none: the test is then skipped, and says so.
    pub(crate) fn start(test: &str) -> Option<Self> {
        let Some(program) = program() else {
            let skip = std::env::var_os("DURAMEN_TEST_NO_SKIP").is_none();
            assert!(skip, "{test}: there is no chromium");
            eprintln!("SKIPPED {test}: there is no chromium; apt-get install chromium");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // The protocol is spoken over the descriptors 3 and 4.
        command.arg("-c").arg("exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null").arg(program);
        command.args([
            "--headless=new",
            "--remote-debugging-pipe",
            "--no-sandbox",
            "--no-first-run",
        ]);
        command.args(["--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions"]);
        command.args(["--disable-background-networking", "--disable-component-update"]);
        // Nothing but this machine is reached, whatever the page or the browser want.
        command.arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let requests = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            while output.read_until(0, &mut bytes).is_ok_and(|read| read > 0) {
                let message = serde_json::from_slice(bytes.strip_suffix(&[0]).unwrap_or(&bytes));
                if message.is_ok_and(|message| sender.send(message).is_err()) {
                    break;
                }
                bytes.clear();
            }
        });
        let (session, reported) = (String::new(), Vec::new());
        let mut browser =
            Self { child, requests, messages, session, asked: 0, reported, _profile: profile };
        let target = browser.ask("Target.createTarget", &json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.ask("Target.attachToTarget", &target);
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            browser.ask(&format!("{domain}.enable"), &json!({}));
        }
        browser.size(1000, 1400);
        Some(browser)
    }

    /// Sends a request and waits for its answer.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.asked += 1;
        let mut request = json!({ "id": self.asked, "method": method, "params": params });
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.requests.write_all(format!("{request}\0").as_bytes()).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect(method);
            if message["id"] == self.asked {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    /// Remembers what the page did wrong. An answer of the log that is no success is no mistake of the page.
    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        let entry = &params["entry"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.reported.push(params["exceptionDetails"].to_string());
            }
            Some("Log.entryAdded") if entry["level"] == "error" && entry["source"] != "network" => {
                self.reported.push(entry.to_string());
            }
            _ => {}
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.ask("Page.navigate", &json!({ "url": url }));
        let loaded = "document.readyState === 'complete' && location.href !== 'about:blank'";
        self.wait(loaded);
    }

    /// The value of an expression in the page, once it is there if it is a promise.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.ask("Runtime.evaluate", &params);
        let failed = &answer["exceptionDetails"];
        assert!(failed.is_null(), "{expression}: {failed}");
        answer["result"]["value"].clone()
    }

    /// The text of an element, as it is shown.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let shown = self.eval(&format!("document.querySelector('{selector}')?.innerText ?? ''"));
        shown.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until an expression is true.
    pub(crate) fn wait(&mut self, condition: &str) {
        let begun = Instant::now();
        // While a page is replaced by another one an expression may have no document.
        while self.eval(&format!("Boolean({condition})")) != true {
            if begun.elapsed() > PATIENCE {
                let page = self.eval("document.body.innerText");
                panic!("never: {condition}\n{page}\n{:?}", self.reported);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until an element shows a text.
    pub(crate) fn wait_for(&mut self, selector: &str, text: &str) {
        self.wait(&format!(
            "document.querySelector('{selector}')?.innerText.includes({})",
            json!(text)
        ));
    }

    /// Types a text where the focus is.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.ask("Input.insertText", &json!({ "text": text }));
    }

    /// Presses a key and lets go of it.
    pub(crate) fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            other => panic!("no code for {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let params = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.ask("Input.dispatchKeyEvent", &params);
        }
    }

    /// Makes the window so large.
    pub(crate) fn size(&mut self, width: u32, height: u32) {
        let params = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500,
        });
        self.ask("Emulation.setDeviceMetricsOverride", &params);
    }

    pub(crate) fn dark(&mut self, dark: bool) {
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.ask("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// Keeps a picture of the whole page, for a person to look at.
    pub(crate) fn picture(&mut self, name: &str) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.ask("Page.captureScreenshot", &params);
        let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let dir = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join(format!("{name}.png")), picture).unwrap();
    }

    /// Ends the test: the page threw nothing, and the browser refused nothing that it did.
    pub(crate) fn end(mut self) {
        // What is under way is reported before this is answered.
        self.eval("new Promise((done) => setTimeout(done, 50))");
        assert_eq!(self.reported, Vec::<String>::new());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
