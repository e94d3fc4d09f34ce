//! How the page looks: on a phone, in the dark, by keyboard alone.

use std::fmt::Write;

use crate::browser::Browser;
use crate::lookup::send;
use crate::served::{Logged, Server, entries};

/// A log with some activity: parts, a log behind them, checkpoints and seconds.
fn busy() -> Logged {
    let log = Logged::new(1, &["main"], entries(20_000));
    log.store.checkpoint().unwrap();
    for round in 0..5 {
        log.add((0..400).map(|number| format!("round {round} {number}")));
        log.store.checkpoint().unwrap();
    }
    log.add((0..300).map(|number| format!("last {number}")));
    log
}

/// Adds entries as clients do, so that there is something to be drawn.
fn visited(browser: &mut Browser, seconds: usize) {
    let mut script = String::from("(async () => {");
    for second in 0..seconds {
        let _ = write!(
            script,
            "await Promise.all(Array.from({{length: {}}}, (_, n) => fetch('/add', {{method: 'POST', body: `v {second} ${{n}}`}})));\
             await new Promise((done) => setTimeout(done, 1000));",
            20 + 17 * (second % 5)
        );
    }
    script += "})()";
    browser.eval(&script);
}

#[test]
fn the_page_fits_a_phone_and_can_be_read_in_the_light_and_in_the_dark() {
    let Some(mut browser) = Browser::start("looks") else { return };
    let log = busy();
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy");
    // The log signs with ML-DSA-44 as well, and shows that key.
    browser.wait_for("#signatures", "the log's key, verified");
    browser.wait_for("#signatures", "cosigned, verified");
    let seconds = std::env::var("DURAMEN_PAGE_SECONDS").ok().and_then(|n| n.parse().ok());
    visited(&mut browser, seconds.unwrap_or(2));
    send(&mut browser, "sought", "entry 12345");
    browser.wait_for("#found", "Verified: it is in the log, at index 12,345.");
    let old = browser.text("#note");
    send(&mut browser, "older", &old);
    browser.wait_for("#compared", "Verified");
    browser.wait("document.querySelectorAll('#rate .bar').length > 0");
    browser.wait("document.querySelectorAll('#rate .band-checkpoint').length > 0");
    browser.wait("document.querySelectorAll('.axis .part').length > 0");
    for (name, width) in [("desktop", 1000), ("phone", 360)] {
        browser.size(width, 740);
        for dark in [false, true] {
            browser.dark(dark);
            let wide = browser.eval("document.documentElement.scrollWidth");
            let inner = browser.eval("document.documentElement.clientWidth");
            assert_eq!(wide, inner, "{name} scrolls sideways");
            let outside = browser.eval(OUTSIDE);
            assert_eq!(outside, serde_json::json!([]), "{name}");
            let faint = browser.eval(CONTRAST);
            assert_eq!(faint, serde_json::json!([]), "{name}, dark: {dark}");
            let lit = browser.eval("getComputedStyle(document.body).backgroundColor");
            assert_eq!(lit == "rgb(251, 250, 248)", !dark, "{lit}");
            browser.picture(&format!("{name}-{}", if dark { "dark" } else { "light" }));
        }
    }
    browser.end();
}

/// What reaches beyond the sides of the window without a scroll bar of its own.
const OUTSIDE: &str = "[...document.querySelectorAll('main *, header *')].filter((one) => {
    const { left, right, width } = one.getBoundingClientRect();
    return width > 1 && !one.closest('.scroll, svg') && (left < 0 || right > innerWidth + 0.5);
}).map((one) => one.outerHTML.slice(0, 80))";

