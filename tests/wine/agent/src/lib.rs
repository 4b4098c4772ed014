//! What the runner and the program under Wine say to each other.
//!
//! Messages go through the program's standard input and output. Each begins with its length and the
//! token of the order that it belongs to, both as little-endian 32-bit numbers; what follows is read and
//! written by [`Reader`] and [`Writer`]. Every order is answered once, and a request to a device a second
//! time when it has ended: its answer then says [`ENDED`], and before that [`SENT`].

use std::io::{self, Read, Write};

/// An order: what the program is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// Open: path, access (1 read, 3 read and write). Answer: error, handle.
    Open = 1,
    /// Close: handle. Answer: error.
    Close,
    /// Duplicate: handle. Answer: error, handle.
    Duplicate,
    /// Device control: handle, code, output length, input. Answer: [`SENT`]; later [`ENDED`], error,
    /// number of bytes returned, output.
    Control,
    /// Cancel: token of the request. Answer: whether it was under way.
    Cancel,
    /// Whether a request has ended: its token. Answer: 1 or 0.
    HasEnded,
    /// Create a service: name, display name, path of the image, group, start type, error control.
    /// Answer: error.
    CreateService,
    /// Start a service: name. Answer: error.
    StartService,
    /// Stop a service: name. Answer: error.
    StopService,
    /// Ask what a service does: name. Answer: error, state, exit code.
    QueryService,
    /// Delete a key below `HKEY_LOCAL_MACHINE` with all that is in it: path. Answer: error.
    DeleteKey,
    /// Set a value below `HKEY_LOCAL_MACHINE`: path, name, type, data. Answer: error.
    SetValue,
    /// The number of this process. Answer: the number.
    Identify,
    /// End another process and wait until it is gone: its number. Answer: error.
    Kill,
    /// The same device control so often, one after the other: handle, code, output length, times, input. Answer: the
    /// last one's error and number of bytes returned, and the microseconds that all took.
    Repeat,
}

impl Order {
    /// All orders.
    const ALL: [Self; 15] = [
        Self::Open,
        Self::Close,
        Self::Duplicate,
        Self::Control,
        Self::Cancel,
        Self::HasEnded,
        Self::CreateService,
        Self::StartService,
        Self::StopService,
        Self::QueryService,
        Self::DeleteKey,
        Self::SetValue,
        Self::Identify,
        Self::Kill,
        Self::Repeat,
    ];

    /// The order of a number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|order| *order as u32 == number)
    }
}

/// The argument that makes the program give up the rights of an administrator.
pub const LIMITED: &str = "--limited";

/// First word of the answer to [`Order::Control`]: the request is on its way.
pub const SENT: u32 = 0;
/// First word of the second answer to [`Order::Control`].
pub const ENDED: u32 = 1;

/// Puts a message together.
#[derive(Clone, Debug, Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    /// Adds bytes with their length.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        let mut with_length = self.number(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        with_length.0.extend(bytes);
        with_length
    }

    /// Adds text.
    #[must_use]
    pub fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    /// Sends the message.
    ///
    /// # Errors
    /// If the other end is gone.
    pub fn send(self, token: u32, to: &mut impl Write) -> io::Result<()> {
        let message = Self::new().number(token);
        let length = u32::try_from(message.0.len() + self.0.len()).unwrap_or(u32::MAX);
        let mut whole = Self::new().number(length).0;
        whole.extend(message.0);
        whole.extend(self.0);
        to.write_all(&whole)?;
        to.flush()
    }
}

/// Takes a message apart.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    /// Receives a message and its token; none if the other end is gone.
    ///
    /// # Errors
    /// If it went in the middle of a message.
    pub fn receive(from: &mut impl Read) -> io::Result<Option<(u32, Self)>> {
        let mut length = [0; 4];
        match from.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            done => done?,
        }
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        from.read_exact(&mut bytes)?;
        let mut message = Self { bytes, at: 0 };
        let token = message.number();
        Ok(Some((token, message)))
    }

    /// Takes a number; zero if there is none.
    pub fn number(&mut self) -> u32 {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let number = rest
            .first_chunk::<4>()
            .map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.at += 4;
        number
    }

    /// Takes bytes with their length.
    pub fn bytes(&mut self) -> Vec<u8> {
        let length = self.number() as usize;
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let bytes = rest.get(..length).unwrap_or(rest).to_vec();
        self.at += bytes.len();
        bytes
    }

    /// Takes text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}
