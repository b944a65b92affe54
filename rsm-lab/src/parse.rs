//! From the text of a script to its statements. Each function reads what it is named after.

use super::action::Action;
use super::condition::{Condition, Fact};
use super::random::Kinds;
use super::statement::{Attempt, Limit, Line, Statement, When};
use super::words::{ParseError, Words};
use rsm::steer::Links;
use rsm::{LinkState, SegmentId};
use rsm_core::message::NodeSignal;
use rsm_core::registry::LinkChange;
use std::time::Duration;

/// How often chance strikes when nothing is said.
const USUAL_PERIOD: Duration = Duration::from_millis(100);

/// A repeat that has not ended yet.
struct Open<'a> {
    words: Words<'a>,
    text: &'a str,
    limit: Limit,
    /// What came before it, to which it will belong.
    before: Vec<Line>,
}

pub(super) fn script(text: &str) -> Result<Vec<Line>, ParseError> {
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut lines: Vec<Line> = Vec::new();
    // Some editors begin a text with a mark, and end its lines with CR and LF.
    for (number, text) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let Some(mut words) = Words::of(number, text) else { continue };
        if words.eat("repeat") {
            let limit = limit(&mut words)?;
            words.end()?;
            open.push(Open { words, text, limit, before: std::mem::take(&mut lines) });
        } else if !open.is_empty() && words.eat("end") {
            words.end()?;
            let Some(repeat) = open.pop() else { continue };
            let body = std::mem::replace(&mut lines, repeat.before);
            if !matches!(repeat.limit, Limit::Times(_)) && !body.iter().any(|line| line.statement.pauses()) {
                let text = "this repeat would never pause: it needs an \"after TIME\" in it, or \"N times\"";
                return Err(repeat.words.fail_at(0, text.to_owned()));
            }
            let statement = Statement::Repeat { limit: repeat.limit, body };
            lines.push(Line { number: repeat.words.line(), text: repeat.text.trim().to_owned(), statement });
        } else {
            let statement = statement(&mut words)?;
            words.end()?;
            lines.push(Line { number, text: text.trim().to_owned(), statement });
        }
    }
    match open.pop() {
        Some(repeat) => Err(repeat.words.fail_at(0, "this repeat has no \"end\"".to_owned())),
        None => Ok(lines),
    }
}

fn statement(words: &mut Words<'_>) -> Result<Statement, ParseError> {
    let when = if words.eat("at") {
        When::At(words.time()?)
    } else if words.eat("after") {
        When::After(words.time()?)
    } else if words.eat("when") {
        let condition = condition(words)?;
        let within = if words.eat("within") { Some(words.time()?) } else { None };
        let then = if words.eat("then") { Some(attempt(words)?) } else { None };
        return Ok(Statement::Once { when: When::Holds(condition, within), then });
    } else if words.eat("every") {
        let period = period(words)?;
        // Before the action as well: a text to say takes the rest of the line.
        let first = limit(words)?;
        let then = attempt(words)?;
        let limit = if matches!(first, Limit::None) { limit(words)? } else { first };
        return Ok(Statement::Every { period, then, limit });
    } else if words.eat("random") {
        return random(words);
    } else if words.eat("stop") {
        return Ok(Statement::Stop);
    } else {
        return Ok(Statement::Once { when: When::Now, then: Some(attempt(words)?) });
    };
    let then = if words.at_end() { None } else { Some(attempt(words)?) };
    Ok(Statement::Once { when, then })
}

fn period(words: &mut Words<'_>) -> Result<Duration, ParseError> {
    let place = words.place();
    match words.time()? {
        Duration::ZERO => Err(words.fail_at(place, "must be longer than nothing".to_owned())),
        period => Ok(period),
    }
}

fn limit(words: &mut Words<'_>) -> Result<Limit, ParseError> {
    let place = words.place();
    if let Some(times) = words.eat_count("times")? {
        if times == 0 {
            return Err(words.fail_at(place, "must be at least 1 times".to_owned()));
        }
        return Ok(Limit::Times(times));
    }
    if words.eat("for") {
        return words.time().map(Limit::For);
    }
    if words.eat("until") {
        return condition(words).map(Limit::Until);
    }
    Ok(Limit::None)
}

