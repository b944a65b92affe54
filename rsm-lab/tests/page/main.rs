//! The page of a trace, in a browser.

mod browser;

use browser::Browser;
use rsm::lens::event::Kind;
use rsm::lens::{Lens, Trace};
use rsm::{AccessList, BarrierMode, Cluster, Permission, SegmentId};
use rsm_lab::trace::{Happening, Recorder, Story, What, page};
use serde_json::{Value, json};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of a test alone, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("rsm-page-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }

    /// A browser with its own folder here.
    fn browser(&self) -> Option<Browser> {
        Browser::start(self.0.join("profile"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Node 1 puts to segments of nodes 2 and 3, after the first time in spans to that of node 2, and signals node 2.
fn story(scratch: &Scratch) -> Story {
    let file = scratch.0.join("t.rsmtrace");
    let cluster = Cluster::builder(3).lens(Lens::clear(0).trace(Trace::default())).start().unwrap();
    let recorder = Recorder::begin(File::create(&file).unwrap(), &cluster, false).unwrap();
    let node = |node: u32| cluster.node(node).unwrap().controller("shm0").unwrap();
    let (id, other) = (SegmentId::new(0x40_0001), SegmentId::new(0x40_0002));
    let (two, three) = (node(2).export(65536).unwrap(), node(3).export(65536).unwrap());
    two.publish(id, &AccessList::everyone()).unwrap();
    three.publish(other, &AccessList::everyone()).unwrap();
    let one = node(1);
    let imports = [(2, id), (3, other)].map(|(node, id)| one.connect(node, id, Permission::ReadWrite).unwrap());
    imports[0].put_u64(16, 1).unwrap();
    imports[0].set_mode(BarrierMode::Explicit);
    for round in 0..5 {
        let span = imports[0].open_barrier().unwrap();
        imports[0].put(4096 * round, &[1; 64]).unwrap();
        span.order().unwrap();
        imports[0].put_u64(0, round).unwrap();
        span.close().unwrap();
        imports[0].signal().unwrap();
        two.wait(Some(PATIENCE)).unwrap();
        imports[1].put_u64(8, round).unwrap();
    }
    imports[1].get(0, &mut [0; 100]).unwrap();
    drop(imports);
    drop((two, three));
    recorder.end(&cluster).unwrap();
    let story = Story::read(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(story.wrong, None);
    story
}

fn write(scratch: &Scratch, story: &Story) -> PathBuf {
    let path = scratch.0.join("t.html");
    std::fs::write(&path, page(story)).unwrap();
    path
}

/// The numbers of the calls that are so, from 1.
fn numbers(story: &Story, is_so: impl Fn(&rsm_lab::trace::Call) -> bool) -> Vec<usize> {
    story.calls().filter(|(.., call)| is_so(call)).map(|(index, ..)| index + 1).collect()
}

/// The number of the event that is chosen; 0: none.
fn chosen(browser: &mut Browser) -> usize {
    browser.number("parseInt(document.querySelector('#told b')?.textContent ?? '0')") as usize
}

#[test]
fn everything_is_in_the_page() {
    let scratch = Scratch::new("whole");
    let page = page(&story(&scratch));
    assert!(!page.contains("@DATA@") && !page.contains("@HEAD@"));
    assert!(!page.contains("http://") && !page.contains("https://"), "and nothing else is needed");
}

#[test]
fn the_page_is_searched_and_filtered_and_gone_through_by_keys() {
    let scratch = Scratch::new("keys");
    let Some(mut browser) = scratch.browser() else { return };
    let mut story = story(&scratch);
    // The first wait begins before its signal comes, the others after.
    let waits: Vec<(usize, usize)> = story.calls().filter_map(|(index, _, call)| Some((index, call.from?))).collect();
    let ((post, wait), in_time) = ((waits[0].0, waits[0].1), waits[1]);
    assert_eq!(post, wait + 1, "one follows the other");
    story.happenings.swap(wait, post);
    story.happenings[wait].at = story.happenings[post].at;
    story.happenings[post].at += story.happenings[wait].took / 2;
    if let What::Call(call) = &mut story.happenings[wait].what {
        call.from = Some(post);
    }
    let count_of_arrows = story.calls().filter(|(.., call)| call.from.or(call.close).is_some()).count();
    // And how processes end, beside calls.
    let (at, took, process) = (story.end(), 0, 0);
    for what in [What::Missing(3, 0), What::Ended(9, 0), What::Left] {
        story.happenings.push(Happening { at, took, process, what });
    }
    let path = write(&scratch, &story);
    let posts = numbers(&story, |call| call.kind == Kind::Post);

    // At an event.
    browser.open(&path, Some(posts[0]));
    assert_eq!(chosen(&mut browser), posts[0]);
    let summary = browser.text("document.getElementById('sum').textContent");
    assert_eq!(summary, format!("{} events, 3 nodes", story.happenings.len()));
    assert!(browser.text("document.querySelector('#told b').textContent").contains("post       2:0x400001"));

    // One after the other, and back; a wait says which signal it took, a put which end of a span made it sure.
    browser.press("j", false);
    assert_eq!(chosen(&mut browser), posts[0] + 1);
    browser.press("k", false);
    assert_eq!(chosen(&mut browser), posts[0]);
    let (put, close) = story.calls().find_map(|(index, _, call)| Some((index, call.close?))).unwrap();
    let count = story.happenings.len();
    for (event, says) in [
        (wait, format!("of {}", post + 1)),
        (in_time.0, format!("of {}", in_time.1 + 1)),
        (put, format!("closed by {}", close + 1)),
        (count - 3, "3 records before this were lost ".to_owned()),
        (count - 2, "was killed by signal 9".to_owned()),
        (count - 1, "has left the cluster".to_owned()),
    ] {
        browser.open(&path, Some(event + 1));
        let told = browser.text("document.querySelector('#told b').textContent");
        assert!(told.ends_with(&says), "{told:?} ends with {says}");
    }

    // What is found, by words and by place.
    browser.open(&path, None);
    assert_eq!(browser.number("arrows") as usize, count_of_arrows);
    assert_eq!(chosen(&mut browser), 0);
    let covers = |call: &rsm_lab::trace::Call| {
        matches!(call.kind, Kind::Put | Kind::Get) && (call.offset..call.offset + call.length).contains(&8)
    };
    for (words, hits) in [
        ("put", numbers(&story, |call| call.kind == Kind::Put)),
        ("POST 2:0x400001", posts.clone()),
        ("+8", numbers(&story, covers)),
        ("no such words", Vec::new()),
    ] {
        browser.press("/", false);
        assert_eq!(browser.text("document.activeElement.id"), "find");
        browser.enter(words);
        assert_eq!(browser.text("document.getElementById('found').textContent"), format!("{} found", hits.len()));
        if hits.is_empty() {
            browser.press("Escape", false);
            continue;
        }
        browser.press("Enter", false);
        assert_eq!(chosen(&mut browser), hits[0], "{words}");
        browser.press("Enter", false);
        assert_eq!(chosen(&mut browser), hits[1], "{words}");
        browser.press("Enter", true);
        assert_eq!(chosen(&mut browser), hits[0], "{words}, backwards");
        // n and p do the same outside of the field, which Escape leaves, and whose words it clears.
        browser.ask("document.getElementById('c').focus()");
        browser.press("n", false);
        assert_eq!(chosen(&mut browser), hits[1]);
        browser.press("p", false);
        browser.press("p", false);
        assert_eq!(chosen(&mut browser), hits[hits.len() - 1], "round and round");
        browser.press("/", false);
        browser.press("Escape", false);
        assert_eq!(
            browser.text("document.getElementById('find').value + document.getElementById('found').textContent"),
            ""
        );
        assert_eq!(browser.text("document.activeElement.id"), "c");
        browser.press("Escape", false);
        assert_eq!(chosen(&mut browser), 0);
    }

    // Of one segment only.
    let of_three = numbers(&story, |call| (call.node, call.id) == (3, Some(0x40_0002)));
    browser.ask(
        "const choice = document.getElementById('segment');
        choice.value = [...choice.options].find(option => option.text == '3:0x400002').value;
        choice.dispatchEvent(new Event('change')); document.getElementById('c').focus()",
    );
    let ends: Vec<usize> =
        (1..).zip(&story.happenings).filter(|(_, of)| !matches!(of.what, What::Call(_))).map(|(at, _)| at).collect();
    let mut met = Vec::new();
    for _ in 0..of_three.len() + ends.len() {
        browser.press("j", false);
        met.push(chosen(&mut browser));
    }
    let mut expected = [of_three, ends].concat();
    expected.sort_unstable();
    assert_eq!(met, expected);

    // Nearer, farther, along and all.
    browser.open(&path, None);
    let seen = |browser: &mut Browser| [browser.number("x0"), browser.number("x1")];
    let [first, last] = seen(&mut browser);
    browser.press("+", false);
    let [from, to] = seen(&mut browser);
    assert!(from > first && to < last);
    browser.press("ArrowRight", false);
    let [right, end] = seen(&mut browser);
    assert!(right > from && ((end - right) - (to - from)).abs() < 1.0);
    browser.press("ArrowLeft", false);
    assert!(seen(&mut browser)[0] < right);
    browser.press("-", false);
    let [left, _] = seen(&mut browser);
    assert!(left < from);
    browser.press("a", false);
    assert_eq!(seen(&mut browser), [first, last]);
}

#[test]
fn the_lane_of_what_is_chosen_is_seen() {
    let scratch = Scratch::new("lanes");
    let Some(mut browser) = scratch.browser() else { return };
    let mut story = story(&scratch);
    // The same by sixteen nodes: what is at the same time is of another one each time.
    let count = story.happenings.len();
    let all: Vec<_> = story.happenings.iter().enumerate().filter(|(_, of)| matches!(of.what, What::Call(_))).collect();
    let (first, last) = (all[0].0 + 1, all[all.len() - 1].0 + 1);
    story.processes = (1..=16)
        .map(|node| rsm_lab::trace::Process {
            membership: node,
            node: node as u32,
            pid: 100,
            ..story.processes[0].clone()
        })
        .collect();
    for (index, happening) in story.happenings.iter_mut().enumerate() {
        happening.process = if index + 1 == last { 15 } else { index % 15 };
    }
    story.happenings[first - 1].process = 0;
    // One of them with two threads.
    story.processes[15].threads = 6;
    let path = write(&scratch, &story);
    browser.open(&path, Some(last));
    // Whether the lane of the chosen event is in the part that is shown, and how far that is.
    let lane = "(() => { const v = document.getElementById('view'), top = laneOf[P[pick]] * LANE + TOP;
        return [top >= v.scrollTop && top + LANE <= v.scrollTop + v.clientHeight, v.scrollTop] })()";
    let seen = |browser: &mut Browser| {
        let told = browser.ask(lane);
        (told[0] == true, told[1].as_f64().unwrap())
    };
    let told = |browser: &mut Browser| browser.text("document.querySelector('#told b').textContent");
    assert_eq!(chosen(&mut browser), last);
    assert!(told(&mut browser).contains("  thread "), "{}", told(&mut browser));
    let (is_seen, down) = seen(&mut browser);
    assert!(is_seen && down > 0.0, "sixteen lanes are higher than the window: {down}");
    // Another one by its number in the address, which no page is loaded anew for.
    browser.ask(&format!("window.sameAsBefore = true; location.hash = '#{first}'"));
    while chosen(&mut browser) != first {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!((browser.ask("window.sameAsBefore"), seen(&mut browser)), (json!(true), (true, 0.0)));
    assert!(!told(&mut browser).contains("  thread "), "{}", told(&mut browser));
    // And by keys, whichever way.
    for (key, times) in [("j", count - first), ("k", count - first)] {
        for _ in 0..times {
            browser.press(key, false);
            assert!(seen(&mut browser).0, "event {}", chosen(&mut browser));
        }
    }
}

#[test]
fn a_span_begins_with_what_is_in_it() {
    let scratch = Scratch::new("spans");
    let Some(mut browser) = scratch.browser() else { return };
    let story = story(&scratch);
    browser.open(&write(&scratch, &story), None);
    let closes = story.calls().filter(|(.., call)| call.kind == Kind::Close);
    let expected: Vec<Value> = closes
        .map(|(close, closed, _)| {
            let puts = story.calls().filter(|(.., call)| call.close == Some(close));
            let first = puts.map(|(_, put, _)| put.at).min().expect("each has two");
            json!([first, closed.end()])
        })
        .collect();
    assert_eq!((expected.len(), browser.ask("spans.map(span => [span[1], span[2]])")), (5, json!(expected)));
}

/// How bright a colour is, by the formula of the guidelines for contents that all can read.
fn luminance([red, green, blue]: [f64; 3]) -> f64 {
    let linear = |part: f64| if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) };
    0.2126 * linear(red / 255.0) + 0.7152 * linear(green / 255.0) + 0.0722 * linear(blue / 255.0)
}

/// The contrast of two colours, from 1 to 21.
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn the_page_is_readable_in_light_and_in_dark() {
    let scratch = Scratch::new("colours");
    let Some(mut browser) = scratch.browser() else { return };
    let story = story(&scratch);
    let path = write(&scratch, &story);
    let colour = |browser: &mut Browser, expression: &str| -> [f64; 3] {
        let told = browser.ask(expression);
        std::array::from_fn(|at| told[at].as_f64().unwrap_or_else(|| panic!("{expression}: {told}")))
    };
    // As the browser itself understands it.
    let named = |name: &str| {
        format!(
            "(() => {{ const g = document.createElement('canvas').getContext('2d');
            g.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--{name}'); g.fillRect(0, 0, 1, 1);
            return [...g.getImageData(0, 0, 1, 1).data] }})()"
        )
    };
    browser.open(&path, numbers(&story, |call| call.kind == Kind::Close).first().copied());
    for (scheme, dark) in [("light", false), ("dark", true), ("light", false)] {
        browser.prefer(scheme);
        let back = colour(&mut browser, &named("back"));
        assert_eq!(luminance(back) < 0.1, dark, "{scheme}: {back:?}");
        let drawn = colour(
            &mut browser,
            "(() => { const c = document.getElementById('c');
            return [...c.getContext('2d').getImageData(2, 2, 1, 1).data] })()",
        );
        assert_eq!(drawn, back, "{scheme}: the lanes are drawn anew");
        let lane = colour(&mut browser, &named("lane"));
        for (names, least) in [
            (&["fore"][..], 7.0),
            (&["dim"], 4.5),
            (&["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "mark", "bad", "pick"], 3.0),
        ] {
            for name in names {
                let named = colour(&mut browser, &named(name));
                for ground in [back, lane] {
                    let contrast = contrast(named, ground);
                    assert!(contrast >= least, "{scheme}: {name} {named:?} on {ground:?}: {contrast:.2}, not {least}");
                }
            }
        }
        browser.picture(scheme);
    }
}

