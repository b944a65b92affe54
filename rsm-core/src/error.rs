//! The RSMERR numbers (reference section 2.8) and the one error type of all crates.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// Result of an operation that can fail with an RSMERR number.
pub type Result<T, E = Error> = core::result::Result<T, E>;

macro_rules! codes {
    ($($number:literal $variant:ident $name:literal $meaning:literal;)*) => {
        /// An RSMERR number. Numbers between 46 and 99 and above 134 do not exist.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = concat!("`", $name, "`: ", $meaning)] $variant = $number,)* }

        impl Code {
            /// Every code, in ascending order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The code with this number; `None` for 0 (success) and for numbers that were never given out.
            pub fn from_number(number: i32) -> Option<Code> {
                match number { $($number => Some(Code::$variant),)* _ => None }
            }

            /// The name in the C header, such as `RSMERR_TIMEOUT`.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// One clause that says what the code means.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }
        }
    };
}

codes! {
    1 BadLibraryVersion "RSMERR_BAD_LIBRARY_VERSION" "library and agent do not fit together";
    2 BadTopologyPtr "RSMERR_BAD_TOPOLOGY_PTR" "bad topology pointer";
    3 BadCtlrHndl "RSMERR_BAD_CTLR_HNDL" "bad controller handle";
    4 CtlrNotPresent "RSMERR_CTLR_NOT_PRESENT" "controller not present";
    5 BadSegHndl "RSMERR_BAD_SEG_HNDL" "bad segment handle";
    6 SegAlreadyPublished "RSMERR_SEG_ALREADY_PUBLISHED" "segment is already published";
    7 SegNotPublished "RSMERR_SEG_NOT_PUBLISHED" "segment is not published";
    8 SegNotPublishedToNode "RSMERR_SEG_NOT_PUBLISHED_TO_NODE" "segment is not published to this node";
    9 SegAlreadyMapped "RSMERR_SEG_ALREADY_MAPPED" "segment is already mapped";
    10 SegStillMapped "RSMERR_SEG_STILL_MAPPED" "segment is still mapped";
    11 SegNotMapped "RSMERR_SEG_NOT_MAPPED" "segment is not mapped";
    12 NotCreator "RSMERR_NOT_CREATOR" "only the creating process may do this";
    13 BadBarrierPtr "RSMERR_BAD_BARRIER_PTR" "bad barrier pointer";
    14 BadSgio "RSMERR_BAD_SGIO" "bad scatter/gather structure";
    15 BadLocalmemHndl "RSMERR_BAD_LOCALMEM_HNDL" "bad local memory handle";
    16 BadAddr "RSMERR_BAD_ADDR" "bad address";
    17 BadMemAlignment "RSMERR_BAD_MEM_ALIGNMENT" "misaligned address, offset or length";
    18 BadOffset "RSMERR_BAD_OFFSET" "offset outside the memory";
    19 MisalignedOffset "RSMERR_MISALIGNED_OFFSET" "misaligned offset";
    20 BadLength "RSMERR_BAD_LENGTH" "bad length";
    21 BadAcl "RSMERR_BAD_ACL" "bad access list";
    22 BadSegid "RSMERR_BAD_SEGID" "bad segment id";
    23 ReservedSegid "RSMERR_RESERVED_SEGID" "segment id is reserved";
    24 SegidInUse "RSMERR_SEGID_IN_USE" "segment id is in use";
    25 BadMode "RSMERR_BAD_MODE" "bad barrier mode";
    26 BadPerms "RSMERR_BAD_PERMS" "bad permissions";
    27 PermDenied "RSMERR_PERM_DENIED" "permission denied";
    28 LocksNotSupported "RSMERR_LOCKS_NOT_SUPPORTED" "locks are not supported";
    29 LocksNotEnabled "RSMERR_LOCKS_NOT_ENABLED" "locks are not enabled";
    30 RebindNotAllowed "RSMERR_REBIND_NOT_ALLOWED" "segment does not allow rebind";
    31 InsufficientResources "RSMERR_INSUFFICIENT_RESOURCES" "insufficient resources";
    32 InsufficientMem "RSMERR_INSUFFICIENT_MEM" "insufficient memory";
    33 MapFailed "RSMERR_MAP_FAILED" "mapping failed";
    34 PollfdInUse "RSMERR_POLLFD_IN_USE" "poll descriptor is in use";
    35 BarrierUninitialized "RSMERR_BARRIER_UNINITIALIZED" "barrier is not initialized";
    36 BarrierOpenFailed "RSMERR_BARRIER_OPEN_FAILED" "barrier could not be opened";
    37 BarrierNotOpened "RSMERR_BARRIER_NOT_OPENED" "barrier is not open";
    38 BarrierFailure "RSMERR_BARRIER_FAILURE" "a transfer of the span may have failed";
    39 RemoteNodeUnreachable "RSMERR_REMOTE_NODE_UNREACHABLE" "remote node is unreachable";
    40 ConnAborted "RSMERR_CONN_ABORTED" "connection was aborted";
    41 Interrupted "RSMERR_INTERRUPTED" "interrupted by a signal handler";
    42 Timeout "RSMERR_TIMEOUT" "timed out";
    43 BadAppid "RSMERR_BAD_APPID" "application id is not listed";
    44 BadConf "RSMERR_BAD_CONF" "bad configuration";
    45 SegNotConnected "RSMERR_SEG_NOT_CONNECTED" "segment is not connected";
    100 InternalError "RSMERR_INTERNAL_ERROR" "internal error";
    101 BadDriverVersion "RSMERR_BAD_DRIVER_VERSION" "bad driver version";
    102 UnsupportedVersion "RSMERR_UNSUPPORTED_VERSION" "unsupported version";
    103 DriverNameInUse "RSMERR_DRIVER_NAME_IN_USE" "driver name is in use";
    104 DriverNotRegistered "RSMERR_DRIVER_NOT_REGISTERED" "driver is not registered";
    105 DriverThreadRunning "RSMERR_DRIVER_THREAD_RUNNING" "driver thread is running";
    106 NeedThreadInit "RSMERR_NEED_THREAD_INIT" "thread needs initialization";
    107 ThreadNotInited "RSMERR_THREAD_NOT_INITED" "thread is not initialized";
    108 CtlrsRegistered "RSMERR_CTLRS_REGISTERED" "controllers are registered";
    109 CtlrNotRegistered "RSMERR_CTLR_NOT_REGISTERED" "controller is not registered";
    110 CtlrAlreadyRegistered "RSMERR_CTLR_ALREADY_REGISTERED" "controller is already registered";
    111 CtlrInUse "RSMERR_CTLR_IN_USE" "controller is in use";
    112 NameTooLong "RSMERR_NAME_TOO_LONG" "name is too long";
    113 SegPublished "RSMERR_SEG_PUBLISHED" "segment is published";
    114 SegNotPublishedToRsmAddr "RSMERR_SEG_NOT_PUBLISHED_TO_RSM_ADDR" "segment is not published to this address";
    115 SegInUse "RSMERR_SEG_IN_USE" "segment is in use";
    116 BadSendqHndl "RSMERR_BAD_SENDQ_HNDL" "bad send queue handle";
    117 BadArgsErrors "RSMERR_BAD_ARGS_ERRORS" "bad arguments";
    118 BadMstype "RSMERR_BAD_MSTYPE" "bad memory type";
    119 NoBackingMem "RSMERR_NO_BACKING_MEM" "no backing memory";
    120 NotMem "RSMERR_NOT_MEM" "not memory";
    121 MemAlreadyBound "RSMERR_MEM_ALREADY_BOUND" "memory is already bound";
    122 MemNotBound "RSMERR_MEM_NOT_BOUND" "memory is not bound";
    123 HandlerNotRegistered "RSMERR_HANDLER_NOT_REGISTERED" "handler is not registered";
    124 NoHandler "RSMERR_NO_HANDLER" "no handler";
    125 UnbindRebindNotAllowed "RSMERR_UNBIND_REBIND_NOT_ALLOWED" "unbind and rebind are not allowed";
    126 CallbacksNotSupported "RSMERR_CALLBACKS_NOT_SUPPORTED" "callbacks are not supported";
    127 UnsupportedOperation "RSMERR_UNSUPPORTED_OPERATION" "unsupported operation";
    128 RsmAddrUnreachable "RSMERR_RSM_ADDR_UNREACHABLE" "address is unreachable";
    129 UnknownRsmAddr "RSMERR_UNKNOWN_RSM_ADDR" "unknown address";
    130 BadBarrierHndl "RSMERR_BAD_BARRIER_HNDL" "bad barrier handle";
    131 CommErrMaybeDelivered "RSMERR_COMM_ERR_MAYBE_DELIVERED" "message may have been delivered";
    132 CommErrNotDelivered "RSMERR_COMM_ERR_NOT_DELIVERED" "message was not delivered";
    133 QueueFenceUp "RSMERR_QUEUE_FENCE_UP" "queue fence is up";
    134 QueueFull "RSMERR_QUEUE_FULL" "queue is full";
}

