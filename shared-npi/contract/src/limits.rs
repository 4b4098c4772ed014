//! The published caps. One item over its cap is `WSAEINVAL`; a full store is
//! `WSA_NOT_ENOUGH_MEMORY` (decision 31).
//!
//! Text is counted in UTF-16 units without terminator. A driver that captures a query from a
//! peer's memory stops reading at these caps.

/// Longest local part of an address.
pub const LOCAL_PART: usize = 64;
/// Longest domain of an address or of an installation blob.
pub const DOMAIN: usize = 255;
/// Longest name.
pub const NAME: usize = LOCAL_PART + 1 + DOMAIN;
/// Longest context, which is the service name for `NS_EMAIL`.
pub const CONTEXT: usize = 256;
/// Longest comment.
pub const COMMENT: usize = 1024;
/// Longest query string.
pub const QUERY_STRING: usize = 1024;
/// Longest display name of a provider.
pub const IDENTIFIER: usize = 256;
/// Longest text of an event.
pub const EVENT_TEXT: usize = 256;

/// Most addresses of one object, and of one query.
pub const ADDRESSES: usize = 64;
/// Most address-family and protocol pairs of one query.
pub const PROTOCOLS: usize = 64;
/// Shortest socket address: its family alone.
pub const SOCKADDR_MIN: usize = 2;
/// Longest socket address (`SOCKADDR_STORAGE`).
pub const SOCKADDR_MAX: usize = 128;
/// Largest blob stored with an object, in bytes.
pub const BLOB: usize = 64 * 1024;
/// Largest installation blob, in bytes.
pub const INSTALLATION_BLOB: usize = 64 * 1024;

/// Most queries in one batch.
pub const BATCH: usize = 1024;
/// Longest request or reply, in bytes: what a driver buffers for one call.
pub const MESSAGE: usize = 1024 * 1024;
