//! What the command line asks for.

use rsm_ntb_emu::{Options, Order};
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) const HELP: &str = "\
An emulated PCIe non-transparent bridge between two vfio-user clients, such as two QEMUs.

Usage: rsm-ntb-emu A.sock B.sock [OPTION]..
       rsm-ntb-emu tell C.sock ORDER

Listens at A.sock and B.sock, one for each host, says \"ready\" and runs until SIGTERM or SIGINT.

      --window SIZE          bytes of each window, a power of two from 64K to 64G [64M]
      --delay TIME           stores are on their way for so long, unless a load or a doorbell pushes them [0ms]
      --doorbells-overtake   doorbells do not push stores
      --drop N               one of N stores is lost without a word, on average
      --latency-read TIME    a load through the window takes so long at least [0ms]
      --seed S               which stores --drop loses [0]
      --control C.sock       listens for orders there
      --trace FILE           writes a line to FILE for each event
      --version              says which version of the register map the functions have
      --help

SIZE is a number with K, M, G or nothing behind it, TIME a number with us, ms or s.

Orders: down (pull the cable), up (put it in), flap MILLISECONDS (both), error (tell both sides of one; QEMU stops a
machine that is told so), stats (say what went over the bridge).
";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Plan {
    Help,
    Version,
    Tell { socket: PathBuf, order: String },
    Run { sockets: [PathBuf; 2], options: Options },
}

/// Understands the arguments, or says what is wrong with them.
pub(crate) fn plan(arguments: impl Iterator<Item = OsString>) -> Result<Plan, String> {
    let mut arguments = arguments;
    let mut options = Options::default();
    let mut paths: Vec<PathBuf> = Vec::new();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let (option, mut value) = match text.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option.to_owned(), Some(OsString::from(value))),
            _ => (text, None),
        };
        let given = value.is_some();
        let mut value =
            |what: &str| value.take().or_else(|| arguments.next()).ok_or_else(|| format!("{option} needs {what}"));
        match option.as_str() {
            "--help" | "-h" if !given => return Ok(Plan::Help),
            "--version" | "-V" if !given => return Ok(Plan::Version),
            "--doorbells-overtake" if !given => options.doorbells_overtake = true,
            "--window" => options.window = size(&value("a size")?)?,
            "--delay" => options.delay = time(&value("a time")?)?,
            "--latency-read" => options.latency_read = time(&value("a time")?)?,
            "--drop" => options.drop = Some(number::<NonZeroU32>(&value("a number")?, "a number from 1")?),
            "--seed" => options.seed = number(&value("a number")?, "a number below 2^64")?,
            "--control" => options.control = Some(value("the path of a socket")?.into()),
            "--trace" => options.trace = Some(value("a file")?.into()),
            _ if option.starts_with('-') => return Err(format!("there is no option {option} like this")),
            _ => paths.push(argument.into()),
        }
    }
    if let Some((_, words)) = paths.split_first().filter(|(first, _)| first.as_os_str() == "tell") {
        let Some((socket, order)) = words.split_first().filter(|(_, order)| !order.is_empty()) else {
            return Err("tell needs a control socket and an order".to_owned());
        };
        let order: Vec<_> = order.iter().map(|word| word.to_string_lossy()).collect();
        let order = order.join(" ");
        order.parse::<Order>()?;
        return Ok(Plan::Tell { socket: socket.clone(), order });
    }
    let sockets = <[PathBuf; 2]>::try_from(paths)
        .map_err(|words| format!("two sockets are needed, one for each host, and {} are named", words.len()))?;
    Ok(Plan::Run { sockets, options })
}

fn number<T: std::str::FromStr>(text: &OsString, what: &str) -> Result<T, String> {
    let text = text.to_string_lossy();
    text.parse().map_err(|_| format!("\"{text}\" is not {what}"))
}

fn size(text: &OsString) -> Result<u64, String> {
    let text = text.to_string_lossy();
    let wrong = || format!("\"{text}\" is no size: a number with K, M, G or nothing behind it");
    let unit = |letter: char| "KMG".find(letter).map(|index| 1u64 << (10 * (index + 1)));
    let (digits, unit) = match text.chars().next_back().and_then(unit) {
        Some(unit) => (&text[..text.len() - 1], unit),
        None => (&*text, 1),
    };
    digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(wrong)
}

fn time(text: &OsString) -> Result<Duration, String> {
    let text = text.to_string_lossy();
    let micros = [("us", 1u64), ("ms", 1000), ("s", 1_000_000)]
        .into_iter()
        .find_map(|(unit, micros)| text.strip_suffix(unit)?.parse::<u64>().ok()?.checked_mul(micros));
    // An hour keeps whoever waits for the end of a delay from waiting for ever.
    match micros {
        Some(micros @ 0..=3_600_000_000) => Ok(Duration::from_micros(micros)),
        _ => Err(format!("\"{text}\" is no time: a number with us, ms or s behind it, at most an hour")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Plan, String> {
        plan(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn options_say_how_the_bridge_is_to_be() {
        let line = "a.sock --window 4M b.sock --delay=3ms --doorbells-overtake --drop 7 --latency-read 50us --seed 11 \
                    --control c --trace t";
        let Plan::Run { sockets, options } = of(line).unwrap() else { panic!("a bridge is to run") };
        assert_eq!(sockets, [PathBuf::from("a.sock"), PathBuf::from("b.sock")]);
        assert_eq!((options.window, options.delay), (4 << 20, Duration::from_millis(3)));
        assert_eq!((options.latency_read, options.drop), (Duration::from_micros(50), NonZeroU32::new(7)));
        assert_eq!((options.seed, options.doorbells_overtake), (11, true));
        assert_eq!((options.control, options.trace), (Some("c".into()), Some("t".into())));
        assert!(matches!(of("a b --help"), Ok(Plan::Help)) && matches!(of("--version"), Ok(Plan::Version)));
        let Plan::Tell { socket, order } = of("tell c.sock flap 20").unwrap() else {
            panic!("an order is to be given")
        };
        assert_eq!((socket, order.as_str()), ("c.sock".into(), "flap 20"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_may_be_given() {
        let wrong = [
            ("", "two sockets are needed"),
            ("a", "1 are named"),
            ("a b c", "3 are named"),
            ("a b --window", "--window needs a size"),
            ("a b --window x", "K, M, G"),
            ("a b --window 99999999999G", "K, M, G"),
            ("a b --delay 3", "us, ms or s"),
            ("a b --delay 2h", "us, ms or s"),
            ("a b --delay 3601s", "at most an hour"),
            ("a b --drop 0", "a number from 1"),
            ("a b --seed -1", "a number below 2^64"),
            ("a b --doorbells-overtake=no", "no option --doorbells-overtake"),
            ("a b --fast", "no option --fast"),
            ("tell c jump", "is no order: down, up"),
            ("tell c", "a control socket and an order"),
        ];
        for (line, part) in wrong {
            let why = of(line).unwrap_err();
            assert!(why.contains(part), "{line}: {why}");
        }
    }
}
