//! Arguments as people write them in Python, and what is said of those that cannot be meant.

use crate::errors::{Told, refused};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyMapping, PyString};
use rsm::lens::{Faults, Lens, Model, Profile, parse_seed};
use rsm::{AccessList, BarrierMode, BarrierType, Code, Permission, SegmentId};
use std::time::Duration;

/// Waits that are longer than this never end.
const FOREVER_SECONDS: f64 = 1e9;

/// How a value is shown in a sentence; integers may have more digits than Python prints.
fn shown(value: &Bound<'_, PyAny>) -> String {
    match value.repr() {
        Ok(text) if text.len().is_ok_and(|length| length <= 60) => text.to_string(),
        _ => "what was given".to_owned(),
    }
}

fn type_name(value: &Bound<'_, PyAny>) -> String {
    value.get_type().name().map_or_else(|_| "something else".to_owned(), |name| name.to_string())
}

/// An integer of at most `most`. One that is out of range is an error with this code.
pub(crate) fn number(value: &Bound<'_, PyAny>, what: &str, most: u64, code: Code) -> PyResult<u64> {
    match integer(value, what, most)? {
        Ok(number) => Ok(number),
        Err(sentence) => Err(refused(value.py(), code, sentence)),
    }
}

/// An integer of at most `most`, or what is wrong with one that is out of range.
fn integer(value: &Bound<'_, PyAny>, what: &str, most: u64) -> PyResult<Result<u64, String>> {
    let py = value.py();
    match value.extract::<u64>() {
        Ok(number) if number <= most => Ok(Ok(number)),
        Err(error) if !error.is_instance_of::<PyOverflowError>(py) => {
            Err(PyTypeError::new_err(format!("{what} is an int, not {}", type_name(value))))
        }
        _ => Ok(Err(format!("{what} is 0 to {most}, not {}", shown(value)))),
    }
}

/// A number of bytes from the start of a segment.
pub(crate) fn offset(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    number(value, "an offset", u64::MAX, Code::BadOffset)
}

/// A number of bytes.
pub(crate) fn length(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    // As many as Python itself can count.
    number(value, "a length", isize::MAX as u64, Code::BadLength).map(|length| length as usize)
}

/// A node's id; which ones there are, the library knows.
pub(crate) fn node(value: &Bound<'_, PyAny>) -> PyResult<u32> {
    number(value, "a node", u32::MAX.into(), Code::RemoteNodeUnreachable).map(|node| node as u32)
}

/// A segment's id; which ones may be published, the library knows.
pub(crate) fn segment_id(value: &Bound<'_, PyAny>) -> PyResult<SegmentId> {
    number(value, "a segment id", u32::MAX.into(), Code::BadSegid).map(|id| SegmentId::new(id as u32))
}

/// What a process can end with.
pub(crate) fn exit_code(value: &Bound<'_, PyAny>) -> PyResult<u8> {
    number(value, "an exit code", u8::MAX.into(), Code::BadArgsErrors).map(|code| code as u8)
}

/// A word of so many bits.
pub(crate) fn word(value: &Bound<'_, PyAny>, bits: u32) -> PyResult<u64> {
    let what = format!("a word of {bits} bits");
    integer(value, &what, u64::MAX >> (64 - bits))?.map_err(PyOverflowError::new_err)
}

/// What two processes name by the same number.
pub(crate) fn token(value: &Bound<'_, PyAny>) -> PyResult<u64> {
    integer(value, "a token", u64::MAX)?.map_err(PyOverflowError::new_err)
}

/// Seconds to wait; `None` waits for ever.
pub(crate) fn timeout(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Duration>> {
    let Some(value) = value else { return Ok(None) };
    let sentence = "a timeout is a number of seconds from 0 on, or None to wait for ever";
    // True is a number to Python, and a mistake here.
    let seconds = match value.extract::<f64>() {
        // An int with more digits than a float has room for.
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Some(if value.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY })
        }
        seconds => seconds.ok().filter(|_| !value.is_instance_of::<PyBool>()),
    };
    match seconds {
        None => Err(PyTypeError::new_err(format!("{sentence}, not {}", type_name(value)))),
        Some(seconds) if seconds.is_nan() || seconds < 0.0 => {
            Err(PyValueError::new_err(format!("{sentence}, not {}", shown(value))))
        }
        Some(seconds) if seconds > FOREVER_SECONDS => Ok(None),
        Some(seconds) => Ok(Some(Duration::from_secs_f64(seconds))),
    }
}

/// Seconds to wait, where there is a default.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Option<Duration>);

impl FromPyObject<'_, '_> for Seconds {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, '_, PyAny>) -> PyResult<Seconds> {
        timeout(Some(&*value).filter(|value| !value.is_none())).map(Seconds)
    }
}

