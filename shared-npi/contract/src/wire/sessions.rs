//! Messages that list what is open.

use super::reply::{DoesNotFit, Entries, Entry, Reply, ReplyWriter};
use super::request;
use crate::bytes::Reader;
use crate::fault::{Fault, WriteError};
use crate::guid::Guid;

/// Asks for the sessions after the one with a number. Field: number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionsRequest {
    /// Number of the last session that is known, 0 for none.
    pub after: u64,
}

impl SessionsRequest {
    /// Writes the request; answers its size.
    ///
    /// # Errors
    /// `TooSmall` with the size needed.
    pub fn write(self, out: &mut [u8]) -> Result<usize, WriteError> {
        request::write(out, |writer| writer.u64(self.after))
    }

    /// Reads the request.
    ///
    /// # Errors
    /// The first fault.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = request::open(bytes)?;
        let after = reader.u64()?;
        request::close(bytes, &reader)?;
        Ok(Self { after })
    }
}

/// What is open: in the client driver by one handle of its device, in the provider driver at one hosted provider.
///
/// An entry whose number is that of sessions; in it number, look-ups, calls, GUID.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenSession {
    /// Of the client driver: which session, counted from 1 since the driver was loaded. Of the provider driver: the
    /// place of the provider, from 1.
    pub number: u64,
    /// How many sessions these are: 1 of the client driver; those of all clients of the provider driver.
    pub sessions: u32,
    /// Look-ups that are open.
    pub look_ups: u64,
    /// Calls under way: of the client driver all, of the provider driver the changes that wait for the log.
    pub calls: u64,
    /// Of the provider driver: the namespace provider. Of the client driver: nil.
    pub provider: Guid,
}

impl OpenSession {
    /// Writes the entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.sessions, |writer| {
            writer.u64(self.number);
            writer.u64(self.look_ups);
            writer.u64(self.calls);
            writer.guid(self.provider);
        })
    }

    fn read(entry: Entry<'_>) -> Result<Self, Fault> {
        let mut reader = Reader::new(entry.content);
        Ok(Self {
            number: reader.u64()?,
            sessions: entry.number,
            look_ups: reader.u64()?,
            calls: reader.u64()?,
            provider: reader.guid()?,
        })
    }
}

/// What is open, by number; can be continued.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionsReply<'a>(Entries<'a>);

impl<'a> SessionsReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The entries, each of which may be malformed in itself.
    pub fn sessions(&self) -> impl Iterator<Item = Result<OpenSession, Fault>> + use<'a> {
        self.0.clone().map(OpenSession::read)
    }
}