/// A hundred thousand, and in all tests a million.
#[test]
fn a_long_trace_is_opened() {
    let scratch = Scratch::new("long");
    let mut story = story(&scratch);
    let count = if std::env::var("RSM_TESTS").is_ok_and(|tests| tests == "all") { 1_000_000 } else { 100_000 };
    // The same again and again, each time a little later.
    let calls: Vec<_> = story.happenings.iter().take_while(|of| matches!(of.what, What::Call(_))).cloned().collect();
    assert!(calls.len() > 40, "{} calls, and then ends of processes", calls.len());
    let length = calls.iter().map(|happening| happening.end()).max().unwrap();
    story.happenings = (0..count)
        .map(|number| {
            let mut happening = calls[number % calls.len()].clone();
            happening.at += (number / calls.len()) as u64 * length;
            if let What::Call(call) = &mut happening.what {
                let again = number - number % calls.len();
                let moved = |index: usize| Some(again + index).filter(|index| *index < count);
                (call.from, call.close) = (call.from.and_then(moved), call.close.and_then(moved));
            }
            happening
        })
        .collect();
    let path = write(&scratch, &story);
    // Whose time begins when there is something to show.
    let Some(mut browser) = scratch.browser() else { return };
    browser.open(&path, None);
    let separated = if count == 1_000_000 { "1,000,000" } else { "100,000" };
    assert_eq!(browser.text("document.getElementById('sum').textContent"), format!("{separated} events, 3 nodes"));
    let ready = browser.text("document.documentElement.dataset.ready");
    let ready: Vec<usize> = ready.split(' ').map(|number| number.parse().unwrap()).collect();
    let [decoded, drawn, parts] = ready[..] else { panic!("{ready:?}") };
    let bytes = std::fs::metadata(&path).unwrap().len();
    eprintln!(
        "{count} events: decoded in {decoded} ms, drawn in {drawn} ms as {parts} parts; the page has {bytes} bytes"
    );
    // However many events there are, no more parts of a kind are drawn in a row of a lane than can be told apart.
    let width = browser.number("document.getElementById('view').clientWidth") as usize;
    let rows = story.calls().map(|(_, of, call)| (of.process, call.kind)).collect::<std::collections::HashSet<_>>();
    assert!(parts > 0 && parts <= rows.len() * width, "{parts} parts of {} rows", rows.len());
    browser.picture("long");
    let posts = numbers(&story, |call| call.kind == Kind::Post).len();
    browser.press("/", false);
    browser.enter("post 2:0x400001");
    assert_eq!(browser.text("document.getElementById('found').textContent"), format!("{posts} found"));
    // At its end, and near enough to read.
    browser.open(&path, Some(count));
    assert_eq!(chosen(&mut browser), count);
    let [from, to] = [browser.number("x0"), browser.number("x1")];
    assert!(to - from < story.end() as f64 / 100.0, "{from} to {to}");
    browser.picture("long-end");
}