impl Code {
    /// The number as in `rsm_common.h`.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.number().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Code {
    /// A number from another process is an allegation: one that was never given out is an error, not a code.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Code, D::Error> {
        let number = i32::deserialize(deserializer)?;
        Code::from_number(number).ok_or_else(|| serde::de::Error::custom("unknown RSMERR number"))
    }
}

/// Reason why an operation failed: an RSMERR number and, where more is known than the number says, one sentence.
///
/// Sixteen bytes, so that a `Result<(), Error>` travels in registers; the sentence is allocated only when there is one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    code: Code,
    detail: Option<Box<Cow<'static, str>>>,
}

impl Error {
    /// An error that says no more than its code.
    pub const fn new(code: Code) -> Error {
        Error { code, detail: None }
    }

    /// An error with a sentence that names what failed and why.
    #[cold]
    pub fn with(code: Code, detail: impl Into<Cow<'static, str>>) -> Error {
        Error { code, detail: Some(Box::new(detail.into())) }
    }

    /// The RSMERR number, as an enum.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether it says no more than its code.
    pub fn is_bare(&self) -> bool {
        self.detail.is_none()
    }

    /// The sentence, without the name of the code.
    pub fn detail(&self) -> &str {
        self.detail.as_deref().map_or(self.code.meaning(), |d| d)
    }
}

