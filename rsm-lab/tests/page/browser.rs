//! A browser without a screen, told what to do by the protocol of its developer tools: keys are pressed and what stands in the
//! page is looked at as a person would.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// Seconds after which a browser hangs, on the busiest machine too.
const DEADLINE: &str = "240";

/// A running browser, with one page.
pub(crate) struct Browser {
    child: Child,
    /// It ends when this does.
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    calls: u64,
    session: Option<String>,
    profile: PathBuf,
}

impl Browser {
    /// The first one that there is; says so where there is none.
    pub(crate) fn start(profile: PathBuf) -> Option<Browser> {
        let answers =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|told| told.status.success());
        let Some(name) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(answers) else {
            // Not by a macro, whose text a test that passes keeps to itself.
            let _ = writeln!(std::io::stderr(), "skipped: there is no chromium to show pages of traces");
            return None;
        };
        // It hears on descriptor 3 and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec timeout -k 5 \"$@\"", "sh", DEADLINE, name])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1280,800"])
            .args(["--disable-dev-shm-usage", "--disable-extensions", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Browser { child, to, from, calls: 0, session: None, profile };
        let page = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let asked = json!({ "targetId": page["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", asked)["sessionId"].as_str().map(str::to_owned);
        assert!(browser.session.is_some());
        Some(browser)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let mut message = json!({ "id": self.calls, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.as_mut().unwrap().write_all(format!("{message}\0").as_bytes()).expect("the browser hears");
        loop {
            let mut answer = Vec::new();
            self.from.read_until(0, &mut answer).unwrap();
            assert_eq!(answer.pop(), Some(0), "the browser has ended, or took longer than {DEADLINE} s, at {method}");
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == self.calls {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].take();
            }
        }
    }

    /// Opens a page at an event, or none, and waits until it is drawn.
    pub(crate) fn open(&mut self, page: &Path, event: Option<usize>) {
        let event = event.map_or_else(String::new, |event| format!("#{event}"));
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        // Or an event of the page that is there is looked for in that.
        while self.text("location.href") != "about:blank" {
            std::thread::sleep(Duration::from_millis(10));
        }
        let gone = self.call("Page.navigate", json!({ "url": format!("file://{}{event}", page.display()) }));
        assert!(gone["errorText"].is_null(), "{gone}");
        // The browser ends when its time is over, and this with it.
        loop {
            let ready = self.ask("document.documentElement?.dataset.ready ?? ''");
            if ready.as_str().is_some_and(|ready| !ready.is_empty()) {
                return;
            }
            let told = self.text("document.getElementById('told')?.textContent ?? ''");
            assert!(!told.contains("needs a browser"), "{told}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What an expression of the page's is.
    pub(crate) fn ask(&mut self, expression: &str) -> Value {
        let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut told = self.call("Runtime.evaluate", asked);
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].take()
    }

    pub(crate) fn number(&mut self, expression: &str) -> f64 {
        let told = self.ask(expression);
        told.as_f64().unwrap_or_else(|| panic!("{expression} is no number: {told}"))
    }

    pub(crate) fn text(&mut self, expression: &str) -> String {
        let told = self.ask(expression);
        told.as_str().unwrap_or_else(|| panic!("{expression} is no text: {told}")).to_owned()
    }

    /// Presses a key, with shift or without, where the focus is.
    pub(crate) fn press(&mut self, key: &str, shift: bool) {
        let text = match key {
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        let modifiers = if shift { 8 } else { 0 };
        let kind = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        let down = json!({ "type": kind, "key": key, "text": text, "modifiers": modifiers });
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({ "type": "keyUp", "key": key, "modifiers": modifiers }));
    }

    /// Types a text.
    pub(crate) fn enter(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Shows pages as one who likes them light, or dark, and waits until they are drawn so.
    pub(crate) fn prefer(&mut self, colours: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": colours }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": feature }));
        self.draw();
    }

    /// Waits until what has changed is drawn.
    pub(crate) fn draw(&mut self) {
        self.ask("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(() => drawn(1))))");
    }

    /// A picture of the page goes into this folder, if somebody wants to look at it.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("RSM_PICTURES") else { return };
        let told = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        let path = Path::new(&folder).join(format!("{name}.png.base64"));
        std::fs::write(path, told["data"].as_str().unwrap()).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends when nobody tells it anything any more, or by its time limit; until then it writes to its profile.
        self.to = None;
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}