fn random(words: &mut Words<'_>) -> Result<Statement, ParseError> {
    let seed = if words.eat("seed") { Some(words.value("a number")?) } else { None };
    let limit = limit(words)?;
    let period = if words.eat("every") { period(words)? } else { USUAL_PERIOD };
    let mut kinds = Kinds::USUAL;
    if words.eat(":") {
        kinds = Kinds::NONE;
        loop {
            let kind = match words.one_of(&["link", "node", "segment", "kill"])? {
                0 => &mut kinds.link,
                1 => &mut kinds.node,
                2 => &mut kinds.segment,
                _ => &mut kinds.kill,
            };
            *kind = true;
            if !words.eat(",") {
                break;
            }
        }
    }
    Ok(Statement::Random { seed, period, limit, kinds })
}

fn attempt(words: &mut Words<'_>) -> Result<Attempt, ParseError> {
    let tolerant = words.eat("try");
    let action = match words.one_of(&["link", "node", "segment", "say"])? {
        0 => {
            let change =
                [LinkChange::Down, LinkChange::Up, LinkChange::Error][words.one_of(&["down", "up", "error"])?];
            Action::Link(change, links(words)?)
        }
        1 => {
            let signals = [NodeSignal::Kill, NodeSignal::Stop, NodeSignal::Cont];
            match signals.get(words.one_of(&["kill", "stop", "cont", "restart"])?) {
                Some(signal) => Action::Node(*signal, node(words)?),
                None => Action::Restart(node(words)?),
            }
        }
        2 => {
            words.need("revoke")?;
            Action::Revoke(node(words)?, id(words)?)
        }
        _ => Action::Say(words.rest()?),
    };
    Ok(Attempt { action, tolerant })
}

fn node(words: &mut Words<'_>) -> Result<u32, ParseError> {
    words.value("the number of a node")
}

fn id(words: &mut Words<'_>) -> Result<SegmentId, ParseError> {
    words.value("a segment id such as 0x400001")
}

fn links(words: &mut Words<'_>) -> Result<Links, ParseError> {
    let (a, b) = (node(words)?, node(words)?);
    let mut links = if words.eat("one-way") { Links::one_way(a, b) } else { Links::between(a, b) };
    if words.eat("through") {
        links = links.through(&words.value::<String>("the name of a controller")?);
    }
    Ok(links)
}

fn condition(words: &mut Words<'_>) -> Result<Condition, ParseError> {
    let mut facts = vec![fact(words)?];
    while words.eat("and") {
        facts.push(fact(words)?);
    }
    Ok(Condition(facts))
}

fn fact(words: &mut Words<'_>) -> Result<Fact, ParseError> {
    match words.one_of(&["node", "all", "link"])? {
        0 => {
            let node = node(words)?;
            words.need("has")?;
            let not = words.eat("not");
            let facts: &[_] = if not { &["joined", "published", "connected"] } else { &FACTS };
            Ok(match words.one_of(facts)? {
                0 => Fact::Joined { node, not },
                1 => Fact::Published { node, id: id(words)?, not },
                2 => {
                    words.need("to")?;
                    Fact::Connected { node, to: self::node(words)?, not }
                }
                _ => Fact::Left(node),
            })
        }
        1 => {
            for word in ["nodes", "have", "joined"] {
                words.need(word)?;
            }
            Ok(Fact::AllJoined)
        }
        _ => {
            let links = links(words)?;
            words.need("is")?;
            let not = words.eat("not");
            let states = [LinkState::Down, LinkState::Up, LinkState::Active];
            let state = states[words.one_of(&["down", "up", "active"])?];
            Ok(Fact::Link { links, state, not })
        }
    }
}

const FACTS: [&str; 4] = ["joined", "published", "connected", "left"];

#[cfg(test)]
mod tests {
    use super::super::Script;