impl From<Code> for Error {
    fn from(code: Code) -> Error {
        Error::new(code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.detail(), self.code.name(), self.code.number())
    }
}

/// As Display: what a `main` that returns a `Result`, or an `unwrap`, shows is for people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference() {
        let numbers: Vec<i32> = Code::ALL.iter().map(|c| c.number()).collect();
        let expected: Vec<i32> = (1..=45).chain(100..=134).collect();
        assert_eq!(numbers, expected);
        for &code in Code::ALL {
            assert_eq!(Code::from_number(code.number()), Some(code));
            assert!(code.name().starts_with("RSMERR_"), "{}", code.name());
        }
        assert_eq!(Code::from_number(0), None);
        assert_eq!(Code::from_number(46), None);
        // Anchors against the table as a whole being shifted.
        assert_eq!(Code::BadSegHndl.number(), 5);
        assert_eq!(Code::PermDenied.number(), 27);
        assert_eq!(Code::ConnAborted.number(), 40);
        assert_eq!(Code::BadArgsErrors.number(), 117);
    }

    #[test]
    fn an_error_fits_two_registers() {
        assert_eq!(size_of::<Result<()>>(), 16);
    }

    #[test]
    fn display_names_number_and_reason() {
        let e = Error::with(Code::SegNotPublished, "node 2 publishes no segment 0x400000");
        assert_eq!(e.to_string(), "node 2 publishes no segment 0x400000 (RSMERR_SEG_NOT_PUBLISHED 7)");
        assert_eq!(Error::new(Code::Timeout).to_string(), "timed out (RSMERR_TIMEOUT 42)");
    }
}
