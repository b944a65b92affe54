//! The control socket: one order a connection, in a line of text; the answer ends with the connection.

use crate::shared::Shared;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

/// What may be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Pull the cable.
    Down,
    /// Put it in.
    Up,
    /// Pull it, and put it in after this time.
    Flap(Duration),
    /// Tell both sides of an error of the device.
    Error,
    /// Say what went over the bridge.
    Stats,
}

/// Longest flap, in milliseconds.
const LONGEST_FLAP: u64 = 60_000;
/// Longest line.
const LONGEST_LINE: u64 = 256;
/// How long the rest of a line, or room for an answer, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Order, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["down"] => Ok(Order::Down),
            ["up"] => Ok(Order::Up),
            ["error"] => Ok(Order::Error),
            ["stats"] => Ok(Order::Stats),
            ["flap", time] => match time.parse() {
                Ok(milliseconds @ 0..=LONGEST_FLAP) => Ok(Order::Flap(Duration::from_millis(milliseconds))),
                _ => Err(format!("\"{time}\" is no time to flap: a number of milliseconds, at most {LONGEST_FLAP}")),
            },
            _ => Err(format!("\"{text}\" is no order: down, up, flap MILLISECONDS, error or stats")),
        }
    }
}

/// Gives an order to the bridge that listens at a control socket, and waits until it is carried out; its answer.
///
/// # Errors
/// Where nobody listens; what the bridge says is wrong.
pub fn tell(socket: &Path, order: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.write_all(order.as_bytes())?;
    stream.write_all(b"\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.strip_prefix("error: ") {
        Some(why) => Err(io::Error::new(io::ErrorKind::InvalidInput, why.trim_end())),
        None => Ok(answer),
    }
}

/// Hears one order after another, until the end.
pub(crate) fn serve(shared: &Shared, listener: &UnixListener) {
    while let Some(stream) = shared.accept(listener) {
        // Whoever does not listen to the answer does not want it.
        let _ = hear(shared, &stream);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

fn hear(shared: &Shared, mut stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line)?;
    let answer = match line.trim().parse() {
        Ok(order) => carry_out(shared, order),
        Err(why) => format!("error: {why}\n"),
    };
    stream.write_all(answer.as_bytes())
}

fn carry_out(shared: &Shared, order: Order) -> String {
    match order {
        Order::Down => shared.lock().set_cable(false),
        Order::Up => shared.lock().set_cable(true),
        Order::Flap(time) => drop(shared.flap(time)),
        Order::Error => return format!("told {}\n", shared.lock().raise_error()),
        Order::Stats => return shared.lock().stats().to_string(),
    }
    "ok\n".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_what_they_say_and_nothing_else() {
        assert_eq!(" flap  20 ".parse(), Ok(Order::Flap(Duration::from_millis(20))));
        assert_eq!("down".parse(), Ok(Order::Down));
        for wrong in ["", "flap", "flap x", "flap -1", "flap 60001", "up 3", "Down", "stats stats"] {
            let why = wrong.parse::<Order>().unwrap_err();
            assert!(
                why.contains(if wrong.starts_with("flap ") { "milliseconds" } else { "flap MILLISECONDS" }),
                "{why}"
            );
        }
    }
}
