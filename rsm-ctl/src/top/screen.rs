//! The live view. One thread: it draws, waits for a key or for the time to look again, and looks.

use std::io;
use std::time::{Duration, Instant};

use rsm::observe::Observer;
use rsm_run::signals::SignalQueue;
use rustix::process::Signal;

use super::args::{TopArgs, View};
use super::sample::{Sample, gone};
use super::table::{Order, Table, headline};
use super::terminal::{BOLD, BOLD_RED, BOLD_UNDERLINED, DIM, GREEN, Key, Line, REVERSED, Terminal, YELLOW};
use crate::colour::{self, Tone};
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Longest wait for a key: signals, and the end of the cluster, are noticed in between.
const SLICE: Duration = Duration::from_millis(100);

const VIEWS: [(View, &str); 4] =
    [(View::Nodes, "nodes"), (View::Segments, "segments"), (View::Connections, "connections"), (View::Links, "links")];

/// Where the person is.
struct State {
    view: View,
    order: Order,
    /// There is more than one host.
    hosts: bool,
    /// First row that is shown.
    top: usize,
    /// Rows that fit, and rows there are, when it was drawn last.
    page: usize,
    rows: usize,
}

/// What comes of a key.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Draw,
    End(ExitCode),
}

pub(super) fn run(args: &TopArgs, observer: &Observer, order: Order) -> Result<ExitCode, Failure> {
    let failed = |e| Failure::system("cannot use the terminal", e);
    // A signal must not leave the terminal without an echo: it is read, and ends the loop.
    let signals = SignalQueue::new(&[Signal::TERM, Signal::INT, Signal::HUP, Signal::WINCH]).map_err(failed)?;
    let terminal = Terminal::take().map_err(failed)?;
    show(&terminal, &signals, args, observer, order)
}

fn show(
    terminal: &Terminal,
    signals: &SignalQueue,
    args: &TopArgs,
    observer: &Observer,
    order: Order,
) -> Result<ExitCode, Failure> {
    let mut before = Sample::take(observer);
    let mut state = State { view: args.view, order, hosts: before.has_hosts(), top: 0, page: 1, rows: 0 };
    // The first rates are there soon, whatever the interval.
    let mut again = Instant::now() + args.interval.min(Duration::from_millis(250));
    let mut now = None;
    loop {
        let shown = now.as_ref().unwrap_or(&before);
        let screen = draw(terminal.size(), &mut state, &before, shown);
        if let Err(error) = terminal.draw(&screen) {
            return closed(error);
        }
        loop {
            if let Some(signal) = signals.next() {
                if signal == Signal::WINCH {
                    break;
                }
                return Ok(ExitCode::Signal(u8::try_from(signal.as_raw()).unwrap_or(0)));
            }
            if observer.is_gone() {
                return Err(gone(observer, &before));
            }
            let left = again.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let latest = Sample::take(observer);
                if let Some(last) = now.replace(latest) {
                    before = last;
                }
                again = Instant::now() + args.interval;
                break;
            }
            let keys = match terminal.keys(left.min(SLICE)) {
                Ok(keys) => keys,
                Err(error) => return closed(error),
            };
            for key in &keys {
                if let Next::End(code) = state.press(*key) {
                    return Ok(code);
                }
            }
            if !keys.is_empty() {
                break;
            }
        }
    }
}

/// The terminal is gone: there is nobody to show anything to.
fn closed(error: io::Error) -> Result<ExitCode, Failure> {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => Ok(ExitCode::OutputClosed),
        _ if error.raw_os_error() == Some(libc::EIO) => Ok(ExitCode::OutputClosed),
        _ => Err(Failure::system("cannot use the terminal", error)),
    }
}

impl State {
    fn press(&mut self, key: Key) -> Next {
        let columns = headline(self.view, self.hosts).len();
        match key {
            Key::Control(b'c') => return Next::End(ExitCode::Signal(2)),
            Key::Char(b'q') | Key::Escape => return Next::End(ExitCode::Success),
            Key::Char(digit @ b'1'..=b'4') => self.turn_to(usize::from(digit - b'1')),
            Key::Tab => self.turn_to((self.view as usize + 1) % VIEWS.len()),
            Key::BackTab => self.turn_to((self.view as usize + VIEWS.len() - 1) % VIEWS.len()),
            Key::Char(b'<' | b',') | Key::Left => self.sort_by((self.order.column + columns - 1) % columns),
            Key::Char(b'>' | b'.') | Key::Right => self.sort_by((self.order.column + 1) % columns),
            Key::Char(b'r') => self.order.descending = !self.order.descending,
            Key::Up | Key::Char(b'k') => self.top = self.top.saturating_sub(1),
            Key::Down | Key::Char(b'j') => self.top += 1,
            Key::PageUp => self.top = self.top.saturating_sub(self.page),
            Key::PageDown | Key::Char(b' ') => self.top += self.page,
            Key::Home => self.top = 0,
            Key::End => self.top = self.rows,
            Key::Char(_) | Key::Control(_) | Key::Other => {}
        }
        Next::Draw
    }

