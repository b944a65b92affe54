//! What the environment says.

/// Bytes of the heap where nothing is said.
const DEFAULT_HEAP: usize = 64 << 20;

/// The variables, read once.
#[derive(Debug)]
pub(crate) struct Settings {
    /// SHMEM_SYMMETRIC_SIZE, in bytes.
    pub(crate) heap: usize,
    /// SHMEM_INFO.
    pub(crate) info: bool,
    /// SHMEM_VERSION.
    pub(crate) version: bool,
    /// SHMEM_DEBUG.
    pub(crate) debug: bool,
    /// RSM_SHMEM_PROCESSORS, where it is set.
    pub(crate) processors: Option<usize>,
}

impl Settings {
    /// What the environment of this process says.
    ///
    /// # Errors
    /// A size that is none, in words.
    pub(crate) fn read() -> Result<Settings, String> {
        let is_set = |name| std::env::var_os(name).is_some();
        let heap = match std::env::var_os("SHMEM_SYMMETRIC_SIZE") {
            None => DEFAULT_HEAP,
            Some(text) => size(&text.to_string_lossy())?,
        };
        let processors =
            match std::env::var_os("RSM_SHMEM_PROCESSORS") {
                None => None,
                Some(text) => {
                    let text = text.to_string_lossy();
                    let number = text.parse().ok().filter(|&number| number > 0);
                    Some(number.ok_or_else(|| {
                        format!("RSM_SHMEM_PROCESSORS={text:?} is no number of processors: 1 or more")
                    })?)
                }
            };
        Ok(Settings {
            heap,
            processors,
            info: is_set("SHMEM_INFO"),
            version: is_set("SHMEM_VERSION"),
            debug: is_set("SHMEM_DEBUG"),
        })
    }
}

/// A size such as 64M or 1.5g.
fn size(text: &str) -> Result<usize, String> {
    let wrong = || {
        format!(
            "SHMEM_SYMMETRIC_SIZE={text:?} is no size: a number of bytes, with K, M, G or T for powers of 1024, such as 64M"
        )
    };
    let trimmed = text.trim();
    let (number, power) = match trimmed.bytes().last().map(|last| last.to_ascii_uppercase()) {
        Some(b'K') => (&trimmed[..trimmed.len() - 1], 10),
        Some(b'M') => (&trimmed[..trimmed.len() - 1], 20),
        Some(b'G') => (&trimmed[..trimmed.len() - 1], 30),
        Some(b'T') => (&trimmed[..trimmed.len() - 1], 40),
        _ => (trimmed, 0),
    };
    let is_plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = number.parse().ok().filter(|_| is_plain).ok_or_else(wrong)?;
    let bytes = number * (1u64 << power) as f64;
    // Addresses have 47 bits.
    if (1.0..(1u64 << 46) as f64).contains(&bytes) { Ok(bytes as usize) } else { Err(wrong()) }
}