/// A permission: `r`, `w`, `rw`, `-`, or the bits of a `Permission`.
pub(crate) fn permission(value: &Bound<'_, PyAny>) -> PyResult<Permission> {
    let py = value.py();
    let sentence = "a permission is \"r\", \"w\", \"rw\", \"-\" or a Permission";
    if let Ok(text) = value.cast::<PyString>() {
        return match &*text.to_cow()? {
            "r" => Ok(Permission::Read),
            "w" => Ok(Permission::Write),
            "rw" => Ok(Permission::ReadWrite),
            "-" => Ok(Permission::None),
            _ => Err(refused(py, Code::BadPerms, format!("{sentence}, not {}", shown(value)))),
        };
    }
    match value.extract::<u32>() {
        Ok(bits) => Permission::from_bits(bits)
            .ok_or_else(|| refused(py, Code::BadPerms, format!("{sentence}, not {bits:#o}: bits outside 0o600"))),
        Err(error) if error.is_instance_of::<PyOverflowError>(py) => {
            Err(refused(py, Code::BadPerms, format!("{sentence}, not {}", shown(value))))
        }
        Err(_) => Err(PyTypeError::new_err(format!("{sentence}, not {}", type_name(value)))),
    }
}

/// An access list: `None`, `"everyone"`, `"readers"`, `"default"`, or permissions by node.
pub(crate) fn access(value: Option<&Bound<'_, PyAny>>) -> PyResult<AccessList> {
    let Some(value) = value else { return Ok(AccessList::everyone()) };
    let sentence =
        "an access list is \"everyone\", \"readers\", \"default\", or a dict of node: mode such as {2: 0o600}";
    if let Ok(text) = value.cast::<PyString>() {
        return match &*text.to_cow()? {
            "everyone" => Ok(AccessList::everyone()),
            "readers" => Ok(AccessList::readers()),
            "default" => Ok(AccessList::default_permissions()),
            _ => Err(refused(value.py(), Code::BadAcl, format!("{sentence}, not {}", shown(value)))),
        };
    }
    let mapping =
        value.cast::<PyMapping>().map_err(|_| PyTypeError::new_err(format!("{sentence}, not {}", type_name(value))))?;
    let mut list = AccessList::new();
    for item in mapping.items()?.iter() {
        let (node, mode): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item.extract()?;
        let node = number(&node, "a node in an access list", u32::MAX.into(), Code::BadAcl)?;
        let mode = number(&mode, "a mode in an access list", u32::MAX.into(), Code::BadAcl)?;
        list = list.node(node as u32, mode as u32);
    }
    if list.entries().is_empty() {
        // The library reads it as everybody with the default permissions, which nobody means who writes {}.
        return Err(refused(value.py(), Code::BadAcl, "an access list of nobody; unpublish keeps everybody out"));
    }
    Ok(list)
}

/// Who vouches for transfers.
pub(crate) fn mode(py: Python<'_>, text: &str) -> PyResult<BarrierMode> {
    match text {
        "implicit" => Ok(BarrierMode::Implicit),
        "explicit" => Ok(BarrierMode::Explicit),
        _ => Err(refused(py, Code::BadMode, format!("a mode is \"implicit\" or \"explicit\", not {text:?}"))),
    }
}

/// What a barrier waits for.
pub(crate) fn barrier_type(text: &str) -> PyResult<BarrierType> {
    match text {
        "segment" => Ok(BarrierType::Segment),
        "node" => Ok(BarrierType::Node),
        _ => Err(PyValueError::new_err(format!("a barrier is of a \"segment\" or a \"node\", not {text:?}"))),
    }
}

/// What a lens is asked for with.
#[derive(Default)]
pub(crate) struct LensWords {
    /// A seed, with `:calm` or `:storm` after it.
    pub(crate) chaos: Option<String>,
    /// The name of a model.
    pub(crate) model: Option<String>,
    /// Names of faults.
    pub(crate) faults: Option<String>,
    /// The name of a profile.
    pub(crate) profile: Option<String>,
    /// Whether nobody waits.
    pub(crate) is_virtual: bool,
}

impl LensWords {
    /// The lens, if one was asked for: what is drawn, is drawn from the seed, 0 without one.
    pub(crate) fn lens(&self) -> rsm::Result<Option<Lens>> {
        let none = [&self.chaos, &self.model, &self.faults, &self.profile].into_iter().all(Option::is_none);
        if none {
            let lost = || rsm::Error::with(Code::BadConf, "virtual time needs a profile: whose times are added up?");
            return if self.is_virtual { Err(lost()) } else { Ok(None) };
        }
        let seed = self.chaos.as_deref().map(parse_seed).transpose()?;
        let mut lens = Lens::clear(seed.map_or(0, |(seed, _)| seed));
        if self.chaos.is_some() || self.model.is_some() {
            lens = lens.model(self.model.as_deref().map_or(Ok(Model::default()), Model::parse)?);
        }
        if let Some((_, strength)) = seed {
            lens = lens.strength(strength);
        }
        if let Some(names) = &self.faults {
            lens = lens.faults(Faults::parse(names)?);
        }
        if let Some(name) = &self.profile {
            lens = lens.profile(Profile::parse(name)?);
        } else if self.is_virtual {
            return Err(rsm::Error::with(Code::BadConf, "virtual time needs a profile: whose times are added up?"));
        }
        Ok(Some(if self.is_virtual { lens.virtual_time() } else { lens }))
    }
}

/// A seed as it is written: an int, or a text such as `7:storm`.
pub(crate) fn seed(value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Some(text.to_cow()?.into_owned()));
    }
    number(value, "a seed", u64::MAX, Code::BadConf).map(|seed| Some(seed.to_string()))
}

/// The lens of these words.
pub(crate) fn lens(py: Python<'_>, words: &LensWords) -> PyResult<Option<Lens>> {
    words.lens().told(py)
}
