//! What the page shows of an honest log, and what it verifies.

use duramen::{Hasher, Rfc6962Sha256};

use crate::browser::Browser;
use crate::served::{Logged, ORIGIN, Server, entries};

/// Puts a text into a field and sends its form.
pub(crate) fn send(browser: &mut Browser, field: &str, text: &str) {
    let text = serde_json::json!(text);
    browser.eval(&format!(
        "document.getElementById('{field}').value = {text}; \
         document.getElementById('{field}').form.requestSubmit()"
    ));
}

#[test]
fn the_page_says_that_the_log_is_healthy_and_what_it_verified() {
    let Some(mut browser) = Browser::start("healthy") else { return };
    let log = Logged::new(1, &["main"], entries(1234));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy: 1,234 entries, the last checkpoint was signed");
    browser.wait_for("#checked", "This browser verified the checkpoint");
    assert_eq!(browser.text("#origin"), ORIGIN);
    assert_eq!(browser.text("#size"), "1,234");
    assert_eq!(browser.text("#root"), log.root());
    assert!(browser.text("#signatures").contains("the log's key, verified"));
    assert!(browser.text("#note").starts_with(&format!("{ORIGIN}\n1234\n")));
    assert_eq!(browser.text("#vkey"), log.key);
    browser.end();
}

#[test]
fn an_entry_a_hash_and_an_index_are_found_and_verified() {
    let Some(mut browser) = Browser::start("lookup") else { return };
    let log = Logged::new(1, &["main"], entries(700));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy");
    let leaf = const_hex::encode(Rfc6962Sha256.leaf(b"entry 321"));
    for sought in ["entry 321", "entry 321\n", &leaf, &leaf.to_uppercase(), "321"] {
        send(&mut browser, "sought", sought);
        browser.wait_for("#found", "Verified: it is in the log, at index 321.");
        // Ten levels have 700 leaves, and the drawing has a dot for the leaf and for the node of each.
        browser.wait("document.querySelectorAll('#found .path .node').length === 11");
        send(&mut browser, "sought", "entry 9999");
        browser.wait_for("#found", "Not found.");
    }
    send(&mut browser, "sought", &leaf);
    browser.wait_for("#found pre", "entry 321");
    // What was pasted stays in the browser.
    let asked = browser.eval(
        "performance.getEntriesByType('resource').every((one) => !one.name.includes('entry%20') && !one.name.includes('data='))",
    );
    assert_eq!(asked, true);
    browser.end();
}

#[test]
fn checkpoints_are_compared_and_those_of_others_refused() {
    let Some(mut browser) = Browser::start("compare") else { return };
    let log = Logged::new(1, &["main"], entries(5));
    let (forked, foreign) = (
        Logged::new(1, &["main"], entries(3).map(|e| e + "x")),
        Logged::new(2, &["main"], entries(5)),
    );
    let server = Server::start(&[&log, &forked, &foreign]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy: 5 entries");
    let old = browser.text("#note");
    log.add((0..40).map(|number| format!("later {number}")));
    browser.wait_for("#verdict-line", "Healthy: 45 entries");
    send(&mut browser, "older", &old);
    browser.wait_for("#compared", "Verified: size 45 continues size 5.");
    browser.wait_for("#compared", "40 entries were added between them");
    let fetch = "fetch('checkpoint').then((answer) => answer.text())";
    for (which, refused) in [(1, "Not verified"), (2, "Not verified")] {
        server.show(which);
        let note = browser.eval(fetch);
        server.show(0);
        send(&mut browser, "older", note.as_str().unwrap());
        browser.wait_for("#compared", refused);
        send(&mut browser, "older", &old);
        browser.wait_for("#compared", "Verified: size 45");
    }
    browser.end();
}

#[test]
fn each_log_of_a_server_has_its_page() {
    let Some(mut browser) = Browser::start("many") else { return };
    let log = Logged::new(1, &["main", "other"], entries(3));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/other"));
    browser.wait_for("#verdict-line", "Healthy: no entries yet");
    assert_eq!(browser.text("#origin"), format!("{ORIGIN}/other"));
    browser.wait("location.pathname === '/other/'");
    browser.eval("document.querySelector('#logs a').click()");
    browser.wait_for("#verdict-line", "Healthy: 3 entries");
    browser.wait("location.pathname === '/main/'");
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy: 3 entries");
    browser.eval("document.querySelectorAll('#logs a')[1].click()");
    browser.wait("location.pathname === '/other/'");
    browser.wait_for("#verdict-line", "Healthy: no entries yet");
    browser.end();
}

#[test]
fn a_disk_that_is_nearly_full_and_a_long_queue_are_told() {
    let Some(mut browser) = Browser::start("warnings") else { return };
    let log = Logged::new(1, &["main"], entries(3));
    let server = Server::start(&[&log]);
    server.lie(|path, answer| {
        if path == "/v1/state" {
            (answer["free_thousandths"], answer["disk_low"]) = (31.into(), true.into());
        }
    });
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "The disk is nearly full: 3.1 % is free.");
    browser.wait_for("#meters", "3.1 % free");
    server.lie(|path, answer| {
        if path == "/v1/state" {
            answer["backlog"]["bytes"] = (60_u64 << 20).into();
        }
    });
    browser.wait_for(
        "#verdict-line",
        "Overloaded: 60.0 MiB wait to be inserted, of at most 64.0 MiB.",
    );
    server.lie(|path, answer| {
        if path == "/v1/state" {
            answer["behind_ms"] = 20_000.into();
        }
    });
    browser.wait_for("#verdict-line", "Behind: entries are durable for 20 s without a checkpoint.");
    browser.end();
}

#[test]
fn a_log_that_cannot_sign_is_not_healthy() {
    let Some(mut browser) = Browser::start("shut") else { return };
    let log = Logged::new(1, &["main"], entries(3));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy: 3 entries");
    log.shut();
    log.add(["one more".to_owned()].into_iter());
    browser.wait_for("#verdict-line", "Not healthy: The last checkpoint could not be published.");
    // The entry is durable, and what was signed before still holds.
    send(&mut browser, "sought", "entry 1");
    browser.wait_for("#found", "Verified: it is in the log, at index 1.");
    drop(server);
    browser.wait_for("#verdict-line", "Not reached: the log does not answer.");
    browser.end();
}
