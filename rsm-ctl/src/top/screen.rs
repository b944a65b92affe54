//! The live view. One thread: it draws, waits for a key or for the time to look again, and looks.

use std::io;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table as Grid};
use ratatui::{DefaultTerminal, Frame};
use rsm::observe::Observer;
use rustix::process::Signal;

use super::sample::Sample;
use super::table::{Order, Table, headline};
use super::{TopArgs, View, gone};
use crate::colour::{self, Tone};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::run::signals::SignalQueue;

/// Longest wait for a key: signals, and the end of the cluster, are noticed in between.
const SLICE: Duration = Duration::from_millis(100);

const VIEWS: [(View, &str); 4] =
    [(View::Nodes, "nodes"), (View::Segments, "segments"), (View::Connections, "connections"), (View::Links, "links")];

/// Where the person is.
struct State {
    view: View,
    order: Order,
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
    let signals = SignalQueue::new(&[Signal::TERM, Signal::INT, Signal::HUP]).map_err(failed)?;
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let done = show(&mut terminal, &signals, args, observer, order);
    ratatui::restore();
    done
}

fn show(
    terminal: &mut DefaultTerminal,
    signals: &SignalQueue,
    args: &TopArgs,
    observer: &Observer,
    order: Order,
) -> Result<ExitCode, Failure> {
    let mut state = State { view: args.view, order, top: 0, page: 1, rows: 0 };
    let mut before = Sample::take(observer);
    // The first rates are there soon, whatever the interval.
    let mut again = Instant::now() + args.interval.min(Duration::from_millis(250));
    let mut now = None;
    loop {
        let shown = now.as_ref().unwrap_or(&before);
        if let Err(error) = terminal.draw(|frame| draw(frame, &mut state, &before, shown)) {
            return closed(error);
        }
        loop {
            if let Some(signal) = signals.next() {
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
            match event::poll(left.min(SLICE)) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                        match state.press(key.code, key.modifiers) {
                            Next::End(code) => return Ok(code),
                            Next::Draw => break,
                        }
                    }
                    // A new size, above all.
                    Ok(_) => break,
                    Err(error) => return closed(error),
                },
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return closed(error),
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
    fn press(&mut self, key: KeyCode, modifiers: KeyModifiers) -> Next {
        let columns = headline(self.view).len();
        match key {
            KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => return Next::End(ExitCode::Signal(2)),
            KeyCode::Char('q') | KeyCode::Esc => return Next::End(ExitCode::Success),
            KeyCode::Char(digit @ '1'..='4') => self.turn_to(digit as usize - '1' as usize),
            KeyCode::Tab => self.turn_to((self.view as usize + 1) % VIEWS.len()),
            KeyCode::BackTab => self.turn_to((self.view as usize + VIEWS.len() - 1) % VIEWS.len()),
            KeyCode::Char('<' | ',') | KeyCode::Left => self.sort_by((self.order.column + columns - 1) % columns),
            KeyCode::Char('>' | '.') | KeyCode::Right => self.sort_by((self.order.column + 1) % columns),
            KeyCode::Char('r') => self.order.descending = !self.order.descending,
            KeyCode::Up | KeyCode::Char('k') => self.top = self.top.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.top += 1,
            KeyCode::PageUp => self.top = self.top.saturating_sub(self.page),
            KeyCode::PageDown | KeyCode::Char(' ') => self.top += self.page,
            KeyCode::Home => self.top = 0,
            KeyCode::End => self.top = self.rows,
            _ => {}
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
fn style(tone: Option<Tone>) -> Style {
    let coloured = colour::allowed();
    let plain = Style::new();
    match tone {
        None => plain,
        Some(Tone::Faint) => plain.add_modifier(Modifier::DIM),
        Some(Tone::Good) if coloured => plain.fg(Color::Green),
        Some(Tone::Warning) if coloured => plain.fg(Color::Yellow),
        Some(Tone::Bad) if coloured => plain.fg(Color::Red).add_modifier(Modifier::BOLD),
        Some(Tone::Good) => plain,
        Some(Tone::Warning | Tone::Bad) => plain.add_modifier(Modifier::BOLD),
    }
}

fn draw(frame: &mut Frame<'_>, state: &mut State, before: &Sample, now: &Sample) {
    let table = Table::of(state.view, before, now, state.order);
    let [above, tabs, middle, below] =
        Layout::vertical([Constraint::Length(3), Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)])
            .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines: Vec<Line<'_>> = now.summary(before).into_iter().map(Line::from).collect();
    lines[0] = lines[0].clone().style(bold);
    frame.render_widget(Paragraph::new(lines), above);

    let reverse = Style::new().add_modifier(Modifier::REVERSED);
    let names = VIEWS.iter().zip(1..).flat_map(|((view, name), number)| {
        let chosen = if *view == state.view { reverse } else { Style::new() };
        [Span::styled(format!(" {number} {name} "), chosen), Span::raw(" ")]
    });
    frame.render_widget(Paragraph::new(vec![Line::default(), names.collect()]), tabs);

    // One line is the headline's.
    state.page = usize::from(middle.height).saturating_sub(1).max(1);
    state.rows = table.rows.len();
    state.top = state.top.min(state.rows.saturating_sub(state.page));
    let widths = table.widths();
    // A column that does not fit as a whole is left out, with those after it.
    let room = usize::from(middle.width);
    let mut used = 0;
    let fitting = widths.iter().take_while(|width| {
        used += **width + 2;
        used <= room + 2
    });
    let columns = fitting.count().max(1);
    let title = |column: usize| {
        let text = table.headline[column];
        let sorted = column == state.order.column;
        Cell::from(text).style(if sorted { bold.add_modifier(Modifier::UNDERLINED) } else { bold })
    };
    let row = |cells: &Vec<super::table::Cell>| {
        Row::new(
            cells
                .iter()
                .take(columns)
                .map(|cell| Cell::from(cell.text.clone()).style(style(cell.tone)))
                .collect::<Vec<_>>(),
        )
    };
    let shown: Vec<Row<'_>> = table.rows.iter().skip(state.top).take(state.page).map(row).collect();
    let constraints =
        widths.iter().take(columns).map(|&width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    let grid =
        Grid::new(shown, constraints).column_spacing(2).header(Row::new((0..columns).map(title).collect::<Vec<_>>()));
    frame.render_widget(grid, middle);

    let last = (state.top + state.page).min(state.rows);
    let first = if state.rows == 0 { 0 } else { state.top + 1 };
    let way = if state.order.descending { "down" } else { "up" };
    let keys = format!(
        "{first}-{last} of {}   sorted by {} {way}   q quit  1-4 tab view  < > sort  r reverse",
        state.rows,
        table.headline[state.order.column.min(table.headline.len() - 1)].to_lowercase(),
    );
    frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), below);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(state: &mut State, key: KeyCode) -> Next {
        state.press(key, KeyModifiers::NONE)
    }

    #[test]
    fn keys() {
        let mut state = State { view: View::Nodes, order: Order::FIRST, top: 0, page: 10, rows: 63 };
        assert_eq!(press(&mut state, KeyCode::Char('<')), Next::Draw);
        assert_eq!((state.order.column, state.order.descending), (headline(View::Nodes).len() - 1, true));
        press(&mut state, KeyCode::Char('>'));
        assert_eq!(state.order, Order::FIRST);
        press(&mut state, KeyCode::Char('r'));
        assert!(state.order.descending);
        press(&mut state, KeyCode::PageDown);
        assert_eq!(state.top, 10);
        press(&mut state, KeyCode::Char('4'));
        assert!((state.view, state.order, state.top) == (View::Links, Order::FIRST, 0));
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.view, View::Nodes);
        press(&mut state, KeyCode::BackTab);
        assert_eq!(state.view, View::Links);
        assert_eq!(press(&mut state, KeyCode::Char('q')), Next::End(ExitCode::Success));
        assert_eq!(state.press(KeyCode::Char('c'), KeyModifiers::CONTROL), Next::End(ExitCode::Signal(2)));
        assert_eq!(press(&mut state, KeyCode::F(5)), Next::Draw);
    }

    #[test]
    fn a_terminal_that_went_is_no_accident() {
        assert_eq!(closed(io::Error::from_raw_os_error(libc::EIO)), Ok(ExitCode::OutputClosed));
        assert_eq!(closed(io::ErrorKind::BrokenPipe.into()), Ok(ExitCode::OutputClosed));
        assert!(closed(io::ErrorKind::InvalidData.into()).is_err());
    }
}