    fn turn_to(&mut self, view: usize) {
        self.view = VIEWS[view].0;
        self.order = Order::FIRST;
        self.top = 0;
    }

    fn sort_by(&mut self, column: usize) {
        self.order = Order { column, descending: column > 0 };
    }
}

/// How a tone looks here; without colours, as far as letters can say it.
fn style(tone: Tone) -> Option<&'static str> {
    let coloured = colour::allowed();
    match tone {
        Tone::Faint => Some(DIM),
        Tone::Good => coloured.then_some(GREEN),
        Tone::Warning if coloured => Some(YELLOW),
        Tone::Bad if coloured => Some(BOLD_RED),
        Tone::Warning | Tone::Bad => Some(BOLD),
    }
}

/// Lines above the rows: what is going on, the views, and the headline; one more is below them.
const ABOVE: usize = 6;

fn draw((width, height): (usize, usize), state: &mut State, before: &Sample, now: &Sample) -> Vec<Line> {
    let table = Table::of(state.view, before, now, state.order);
    let line = || Line::new(width);
    let mut screen: Vec<Line> = Vec::with_capacity(height);
    for (number, text) in now.summary(before).iter().enumerate() {
        let mut summary = line();
        summary.add((number == 0).then_some(BOLD), text);
        screen.push(summary);
    }
    screen.resize_with(ABOVE - 2, line);
    let mut tabs = line();
    for ((view, name), number) in VIEWS.iter().zip(1..) {
        tabs.add((*view == state.view).then_some(REVERSED), &format!(" {number} {name} ")).add(None, " ");
    }
    screen.push(tabs);

    state.page = height.saturating_sub(ABOVE + 1).max(1);
    state.rows = table.rows.len();
    state.top = state.top.min(state.rows.saturating_sub(state.page));
    let widths = table.widths();
    // A column that does not fit as a whole is left out, with those after it.
    let mut used = 0;
    let fitting = widths.iter().take_while(|cell| {
        used += **cell + 2;
        used <= width + 2
    });
    let columns = fitting.count().max(1);
    let mut titles = line();
    for (column, (text, wide)) in table.headline.iter().zip(&widths).enumerate().take(columns) {
        let style = if column == state.order.column { BOLD_UNDERLINED } else { BOLD };
        titles.add(Some(style), text).add(None, &" ".repeat(wide - text.len() + 2));
    }
    screen.push(titles);
    for cells in table.rows.iter().skip(state.top).take(state.page) {
        let mut row = line();
        for (cell, wide) in cells.iter().zip(&widths).take(columns) {
            let blanks = " ".repeat(wide - cell.text.chars().count() + 2);
            row.add(cell.tone.and_then(style), &cell.text).add(None, &blanks);
        }
        screen.push(row);
    }
    screen.resize_with(height.max(ABOVE + 2) - 1, line);

    let last = (state.top + state.page).min(state.rows);
    let first = if state.rows == 0 { 0 } else { state.top + 1 };
    let way = if state.order.descending { "down" } else { "up" };
    let keys = format!(
        "{first}-{last} of {}   sorted by {} {way}   q quit  1-4 tab view  < > sort  r reverse",
        state.rows,
        table.headline[state.order.column.min(table.headline.len() - 1)].to_lowercase(),
    );
    let mut below = line();
    below.add(Some(DIM), &keys);
    screen.push(below);
    screen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let mut state = State { view: View::Nodes, order: Order::FIRST, hosts: false, top: 0, page: 10, rows: 63 };
        assert_eq!(state.press(Key::Char(b'<')), Next::Draw);
        assert_eq!((state.order.column, state.order.descending), (headline(View::Nodes, false).len() - 1, true));
        state.press(Key::Char(b'>'));
        assert_eq!(state.order, Order::FIRST);
        state.press(Key::Char(b'r'));
        assert!(state.order.descending);
        state.press(Key::PageDown);
        assert_eq!(state.top, 10);
        state.press(Key::Char(b'4'));
        assert!((state.view, state.order, state.top) == (View::Links, Order::FIRST, 0));
        state.press(Key::Tab);
        assert_eq!(state.view, View::Nodes);
        state.press(Key::BackTab);
        assert_eq!(state.view, View::Links);
        assert_eq!(state.press(Key::Char(b'q')), Next::End(ExitCode::Success));
        assert_eq!(state.press(Key::Control(b'c')), Next::End(ExitCode::Signal(2)));
        assert_eq!(state.press(Key::Other), Next::Draw);
    }

    #[test]
    fn a_terminal_that_went_is_no_accident() {
        assert_eq!(closed(io::Error::from_raw_os_error(libc::EIO)), Ok(ExitCode::OutputClosed));
        assert_eq!(closed(io::ErrorKind::BrokenPipe.into()), Ok(ExitCode::OutputClosed));
        assert!(closed(io::ErrorKind::InvalidData.into()).is_err());
    }
}