/// Texts with a contrast to what is behind them below 4.5 to 1.
const CONTRAST: &str = "(() => {
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const parts = (colour) => colour.match(/[0-9.]+/g).map(Number);
    const behind = (one) => {
        for (; one !== null; one = one.parentElement) {
            const colour = parts(getComputedStyle(one).backgroundColor);
            if (colour.length < 4 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const faint = new Set();
    while (walker.nextNode()) {
        const one = walker.currentNode.parentElement;
        if (walker.currentNode.data.trim() === '' || one.closest('script, noscript, [hidden]')) continue;
        const style = getComputedStyle(one);
        const text = one.closest('svg') ? style.fill : style.color;
        const [a, b] = [light(parts(text)), light(behind(one))];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.add(`${one.className || one.tagName} ${contrast.toFixed(2)}`);
    }
    return [...faint];
})()";

#[test]
fn everything_can_be_done_by_keyboard_alone() {
    let Some(mut browser) = Browser::start("keyboard") else { return };
    let log = Logged::new(1, &["main"], entries(50));
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy");
    // The first stop leads past what is above the search.
    browser.press("Tab");
    assert_eq!(browser.eval("document.activeElement.className"), "skip");
    browser.press("Enter");
    browser.wait("document.activeElement.id === 'lookup'");
    let mut stops = Vec::new();
    let mut go_to = |browser: &mut Browser, target: &str| {
        for _ in 0..30 {
            browser.press("Tab");
            let at = browser.eval("document.activeElement.id || document.activeElement.innerText");
            stops.push(at.as_str().unwrap_or_default().to_owned());
            let shown = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
            assert_ne!(shown, "none", "the focus is not seen on {at}");
            if at == target {
                return;
            }
        }
        panic!("no way to {target}: {stops:?}");
    };
    go_to(&mut browser, "sought");
    browser.type_text("entry 17");
    go_to(&mut browser, "Find and verify");
    browser.press("Enter");
    browser.wait_for("#found", "Verified: it is in the log, at index 17.");
    go_to(&mut browser, "All hashes of the path");
    browser.press("Enter");
    browser.wait("document.querySelector('#found table').getBoundingClientRect().height > 0");
    go_to(&mut browser, "copy-note");
    browser.press("Enter");
    browser.wait("['Copied', 'Selected'].includes(document.getElementById('copy-note').innerText)");
    let note = browser.text("#note");
    go_to(&mut browser, "older");
    browser.type_text(&note);
    go_to(&mut browser, "Verify");
    browser.press("Enter");
    browser.wait_for("#compared", "Verified: size 50 continues size 50.");
    go_to(&mut browser, "own-key");
    browser.type_text(&log.key);
    browser.press("Enter");
    browser.wait_for("#key-answer", "From now on this browser trusts this key alone.");
    browser.end();
}

#[test]
fn a_screen_reader_finds_a_name_for_everything_and_hears_changes_alone() {
    let Some(mut browser) = Browser::start("labels") else { return };
    let log = busy();
    let server = Server::start(&[&log]);
    browser.open(&server.url("/"));
    browser.wait_for("#verdict-line", "Healthy");
    send(&mut browser, "sought", "entry 7");
    browser.wait_for("#found", "Verified");
    // Every field has a label, every drawing a name, every part of the page a heading, in the right order.
    let unnamed = browser.eval(
        "[...document.querySelectorAll('input, textarea, button, svg[role=img], section, pre')].filter((one) => {
            const by = (one.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.innerText ?? '').join('');
            const label = one.labels?.length ? one.labels[0].innerText : '';
            return !(by || label || one.getAttribute('aria-label') || (one.tagName === 'BUTTON' && one.innerText));
        }).map((one) => one.outerHTML.slice(0, 60))",
    );
    assert_eq!(unnamed, serde_json::json!([]));
    let levels = browser
        .eval("[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))");
    let levels: Vec<_> = levels.as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert_eq!(levels[0], 1);
    assert!(levels.windows(2).all(|two| two[1] <= two[0] + 1), "{levels:?}");
    assert_eq!(browser.eval("document.documentElement.lang"), "en");
    // The verdict is announced when it changes, and not every second with its age.
    let announced = browser.text("#announced");
    assert!(announced.starts_with("Healthy"), "{announced}");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert_eq!(browser.text("#announced"), announced);
    browser.end();
}
