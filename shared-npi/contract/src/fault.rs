//! What is wrong with bytes, and where.

use core::fmt;

/// The first thing wrong with a byte string, and the offset at which it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// Offset in bytes from the start of the message, structure or blob.
    pub offset: usize,
}

impl Fault {
    /// Makes a fault.
    #[must_use]
    pub const fn new(kind: FaultKind, offset: usize) -> Self {
        Self { kind, offset }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.kind, self.offset)
    }
}

impl core::error::Error for Fault {}

macro_rules! fault_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// Ways in which bytes can be wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum FaultKind {
            $($(#[doc = $doc])+ $name,)+
        }

        impl FaultKind {
            /// One line for a person.
            #[must_use]
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

fault_kinds! {
    /// The bytes end before the item does.
    Truncated = "the data ends before this item does",
    /// More bytes than the published cap.
    TooLarge = "more data than the limit allows",
    /// A size or version field does not fit the message.
    BadHeader = "the size or version stated in the header does not fit",
    /// An offset or pointer leads outside the data.
    OutOfBounds = "an offset leads outside the data",
    /// An offset is not a multiple of what its item needs.
    Misaligned = "an offset is not aligned",
    /// An offset leads into the header.
    InHeader = "an offset leads into the header",
    /// Two items that must be apart overlap.
    Overlap = "two items overlap",
    /// A chain ends before the stated number of items.
    ChainEnds = "the chain of descriptors ends before the stated count",
    /// A count is larger than the data could hold, or than the limit.
    BadCount = "the count is larger than the data can hold or the limit allows",
    /// A length is zero, negative or over its limit.
    BadLength = "a length is zero, negative or over its limit",
    /// A text holds NUL.
    EmbeddedNul = "a text contains NUL",
    /// A text is not terminated within the data.
    Unterminated = "a text is not terminated",
    /// A text is not well-formed UTF-16.
    LoneSurrogate = "a text contains a lone surrogate",
    /// A domain holds a character that no domain may hold.
    BadCharacter = "a domain contains a control character, a space or '@'",
    /// A domain has an empty label.
    EmptyLabel = "a domain has an empty label",
    /// The same domain is described twice.
    DuplicateDomain = "the domain is described twice",
    /// A provider level is none of the three.
    BadLevel = "the provider level is not 0 (none), 1 (secondary) or 2 (primary)",
    /// The provider type is not one that exists.
    BadProviderType = "the provider type is not 1 (application)",
    /// The provider type exists but is not supported.
    UnsupportedProviderType = "the provider type 2 (service) is not supported",
    /// A field has a value that it cannot have.
    BadValue = "a field has an impossible value",
    /// A reserved field is not zero.
    ReservedNotZero = "a reserved field is not zero",
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// Why something could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteError {
    /// The output is too short. What it holds is unspecified.
    TooSmall {
        /// Bytes that a complete write takes.
        needed: usize,
    },
    /// The item is larger than its format can express, or than the published cap.
    TooLarge,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { needed } => write!(f, "the buffer is too small; {needed} bytes are needed"),
            Self::TooLarge => f.write_str("larger than the limit allows"),
        }
    }
}

impl core::error::Error for WriteError {}
