//! The demo's page in a real browser: Chromium without a window.

mod chromium;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use self::chromium::Tab;
use crate::demo::Demo;

/// More than a browser may take for anything on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

const IS_OPEN: &str = "document.getElementById('state').dataset.state === 'open'";
const IS_GREETED: &str = "document.getElementById('endpoint').textContent.includes(' at ')";

fn last_close_begins_with(code: u16) -> String {
    format!("document.getElementById('closed').textContent.startsWith('{code} (')")
}

fn log_has(text: &str) -> String {
    format!("document.getElementById('log').textContent.includes('{text}')")
}

fn edit(file: &Path, from: &str, to: &str) {
    let before = fs::read_to_string(file).expect("a manifest");
    assert!(before.contains(from), "{before}");
    fs::write(file, before.replacen(from, to, 1)).expect("a manifest");
}

#[tokio::test]
async fn the_page_shows_what_becomes_of_its_websocket() {
    let mut demo = Demo::start();
    let mut tab = Tab::open(demo.word("https://chat.")).await;
    tab.until(&format!("{IS_OPEN} && {IS_GREETED}")).await;
    assert_eq!(tab.text("page").await, "h2");
    assert_eq!(tab.text("closed").await, "none");

    tab.value("document.getElementById('message').value = 'from a browser'").await;
    tab.value("document.getElementById('send').click()").await;
    tab.until(&log_has("received from a browser after")).await;

    let chat = demo.folder().join("chat.yaml");
    let behavior =
        "  cacheBehaviors: [{pathPattern: /edited, targetOriginId: echo}]\n  defaultCacheBehavior:";
    edit(&chat, "  defaultCacheBehavior:", behavior);
    demo.shows("/debug/table", "/edited");
    tab.value("document.getElementById('send').click()").await;
    tab.until("document.getElementById('log').textContent.split('received').length === 3").await;
    assert_eq!((tab.text("closed").await.as_str(), tab.text("state").await.as_str()), ("none", "open"));

    edit(&chat, "  aliases:", "  enabled: false\n  aliases:");
    tab.until(&last_close_begins_with(1001)).await;
    assert!(tab.text("state").await.contains("comes back in"), "{}", tab.text("state").await);
    edit(&chat, "  enabled: false", "  enabled: true");
    tab.until(IS_OPEN).await;

    demo.interrupt();
    tab.until(&last_close_begins_with(1012)).await;
    assert!(demo.ends_well());
}

/// What the browser itself says of the socket, and what the replica says of it.
#[tokio::test]
async fn the_websocket_runs_over_the_http2_connection_of_its_page() {
    let demo = Demo::start();
    let mut tab = Tab::open(demo.word("https://chat.")).await;
    tab.until(&format!("{IS_OPEN} && {IS_GREETED}")).await;
    let answers = tab.told("Network.webSocketHandshakeResponseReceived");
    let statuses: Vec<_> = answers.iter().map(|answer| &answer["response"]["status"]).collect();
    // Over HTTP/1.1 it would be 101.
    assert_eq!(statuses, [&json!(200)]);
    let protocol = tab.text("protocol").await;
    assert!(protocol.starts_with("HTTP/2"), "{protocol}");
    let table = demo.connections();
    assert!(table.contains("  h2  ") && table.contains("  demo\n"), "{table}");
}

#[tokio::test]
async fn the_page_is_one_file_that_everybody_can_use() {
    let demo = Demo::start();
    let mut tab = Tab::open(demo.word("https://chat.")).await;
    tab.until(&format!("{IS_OPEN} && {IS_GREETED}")).await;
    assert_eq!(tab.value("performance.getEntriesByType('resource').map((one) => one.name)").await, json!([]));
    for scheme in ["light", "dark"] {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        tab.command("Emulation.setEmulatedMedia", media).await;
        let worst = tab.value(WORST_CONTRAST).await.as_f64().expect("a ratio");
        // WCAG 2.2, success criterion 1.4.3.
        assert!(worst >= 4.5, "{scheme}: {worst}");
    }
    let tree = tab.command("Accessibility.getFullAXTree", json!({})).await;
    let nodes = tree["nodes"].as_array().expect("nodes").iter();
    let said: Vec<(&Value, &Value)> =
        nodes.map(|node| (&node["role"]["value"], &node["name"]["value"])).collect();
    for (role, name) in [
        ("heading", "A WebSocket through Tidegate"),
        ("textbox", "Message"),
        ("button", "Send"),
        ("button", "Close and open anew"),
        ("log", "What happened"),
    ] {
        assert!(said.contains(&(&json!(role), &json!(name))), "no {role} called {name}: {said:?}");
    }
    for complaint in ["Runtime.exceptionThrown", "Log.entryAdded"] {
        assert_eq!(tab.told(complaint), Vec::<&Value>::new(), "{complaint}");
    }
}

/// The lowest contrast of any text in the page with what is behind it (WCAG 2.2, relative luminance).
const WORST_CONTRAST: &str = r"
(() => {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [red, green, blue] = channels(color).map((value) => value / 255)
      .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const ratios = [...document.body.querySelectorAll('*')]
    .filter((element) => hasText(element) && !element.closest('script') && !element.disabled)
    .map((element) => [luminance(getComputedStyle(element).color), luminance(behind(element))])
    .map(([text, ground]) => (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05));
  return Math.min(...ratios);
})()";
