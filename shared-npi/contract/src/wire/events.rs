//! Messages of a driver's events.

use super::lists::{read_text, write_length};
use super::reply::{DoesNotFit, Entries, Entry, Reply, ReplyWriter};
use super::request;
use crate::bytes::Reader;
use crate::fault::{Fault, WriteError};
use crate::guid::Guid;
use crate::text::Text;

/// What happened; the number of an event's entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventKind(pub u32);

macro_rules! event_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $value:literal, $text:literal, $warning:literal;)+) => {
        impl EventKind {
            $($(#[doc = $doc])+ pub const $name: Self = Self($value);)+

            /// Every kind that has a name here.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Name for people and programs.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some($text),)+
                    _ => None,
                }
            }

            /// Whether someone should look at it.
            #[must_use]
            pub const fn is_warning(self) -> bool {
                match self.0 {
                    $($value => $warning,)+
                    _ => true,
                }
            }
        }
    };
}

event_kinds! {
    /// The driver started.
    STARTED = 1, "started", false;
    /// The driver is being stopped.
    STOPPING = 2, "stopping", false;
    /// A peer was attached. Subject: the provider.
    ATTACHED = 3, "attached", false;
    /// Detaching a peer began. Subject: the provider. Numbers: calls still under way.
    DETACHING = 4, "detaching", false;
    /// A binding was cleaned up. Subject: the provider.
    DETACHED = 5, "detached", false;
    /// An attachment was declined. Subject: the provider. Text: the reason.
    ATTACH_DECLINED = 6, "attach-declined", true;
    /// A provider was seen for the first time and appended to the catalogue. Subject: the provider.
    CATALOGUE_ADDED = 7, "catalogue-added", false;
    /// An entry of the catalogue or of the hosted providers is damaged and was left out.
    ENTRY_SKIPPED = 8, "entry-skipped", true;
    /// A hosted provider was loaded. Subject: the provider. Numbers: objects.
    LOADED = 9, "loaded", false;
    /// A hosted provider could not be loaded. Subject: the provider. Numbers: offset in its log.
    LOAD_FAILED = 10, "load-failed", true;
    /// The end of a log was torn and was cut. Subject: the provider. Numbers: offset of the cut.
    LOG_CUT = 11, "log-cut", true;
    /// A log could not be written. Subject: the provider.
    LOG_FAILED = 12, "log-failed", true;
    /// A published limit was hit. Text: which.
    LIMIT_HIT = 13, "limit-hit", true;
    /// A peer broke the rules of the interface. Subject: the provider. Text: how.
    PEER_FAULT = 14, "peer-fault", true;
    /// A hosted provider was registered with NMR. Subject: the provider.
    REGISTERED = 15, "registered", false;
    /// A registration with NMR failed. Subject: the provider.
    REGISTRATION_FAILED = 16, "registration-failed", true;
    /// An administrator has enabled a provider of the catalogue. Subject: the provider.
    CATALOGUE_ENABLED = 40, "catalogue-enabled", false;
    /// An administrator has disabled a provider of the catalogue. Subject: the provider.
    CATALOGUE_DISABLED = 41, "catalogue-disabled", false;
    /// An administrator has changed the order of the catalogue. Numbers: how many providers it has.
    CATALOGUE_ORDERED = 42, "catalogue-ordered", false;
    /// A provider was taken out of the catalogue. Subject: the provider.
    CATALOGUE_REMOVED = 43, "catalogue-removed", false;
    /// A provider was installed with the provider driver and is registered. Subject: the provider.
    INSTALLED = 44, "installed", false;
    /// A provider was uninstalled from the provider driver. Subject: the provider.
    UNINSTALLED = 45, "uninstalled", false;
    /// An administrator has set the counters back to zero.
    STATISTICS_RESET = 46, "statistics-reset", false;
    /// A log was written anew, without what is past. Subject: the provider. Numbers: its size.
    LOG_COMPACTED = 32, "log-compacted", false;
}

impl core::fmt::Debug for EventKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "EventKind({})", self.0),
        }
    }
}

/// One event: an entry whose number is the kind; in it sequence, time, two numbers, subject, length
/// of text (units), 0, text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event<'a> {
    /// What happened.
    pub kind: EventKind,
    /// Counts all events of the driver from 1, without gaps.
    pub sequence: u64,
    /// When, in units of 100 ns since 1601-01-01 UTC.
    pub time: u64,
    /// First a count or an offset, as the kind says; second the NT status that was the reason. 0 if
    /// there is none.
    pub numbers: [u64; 2],
    /// To which namespace provider; nil if to none.
    pub subject: Guid,
    /// More for a person.
    pub text: Text<'a>,
}

impl<'a> Event<'a> {
    /// Writes the entry.
    ///
    /// # Errors
    /// [`DoesNotFit`].
    pub fn write(&self, reply: &mut ReplyWriter<'_>) -> Result<(), DoesNotFit> {
        reply.entry(self.kind.0, |writer| {
            writer.u64(self.sequence);
            writer.u64(self.time);
            self.numbers.iter().for_each(|number| writer.u64(*number));
            writer.guid(self.subject);
            write_length(writer, self.text.len());
            writer.u32(0);
            self.text.write_to(writer);
        })
    }

    fn read(entry: Entry<'a>) -> Result<Self, Fault> {
        let mut reader = Reader::new(entry.content);
        let sequence = reader.u64()?;
        let time = reader.u64()?;
        let numbers = [reader.u64()?, reader.u64()?];
        let subject = reader.guid()?;
        let length = reader.u32()?;
        reader.reserved()?;
        let text = read_text(&mut reader, length)?;
        Ok(Self {
            kind: EventKind(entry.number),
            sequence,
            time,
            numbers,
            subject,
            text,
        })
    }
}

/// Asks for events. Field: the last sequence number that is already known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventsRequest {
    /// Only events with a higher sequence number are wanted; 0 for all that are kept.
    pub after: u64,
}

impl EventsRequest {
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

/// Events, oldest first; can be continued after the last one that is there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventsReply<'a>(Entries<'a>);

impl<'a> EventsReply<'a> {
    /// Reads the frame.
    ///
    /// # Errors
    /// The first fault.
    pub fn read(reply: &Reply<'a>) -> Result<Self, Fault> {
        reply.entries(&reply.fields()).map(Self)
    }

    /// The events, each of which may be malformed in itself.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'a>, Fault>> + use<'a> {
        self.0.clone().map(Event::read)
    }
}
