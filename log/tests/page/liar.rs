//! A log that lies is caught in the browser.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::lookup::send;
use crate::served::{Logged, Server, change, entries};

#[test]
fn a_wrong_proof_is_refused() {
    let Some(mut browser) = Browser::start("wrong proof") else { return };
    let log = Logged::new(1, &["main"], entries(100));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy");
    let lies: [fn(&mut Value); 4] = [
        |answer| change(&mut answer["siblings"][3]),
        |answer| drop(answer["siblings"].as_array_mut().unwrap().pop()),
        |answer| answer["siblings"].as_array_mut().unwrap().swap(1, 2),
        |answer| answer["siblings"] = json!([]),
    ];
    for lie in lies {
        server.lie(move |path, answer| {
            if path == "/v1/proof" {
                lie(answer);
            }
        });
        send(&mut browser, "sought", "entry 42");
        browser.wait_for("#found", "Not verified:");
        browser.wait("document.querySelector('#found').dataset.state === 'bad'");
        assert_eq!(browser.eval("document.querySelectorAll('#found .path').length"), 0);
        server.tell_the_truth();
        send(&mut browser, "sought", "entry 42");
        browser.wait_for("#found", "Verified: it is in the log, at index 42.");
    }
    // Another entry has a right proof, of another leaf.
    server.lie(|path, answer| {
        if path == "/v1/find" {
            answer["index"] = json!(41);
        }
    });
    send(&mut browser, "sought", "entry 42");
    browser.wait_for("#found", "Not verified:");
    browser.end();
}

#[test]
fn a_changed_checkpoint_is_refused() {
    let Some(mut browser) = Browser::start("changed checkpoint") else { return };
    let log = Logged::new(1, &["main"], entries(100));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy: 100 entries");
    for (from, to) in [("\n100\n", "\n101\n"), ("example.com/log\n", "example.com/other\n")] {
        server.lie(move |path, answer| {
            if path == "/v1/state" {
                let note = answer["checkpoint"]["note"].as_str().unwrap().replacen(from, to, 1);
                answer["checkpoint"]["note"] = json!(note);
            }
        });
        browser.wait_for("#verdict-line", "Do not rely on this log:");
        browser.wait("document.querySelector('#verdict').dataset.state === 'bad'");
        // Nothing is verified against it.
        send(&mut browser, "sought", "entry 42");
        browser.wait("document.querySelector('#found').dataset.state === 'bad'");
        server.tell_the_truth();
        browser.wait_for("#verdict-line", "Healthy: 100 entries");
    }
    browser.end();
}

#[test]
fn another_key_another_history_and_an_older_one_are_noticed_also_after_a_while() {
    let Some(mut browser) = Browser::start("another history") else { return };
    let log = Logged::new(1, &["main"], entries(100));
    let other_key = Logged::new(2, &["main"], entries(100));
    let other_history = Logged::new(1, &["main"], entries(200).map(|entry| entry + "!"));
    let older = Logged::new(1, &["main"], entries(60));
    let server = Server::start(&[&log, &other_key, &other_history, &older]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy: 100 entries");
    let lies = [
        (
            1,
            "Do not rely on this log: The checkpoint is not signed by the key that this browser knows, and shows another one",
        ),
        (
            2,
            "Do not rely on this log: The checkpoint does not continue the one that this browser saw",
        ),
        (
            3,
            "Do not rely on this log: The log went back: it signed a checkpoint with 100 entries, and now shows one with 60",
        ),
    ];
    for (which, line) in lies {
        server.show(which);
        browser.wait_for("#verdict-line", line);
        // It is the same on another visit.
        browser.open(&server.url("/?again"));
        browser.wait_for("#verdict-line", line);
        server.show(0);
        browser.wait_for("#verdict-line", "Healthy: 100 entries");
        browser.open(&server.url("/"));
        browser.wait_for("#verdict-line", "Healthy: 100 entries");
    }
    // A user who knows that this is right lets the browser forget what was.
    server.show(1);
    browser.wait_for("#verdict-line", "Do not rely on this log");
    assert!(browser.text("#trusted").contains("The log now shows another one."));
    browser.eval("document.getElementById('forget').click()");
    browser.wait_for("#verdict-line", "Healthy: 100 entries");
    browser.end();
}

#[test]
fn a_key_from_elsewhere_is_trusted_alone() {
    let Some(mut browser) = Browser::start("own key") else { return };
    let (log, other) =
        (Logged::new(1, &["main"], entries(9)), Logged::new(2, &["main"], entries(9)));
    let server = Server::start(&[&log]);
    let quoted = |key: &str| key.replace('+', "%2B");
    browser.open(&server.url(&format!("/#key={}", quoted(&other.key))));
    browser.wait_for("#verdict-line", "Do not rely on this log");
    browser.open(&server.url("/?other"));
    browser.wait_for("#verdict-line", "Healthy: 9 entries");
    send(&mut browser, "own-key", "no key");
    browser.wait_for("#key-answer", "The key's text is not of the form");
    send(&mut browser, "own-key", &other.key);
    browser.wait_for("#verdict-line", "Do not rely on this log");
    send(&mut browser, "own-key", &log.key);
    browser.wait_for("#verdict-line", "Healthy: 9 entries");
    assert!(browser.text("#trusted").starts_with("You entered it on"));
    browser.end();
}

#[test]
fn what_the_log_tells_is_shown_as_text_and_never_as_markup() {
    let Some(mut browser) = Browser::start("markup") else { return };
    let markup =
        "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>";
    let log = Logged::new(1, &["main"], [markup.to_owned()].into_iter());
    let server = Server::start(&[&log]);
    server.lie(move |path, answer| {
        if path == "/v1/state" {
            (answer["ready"], answer["reason"]) = (json!(false), json!(markup));
            answer["logs"] = json!(["a", markup]);
        }
        if path == "/v1/find" {
            answer["error"] = json!(markup);
        }
    });
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Not healthy: <img src=x onerror=");
    send(&mut browser, "sought", "0");
    browser.wait_for("#found pre", "<img src=x onerror=");
    assert_eq!(browser.eval("document.querySelectorAll('img, body script').length"), 0);
    assert_ne!(browser.eval("document.title"), "owned");
    browser.end();
}