    #[track_caller]
    fn refused(text: &str) -> String {
        Script::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn everything_there_is_is_understood() {
        let text = "
            # nothing but a comment
            at 500ms link down 1 2
            after 1.5s link up 1 2 one-way # and a comment
            at 2m
            when node 3 has joined then link error 1 2 through shm1
            when node 2 has published 0x400001 and link 1 2 is not down within 10s then try node stop 1
            when node 1 has not published 4194305
            when node 1 has left and node 2 has not joined and node 1 has connected to 2 then say so: it is, # yes
            when all nodes have joined then segment revoke 2 0x400001
            when link 1 2 one-way through shm0 is active then node cont 1
            every 200ms link error 1 2 for 5s
            every 1s try node kill 1 3 times
            after 1s node restart 1
            every 1s 3 times say this 3 times
            every 1s link error 1 1 until node 1 has not connected to 2
            repeat 3 times
                repeat until node 1 has left
                    after 1s say hello
                end
            end
            random seed 7 for 10s every 50ms: link, node, segment
            random 5 times : kill
            random
            stop";
        Script::parse(text).unwrap();
        assert!(Script::parse("").unwrap().lines.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_pointed_at() {
        for (text, told) in [
            ("link dawn 1 2", "1:6: expected \"down\", \"up\" or \"error\", found \"dawn\""),
            ("\n  link down 1", "2:14: expected the number of a node, found the end of the line"),
            ("link down 1 x", "1:13: expected the number of a node, found \"x\""),
            ("link down 1 -2", "1:13: expected the number of a node, found \"-2\""),
            ("link down 1 2 three", "1:15: expected \"one-way\", \"through\" or the end of the line, found \"three\""),
            ("at noon", "1:4: expected a time such as 500ms, 1.5s, 2m, 1h, found \"noon\""),
            ("at 500 link up 1 2", "1:4: expected a time such as 500ms, 1.5s, 2m, 1h, found \"500\""),
            ("every 0s link up 1 2", "1:7: must be longer than nothing"),
            ("every 1s link up 1 2 0 times", "1:22: must be at least 1 times"),
            (
                "when node 3 has join",
                "1:17: expected \"not\", \"joined\", \"published\", \"connected\" or \"left\", found \"join\"",
            ),
            ("when node 3 has not left", "1:21: expected \"joined\", \"published\" or \"connected\", found \"left\""),
            (
                "when node 3 has joined link",
                "1:24: expected \"and\", \"within\", \"then\" or the end of the line, found \"link\"",
            ),
            ("node hug 1", "1:6: expected \"kill\", \"stop\", \"cont\" or \"restart\", found \"hug\""),
            ("segment revoke 1 0", "1:18: expected a segment id such as 0x400001, found \"0\""),
            ("random: mayhem", "1:9: expected \"link\", \"node\", \"segment\" or \"kill\", found \"mayhem\""),
            ("say", "1:4: expected a text, found the end of the line"),
            ("repeat 2 times\nstop", "1:1: this repeat has no \"end\""),
            ("\trepeat\n say x\nend", "1:2: this repeat would never pause"),
            ("repeat 2 time", "1:10: expected \"times\", found \"time\""),
        ] {
            let error = refused(text);
            assert!(error.starts_with(told), "{text:?}: {error}");
        }
        let error = refused("dance");
        assert!(
            error.contains("\"repeat\", \"at\", \"after\", \"when\", \"every\", \"random\", \"stop\", \"try\""),
            "{error}"
        );
        assert!(error.ends_with("\"link\", \"node\", \"segment\" or \"say\", found \"dance\""), "{error}");
        assert!(refused("end").contains("found \"end\""));
    }

    #[test]
    fn the_mark_is_under_the_place() {
        let error = Script::parse("\twhen nöde 3").unwrap_err();
        assert_eq!(error.excerpt(), "\twhen nöde 3\n\t     ^");
        assert_eq!(Script::parse("when").unwrap_err().excerpt(), "when\n    ^");
    }
}
